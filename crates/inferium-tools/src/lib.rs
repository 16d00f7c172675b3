//! Tools of agents, as the host of a run has them: servers of the Model Context Protocol (MCP), kept within bounds.
//!
//! A [`ToolBox`] is opened for one run. It starts the servers that the agent's manifest names, lists their tools under
//! names that models can call, and calls them. Nobody who wrote such a server is trusted by the host:
//!
//! - **A program runs in a sandbox** of the kernel: it reads itself and the system's libraries, writes the run's folder,
//!   and has no network, no other process to signal and no process of its own, unless the host's [`Permit`] for that
//!   program says so. Where the kernel has no sandbox the program is not started. How: [`Sandbox`].
//! - **A program works while it is asked**, and stands still otherwise: a run that waits for its model costs no processor.
//! - **A host runs what it chose**: the tools that are built in ([`Builtin`]), and programs that it listed itself.
//! - **A server at an address** is reached over HTTP, at public addresses only (unless the host says otherwise), without
//!   redirects and proxies.
//! - **Every call ends**: in text, or in the reason why there is none, after [`Bounds::call`] at the latest and within
//!   [`Bounds::response_bytes`]. A server that hangs, floods, dies or fills the folder is stopped, and is gone for the
//!   rest of the run: what a run has seen must not depend on when a server was started again.
//!
//! What this crate is not: it knows of no chain, no model and no money, and it decides nothing about the run.
//!
//! The binary that hosts runs has to answer `tool …` with [`helper`], before it does anything else: programs enter their
//! sandbox through it, and built-in servers are it.
//!
//! ```no_run
//! # async fn example() -> Result<(), inferium_tools::ToolError> {
//! use inferium_tools::{Builtin, Host, Launch, Secrets, Server, ToolBox};
//!
//! let host = Host::new("/usr/local/bin/inferium".into());
//! let servers = [Server { name: "docs".to_owned(), launch: Launch::Builtin(Builtin::Documents) }];
//! let tools = ToolBox::open(&servers, "/tmp/run-1".as_ref(), &host, &Secrets::default()).await?;
//! let outcome = tools.call("docs__search", serde_json::json!({"query": "how long is a lease?"})).await;
//! tools.close().await;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod builtin;
mod host;
mod sandbox;
#[cfg(test)]
mod testing;
mod toolbox;

pub use builtin::helper;
pub use host::{Bounds, Builtin, Embeddings, Host, Launch, Permit, Secret, Secrets, Server};
pub use sandbox::{Network, Sandbox, SandboxError};
pub use toolbox::{ToolBox, ToolDefinition, ToolError, ToolOutcome};
