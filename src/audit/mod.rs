//! Reading the audit log: lists, and the whole story of a request.
