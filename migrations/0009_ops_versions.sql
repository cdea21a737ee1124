-- Every version of the ops folder that was in force, kept whole, secrets excepted: an entry names the
-- rules it was made under by digest, and whoever asks later must find them.

CREATE TABLE ops_versions (
    folder     bytea       PRIMARY KEY CHECK (length(folder) = 32),
    commit_id  text,
    first_kept timestamptz NOT NULL
);

CREATE TABLE ops_files (
    folder bytea NOT NULL REFERENCES ops_versions,
    path   text  NOT NULL,
    bytes  bytea NOT NULL,
    PRIMARY KEY (folder, path)
);

CREATE TRIGGER ops_versions_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ops_versions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
CREATE TRIGGER ops_files_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ops_files
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
ALTER TABLE ops_versions ENABLE ALWAYS TRIGGER ops_versions_stay;
ALTER TABLE ops_files ENABLE ALWAYS TRIGGER ops_files_stay;
