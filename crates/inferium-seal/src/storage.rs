//! What a node keeps for itself: readable with its key only.

use crate::SealError;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use inferium_types::SecretKey;
use std::fmt;
use zeroize::Zeroizing;

const CONTEXT: &str = "inferium/storage/1";
const NONCE_SIZE: usize = 24;

/// The key of one store of one node. It follows from the node's own, so it is written nowhere.
#[derive(Clone)]
pub struct StorageKey(XChaCha20Poly1305);

impl StorageKey {
    /// The key of the node's store of this name.
    #[must_use]
    pub fn derive(node: &SecretKey, store: &str) -> Self {
        let secret = Zeroizing::new(node.to_bytes());
        let key = Zeroizing::new(blake3::derive_key(&format!("{CONTEXT} {store}"), &*secret));
        Self(XChaCha20Poly1305::new((&*key).into()))
    }

    /// The bytes as they are stored at `place`, where nobody can move them from.
    ///
    /// Requires: `nonce` is random.
    ///
    /// # Errors
    /// [`SealError::Exhausted`]: out of memory.
    pub fn seal(&self, place: &[u8], bytes: &[u8], nonce: [u8; NONCE_SIZE]) -> Result<Vec<u8>, SealError> {
        let sealed = self.0.encrypt(&XNonce::from(nonce), Payload { msg: bytes, aad: place });
        let mut stored = nonce.to_vec();
        stored.extend(sealed.map_err(|_| SealError::Exhausted)?);
        Ok(stored)
    }

    /// What was stored at `place`.
    ///
    /// # Errors
    /// [`SealError::NotOpened`]: changed, moved, or of another key.
    pub fn open(&self, place: &[u8], stored: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, sealed) = stored.split_first_chunk::<NONCE_SIZE>().ok_or(SealError::NotOpened)?;
        let opened = self.0.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: place });
        opened.map_err(|_| SealError::NotOpened)
    }
}

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StorageKey")
    }
}
