//! Claims about the types as a whole.
