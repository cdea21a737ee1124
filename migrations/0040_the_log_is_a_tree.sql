-- The entries as leaves of a Merkle tree (RFC 6962, section 2.1), so that whoever keeps one checkpoint of it can find
-- out later whether anything before it was changed, taken out, put in or moved.
--
-- An entry's own transaction puts it into `pending`; the sequencer (`audit::Sequencer`) moves what is pending into
-- `leaves`, many in a commit, writes the tiles that became full, and moves `head`. Only what stands in `head` after a
-- confirmed commit is signed. Everything here but `pending` and `head` is only ever added to.

-- Entries that are not in the tree yet, by their place. No foreign key: it would cost every command a look, and the
-- trigger below is the only one that writes here.
CREATE TABLE pending (place bigint PRIMARY KEY);

-- The tree's leaves. `hash` is SHA-256(0x00 || the entry's body): what C2SP tlog-tiles has in the tiles of level 0.
CREATE TABLE leaves (
    index    bigint PRIMARY KEY CHECK (index >= 0),
    entry_id uuid   NOT NULL UNIQUE REFERENCES entries (id),
    hash     bytea  NOT NULL CHECK (length(hash) = 32)
);

-- The full tiles, 256 hashes wide. Partial ones are not kept: those of level 0 are rows of `leaves`, those above are the
-- roots of the full tiles below, so that the partial tile of every size can be made for ever and nothing is ever removed.
CREATE TABLE tiles (
    level  smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    index  bigint   NOT NULL CHECK (index >= 0),
    hashes bytea    NOT NULL CHECK (length(hashes) = 8192),
    -- The root of the tile's own subtree: its place in the tile above.
    root   bytea    NOT NULL CHECK (length(root) = 32),
    PRIMARY KEY (level, index)
);

-- How large the tree is, and its root: one row. Two sequencers that build on the same size: the second finds another.
CREATE TABLE head (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    size bigint  NOT NULL CHECK (size >= 0),
    root bytea   NOT NULL CHECK (length(root) = 32)
);
-- The root of the empty tree is the hash of the empty string.
INSERT INTO head (size, root) VALUES (0, sha256(''));

-- What was signed: C2SP tlog-checkpoint.
CREATE TABLE checkpoints (
    size      bigint      PRIMARY KEY CHECK (size > 0),
    root      bytea       NOT NULL CHECK (length(root) = 32),
    note      text        NOT NULL CHECK (note LIKE E'%\n\n%'),
    signed_at timestamptz NOT NULL
);

CREATE FUNCTION entries_wait_for_their_leaf() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO pending (place) SELECT place FROM written;
    RETURN NULL;
END $$;

CREATE TRIGGER entries_wait_for_their_leaf AFTER INSERT ON entries
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION entries_wait_for_their_leaf();
ALTER TABLE entries ENABLE ALWAYS TRIGGER entries_wait_for_their_leaf;

-- What was there before the tree: an upgrade loses nothing.
INSERT INTO pending (place) SELECT place FROM entries;

-- An entry leaves `pending` only by having a leaf.
CREATE FUNCTION pending_becomes_a_leaf() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lost bigint;
BEGIN
    SELECT g.place INTO lost FROM gone g
    LEFT JOIN entries e ON e.place = g.place LEFT JOIN leaves l ON l.entry_id = e.id
    WHERE l.index IS NULL LIMIT 1;
    IF lost IS NOT NULL THEN
        RAISE EXCEPTION 'entry % has no leaf yet, so it stays pending', lost
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER pending_becomes_a_leaf AFTER DELETE ON pending
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION pending_becomes_a_leaf();
ALTER TABLE pending ENABLE ALWAYS TRIGGER pending_becomes_a_leaf;

-- The head only moves forward, and only over leaves that are there, one at each index.
CREATE FUNCTION head_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    added bigint;
    last  bigint;
BEGIN
    SELECT count(*), max(index) + 1 INTO added, last FROM leaves WHERE index >= OLD.size;
    IF NEW.size <= OLD.size OR added <> NEW.size - OLD.size OR last <> NEW.size THEN
        RAISE EXCEPTION 'the tree has % leaves; it cannot become one of % with % added up to %',
            OLD.size, NEW.size, added, last USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER head_only_grows BEFORE UPDATE ON head FOR EACH ROW EXECUTE FUNCTION head_only_grows();
ALTER TABLE head ENABLE ALWAYS TRIGGER head_only_grows;

CREATE TRIGGER pending_stays BEFORE UPDATE OR TRUNCATE ON pending
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
CREATE TRIGGER leaves_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON leaves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
CREATE TRIGGER tiles_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON tiles
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
CREATE TRIGGER checkpoints_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
CREATE TRIGGER head_stays BEFORE DELETE OR TRUNCATE ON head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
ALTER TABLE pending ENABLE ALWAYS TRIGGER pending_stays;
ALTER TABLE leaves ENABLE ALWAYS TRIGGER leaves_stay;
ALTER TABLE tiles ENABLE ALWAYS TRIGGER tiles_stay;
ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER checkpoints_stay;
ALTER TABLE head ENABLE ALWAYS TRIGGER head_stays;

-- As in 0012: what the functions name is looked for in our schema alone.
DO $$
DECLARE
    ours text;
BEGIN
    FOREACH ours IN ARRAY ARRAY['entries_wait_for_their_leaf', 'pending_becomes_a_leaf', 'head_only_grows']
    LOOP
        EXECUTE format('ALTER FUNCTION %I() SET search_path = %I, pg_temp', ours, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %I() FROM PUBLIC', ours);
    END LOOP;
END $$;

INSERT INTO runtime_rights (on_table, rights) VALUES
    ('pending',     'SELECT, DELETE'),
    ('leaves',      'SELECT, INSERT'),
    ('tiles',       'SELECT, INSERT'),
    ('head',        'SELECT, UPDATE (size, root)'),
    ('checkpoints', 'SELECT, INSERT');
