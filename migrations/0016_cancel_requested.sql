-- Who wants a running request stopped. The instance that runs it obeys; which end it then comes to is told by the run.

ALTER TABLE requests
    ADD COLUMN cancel_requested_at timestamptz,
    ADD COLUMN cancel_requested_by text CHECK (cancel_requested_by LIKE '@%'),
    ADD CONSTRAINT a_wish_to_cancel_is_somebodys CHECK (
        (cancel_requested_at IS NULL) = (cancel_requested_by IS NULL));

CREATE INDEX requests_to_cancel ON requests (number) WHERE state = 'running' AND cancel_requested_at IS NOT NULL;

INSERT INTO runtime_rights (on_table, rights) VALUES
    ('requests', 'UPDATE (cancel_requested_at, cancel_requested_by)');
