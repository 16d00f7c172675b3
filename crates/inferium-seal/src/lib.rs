//! Sealing: what nodes send each other, and what they keep, is readable for its receiver only (SPEC J2).
//!
//! ```
//! # use inferium_seal::{SealError, SealingSecret, seal};
//! # use inferium_types::{Digest, SealPurpose, SecretKey, SegmentId};
//! # fn main() -> Result<(), SealError> {
//! # let member = SecretKey::from_bytes([1; 32]).map_err(|_| SealError::InvalidKey)?.public_key();
//! # let (segment, draw) = (SegmentId::new(Digest::ZERO), Digest::ZERO);
//! let mut rng = rand::rng();
//! let secret = SealingSecret::generate(&mut rng);
//! let purpose = SealPurpose::Evidence { segment, draw, member };
//! let sealed = seal(secret.public_key(), &purpose, b"evidence", &mut rng)?;
//! assert_eq!(secret.open(&purpose, &sealed)?, b"evidence");
//! # Ok(())
//! # }
//! ```
//!
//! [`seal`] and [`SealingSecret::open`] are for one message to one node, [`SessionSealer`] and
//! [`SessionOpener`] for the two directions of a connection, [`StorageKey`] for a node's own disk.
//! The first two are HPKE (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
//! ChaCha20Poly1305; the last is XChaCha20-Poly1305 under a key derived from the node's own.
//!
//! What this crate is *not*: it sends and stores nothing, and believes no key. Who a sealing key
//! belongs to is proven by signatures (`inferium-types`), which its caller checks first.
//!
//! Invariants: a [`SealingSecret`] is never written anywhere, and cleared when it is dropped; entropy
//! comes from the caller; bytes open for exactly one key, purpose and place in a session, or not at
//! all; nothing here says why bytes don't open, since nobody knows.

#![forbid(unsafe_code)]

mod session;
mod single;
mod storage;

pub use session::{FRAME_OVERHEAD_MAX, SessionOpener, SessionSealer};
pub use single::{SealingSecret, seal};
pub use storage::StorageKey;

/// The one suite that is used.
type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;

/// Why something is not sealed, or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A public key that nothing can be sealed to.
    #[error("nothing can be sealed to this key")]
    InvalidKey,
    /// Sealed to another key than the one at hand: its owner has started anew since.
    #[error("sealed to another key than this process has")]
    UnknownKey,
    /// Changed, cut, repeated, out of order, for another purpose, or never sealed by who should have.
    #[error("the sealed bytes don't open")]
    NotOpened,
    /// More messages than one key may seal, or more memory than there is.
    #[error("no more can be sealed here")]
    Exhausted,
}

#[cfg(test)]
mod tests;
