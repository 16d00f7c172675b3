//! Claims about chat requests.
