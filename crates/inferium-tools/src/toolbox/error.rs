//! Why a tool box could not be opened.

use std::path::PathBuf;
use thiserror::Error;

/// Why a tool box could not be opened; nothing of it runs any more.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ToolError {
    /// A server's name is none.
    #[error("{0:?} is no name of a server: 1 to 32 of a-z, A-Z, 0-9, - and _, without __")]
    ServerName(String),
    /// Two servers have one name.
    #[error("two servers are called {0:?}")]
    ServerTwice(String),
    /// The host does not run this program.
    #[error("server {server}: this host does not run {program:?}")]
    NotAllowed {
        /// The server.
        server: String,
        /// What the manifest names.
        program: String,
    },
    /// The address is none, or one that this host does not ask.
    #[error("server {server}: {reason}")]
    Address {
        /// The server.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A secret's name can't be that of a variable, or its value can't be one.
    #[error("secret {0:?}: names and values of secrets have no zero byte, names no =")]
    Secret(String),
    /// The run's folder can't be used.
    #[error("folder {}: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A server did not start, or does not speak MCP.
    #[error("server {server} did not start: {reason}")]
    Start {
        /// The server.
        server: String,
        /// What it said or did.
        reason: String,
    },
    /// A server offers more tools than a model can be told of.
    #[error("server {server} offers more tools than the {max} that a run can have")]
    TooManyTools {
        /// The server with which it is too many.
        server: String,
        /// How many all servers together can have.
        max: usize,
    },
    /// A tool's name is too long.
    #[error("server {server}: tool {tool:?} is called {name:?} for models, which is over {max} characters")]
    ToolName {
        /// The server.
        server: String,
        /// The tool, as its server calls it.
        tool: String,
        /// As a model would.
        name: String,
        /// Characters at most.
        max: usize,
    },
    /// Two tools have one name.
    #[error("server {server}: two tools are called {name:?} for models")]
    ToolTwice {
        /// The server of the second one.
        server: String,
        /// The name.
        name: String,
    },
    /// What a tool says of itself is too long.
    #[error("server {server}: tool {tool:?} takes {bytes} bytes to describe, {max} are allowed")]
    ToolSize {
        /// The server.
        server: String,
        /// The tool.
        tool: String,
        /// Its description and schema.
        bytes: usize,
        /// Of one tool.
        max: usize,
    },
}
