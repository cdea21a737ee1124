-- Which checkpoints were posted to the log room, each with a proof that the log goes on from the one posted before: so that what
-- was signed is on every homeserver of the room, out of the reach of whoever has this database and the log's key.

CREATE TABLE posted (
    log       int         NOT NULL,
    size      bigint      NOT NULL,
    -- The one posted before; 0 for the first.
    after     bigint      NOT NULL CHECK (after >= 0 AND after < size),
    posted_at timestamptz NOT NULL,
    PRIMARY KEY (log, size),
    -- Two instances that post at the same moment: the second finds that it is done.
    UNIQUE (log, after),
    FOREIGN KEY (log, size) REFERENCES checkpoints (log, size)
);

CREATE TRIGGER posted_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON posted
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
ALTER TABLE posted ENABLE ALWAYS TRIGGER posted_stay;

INSERT INTO runtime_rights (on_table, rights) VALUES ('posted', 'SELECT, INSERT');
