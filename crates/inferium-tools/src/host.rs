//! What an agent asks for, and what a host allows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use zeroize::Zeroizing;

/// A server of tools, as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// What its tools' names begin with: 1 to 32 of a-z, A-Z, 0-9, `-` and `_`, without `__`.
    pub name: String,
    /// Where it is.
    pub launch: Launch,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// In the host's own binary.
    Builtin(Builtin),
    /// A program on the host, which speaks MCP on its standard streams.
    Command {
        /// Its path, or the file name of one that the host allows.
        program: String,
        /// What it is called with.
        arguments: Vec<String>,
    },
    /// An address, which speaks MCP over streamable HTTP.
    Url(String),
}

/// The servers that every host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Builtin {
    /// Lists, reads and searches the texts of the run's folder.
    Documents,
    /// Describes and queries its tables: CSV, TSV and lines of JSON.
    Table,
    /// Compares texts with those of an earlier run.
    Watch,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Documents, Self::Table, Self::Watch];

    /// What manifests and command lines call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Table => "table",
            Self::Watch => "watch",
        }
    }
}

impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Builtin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|builtin| builtin.name() == text);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is not built in; there are {names}")
        })
    }
}

/// What one run may take of its host.
///
/// Times are wall-clock time, sizes are bytes. The kernel keeps memory, processor time and size of a file for each
/// process; the rest is kept by [`ToolBox`](crate::ToolBox).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Until all servers are there and have named their tools.
    pub start: Duration,
    /// Until a call has its answer.
    pub call: Duration,
    /// Calls in a run.
    pub calls_max: u32,
    /// What a server may send in answer to one call, with all that it sends beside it.
    pub response_bytes: u64,
    /// Memory that a process writes to: heap, stacks of threads, private mappings.
    pub memory_bytes: u64,
    /// Processor seconds of a process, over the whole run.
    pub cpu_seconds: u64,
    /// One file.
    pub file_bytes: u64,
    /// All files of the run's folder together, those that it began with among them.
    pub folder_bytes: u64,
}

impl Default for Bounds {
    /// For tools that look things up: half a minute and a mebibyte for a call, half a gibibyte of memory.
    fn default() -> Self {
        Self {
            start: Duration::from_secs(20),
            call: Duration::from_secs(30),
            calls_max: 256,
            response_bytes: 1 << 20,
            memory_bytes: 512 << 20,
            cpu_seconds: 120,
            file_bytes: 64 << 20,
            folder_bytes: 1 << 30,
        }
    }
}

/// What a host has and allows: the same for all runs.
#[derive(Debug, Clone)]
pub struct Host {
    /// The binary that answers `tool …` with [`helper`](crate::helper): as a rule this process's own.
    pub helper: PathBuf,
    /// Programs that manifests may name.
    pub permits: Vec<Permit>,
    /// True if servers may be at loopback, private and link-local addresses, which a stranger's manifest could use to
    /// reach what only the host can.
    pub private_addresses: bool,
    /// Where `documents` gets vectors from; without it, it ranks by words (BM25).
    pub embeddings: Option<Embeddings>,
    /// What a run may take.
    pub bounds: Bounds,
}

impl Host {
    /// A host that runs what is built in, and nothing else.
    #[must_use]
    pub fn new(helper: PathBuf) -> Self {
        Self { helper, permits: Vec::new(), private_addresses: false, embeddings: None, bounds: Bounds::default() }
    }
}

/// A program that a host lets manifests name, and what is allowed to it beyond the sandbox that all have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permit {
    /// Its absolute path.
    pub program: PathBuf,
    /// Files and folders that it reads and executes beside itself and the system's.
    pub read: Vec<PathBuf>,
    /// True if it may use the network, as this machine can.
    pub network: bool,
    /// True if it may start processes, each of which has the bounds of a process for itself.
    pub processes: bool,
}

/// An endpoint for embeddings of OpenAI's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embeddings {
    /// What ends before `/embeddings`, such as `http://127.0.0.1:8080/v1`.
    pub base_url: String,
    /// The model.
    pub model: String,
    /// The key that it is asked with.
    pub key: Secret,
}

/// A text that is not printed, and leaves memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The secrets of a run by name: programs find them in their environment; a server at an address is sent the one called
/// [`Secrets::token_name`] as its bearer token. Built-in servers get none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, Secret>);

impl Secrets {
    /// Adds a secret.
    pub fn insert(&mut self, name: String, secret: Secret) {
        self.0.insert(name, secret);
    }

    /// A secret by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// All of them in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, secret)| (name.as_str(), secret))
    }

    /// The secret that is the token of a server at an address: of `my-index` it is `MY_INDEX_TOKEN`.
    #[must_use]
    pub fn token_name(server: &str) -> String {
        format!("{}_TOKEN", server.to_ascii_uppercase().replace('-', "_"))
    }
}
