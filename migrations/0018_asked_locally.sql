-- What came through the local socket has no event whose thread could hold the answers: whoever waits at the socket finds
-- the request by the name of its row in the inbox.

CREATE TABLE asked_locally (
    external_id text   PRIMARY KEY CHECK (external_id <> ''),
    request     bigint NOT NULL UNIQUE REFERENCES requests
);

INSERT INTO runtime_rights (on_table, rights) VALUES ('asked_locally', 'SELECT, INSERT');
