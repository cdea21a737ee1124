-- What may have to be erased can be: by one function of the owner's, which takes away exactly what an entry names that
-- stands in the log by then. So there is no erasing without a record of it, whoever tries: the trigger looks for that
-- entry when the database's owner deletes, too.

-- Which answers told what was typed in, or printed by, another request: they go with it. Written before such an answer is.
CREATE TABLE told_of (
    -- What was asked for: `!audit 482`, `!ps`. It may never have come to be: then this says nothing.
    request bigint NOT NULL,
    -- What its answer tells of.
    of      bigint NOT NULL REFERENCES requests,
    PRIMARY KEY (of, request)
);
INSERT INTO runtime_rights (on_table, rights) VALUES ('told_of', 'SELECT, INSERT');
INSERT INTO told_of (request, of)
SELECT DISTINCT e.request, r.number
FROM entries e JOIN requests r ON r.number = substring(e.body::jsonb ->> 'query' FROM '^request ([0-9]{1,18})$')::bigint
WHERE e.kind = 'audit.read' AND e.request IS NOT NULL AND e.request <> r.number;

-- What was asked for once more by `!again`.
CREATE INDEX requests_again ON requests (door) WHERE door LIKE 'again %';

CREATE FUNCTION contents_go_on_record() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    silent record;
BEGIN
    SELECT g.* INTO silent FROM gone g
    WHERE NOT EXISTS (
        SELECT FROM entries e
        WHERE e.request = g.request AND e.kind = 'content.erased'
          AND e.body::jsonb -> 'contents' ? encode(g.commitment, 'hex'))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'DELETE on contents: no entry says that % of request % was erased', encode(silent.commitment, 'hex'), silent.request
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER contents_stay ON contents;
CREATE TRIGGER contents_stay BEFORE UPDATE OR TRUNCATE ON contents
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
CREATE TRIGGER contents_go_on_record AFTER DELETE ON contents
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION contents_go_on_record();
ALTER TABLE contents ENABLE ALWAYS TRIGGER contents_stay;
ALTER TABLE contents ENABLE ALWAYS TRIGGER contents_go_on_record;

-- Removes what the entry of this id says was erased, wherever it is kept beside the log. Gives how many contents went.
CREATE FUNCTION erase_contents(said_by uuid) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    told record;
    went bigint;
BEGIN
    SELECT e.request, e.body::jsonb -> 'contents' AS names INTO told
    FROM entries e WHERE e.id = said_by AND e.kind = 'content.erased' AND e.request IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'entry % does not say that anything was erased', said_by USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- Whoever makes the trail at this moment may have read what goes now, and would put its words back.
    PERFORM FROM trail_head FOR UPDATE;
    DELETE FROM contents c WHERE c.request = told.request AND told.names ? encode(c.commitment, 'hex');
    GET DIAGNOSTICS went = ROW_COUNT;
    -- The copies of it: what was to be run (its digest is made without a salt, so that a guess could be tried on it), what
    -- is set to be done again no more, what could not be said, what could not be processed, what is searched.
    UPDATE requests r
    SET invocation = NULL, lock = NULL,
        invocation_digest = CASE WHEN r.invocation_digest IS NOT NULL THEN decode(repeat('00', 32), 'hex') END
    WHERE r.number = told.request AND r.ended_at IS NOT NULL
      AND (r.invocation IS NOT NULL OR r.lock IS NOT NULL)
      AND NOT EXISTS (SELECT FROM contents c WHERE c.request = r.number AND c.kind = 'invocation');
    UPDATE schedules SET line = '(erased)' WHERE request = told.request AND ended_at IS NOT NULL;
    UPDATE outbox SET content = CASE WHEN content IS NULL THEN NULL ELSE '{}'::bytea END,
                      file_name = NULL, file_type = NULL, file_bytes = NULL
    WHERE request = told.request AND state <> 'waiting';
    UPDATE inbox i SET raw = '{}' FROM requests r
    WHERE r.number = told.request AND i.external_id = r.event_id AND i.state = 'passed';
    PERFORM trail_of_requests(ARRAY[told.request]);
    RETURN went;
END $$;

-- As in 0012: what the functions name is looked for in our schema alone.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION contents_go_on_record() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION erase_contents(uuid) SET search_path = %I, pg_temp', current_schema());
    REVOKE ALL ON FUNCTION contents_go_on_record() FROM PUBLIC;
    REVOKE ALL ON FUNCTION erase_contents(uuid) FROM PUBLIC;
END $$;

INSERT INTO runtime_functions (function) VALUES ('erase_contents(uuid)');
