-- What arrived and is not yet decided. A row is here, durably, before its sender is told that it arrived.

-- Known gap: rows that are done, and transactions, are kept for ever. They are small, since a done row has lost its
-- raw event; what they are for, knowing a repeated event, needs them only for some weeks.

-- A shortcut: this very body was stored under this id before. An id with another body is no duplicate,
-- because a homeserver with a new database starts its ids again.
CREATE TABLE transactions (
    homeserver  text        NOT NULL,
    id          text        NOT NULL,
    digest      bytea       NOT NULL CHECK (length(digest) = 32),
    received_at timestamptz NOT NULL,
    -- To-device messages, device lists and key counts, as they came: for encryption.
    to_device   bytea,
    PRIMARY KEY (homeserver, id, digest)
);

-- A lane is what must be decided in order: a room. Its row is what a worker locks.
CREATE TABLE lanes (
    lane text PRIMARY KEY
);

CREATE TABLE inbox (
    -- The order of a lane.
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text        NOT NULL CHECK (source <> ''),
    -- The identity at the source, an event id: what keeps anything from being done twice.
    external_id text        NOT NULL CHECK (external_id <> ''),
    lane        text        NOT NULL REFERENCES lanes,
    -- The sender's claim; recorded, never trusted.
    claimed_at  timestamptz,
    received_at timestamptz NOT NULL,
    -- The event, byte for byte. Gone when the row is done: what counts of it is in entries and contents then.
    raw         bytea,
    -- pending: to be decided. done: decided. passed: failed again and again, kept for a look at it.
    state       text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'passed')),
    -- How often deciding it failed for a reason of its own; the database's absence does not count.
    failures    integer     NOT NULL DEFAULT 0 CHECK (failures >= 0),
    reason      text,
    done_at     timestamptz,
    UNIQUE (source, external_id),
    CHECK ((state = 'done') = (raw IS NULL)),
    CHECK ((state = 'pending') = (done_at IS NULL))
);

CREATE INDEX inbox_pending ON inbox (lane, id) WHERE state = 'pending';
