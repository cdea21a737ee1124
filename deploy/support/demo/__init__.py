"""deploy/demo: a homeserver, a database, a small company, and people at work in its rooms."""
