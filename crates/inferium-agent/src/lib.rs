//! Agents: their manifests, and what a run of one does next (SPEC A1, A2).
//!
//! A [`Run`] is a state machine without any IO: it is told what came back from a call, and says which call is next, or that
//! the run is over. Its host drives it with real models and tools; whoever checks the host drives it again with the
//! transcript ([`check`]), so that both follow one set of rules. Nothing in it is drawn, timed or looked up.
//!
//! | part | what it is |
//! | --- | --- |
//! | `manifest` | the TOML file that an agent is published as, read strictly |
//! | `form` | how models are told of tools, and call them: text that a grammar holds them to |
//! | `run` | what comes next |
//! | `hire` | whom a run may hire, and the order that hires |
//! | `check` | whether a transcript is one of the run that a chain knows |
//!
//! What a run does: the tools of `[[prepare]]` first; then the model is asked, turn by turn, until it answers with text
//! instead of a call. In the last turn that its limits leave it may not call anything.
//!
//! Not here: sandboxes and servers of tools (`inferium-tools`), who hosts what, and who pays for it.

#![forbid(unsafe_code)]

mod check;
pub mod form;
mod hire;
mod manifest;
mod run;

pub use check::{Checked, ModelCall, RunFacts, RunFault, check, hires};
pub use hire::{Hire, Hired};
pub use manifest::{Launch, Manifest, Prepare, Server, is_secret_name};
pub use run::{Limits, Next, Run, RunEnd, WrongCall, WrongTool, call_seed};
