//! The grammar: from the words of a message to an invocation (pure).
