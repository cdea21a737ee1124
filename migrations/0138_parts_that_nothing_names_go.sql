-- Parts are written before the outcome that names them. Where that is never recorded, because another was by then or because
-- the spool was lost with its host, they belong to nothing: no entry names them, nobody reads them, and they go without a
-- record of it. Of a request whose outcome names any they all stay.
CREATE OR REPLACE FUNCTION contents_go_on_record() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    silent record;
BEGIN
    SELECT g.* INTO silent FROM gone g
    WHERE NOT EXISTS (
        SELECT FROM entries e
        WHERE e.request = g.request AND e.kind IN ('content.erased', 'content.archived')
          AND e.body::jsonb -> 'contents' ? encode(g.commitment, 'hex'))
      AND NOT (g.kind IN ('part', 'whole') AND are_stray(g.request))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'DELETE on contents: no entry says that % of request % was erased or archived',
                encode(silent.commitment, 'hex'), silent.request
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

-- Whether a request has ended with an outcome that names no parts.
CREATE FUNCTION are_stray(of bigint) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM requests r WHERE r.number = of AND r.ended_at IS NOT NULL)
       AND NOT EXISTS (SELECT FROM entries e WHERE e.request = of AND e.kind = 'run.finished'
                         AND (e.body::jsonb ? 'whole' OR e.body::jsonb ? 'files'));
$$;

-- Takes away what such a request has of them. Gives how many went.
CREATE FUNCTION sweep_parts(of bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    went bigint;
BEGIN
    IF NOT are_stray(of) THEN
        RETURN 0;
    END IF;
    DELETE FROM contents c WHERE c.request = of AND c.kind IN ('part', 'whole');
    GET DIAGNOSTICS went = ROW_COUNT;
    RETURN went;
END $$;

-- Those that were written lately are looked through when a server starts.
CREATE INDEX contents_parts ON contents (written_at) WHERE kind = 'part';

-- As in 0012: what the functions name is looked for in our schema alone. Replacing one takes that away.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION contents_go_on_record() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION are_stray(bigint) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION sweep_parts(bigint) SET search_path = %I, pg_temp', current_schema());
    REVOKE ALL ON FUNCTION are_stray(bigint) FROM PUBLIC;
    REVOKE ALL ON FUNCTION sweep_parts(bigint) FROM PUBLIC;
END $$;

INSERT INTO runtime_functions (function) VALUES ('are_stray(bigint)'), ('sweep_parts(bigint)');
