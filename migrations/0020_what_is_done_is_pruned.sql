-- Rows of the inbox that are done, and transactions, are there to know a repeated event by. No homeserver repeats one
-- after weeks; the server removes them then, in small batches. What it may remove is fenced in here, because a row that
-- is gone is an event that could be done twice.
--
-- A row whose event carried a command stays for as long as its request does, and one that was passed over stays to be
-- looked at. What is left over is talk, memberships and reactions: doing these twice starts nothing.
--
-- Known gap: transactions with to-device messages stay, because nobody has read these yet; so do the rows of doors
-- other than Matrix, where only the row knows what was done before.

CREATE FUNCTION inbox_keeps_what_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'done' THEN
        RAISE EXCEPTION 'inbox row %: only what is done may be removed, and it is %', OLD.id, OLD.state
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF EXISTS (SELECT FROM requests WHERE event_id = OLD.external_id) THEN
        RAISE EXCEPTION 'inbox row %: its event carried a request, and must be known for ever', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER inbox_keeps_what_counts BEFORE DELETE ON inbox
    FOR EACH ROW EXECUTE FUNCTION inbox_keeps_what_counts();
ALTER TABLE inbox ENABLE ALWAYS TRIGGER inbox_keeps_what_counts;

-- As in 0012: what the function names is looked for in our schema alone.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION inbox_keeps_what_counts() SET search_path = %I, pg_temp', current_schema());
END $$;

CREATE INDEX transactions_received ON transactions (received_at) WHERE to_device IS NULL;

INSERT INTO runtime_rights (on_table, rights) VALUES
    ('inbox', 'DELETE'),
    ('transactions', 'DELETE');
