-- What witnesses said of our checkpoints (C2SP tlog-cosignature), so that it can be shown who has seen which entries.
-- Nobody waits for it; it is added when it comes, and never changed.
CREATE TABLE cosignatures (
    size    bigint      NOT NULL REFERENCES checkpoints (size),
    -- The witness's public key, whole: C2SP signed-note, "Verifier keys".
    witness text        NOT NULL,
    -- Its line, as it stands below the checkpoint.
    line    text        NOT NULL CHECK (line LIKE E'— %\n'),
    -- When it made it, by its own clock.
    at      timestamptz NOT NULL,
    PRIMARY KEY (size, witness)
);

CREATE TRIGGER cosignatures_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON cosignatures
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
ALTER TABLE cosignatures ENABLE ALWAYS TRIGGER cosignatures_stay;

INSERT INTO runtime_rights (on_table, rights) VALUES ('cosignatures', 'SELECT, INSERT');
