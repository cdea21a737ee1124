-- What a run prints is shown in a message of its own, and a reaction to that can stop the run: which request is it?

CREATE INDEX outbox_live ON outbox (event_id) WHERE event_id IS NOT NULL AND step LIKE 'request/%/live';
