"""deploy/bench: how long an answer takes, beside the least that any application service could take."""
