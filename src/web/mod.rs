//! The HTTP face to people and machines: health and metrics.
