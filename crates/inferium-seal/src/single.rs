//! One message, to one key.

use crate::{Aead, Kdf, Kem, SealError};
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _, setup_receiver, setup_sender_with_rng};
use inferium_types::{SealPurpose, Sealed, SealingKey};
use rand_core::CryptoRng;
use std::fmt;

/// The secret half of a sealing key: of a process, or of one session.
pub struct SealingSecret {
    pub(crate) secret: <Kem as hpke::Kem>::PrivateKey,
    public: SealingKey,
}

impl SealingSecret {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let (secret, public) = Kem::gen_keypair_with_rng(rng);
        Self { secret, public: SealingKey::from_bytes(public.to_bytes().into()) }
    }

    /// What others seal to.
    #[must_use]
    pub const fn public_key(&self) -> SealingKey {
        self.public
    }

    /// Opens what was sealed to this key for `purpose`.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`] when it names another key, [`SealError::NotOpened`] otherwise.
    pub fn open(&self, purpose: &SealPurpose, sealed: &Sealed) -> Result<Vec<u8>, SealError> {
        if sealed.key != self.public {
            return Err(SealError::UnknownKey);
        }
        let encapsulated = encapsulated(&sealed.encapsulated)?;
        let mode = OpModeR::Base;
        let context = setup_receiver::<Aead, Kdf, Kem>(&mode, &self.secret, &encapsulated, &purpose.info());
        let mut context = context.map_err(|_| SealError::NotOpened)?;
        context.open(&sealed.ciphertext, &[]).map_err(|_| SealError::NotOpened)
    }
}

/// Shows the public half only.
impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingSecret(of {:?})", self.public)
    }
}

/// Seals one message to `key` for `purpose`.
///
/// Requires: `key` was proven to be the receiver's.
///
/// # Errors
/// [`SealError::InvalidKey`].
pub fn seal(
    key: SealingKey,
    purpose: &SealPurpose,
    message: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Sealed, SealError> {
    let public = public(&key)?;
    let sender = setup_sender_with_rng::<Aead, Kdf, Kem>(&OpModeS::Base, &public, &purpose.info(), rng);
    let (encapsulated, mut context) = sender.map_err(|_| SealError::InvalidKey)?;
    let ciphertext = context.seal(message, &[]).map_err(|_| SealError::Exhausted)?;
    Ok(Sealed { key, encapsulated: encapsulated.to_bytes().into(), ciphertext })
}

pub(crate) fn public(key: &SealingKey) -> Result<<Kem as hpke::Kem>::PublicKey, SealError> {
    <Kem as hpke::Kem>::PublicKey::from_bytes(key.as_bytes()).map_err(|_| SealError::InvalidKey)
}

pub(crate) fn encapsulated(bytes: &[u8; 32]) -> Result<<Kem as hpke::Kem>::EncappedKey, SealError> {
    <Kem as hpke::Kem>::EncappedKey::from_bytes(bytes).map_err(|_| SealError::NotOpened)
}
