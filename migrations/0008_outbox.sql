-- What is to be said, written in the commit of what it tells of. A message is sent under its step key as
-- transaction id, so that sending it again posts nothing twice.

CREATE TABLE outbox (
    -- The order of a lane.
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    step          text        NOT NULL UNIQUE CHECK (step <> ''),
    -- Messages of one lane (a request; else a room) go out one after the other.
    lane          text        NOT NULL,
    request       bigint      REFERENCES requests,
    room_id       text        NOT NULL,
    -- The event's type and content. Bytes, as everywhere for JSON that is not ours alone.
    kind          text        NOT NULL,
    content       bytea,
    -- A file that is uploaded first; gone when it is, and the content names its address then.
    file_name     text,
    file_type     text,
    file_bytes    bytea,
    written_at    timestamptz NOT NULL,
    state         text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'parked')),
    -- Who is about to send it, and until when others keep away.
    leased_by     uuid        REFERENCES instances,
    leased_until  timestamptz,
    -- Not before this time, after a failure that waiting may mend.
    not_before    timestamptz,
    failures      integer     NOT NULL DEFAULT 0 CHECK (failures >= 0),
    -- The event it became.
    event_id      text,
    -- Why it was given up.
    reason        text,
    concluded_at  timestamptz,
    CHECK ((leased_by IS NULL) = (leased_until IS NULL)),
    CHECK ((state = 'waiting') = (concluded_at IS NULL)),
    CHECK ((state = 'sent') = (event_id IS NOT NULL)),
    CHECK ((state = 'parked') = (reason IS NOT NULL)),
    -- What was sent stands in the room, and is not kept twice.
    CHECK ((state = 'sent') = (content IS NULL)),
    CHECK ((file_name IS NULL) = (file_type IS NULL)),
    CHECK (state = 'sent' OR (file_name IS NULL) = (file_bytes IS NULL))
);

CREATE INDEX outbox_waiting ON outbox (lane, id) WHERE state = 'waiting';
CREATE INDEX outbox_parked ON outbox (id) WHERE state = 'parked';
