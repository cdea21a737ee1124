-- Fills an empty, migrated database with a log of `requests` requests (four entries each), for measuring searches:
--   psql -v requests=250000 -f benches/trail.sql
-- 200 people of 3 servers, 40 commands, 60 systems, 5 rooms; people, commands and systems are as uneven as they are in life.
-- The hashes of the leaves are made up: such a log does not verify, and is not meant to.
\set ON_ERROR_STOP on
BEGIN;
ALTER TABLE head DISABLE TRIGGER ALL;
ALTER TABLE pending DISABLE TRIGGER ALL;
ALTER TABLE requests DISABLE TRIGGER ALL;
CREATE TEMPORARY TABLE made ON COMMIT DROP AS
SELECT n, '2026-01-01T00:00:00Z'::timestamptz + n * interval '30 s' AS at,
       '@person' || (200 * power(random(), 3))::int || ':' || (ARRAY['example.org', 'partner.example', 'third.example'])[1 + (3 * power(random(), 4))::int % 3] AS sender,
       'command' || (40 * power(random(), 3))::int AS command,
       'system' || (60 * power(random(), 2))::int || '@' || (ARRAY['staging', 'production'])[1 + (random() < 0.3)::int] AS subject,
       '!room' || (5 * power(random(), 2))::int || ':example.org' AS room,
       (ARRAY['succeeded', 'succeeded', 'succeeded', 'succeeded', 'succeeded', 'succeeded', 'succeeded', 'failed', 'refused', 'timed_out'])[1 + (9.99 * random())::int % 10] AS state,
       'rule' || (30 * power(random(), 3))::int AS rule,
       gen_random_uuid() AS attempt, md5(n::text) AS word
FROM generate_series(1, :requests) AS n;
-- Attempts are not searched.
ALTER TABLE requests DROP CONSTRAINT what_ran_has_an_attempt;
INSERT INTO requests (number, state, door, sender, room_id, claimed_at, received_at, command, subject, invocation_digest,
                      rules, ops, ended_at)
OVERRIDING SYSTEM VALUE
SELECT n, state, 'matrix', sender, room, at, at, command, subject, sha256(''), sha256(''), sha256(''), at + interval '3 s'
FROM made;
INSERT INTO entries (id, at, kind, request, room_id, who, body)
SELECT id, m.at + step * interval '1 s', k.kind, n, room, CASE step WHEN 0 THEN sender END,
       json_build_object('at', m.at, 'id', id, 'request', n, 'room', room, 'type', k.kind, 'command', command,
                         'subject', subject, 'policies', CASE step WHEN 1 THEN ARRAY[rule] ELSE '{}' END)::text
FROM made m
CROSS JOIN LATERAL (SELECT * FROM (VALUES (0, 'command.received'), (1, 'command.permitted'), (2, 'run.started'),
                                          (3, 'run.finished')) AS k (step, kind)) AS k
CROSS JOIN LATERAL (SELECT md5(n || k.kind)::uuid AS id) AS i
ORDER BY n, step;
INSERT INTO contents (commitment, request, kind, salt, bytes, written_at)
SELECT sha256(salt || bytes), n, kind, salt, bytes, at
FROM (SELECT n, at, kind, sha256((n || kind)::bytea) AS salt, convert_to(CASE kind
          WHEN 'text' THEN '!' || command || ' ' || subject || ' ' || word
          WHEN 'invocation' THEN json_build_object('command', command, 'arguments', json_build_object(
               'system', json_build_object('type', 'text', 'value', subject)), 'subject', subject)::text
          ELSE 'step ' || n || ' of ' || word || E' is done\nall of ' || command || ' is well' END, 'UTF8') AS bytes
      FROM made CROSS JOIN (VALUES ('text'), ('invocation'), ('output')) AS k (kind)) AS c;
INSERT INTO leaves (log, index, entry_id, hash)
SELECT 1, row_number() OVER (ORDER BY place) - 1 + (SELECT size FROM head), id, sha256(id::text::bytea) FROM entries;
DELETE FROM pending;
UPDATE head SET size = (SELECT count(*) FROM leaves);
COMMIT;
ANALYZE;
