//! The business rules as code: entities, decision, explanation (pure); makes permits.
