//! Proofs that an integer model ([`inferium_exact`]) was run as it should be.
//!
//! A model is registered once: its weights and tables are committed to ([`ProvingKey::new`], [`register`]). A client commits to
//! an input; a prover runs the model, commits to what it computed, and proves in one non-interactive proof that the
//! public output follows; of one input, or of a batch of them at little more than the cost of one
//! ([`ProvingKey::commit_batch`]). Verifying takes milliseconds and reads neither weights nor, of a hiding proof, the
//! input.
//!
//! # Protocol
//! Sumchecks for products with weights (`linear`), one LogUp argument by GKR for every requantisation and range
//! (`lookup`), all claims on a committed polynomial into one (`batch`), WHIR for what is left (`oracle`), and for
//! hiding proofs messages under committed pads (`channel`, `mask`). `docs/zk.md` has the statement, the error budget, the argument
//! for soundness and hiding, and measurements.
//!
//! # Invariants
//! - Every column is committed, and every public number absorbed, before the first challenge.
//! - Prover and verifier derive the circuit from the model alone, by the same code.
//! - Bytes of any kind are rejected at worst; only the canonical encoding of a proof verifies.
//! - No clock, no IO; entropy is an argument. Threads are the commitment library's pool.
#![forbid(unsafe_code)]

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod adversary;
mod batch;
mod channel;
mod circuit;
mod error;
mod field;
mod file;
mod linear;
mod lookup;
mod mask;
mod oracle;
mod outline;
mod private;
mod proof;
mod prove;
mod statement;
mod transcript;
mod verify;
mod weight;
mod witness;

pub use circuit::BATCH_BITS_MAX;
pub use error::{FileError, ProveError, VerifyError};
pub use file::{FILE_BYTES_MAX, KEY_BYTES_MAX, ProofFile};
pub use proof::{PROOF_BYTES_MAX, Proof};
pub use prove::{InputCommitment, ProvingKey, Stage, register};
pub use statement::{Hiding, Statement, VerifyingKey};
pub use verify::{verify, verify_traced};
