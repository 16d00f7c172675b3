//! Claims about whole blocks.
