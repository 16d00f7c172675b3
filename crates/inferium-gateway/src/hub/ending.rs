//! The ways in which a job ends without a result.

use std::fmt;

/// Why a job ends without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its deadline passed.
    Late,
    /// The connection to its worker broke, or is a new one.
    Disconnected,
    /// The worker said so.
    Refused(String),
    /// The worker sent more than was asked for.
    TooMuch,
    /// The worker sent text for an embedding, an embedding for text, or one of another form.
    NotAsAsked,
    /// The worker's result is not what it sent.
    NotAsSent,
    /// The chain closed its lease.
    LeaseClosed,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("the worker did not answer in time"),
            Self::Disconnected => f.write_str("the worker's connection broke"),
            Self::Refused(reason) => write!(f, "the worker refused: {reason}"),
            Self::TooMuch => f.write_str("the worker sent more than was asked for"),
            Self::NotAsAsked => f.write_str("the worker sent something else than was asked for"),
            Self::NotAsSent => f.write_str("the worker's result is not what it sent"),
            Self::LeaseClosed => f.write_str("the lease was closed"),
        }
    }
}
