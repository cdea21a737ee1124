-- After an old backup was put back, what was signed since is gone, and what would be signed now under the log's name would be
-- a second history. So that log ends where it stands, and another one begins (`quarterdeck recover --restored`): under a name
-- of its own, with a tree of its own, and a first entry that names the gap. Every entry is in one of them.

CREATE TABLE logs (
    number   int         PRIMARY KEY CHECK (number >= 1),
    -- The first has the name that the settings give it.
    origin   text        UNIQUE,
    begun_at timestamptz,
    CHECK ((number = 1) = (origin IS NULL)),
    CHECK ((number = 1) = (begun_at IS NULL))
);
INSERT INTO logs (number) VALUES (1);

CREATE TRIGGER logs_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
ALTER TABLE logs ENABLE ALWAYS TRIGGER logs_stay;

ALTER TABLE cosignatures DROP CONSTRAINT cosignatures_size_fkey;

ALTER TABLE leaves       ADD COLUMN log int NOT NULL DEFAULT 1 REFERENCES logs;
ALTER TABLE tiles        ADD COLUMN log int NOT NULL DEFAULT 1 REFERENCES logs;
ALTER TABLE head         ADD COLUMN log int NOT NULL DEFAULT 1 REFERENCES logs;
ALTER TABLE checkpoints  ADD COLUMN log int NOT NULL DEFAULT 1 REFERENCES logs;
ALTER TABLE cosignatures ADD COLUMN log int NOT NULL DEFAULT 1;

ALTER TABLE leaves       DROP CONSTRAINT leaves_pkey,       ADD PRIMARY KEY (log, index);
ALTER TABLE tiles        DROP CONSTRAINT tiles_pkey,        ADD PRIMARY KEY (log, level, index);
ALTER TABLE head         DROP COLUMN one,                   ADD PRIMARY KEY (log);
ALTER TABLE checkpoints  DROP CONSTRAINT checkpoints_pkey,  ADD PRIMARY KEY (log, size);
ALTER TABLE cosignatures DROP CONSTRAINT cosignatures_pkey, ADD PRIMARY KEY (log, size, witness),
                         ADD FOREIGN KEY (log, size) REFERENCES checkpoints (log, size);
DROP INDEX cosignatures_witness;
CREATE INDEX cosignatures_witness ON cosignatures (log, witness, size);

-- Whoever writes says which.
ALTER TABLE leaves       ALTER COLUMN log DROP DEFAULT;
ALTER TABLE tiles        ALTER COLUMN log DROP DEFAULT;
ALTER TABLE head         ALTER COLUMN log DROP DEFAULT;
ALTER TABLE checkpoints  ALTER COLUMN log DROP DEFAULT;
ALTER TABLE cosignatures ALTER COLUMN log DROP DEFAULT;

-- The head only moves forward, only over leaves that are there, one at each index, and only that of the log that goes on.
CREATE OR REPLACE FUNCTION head_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    added bigint;
    last  bigint;
BEGIN
    IF NEW.log <> OLD.log OR EXISTS (SELECT FROM logs WHERE number > OLD.log) THEN
        RAISE EXCEPTION 'the log % has ended; nothing is added to it', OLD.log
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT count(*), max(index) + 1 INTO added, last FROM leaves WHERE log = OLD.log AND index >= OLD.size;
    IF NEW.size <= OLD.size OR added <> NEW.size - OLD.size OR last <> NEW.size THEN
        RAISE EXCEPTION 'the tree has % leaves; it cannot become one of % with % added up to %',
            OLD.size, NEW.size, added, last USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

-- Replacing a function takes its settings away: see 0012.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION head_only_grows() SET search_path = %I, pg_temp', current_schema());
END $$;

-- What is unfinished in a backup may have been started and ended after it was made: nobody knows, so it is interrupted, wherever
-- it stands. It need not have an attempt then.
INSERT INTO transitions (leaves, enters) VALUES
    ('received', 'interrupted'),
    ('awaiting_confirmation', 'interrupted'),
    ('awaiting_approval', 'interrupted'),
    ('queued', 'interrupted');

ALTER TABLE requests
    DROP CONSTRAINT what_was_permitted_is_known,
    DROP CONSTRAINT what_ran_has_an_attempt,
    ADD CONSTRAINT what_was_permitted_is_known CHECK (
        (state NOT IN ('queued', 'running', 'succeeded', 'failed', 'timed_out')
         AND (state <> 'interrupted' OR attempt IS NULL))
        OR (command IS NOT NULL AND invocation_digest IS NOT NULL AND rules IS NOT NULL AND ops IS NOT NULL)),
    ADD CONSTRAINT what_ran_has_an_attempt CHECK (
        state NOT IN ('running', 'succeeded', 'failed', 'timed_out') OR attempt IS NOT NULL);

-- That a log ends is for the owner to say.
INSERT INTO runtime_rights (on_table, rights) VALUES ('logs', 'SELECT');

-- What can be searched (0080) is made of one log after the other.
ALTER TABLE trail_head ADD COLUMN log int NOT NULL DEFAULT 1 REFERENCES logs;

CREATE OR REPLACE FUNCTION extend_trail(at_most bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    of_log   int;
    done     bigint;
    size     bigint;
    upto     bigint;
    numbers  bigint[];
    by_place bigint[];
BEGIN
    SELECT h.log, h.leaf INTO of_log, done FROM trail_head h FOR UPDATE;
    SELECT head.size INTO size FROM head WHERE head.log = of_log;
    IF done >= size AND EXISTS (SELECT FROM logs WHERE number > of_log) THEN
        of_log := of_log + 1;
        done := 0;
        SELECT head.size INTO size FROM head WHERE head.log = of_log;
    END IF;
    upto := least(size, done + greatest(at_most, 1));
    -- What waits may be a whole log, after an upgrade: then the newest of it, until the sequencer is through.
    SELECT array_agg(DISTINCT t.request) FILTER (WHERE t.request IS NOT NULL),
           array_agg(t.place) FILTER (WHERE t.request IS NULL)
    INTO numbers, by_place
    FROM (
        SELECT e.request, e.place FROM leaves l JOIN entries e ON e.id = l.entry_id
        WHERE l.log = of_log AND l.index >= done AND l.index < upto
        UNION ALL
        SELECT e.request, e.place FROM (SELECT place FROM pending ORDER BY place DESC LIMIT 10000) p
        JOIN entries e ON e.place = p.place
    ) t;
    IF numbers IS NOT NULL THEN
        PERFORM trail_of_requests(numbers);
    END IF;
    INSERT INTO trail (place, at, room_id, who, tags, said, printed)
    SELECT e.place, e.at, e.room_id, e.who,
           entry_tags(e.kind, e.who, b.body)
               || CASE WHEN e.who LIKE '@%:%' THEN ARRAY['server:' || substring(left(e.who, 300) FROM position(':' IN e.who) + 1)]
                       ELSE '{}' END,
           jsonb_to_tsvector('pg_catalog.simple', b.body - 'id' - 'at' - 'room', '["string"]'), ''
    FROM entries e CROSS JOIN LATERAL (SELECT as_json(e.body) AS body OFFSET 0) b
    WHERE e.place = ANY (by_place)
    -- An entry is never changed.
    ON CONFLICT (place) DO NOTHING;
    UPDATE trail_head SET log = of_log, leaf = upto WHERE (log, leaf) IS DISTINCT FROM (of_log, upto);
    RETURN (SELECT sum(head.size) FROM head WHERE head.log >= of_log) - upto;
END $$;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION extend_trail(bigint) SET search_path = %I, pg_temp', current_schema());
END $$;
