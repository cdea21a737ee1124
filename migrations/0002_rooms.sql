-- The rooms that are ours, by room id: names and aliases can be moved by others, ids cannot. Beside them
-- the mirror of members and power levels that decisions are made from.

CREATE TABLE rooms (
    -- The room's key in the ops folder.
    key          text        PRIMARY KEY CHECK (key <> ''),
    room_id      text        NOT NULL UNIQUE CHECK (room_id LIKE '!%'),
    bound_at     timestamptz NOT NULL,
    -- The content of m.room.power_levels as JSON. Bytes, because JSON may hold \u0000 and jsonb may not.
    power_levels bytea,
    -- From room version 12 on the creators stand above all levels and are absent from them.
    creators     text[]      NOT NULL DEFAULT '{}'
);

CREATE TABLE members (
    room_id    text NOT NULL REFERENCES rooms (room_id) ON UPDATE CASCADE ON DELETE CASCADE,
    user_id    text NOT NULL CHECK (user_id LIKE '@%'),
    membership text NOT NULL CHECK (membership IN ('join', 'invite', 'knock', 'leave', 'ban')),
    PRIMARY KEY (room_id, user_id)
);
