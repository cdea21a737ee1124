-- An output that is too long for one row is kept in parts, each of them a content like any other: named by its salted
-- digest, erased with its request. A content of the kind `whole` lists the names of the parts in their order, and the
-- entry of the outcome names that list. So what is committed to is all of the output, and reading it takes a part at a time.
--
-- Parts are written before the outcome is. Those of a run whose outcome was never recorded by the life that wrote them are
-- found again by the next one under the same names.

ALTER TABLE contents DROP CONSTRAINT contents_kind_check;
ALTER TABLE contents ADD CONSTRAINT contents_kind_check
    CHECK (kind IN ('text', 'invocation', 'inputs', 'reason', 'output', 'whole', 'part'));
