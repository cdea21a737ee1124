-- Who looks at the pages. Somebody asks for a link in a room, gets it in the room with them alone, and begins a session with
-- it. Of links and of sessions only a hash is kept: who reads this database can log in as nobody.

CREATE TABLE logins (
    id         uuid        PRIMARY KEY,
    -- SHA-256 of the link's token.
    hash       bytea       NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    user_id    text        NOT NULL CHECK (user_id LIKE '@%'),
    asked_at   timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > asked_at),
    used_at    timestamptz
);
-- One link of a person counts: the last.
CREATE UNIQUE INDEX logins_unused ON logins (user_id) WHERE used_at IS NULL;

CREATE TABLE sessions (
    id       uuid        PRIMARY KEY,
    -- SHA-256 of the cookie's token.
    hash     bytea       NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    user_id  text        NOT NULL CHECK (user_id LIKE '@%'),
    begun_at timestamptz NOT NULL,
    seen_at  timestamptz NOT NULL CHECK (seen_at >= begun_at),
    ends_at  timestamptz NOT NULL CHECK (ends_at > begun_at),
    ended_at timestamptz,
    -- What the browser says of itself, so that its owner knows it again. Gone with the row.
    browser  text        NOT NULL CHECK (length(browser) <= 200)
);
CREATE INDEX sessions_open ON sessions (user_id, begun_at) WHERE ended_at IS NULL;

INSERT INTO runtime_rights (on_table, rights) VALUES
    ('logins',   'SELECT, INSERT, DELETE, UPDATE (used_at)'),
    ('sessions', 'SELECT, INSERT, DELETE, UPDATE (seen_at, ended_at)');
