//! The two directions of a connection, each with a context of its own: messages open in the order in
//! which they were sealed, each once.
//!
//! HPKE's authenticated mode: a direction begins under the sealing keys of both sides. Both are
//! signed in the handshake, so nobody between the two can begin one for them.

use crate::single::{encapsulated, public};
use crate::{Aead, Kdf, Kem, SealError, SealingSecret};
use hpke::aead::{AeadCtxR, AeadCtxS};
use hpke::{OpModeR, OpModeS, Serializable as _, setup_receiver, setup_sender_with_rng};
use inferium_types::{SealPurpose, SealingKey};
use rand_core::CryptoRng;
use std::fmt;

/// Messages are padded to a multiple of this many bytes: an observer of a stream of tokens does not
/// see how long each is, which would tell much of the text.
const PADDED: usize = 128;
/// Begins the padding; zeros follow.
const END: u8 = 0x80;
const TAG_SIZE: usize = 16;

/// Bytes that a frame has beyond those of its message, at most.
pub const FRAME_OVERHEAD_MAX: usize = PADDED + TAG_SIZE;

/// Seals the messages of one direction.
pub struct SessionSealer(pub(crate) AeadCtxS<Aead, Kdf, Kem>);

impl SessionSealer {
    /// Begins a direction from `own` to `to`, and gives the encapsulated key that its other end needs.
    ///
    /// Requires: `to` was proven to be the other side's.
    ///
    /// # Errors
    /// [`SealError::InvalidKey`].
    pub fn new(
        own: &SealingSecret,
        to: &SealingKey,
        purpose: &SealPurpose,
        rng: &mut impl CryptoRng,
    ) -> Result<([u8; 32], Self), SealError> {
        let mode = OpModeS::Auth((own.secret.clone(), public(&own.public_key())?));
        let sender = setup_sender_with_rng::<Aead, Kdf, Kem>(&mode, &public(to)?, &purpose.info(), rng);
        let (encapsulated, context) = sender.map_err(|_| SealError::InvalidKey)?;
        Ok((encapsulated.to_bytes().into(), Self(context)))
    }

    /// The frame of the next message.
    ///
    /// # Errors
    /// [`SealError::Exhausted`].
    pub fn seal(&mut self, mut message: Vec<u8>) -> Result<Vec<u8>, SealError> {
        message.push(END);
        message.resize(message.len().next_multiple_of(PADDED), 0);
        self.0.seal(&message, &[]).map_err(|_| SealError::Exhausted)
    }
}

impl fmt::Debug for SessionSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSealer")
    }
}

/// Opens the messages of one direction.
pub struct SessionOpener(AeadCtxR<Aead, Kdf, Kem>);

impl SessionOpener {
    /// The other end of the direction from `from` to `own` that began with `encapsulated`.
    ///
    /// Requires: `from` was proven to be the other side's.
    ///
    /// # Errors
    /// [`SealError::InvalidKey`] or [`SealError::NotOpened`].
    pub fn new(
        own: &SealingSecret,
        from: &SealingKey,
        encapsulated_key: &[u8; 32],
        purpose: &SealPurpose,
    ) -> Result<Self, SealError> {
        let (mode, key) = (OpModeR::Auth(public(from)?), encapsulated(encapsulated_key)?);
        let context = setup_receiver::<Aead, Kdf, Kem>(&mode, &own.secret, &key, &purpose.info());
        context.map(Self).map_err(|_| SealError::NotOpened)
    }

    /// The message of the next frame. After an error the session can't go on.
    ///
    /// # Errors
    /// [`SealError::NotOpened`].
    pub fn open(&mut self, frame: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut message = self.0.open(frame, &[]).map_err(|_| SealError::NotOpened)?;
        let padded = message.len();
        let end = message.iter().rposition(|byte| *byte != 0).ok_or(SealError::NotOpened)?;
        // One message has one padding.
        if message.get(end) != Some(&END) || (end + 1).next_multiple_of(PADDED) != padded {
            return Err(SealError::NotOpened);
        }
        message.truncate(end);
        Ok(message)
    }
}

impl fmt::Debug for SessionOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionOpener")
    }
}
