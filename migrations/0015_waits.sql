-- What a request waits for that its requester asked for and that the rules permit only with somebody's word: a
-- confirmation of its requester's, or approvals of others'.

-- A confirmed request may still need approvals.
INSERT INTO transitions (leaves, enters) VALUES ('awaiting_confirmation', 'awaiting_approval');

CREATE TABLE waits (
    request          bigint      PRIMARY KEY REFERENCES requests,
    -- What is approved: requester, invocation, definition of what runs, rules. A word given for another digest is void.
    digest           bytea       NOT NULL CHECK (length(digest) = 32),
    -- Which prompt is the present one: each change of the digest makes a new one.
    round            integer     NOT NULL CHECK (round >= 1),
    asked_at         timestamptz NOT NULL,
    until            timestamptz NOT NULL,
    -- When people are reminded, where they are.
    remind_at        timestamptz CHECK (remind_at < until),
    -- When somebody must look next: at the reminder, then at the end. Nobody must where it waits no longer.
    due_at           timestamptz,
    -- The requester's word, and what it was given for.
    confirmed_event  text,
    confirmed_digest bytea       CHECK (length(confirmed_digest) = 32),
    confirmed_at     timestamptz,
    -- When it had all that it waited for.
    satisfied_at     timestamptz,
    CHECK ((confirmed_digest IS NULL) = (confirmed_at IS NULL)),
    CHECK ((confirmed_digest IS NULL) = (confirmed_event IS NULL))
);

CREATE INDEX waits_due ON waits (due_at) WHERE due_at IS NOT NULL;

-- Nobody looks at a request that waits no longer, whoever ended its waiting and however.
CREATE FUNCTION requests_end_their_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE waits SET due_at = NULL WHERE request = NEW.number;
    RETURN NULL;
END $$;

DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION requests_end_their_wait() SET search_path = %I, pg_temp', current_schema());
END $$;

CREATE TRIGGER requests_end_their_wait AFTER UPDATE OF state ON requests
    FOR EACH ROW WHEN (OLD.state IN ('awaiting_confirmation', 'awaiting_approval')
                       AND NEW.state NOT IN ('awaiting_confirmation', 'awaiting_approval'))
    EXECUTE FUNCTION requests_end_their_wait();

CREATE TABLE approvals (
    request   bigint      NOT NULL REFERENCES waits,
    approver  text        NOT NULL CHECK (approver LIKE '@%'),
    -- The reaction or the command that gave it. It gives it once, and to one request.
    event_id  text        NOT NULL UNIQUE,
    digest    bytea       NOT NULL CHECK (length(digest) = 32),
    given_at  timestamptz NOT NULL,
    ended_at  timestamptz,
    ended_how text        CHECK (ended_how IN ('withdrawn', 'void')),
    PRIMARY KEY (request, event_id),
    CHECK ((ended_at IS NULL) = (ended_how IS NULL))
);

-- Nobody counts twice.
CREATE UNIQUE INDEX approvals_one_standing_each ON approvals (request, approver) WHERE ended_at IS NULL;

-- A reaction names the prompt's event: which request, and which of its prompts, is that?
CREATE INDEX outbox_prompts ON outbox (event_id) WHERE event_id IS NOT NULL AND step LIKE 'request/%/prompt/%';

INSERT INTO runtime_rights (on_table, rights) VALUES
    ('waits',     'SELECT, INSERT, UPDATE'),
    ('approvals', 'SELECT, INSERT, UPDATE (ended_at, ended_how)');
