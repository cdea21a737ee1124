-- The runbooks of the version in force, cut at their headings, so that a question in a room gets a passage
-- and not a book.

CREATE TABLE passages (
    path     text     NOT NULL,
    place    integer  NOT NULL,
    title    text     NOT NULL,
    heading  text     NOT NULL,
    text     text     NOT NULL,
    -- Both as written (names of programs and options are no English words) and by English stems.
    search   tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', title || ' ' || heading), 'A')
        || setweight(to_tsvector('english', title || ' ' || heading), 'A')
        || to_tsvector('simple', text)
        || to_tsvector('english', text)) STORED,
    PRIMARY KEY (path, place)
);

CREATE INDEX passages_search ON passages USING gin (search);
