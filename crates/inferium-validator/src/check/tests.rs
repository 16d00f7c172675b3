//! Claims about judgements.
