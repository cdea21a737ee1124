-- The rooms whose place others have taken: what is recorded of them is recorded of the room that has this key now.

CREATE TABLE rooms_before (
    room_id text        PRIMARY KEY CHECK (room_id LIKE '!%'),
    -- The room's key in the ops folder.
    key     text        NOT NULL CHECK (key <> ''),
    until   timestamptz NOT NULL
);

CREATE INDEX rooms_before_by_key ON rooms_before (key);

INSERT INTO rooms_before (room_id, key, until)
SELECT DISTINCT ON (body::jsonb ->> 'before') body::jsonb ->> 'before', body::jsonb ->> 'name', now()
FROM entries
WHERE kind = 'room.adopted'
  AND NOT EXISTS (SELECT FROM rooms WHERE rooms.room_id = body::jsonb ->> 'before')
ORDER BY body::jsonb ->> 'before', place DESC;

INSERT INTO runtime_rights (on_table, rights) VALUES ('rooms_before', 'SELECT, INSERT, DELETE');
