-- The runtime role's rights as rows, so that a migration that adds a table or a column adds its line and need not
-- repeat everybody else's. Only the owner reads or writes them.

CREATE TABLE runtime_rights (
    on_table text NOT NULL,
    rights   text NOT NULL,
    PRIMARY KEY (on_table, rights)
);

INSERT INTO runtime_rights (on_table, rights) VALUES
    ('_sqlx_migrations', 'SELECT'),
    ('instances',    'SELECT, INSERT, UPDATE (counter, seen_at, ended_at, ended_by)'),
    ('rooms',        'SELECT, INSERT, UPDATE, DELETE'),
    ('members',      'SELECT, INSERT, UPDATE, DELETE'),
    ('transactions', 'SELECT, INSERT'),
    -- UPDATE is what a row lock asks for.
    ('lanes',        'SELECT, INSERT, UPDATE'),
    ('inbox',        'SELECT, INSERT, UPDATE (raw, state, failures, reason, done_at)'),
    ('transitions',  'SELECT'),
    ('requests',     'SELECT, INSERT, UPDATE (state, command, subject, invocation, invocation_digest, rules, ops, lock, attempt, failures, ended_at)'),
    ('attempts',     'SELECT, INSERT, UPDATE (ended_at, ending, concluded_by)'),
    ('locks',        'SELECT, INSERT, DELETE'),
    ('entries',      'SELECT, INSERT'),
    ('contents',     'SELECT, INSERT'),
    ('outbox',       'SELECT, INSERT, UPDATE (content, file_name, file_type, file_bytes, state, leased_by, leased_until, not_before, failures, event_id, reason, concluded_at)'),
    ('ops_versions', 'SELECT, INSERT'),
    ('ops_files',    'SELECT, INSERT'),
    ('passages',     'SELECT, INSERT, DELETE');

CREATE OR REPLACE FUNCTION give_runtime_rights(runtime text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    given record;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), runtime);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', current_schema(), runtime);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %I', current_schema(), runtime);
    FOR given IN SELECT on_table, rights FROM runtime_rights ORDER BY on_table, rights
    LOOP
        EXECUTE format('GRANT %s ON %I TO %I', given.rights, given.on_table, runtime);
        RETURN NEXT format('%s: %s', given.on_table, given.rights);
    END LOOP;
END $$;
