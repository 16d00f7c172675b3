//! Why a command did not do what was asked, and the exit code of that.

use inferium_chain::GetError;
use std::process::ExitCode;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl From<GetError> for Failure {
    fn from(error: GetError) -> Self {
        Self::network(format!("the chain can't be read: {error}"))
    }
}

impl Failure {
    /// Something of this machine failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// The command line asks for something impossible.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// Somebody could not be reached.
    pub(crate) fn network(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 3 }
    }

    /// What was given does not hold.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 4 }
    }

    /// True if what was asked was not done, and nothing came of it.
    pub(crate) fn is_refusal(&self) -> bool {
        self.code == Self::refused("").code
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
