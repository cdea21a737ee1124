//! The HTTP face to the homeserver: transactions, queries and ping become inbox rows.
