-- A request that is received, decided and started (or answered) in one commit is written once, in the state that
-- it has reached: one statement instead of four, each of which the person in the room would wait for. What a state
-- needs (an attempt, an invocation, a time of its end) is demanded by the table's checks whatever the way to it, and
-- nothing is skipped: every state is reached from `received` by the table of transitions.

CREATE OR REPLACE FUNCTION requests_follow_the_table() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- The states that a request can have at the end of the commit that opens it.
        IF NEW.state IN ('timed_out', 'cancelled', 'interrupted', 'denied', 'expired') THEN
            RAISE EXCEPTION 'a request begins as received, and is not % at once', NEW.state
                USING ERRCODE = 'check_violation';
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

-- Replacing a function takes its settings away: see 0012.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION requests_follow_the_table() SET search_path = %I, pg_temp', current_schema());
END $$;

-- The number is drawn before the row is written, because what is written beside it names it.
INSERT INTO runtime_rights (on_table, rights) VALUES ('requests_number_seq', 'USAGE');
