-- A room with each person to whom something was answered that not everybody in the room may read. The alias is drawn and
-- kept before the room is made, so that one which was made by a life that could not note it is found again, and there is
-- never a second.

CREATE TABLE direct_rooms (
    user_id text        PRIMARY KEY CHECK (user_id LIKE '@%'),
    -- The last part of its alias. Drawn, so that nobody learns from an alias who has such a room.
    token   uuid        NOT NULL,
    room_id text        UNIQUE CHECK (room_id LIKE '!%'),
    made_at timestamptz,
    CHECK ((room_id IS NULL) = (made_at IS NULL))
);

INSERT INTO runtime_rights (on_table, rights) VALUES
    ('direct_rooms', 'SELECT, INSERT, UPDATE (token, room_id, made_at)');

COMMENT ON COLUMN outbox.room_id IS 'A room; or a person, to whom it goes in the room with them alone.';
