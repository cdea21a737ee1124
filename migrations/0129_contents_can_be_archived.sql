-- Old contents can go to files. The entry `content.archived` names them and the file, and stands in the log in the commit that
-- takes them away, exactly as `content.erased` does for what is erased: by one function of the owner's, which removes what that
-- entry names, and under the trigger that lets nobody remove a content of which no entry says so.

CREATE OR REPLACE FUNCTION contents_go_on_record() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    silent record;
BEGIN
    SELECT g.* INTO silent FROM gone g
    WHERE NOT EXISTS (
        SELECT FROM entries e
        WHERE e.request = g.request AND e.kind IN ('content.erased', 'content.archived')
          AND e.body::jsonb -> 'contents' ? encode(g.commitment, 'hex'))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'DELETE on contents: no entry says that % of request % was erased or archived',
                encode(silent.commitment, 'hex'), silent.request
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

-- Removes what the entry of this id says was erased or archived, wherever it is kept beside the log. Gives how many contents went.
CREATE OR REPLACE FUNCTION erase_contents(said_by uuid) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    told record;
    went bigint;
BEGIN
    SELECT e.request, e.body::jsonb -> 'contents' AS names INTO told
    FROM entries e WHERE e.id = said_by AND e.kind IN ('content.erased', 'content.archived') AND e.request IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'entry % does not say that anything was erased or archived', said_by USING ERRCODE = 'insufficient_privilege';
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

-- Replacing a function takes its settings away: see 0012.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION contents_go_on_record() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION erase_contents(uuid) SET search_path = %I, pg_temp', current_schema());
END $$;

-- What is old enough to go is looked for by when it ended.
CREATE INDEX requests_ended ON requests (ended_at, number) WHERE ended_at IS NOT NULL;
