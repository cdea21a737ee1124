-- A function looks names up by the search path of whoever fires it, and a session's temporary tables come first
-- in that path: a runtime role that was taken over could put a table `transitions` of its own before ours. So
-- each of our functions looks into our schema, and at temporary tables last.

DO $$
DECLARE
    ours regprocedure;
BEGIN
    FOR ours IN
        SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace
          AND p.proname IN ('requests_follow_the_table', 'requests_free_their_lock', 'refuse_to_rewrite_history')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', ours, current_schema());
    END LOOP;
END $$;
