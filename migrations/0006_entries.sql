-- The audit log. Entries are inserted, in the transaction of what they tell of, and that is all that can
-- ever happen to them: the triggers refuse everything else to everybody, the owner included.

CREATE TABLE entries (
    -- The order of reading. Entries of one request rise in the order in which they were written; across
    -- requests it is the order of writing, which may differ a little from that of the commits.
    place   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      uuid        NOT NULL UNIQUE,
    at      timestamptz NOT NULL,
    kind    text        NOT NULL CHECK (kind ~ '^[a-z]+\.[a-z_]+$'),
    request bigint      REFERENCES requests,
    room_id text,
    -- Whose doing it is, where the entry names somebody: for searching. The body says it as well.
    who     text,
    -- The entry in Matrix canonical JSON. These bytes count; the columns beside repeat them for searching.
    body    text        NOT NULL CHECK (body LIKE '{%}')
);

CREATE INDEX entries_room ON entries (room_id, place);
CREATE INDEX entries_request ON entries (request, place);
CREATE INDEX entries_kind ON entries (kind, place);
CREATE INDEX entries_who ON entries (who, place);

CREATE FUNCTION refuse_to_rewrite_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %: what was recorded is not changed and not removed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
-- Also in a session that plays the replica: that setting switches ordinary triggers off.
ALTER TABLE entries ENABLE ALWAYS TRIGGER entries_stay;
