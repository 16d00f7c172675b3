//! The sandbox of a program: what its process can reach, and how much of it.
//!
//! A process confines itself and then becomes the program, so that nothing of the program runs unconfined and nothing
//! has to be unsafe; [`helper`](crate::helper) is that process. Five layers, all of which every later process of the
//! program inherits:
//!
//! | layer | what it does |
//! | --- | --- |
//! | group | the program and all that it starts are one process group, which nothing can leave: ending the group ends all of it |
//! | capabilities | none, also for root; no program gains any by being started (`no_new_privs`) |
//! | limits | memory that is written to, processor time, size of a file, open files, no core dumps; they can't be raised |
//! | Landlock | reads the program, the system's libraries and what [`Sandbox::read`] names; writes the run's folder alone |
//! | seccomp | no sockets, processes, signals to others, shared memory, tracing, mounts, namespaces, keyrings, io_uring, bpf |
//!
//! What it does not do: hide processor load, free space or the time; keep a program from reading what is below `/usr`;
//! bound the *sum* of what several processes take, where a [`Permit`](crate::Permit) allows them.

#[cfg(target_os = "linux")]
mod linux;

use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What stands before the names of variables that are the program's alone: the process that confines itself must not be
/// led by them.
const PASSED: &str = "TOOL_ENV_";

/// What a program is confined to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// The folder that it reads and writes, and works in; absolute.
    pub folder: PathBuf,
    /// What it reads and executes beside itself and the system's libraries.
    pub read: Vec<PathBuf>,
    /// What it reaches of the network.
    pub network: Network,
    /// True if it may start processes.
    pub processes: bool,
    /// Memory that a process writes to, in bytes.
    pub memory_bytes: u64,
    /// Processor seconds of a process.
    pub cpu_seconds: u64,
    /// Size of a file.
    pub file_bytes: u64,
}

/// What a program reaches of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing: it can't make a socket.
    None,
    /// TCP connections to one port, and questions to name servers.
    Port(u16),
    /// What this machine reaches.
    Any,
}

/// Why a program was not started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// This system has no such sandbox.
    #[error("this system can't confine a program ({0}), and it is not started unconfined")]
    Unsupported(String),
    /// A path that the program needs is not there.
    #[error("{}: {reason}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Why it can't be opened.
        reason: String,
    },
    /// One layer could not be laid.
    #[error("cannot confine the program: {layer}: {reason}")]
    Layer {
        /// Which one.
        layer: &'static str,
        /// What the system said.
        reason: String,
    },
    /// The program could not be started.
    #[error("cannot start {}: {reason}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl Sandbox {
    /// Confines this process, and makes it the program `program` with `arguments`; returns only if that fails, with a
    /// process that may be confined in part and has nothing better to do than to end.
    ///
    /// The program's environment is `HOME` and `TMPDIR` (the folder), `PATH` and `LANG`, and what was handed to this
    /// process by [`Sandbox::variable`]. To be called before the process has a second thread, which would stay free.
    #[must_use]
    pub fn exec(&self, program: &Path, arguments: &[OsString]) -> SandboxError {
        self.exec_here(program, arguments)
    }

    #[cfg(target_os = "linux")]
    fn exec_here(&self, program: &Path, arguments: &[OsString]) -> SandboxError {
        match linux::confine(self, program) {
            Ok(()) => linux::become_program(self, program, arguments),
            Err(error) => error,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn exec_here(&self, _: &Path, _: &[OsString]) -> SandboxError {
        SandboxError::Unsupported(format!("{} has no Landlock", std::env::consts::OS))
    }

    /// Under which name a variable is handed to the confining process, that the program is to find as `name`.
    #[must_use]
    pub fn variable(name: &str) -> String {
        format!("{PASSED}{name}")
    }
}
