-- What may have to be erased one day: raw text, arguments, the inputs of a decision, output. An entry names
-- it by SHA-256(salt || bytes) alone, so that erasing it leaves the log whole. A content belongs to one request
-- and is never shared, so that erasing one request takes nothing from another.
--
-- Until there is a function that erases and records it in one step, nobody may delete a content.

CREATE TABLE contents (
    commitment bytea       PRIMARY KEY CHECK (length(commitment) = 32),
    request    bigint      NOT NULL REFERENCES requests,
    kind       text        NOT NULL CHECK (kind IN ('text', 'invocation', 'inputs', 'reason', 'output')),
    salt       bytea       NOT NULL CHECK (length(salt) = 32),
    bytes      bytea       NOT NULL,
    written_at timestamptz NOT NULL,
    -- The name is true: checked here, because an entry that names something else could not be mended.
    CHECK (commitment = sha256(salt || bytes))
);

CREATE INDEX contents_request ON contents (request);

CREATE TRIGGER contents_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON contents
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
ALTER TABLE contents ENABLE ALWAYS TRIGGER contents_stay;
