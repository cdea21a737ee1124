-- Membership of a team for a while: asked for in a request, given by the rules, over at its time without anybody's doing.
-- A decision looks at the time, not at `ended_at`: that is written a moment later, with the entry that tells of it.

CREATE TABLE elevations (
    request  bigint      PRIMARY KEY REFERENCES requests,
    user_id  text        NOT NULL CHECK (user_id LIKE '@%'),
    team     text        NOT NULL CHECK (team <> ''),
    room_id  text        NOT NULL,
    given_at timestamptz NOT NULL,
    until    timestamptz NOT NULL CHECK (until > given_at),
    ended_at timestamptz,
    -- over: its time had come. struck: the person was taken out of a team.
    why      text        CHECK (why IN ('over', 'struck')),
    CHECK ((ended_at IS NULL) = (why IS NULL))
);

CREATE INDEX elevations_open ON elevations (user_id) WHERE ended_at IS NULL;
CREATE INDEX elevations_due ON elevations (until) WHERE ended_at IS NULL;

INSERT INTO runtime_rights (on_table, rights) VALUES ('elevations', 'SELECT, INSERT, UPDATE (ended_at, why)');
