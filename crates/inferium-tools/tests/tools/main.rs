//! Tools as a run has them, in one program: what speaks the protocol is compiled once.

mod builtins;
mod hostile;
mod remote;
