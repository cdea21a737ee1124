//! Consumes a warrant and runs what it allows.
