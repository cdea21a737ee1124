-- Attempts: a row for each start that was allowed. Only its confirmed commit allows it, and its id is what
-- is read back where a commit's answer was lost. Locks: what must not overlap.

CREATE TABLE attempts (
    id           uuid        PRIMARY KEY,
    request      bigint      NOT NULL REFERENCES requests,
    -- The boot that starts it: when that one is dead, the run is interrupted.
    boot         uuid        NOT NULL REFERENCES instances,
    executor     text        NOT NULL CHECK (executor <> ''),
    started_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    -- What ended it, as JSON, and who said so.
    ending       text,
    concluded_by uuid        REFERENCES instances,
    UNIQUE (id, request),
    CHECK ((ended_at IS NULL) = (ending IS NULL)),
    CHECK ((ended_at IS NULL) = (concluded_by IS NULL))
);

-- A request has one attempt that is not over, at most.
CREATE UNIQUE INDEX attempts_one_open_each ON attempts (request) WHERE ended_at IS NULL;

ALTER TABLE requests
    ADD FOREIGN KEY (attempt, number) REFERENCES attempts (id, request);

CREATE TABLE locks (
    name     text        PRIMARY KEY CHECK (name <> ''),
    request  bigint      NOT NULL UNIQUE REFERENCES requests,
    attempt  uuid        NOT NULL,
    taken_at timestamptz NOT NULL,
    FOREIGN KEY (attempt, request) REFERENCES attempts (id, request)
);

-- A lock goes with the state that it was taken for, in the same commit, whoever ends the run and however:
-- there is no path on which it could be forgotten.
CREATE FUNCTION requests_free_their_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM locks WHERE request = NEW.number;
    RETURN NULL;
END $$;

CREATE TRIGGER requests_free_their_lock AFTER UPDATE OF state ON requests
    FOR EACH ROW WHEN (OLD.state = 'running' AND NEW.state <> 'running' AND NEW.lock IS NOT NULL)
    EXECUTE FUNCTION requests_free_their_lock();
