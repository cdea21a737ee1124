-- Requests: one for each command, readable or not. The table of transitions is data, and a trigger holds
-- every update to it, whoever makes it: no state is reached by a way that is not written here.

CREATE TABLE transitions (
    leaves text NOT NULL,
    enters text NOT NULL,
    PRIMARY KEY (leaves, enters),
    CHECK (leaves <> enters)
);

INSERT INTO transitions (leaves, enters) VALUES
    ('received', 'refused'),
    ('received', 'awaiting_confirmation'),
    ('received', 'awaiting_approval'),
    ('received', 'queued'),
    ('awaiting_confirmation', 'queued'),
    ('awaiting_confirmation', 'refused'),
    ('awaiting_confirmation', 'denied'),
    ('awaiting_confirmation', 'expired'),
    ('awaiting_confirmation', 'cancelled'),
    ('awaiting_approval', 'queued'),
    ('awaiting_approval', 'refused'),
    ('awaiting_approval', 'denied'),
    ('awaiting_approval', 'expired'),
    ('awaiting_approval', 'cancelled'),
    ('queued', 'running'),
    ('queued', 'awaiting_approval'),
    ('queued', 'refused'),
    ('queued', 'cancelled'),
    ('running', 'succeeded'),
    ('running', 'failed'),
    ('running', 'timed_out'),
    ('running', 'cancelled'),
    ('running', 'interrupted');

CREATE TABLE requests (
    -- What people type.
    number            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state             text        NOT NULL DEFAULT 'received' CHECK (state IN (
        'received', 'refused', 'awaiting_confirmation', 'awaiting_approval', 'queued', 'running', 'succeeded',
        'failed', 'timed_out', 'cancelled', 'interrupted', 'denied', 'expired')),
    door              text        NOT NULL CHECK (door <> ''),
    sender            text        NOT NULL CHECK (sender LIKE '@%'),
    room_id           text        NOT NULL,
    -- One event makes one request, for ever.
    event_id          text        UNIQUE,
    thread_root       text,
    claimed_at        timestamptz NOT NULL,
    received_at       timestamptz NOT NULL,
    -- What was understood and under which version of what. The invocation itself may have to be erased,
    -- its digest not.
    command           text,
    subject           text,
    invocation        bytea,
    invocation_digest bytea       CHECK (length(invocation_digest) = 32),
    rules             bytea       CHECK (length(rules) = 32),
    ops               bytea       CHECK (length(ops) = 32),
    -- The lock it needs, its template filled in.
    lock              text        CHECK (lock <> ''),
    attempt           uuid,
    -- As in the inbox: how often work on the queued request failed.
    failures          integer     NOT NULL DEFAULT 0 CHECK (failures >= 0),
    ended_at          timestamptz,

    CONSTRAINT what_was_permitted_is_known CHECK (
        state NOT IN ('queued', 'running', 'succeeded', 'failed', 'timed_out', 'interrupted')
        OR (command IS NOT NULL AND invocation_digest IS NOT NULL AND rules IS NOT NULL AND ops IS NOT NULL)),
    CONSTRAINT what_will_run_is_whole CHECK (state <> 'queued' OR invocation IS NOT NULL),
    CONSTRAINT what_ran_has_an_attempt CHECK (
        state NOT IN ('running', 'succeeded', 'failed', 'timed_out', 'interrupted') OR attempt IS NOT NULL),
    CONSTRAINT what_did_not_run_has_none CHECK (
        state NOT IN ('received', 'refused', 'awaiting_confirmation', 'awaiting_approval', 'queued', 'denied',
                      'expired') OR attempt IS NULL),
    CONSTRAINT what_is_final_has_its_time CHECK (
        (ended_at IS NOT NULL) = (state IN ('refused', 'succeeded', 'failed', 'timed_out', 'cancelled',
                                            'interrupted', 'denied', 'expired')))
);

CREATE INDEX requests_unfinished ON requests (state, number) WHERE ended_at IS NULL;
CREATE INDEX requests_sender ON requests (sender);

CREATE FUNCTION requests_follow_the_table() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'received' THEN
            RAISE EXCEPTION 'a request begins as received, not as %', NEW.state USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.state <> OLD.state
       AND NOT EXISTS (SELECT FROM transitions WHERE leaves = OLD.state AND enters = NEW.state) THEN
        RAISE EXCEPTION 'request %: no way from % to %', OLD.number, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    -- Who asked for what and where is never rewritten.
    IF (NEW.number, NEW.door, NEW.sender, NEW.room_id, NEW.event_id, NEW.claimed_at, NEW.received_at)
       IS DISTINCT FROM
       (OLD.number, OLD.door, OLD.sender, OLD.room_id, OLD.event_id, OLD.claimed_at, OLD.received_at) THEN
        RAISE EXCEPTION 'request %: who asked, where and when stays as it was written', OLD.number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER requests_follow_the_table BEFORE INSERT OR UPDATE ON requests
    FOR EACH ROW EXECUTE FUNCTION requests_follow_the_table();
ALTER TABLE requests ENABLE ALWAYS TRIGGER requests_follow_the_table;
