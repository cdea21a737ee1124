-- What the log is searched by: a row for each request, with what all its entries tell of it, and for each entry that
-- belongs to none. It is made of entries, requests and contents alone, holds nothing that these do not, and could be
-- thrown away and made again: it is no evidence, the tree is.
--
-- Nothing of it is written on the path of a command. Who searches, and the server now and then, calls `extend_trail`,
-- which takes in the leaves that came since, and what still waits to become one. So a search sees everything that was
-- committed before it, and a command pays nothing for being findable.

CREATE TABLE trail (
    -- Of the entry with which it begins.
    place   bigint      PRIMARY KEY,
    request bigint      UNIQUE,
    at      timestamptz NOT NULL,
    room_id text,
    -- Who asked; or whose doing the entry is.
    who     text,
    command text,
    subject text,
    state   text,
    -- `by:@alice:example.org`, `rule:two-person-rule`, `argument:env=staging`, ...
    tags    text[]      NOT NULL,
    -- The words that were typed, with those of the arguments; and what was printed, which not everybody may read.
    said    tsvector    NOT NULL,
    printed tsvector    NOT NULL
);

-- Newest first is by time; the place tells apart what has the same.
CREATE INDEX trail_at ON trail (at, place);
CREATE INDEX trail_room ON trail (room_id, at, place);
CREATE INDEX trail_tags ON trail USING gin (tags);
CREATE INDEX trail_said ON trail USING gin (said);
CREATE INDEX trail_printed ON trail USING gin (printed);

-- All leaves before this one are in.
CREATE TABLE trail_head (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    leaf bigint  NOT NULL CHECK (leaf >= 0)
);
INSERT INTO trail_head (leaf) VALUES (0);

-- Bytes as text, where they are that. A program may print anything.
CREATE FUNCTION as_text(given bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN convert_from(given, 'UTF8');
EXCEPTION WHEN others THEN
    RETURN encode(given, 'escape');
END $$;

CREATE FUNCTION as_json(given text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN given::jsonb;
EXCEPTION WHEN others THEN
    RETURN '{}'::jsonb;
END $$;

-- The beginning of it: a tsvector has an end, and a log must take everything.
CREATE FUNCTION as_words(given text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN to_tsvector('pg_catalog.simple', left(given, 100000));
EXCEPTION WHEN others THEN
    RETURN ''::tsvector;
END $$;

-- What an entry alone is found by. Long ones are cut, because an index takes no long ones; whoever asks cuts as well.
CREATE FUNCTION entry_tags(kind text, who text, body jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['kind:' || kind, 'family:' || split_part(kind, '.', 1)]
        || CASE WHEN who IS NOT NULL THEN ARRAY['by:' || left(who, 300)] ELSE '{}' END
        || ARRAY(SELECT 'rule:' || left(rule, 300) FROM jsonb_array_elements_text(
               CASE WHEN jsonb_typeof(body -> 'policies') = 'array' THEN body -> 'policies' ELSE '[]' END) AS rule)
$$;

-- The values of an argument: one, or those of a list.
CREATE FUNCTION argument_values(argument jsonb) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT argument ->> 'value' WHERE jsonb_typeof(argument -> 'value') <> 'array'
    UNION ALL
    SELECT item ->> 'value' FROM jsonb_array_elements(
        CASE WHEN jsonb_typeof(argument -> 'value') = 'array' THEN argument -> 'value' ELSE '[]' END) AS item
$$;

-- Makes the rows of these requests anew.
CREATE FUNCTION trail_of_requests(numbers bigint[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO trail (place, request, at, room_id, who, command, subject, state, tags, said, printed)
    SELECT told.place, r.number, told.at, r.room_id, r.sender, coalesce(r.command, told.command),
           coalesce(r.subject, told.subject), r.state,
           told.tags || bound.tags
               || ARRAY['server:' || substring(left(r.sender, 300) FROM position(':' IN r.sender) + 1), 'outcome:' || r.state]
               || CASE WHEN r.ended_at IS NULL AND r.state <> 'running' THEN ARRAY['outcome:waiting'] ELSE '{}' END
               || CASE WHEN coalesce(r.command, told.command) IS NOT NULL
                       THEN ARRAY['command:' || coalesce(r.command, told.command)] ELSE '{}' END
               || CASE WHEN coalesce(r.subject, told.subject) IS NOT NULL
                       THEN ARRAY['system:' || coalesce(r.subject, told.subject),
                                  'system:' || split_part(coalesce(r.subject, told.subject), '@', 1)] ELSE '{}' END,
           as_words(kept.said || ' ' || bound.words), as_words(kept.printed)
    FROM requests r
    CROSS JOIN LATERAL (
        SELECT min(e.place) AS place, min(e.at) AS at,
               (array_agg(b.body ->> 'command' ORDER BY e.place DESC) FILTER (WHERE b.body ->> 'command' IS NOT NULL))[1] AS command,
               (array_agg(b.body ->> 'subject' ORDER BY e.place DESC) FILTER (WHERE b.body ->> 'subject' IS NOT NULL))[1] AS subject,
               array_agg(DISTINCT t.tag) AS tags
        FROM entries e CROSS JOIN LATERAL (SELECT as_json(e.body) AS body OFFSET 0) b
        CROSS JOIN LATERAL unnest(entry_tags(e.kind, e.who, b.body)) AS t (tag)
        WHERE e.request = r.number
    ) told
    CROSS JOIN LATERAL (
        SELECT coalesce(string_agg(left(as_text(c.bytes), 100000), ' ') FILTER (WHERE c.kind = 'text'), '') AS said,
               coalesce(string_agg(left(as_text(c.bytes), 100000), ' ') FILTER (WHERE c.kind = 'output'), '') AS printed
        FROM contents c WHERE c.request = r.number AND c.kind IN ('text', 'output')
    ) kept
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(DISTINCT 'argument:' || left(a.name || '=' || v.value, 300)), '{}') AS tags,
               coalesce(left(string_agg(v.value, ' '), 100000), '') AS words
        FROM contents c
        CROSS JOIN LATERAL jsonb_each(as_json(as_text(c.bytes)) -> 'arguments') AS a (name, argument)
        CROSS JOIN LATERAL argument_values(a.argument) AS v (value)
        WHERE c.request = r.number AND c.kind = 'invocation' AND v.value IS NOT NULL
    ) bound
    WHERE r.number = ANY (numbers) AND told.place IS NOT NULL
    ON CONFLICT (place) DO UPDATE SET
        command = excluded.command, subject = excluded.subject, state = excluded.state, tags = excluded.tags,
        said = excluded.said, printed = excluded.printed
$$;

-- Takes in what came since: at most so many leaves, and what waits to become one. Gives how many leaves are left.
CREATE FUNCTION extend_trail(at_most bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    done     bigint;
    size     bigint;
    upto     bigint;
    numbers  bigint[];
    by_place bigint[];
BEGIN
    SELECT leaf INTO done FROM trail_head FOR UPDATE;
    SELECT head.size INTO size FROM head;
    upto := least(size, done + greatest(at_most, 1));
    -- What waits may be a whole log, after an upgrade: then the newest of it, until the sequencer is through.
    SELECT array_agg(DISTINCT t.request) FILTER (WHERE t.request IS NOT NULL),
           array_agg(t.place) FILTER (WHERE t.request IS NULL)
    INTO numbers, by_place
    FROM (
        SELECT e.request, e.place FROM leaves l JOIN entries e ON e.id = l.entry_id
        WHERE l.index >= done AND l.index < upto
        UNION ALL
        SELECT e.request, e.place FROM (SELECT place FROM pending ORDER BY place DESC LIMIT 10000) p
        JOIN entries e ON e.place = p.place
    ) t;
    IF numbers IS NOT NULL THEN
        PERFORM trail_of_requests(numbers);
    END IF;
    INSERT INTO trail (place, at, room_id, who, tags, said, printed)
    SELECT e.place, e.at, e.room_id, e.who,
           entry_tags(e.kind, e.who, b.body)
               || CASE WHEN e.who LIKE '@%:%' THEN ARRAY['server:' || substring(left(e.who, 300) FROM position(':' IN e.who) + 1)]
                       ELSE '{}' END,
           jsonb_to_tsvector('pg_catalog.simple', b.body - 'id' - 'at' - 'room', '["string"]'), ''
    FROM entries e CROSS JOIN LATERAL (SELECT as_json(e.body) AS body OFFSET 0) b
    WHERE e.place = ANY (by_place)
    -- An entry is never changed.
    ON CONFLICT (place) DO NOTHING;
    UPDATE trail_head SET leaf = upto WHERE leaf <> upto;
    RETURN size - upto;
END $$;

-- As in 0012: what the functions name is looked for in our schema alone. `extend_trail` runs as the owner, so that what
-- is found can be made of the record and of nothing else.
DO $$
DECLARE
    ours regprocedure;
BEGIN
    FOR ours IN
        SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace
          AND p.proname IN ('as_text', 'as_json', 'as_words', 'entry_tags', 'argument_values', 'trail_of_requests', 'extend_trail')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', ours, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', ours);
    END LOOP;
END $$;

INSERT INTO runtime_rights (on_table, rights) VALUES
    ('trail',      'SELECT'),
    ('trail_head', 'SELECT');

-- Rights to functions are rows, too.
CREATE TABLE runtime_functions (
    function text PRIMARY KEY
);
INSERT INTO runtime_functions (function) VALUES ('extend_trail(bigint)');

CREATE OR REPLACE FUNCTION give_runtime_rights(runtime text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    given record;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), runtime);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', current_schema(), runtime);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %I', current_schema(), runtime);
    FOR given IN SELECT on_table, rights FROM runtime_rights ORDER BY on_table, rights
    LOOP
        EXECUTE format('GRANT %s ON %I TO %I', given.rights, given.on_table, runtime);
        RETURN NEXT format('%s: %s', given.on_table, given.rights);
    END LOOP;
    FOR given IN SELECT function FROM runtime_functions ORDER BY function
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', given.function, runtime);
        RETURN NEXT format('%s: EXECUTE', given.function);
    END LOOP;
END $$;
