-- What waits for its leaf is read before the head. The other way round an entry that becomes a leaf between the two looks
-- was in neither: a search did not see what had been committed a moment before it.

CREATE OR REPLACE FUNCTION extend_trail(at_most bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    of_log   int;
    done     bigint;
    size     bigint;
    upto     bigint;
    waiting  bigint[];
    numbers  bigint[];
    by_place bigint[];
BEGIN
    SELECT h.log, h.leaf INTO of_log, done FROM trail_head h FOR UPDATE;
    -- What waits may be a whole log, after an upgrade: then the newest of it, until the sequencer is through.
    SELECT array_agg(p.place) INTO waiting FROM (SELECT place FROM pending ORDER BY place DESC LIMIT 10000) p;
    SELECT head.size INTO size FROM head WHERE head.log = of_log;
    IF done >= size AND EXISTS (SELECT FROM logs WHERE number > of_log) THEN
        of_log := of_log + 1;
        done := 0;
        SELECT head.size INTO size FROM head WHERE head.log = of_log;
    END IF;
    upto := least(size, done + greatest(at_most, 1));
    SELECT array_agg(DISTINCT t.request) FILTER (WHERE t.request IS NOT NULL),
           array_agg(t.place) FILTER (WHERE t.request IS NULL)
    INTO numbers, by_place
    FROM (
        SELECT e.request, e.place FROM leaves l JOIN entries e ON e.id = l.entry_id
        WHERE l.log = of_log AND l.index >= done AND l.index < upto
        UNION ALL
        SELECT e.request, e.place FROM entries e WHERE e.place = ANY (waiting)
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
    UPDATE trail_head SET log = of_log, leaf = upto WHERE (log, leaf) IS DISTINCT FROM (of_log, upto);
    RETURN (SELECT sum(head.size) FROM head WHERE head.log >= of_log) - upto;
END $$;

-- Replacing a function takes its settings away: see 0012.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION extend_trail(bigint) SET search_path = %I, pg_temp', current_schema());
END $$;
