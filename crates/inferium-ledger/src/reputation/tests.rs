//! Claims about priority and replay shares.
