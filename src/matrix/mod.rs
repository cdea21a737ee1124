//! What Quarterdeck says and owns on Matrix.
