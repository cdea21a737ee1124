-- The processes that share this database. A run names the boot that started it, so that after a crash
-- exactly the dead boot's runs are known to be interrupted, and nobody else's.

CREATE TABLE instances (
    boot       uuid        PRIMARY KEY,
    -- The configured name. At most one live boot has it; an advisory lock on the name, held by a session
    -- of the process, keeps two processes from believing it at the same time.
    instance   text        NOT NULL CHECK (instance <> ''),
    started_at timestamptz NOT NULL,
    -- The heartbeat. A counter and no time: clocks of several machines are not compared.
    counter    bigint      NOT NULL DEFAULT 0,
    -- When it last wrote that, by its own clock: for the words "was away from ... to ...", and nothing else.
    seen_at    timestamptz,
    -- When it left, or was declared dead.
    ended_at   timestamptz,
    -- The boot that declared it dead; its own where it left in good order.
    ended_by   uuid        REFERENCES instances,
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);

CREATE UNIQUE INDEX instances_one_live_boot_each ON instances (instance) WHERE ended_at IS NULL;
