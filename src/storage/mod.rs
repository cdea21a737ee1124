//! Every SQL statement; appends audit entries; makes warrants.
