-- What is done again and again: by `!every`, or by a command's [schedule]. Each firing becomes a row of the inbox, whose
-- source and identity are unique, in the commit that moves `next_at` on: no two servers make one of it twice.

CREATE TABLE schedules (
    -- `request/482`, or `file/NAME`.
    key      text        PRIMARY KEY CHECK (key <> ''),
    -- The request that set it.
    request  bigint      UNIQUE REFERENCES requests,
    sender   text        NOT NULL CHECK (sender LIKE '@%'),
    room_id  text        NOT NULL,
    -- What is said there, without prefix.
    line     text        NOT NULL CHECK (line <> ''),
    cron     text        NOT NULL CHECK (cron <> ''),
    zone     text        NOT NULL CHECK (zone <> ''),
    set_at   timestamptz NOT NULL,
    next_at  timestamptz NOT NULL,
    ended_at timestamptz,
    -- removed: by somebody. struck: its person was taken out of a team. gone: the file has it no more.
    why      text        CHECK (why IN ('removed', 'struck', 'gone')),
    CHECK ((ended_at IS NULL) = (why IS NULL)),
    CHECK ((key LIKE 'request/%') = (request IS NOT NULL))
);

CREATE INDEX schedules_due ON schedules (next_at) WHERE ended_at IS NULL;
CREATE INDEX schedules_of ON schedules (sender) WHERE ended_at IS NULL;

INSERT INTO runtime_rights (on_table, rights) VALUES
    ('schedules', 'SELECT, INSERT, UPDATE (sender, room_id, line, cron, zone, next_at, ended_at, why)');
