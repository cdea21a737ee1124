//! Documents that can be searched from a room.
