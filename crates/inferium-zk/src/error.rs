//! What can go wrong.

use inferium_exact::{ModelError, RunError};
use thiserror::Error;

/// Why a model can't be proved, or a proof was not made.
#[derive(Debug, Error)]
pub enum ProveError {
    /// Not a model of the contract.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The input is not one of the model's.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The model is of the contract, but this version proves no such graph.
    #[error("this version proves no such model: {0}")]
    Unsupported(&'static str),
    /// The commitment library refused its parameters; the model is too large for the field's domains.
    #[error("commitment: {0}")]
    Commitment(String),
    /// The statement is not about this model, input or output.
    #[error("the statement does not fit: {0}")]
    Statement(&'static str),
    /// A commitment to private weights hides them for a number of proofs, and no more.
    #[error("all proofs are made for which this key hides its weights: another secret makes another key")]
    Openings,
}

/// Why a proof was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The bytes are no proof in the one encoding.
    #[error("the proof's bytes are damaged, too many, or not in the canonical encoding")]
    Encoding,
    /// Something has another size than the statement asks for.
    #[error("{0} differs from what the statement asks for")]
    Shape(&'static str),
    /// The statement is not about this model.
    #[error("the statement is about another model, or its output has another shape or range")]
    Statement,
    /// A relation that a true proof satisfies does not hold.
    #[error("a relation does not hold: {0}")]
    Relation(&'static str),
    /// An opening of a commitment was rejected.
    #[error("the opening of {0} was rejected")]
    Opening(&'static str),
}

/// Why bytes are no file of a proof or of a key.
#[derive(Debug, Error)]
pub enum FileError {
    /// Not a file of this kind and version, or a larger one than is read.
    #[error("not {0}, of another version, or larger than is read")]
    Kind(&'static str),
    /// Cut, lengthened, or not in the one encoding.
    #[error("damaged, or not in the canonical encoding")]
    Encoding,
    /// A key of no model that can be proved.
    #[error("a key of no model that can be proved: {0}")]
    Model(#[from] ProveError),
}
