-- Who may see an answer is decided for exactly the people who are in the room when it is written. A mark that changes
-- whenever those people or their powers do lets the commit of an outcome say so without reading them all: what was
-- decided for another mark is not written, and is decided anew.

ALTER TABLE rooms ADD COLUMN people uuid NOT NULL DEFAULT gen_random_uuid();

CREATE FUNCTION people_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rooms SET people = gen_random_uuid() WHERE room_id IN (SELECT room_id FROM changed);
    RETURN NULL;
END $$;

CREATE TRIGGER people_came AFTER INSERT ON members
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION people_changed();
CREATE TRIGGER people_are_other AFTER UPDATE ON members
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION people_changed();
CREATE TRIGGER people_went AFTER DELETE ON members
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION people_changed();

CREATE FUNCTION powers_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.people := gen_random_uuid();
    RETURN NEW;
END $$;

CREATE TRIGGER powers_are_other BEFORE UPDATE ON rooms FOR EACH ROW
    WHEN ((OLD.power_levels, OLD.creators, OLD.room_id) IS DISTINCT FROM (NEW.power_levels, NEW.creators, NEW.room_id))
    EXECUTE FUNCTION powers_changed();

-- As in 0012: they look into our schema, and at temporary tables last.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION people_changed() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION powers_changed() SET search_path = %I, pg_temp', current_schema());
END $$;
