//! Keys and signatures: ed25519 for accounts and nodes, BLS12-381 for the group key and for VRFs.
//!
//! A BLS signature is unique: one key and one message have exactly one. Its hash is therefore a
//! verifiable random function, so workers' VRF keys (SPEC J7) are BLS keys and the chain's beacon
//! (SPEC C4) is the group's signature. Both are the `MinSig` variant: 48-byte signatures in G1,
//! 96-byte keys in G2.

use crate::Digest;
use borsh::{BorshDeserialize, BorshSerialize};
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::{
    group::{G1, G2, Private},
    ops,
    variant::MinSig,
};
use commonware_cryptography::{Signer as _, Verifier as _, ed25519};
use std::fmt;

/// Bytes that are no valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid key")]
pub struct InvalidKey;

macro_rules! byte_newtype {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name([u8; $size]);

        impl Ord for $name {
            #[inline]
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                crate::digest::compare(&self.0, &other.0)
            }
        }

        impl PartialOrd for $name {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }

            /// Takes raw bytes as they are; whether they are valid shows when they are used.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }

            /// Parses hex digits.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut out = [0u8; $size];
                hex::decode_to_slice(text, &mut out).ok()?;
                Some(Self(out))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(self.0.get(..6).unwrap_or_default()))
            }
        }
    };
}

byte_newtype! {
    /// An ed25519 public key.
    PublicKey, 32
}
byte_newtype! {
    /// An ed25519 signature.
    Signature, 64
}
byte_newtype! {
    /// The group key of the validators: verifies certificates and seeds, constant over reshares.
    GroupKey, 96
}
byte_newtype! {
    /// A worker's VRF public key.
    VrfPublicKey, 96
}
byte_newtype! {
    /// A VRF proof: the unique signature over the input.
    VrfProof, 48
}
byte_newtype! {
    /// An X25519 public key that text is sealed to (SPEC J2). It lives as long as a process, or a session.
    SealingKey, 32
}

const VRF_NAMESPACE: &[u8] = b"inferium/vrf/1";

impl PublicKey {
    /// True when the bytes are a key that signatures can verify under. About half of all bytes are
    /// not, so that a mistyped address often shows.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        ed25519::PublicKey::decode(Copying(&self.0[..])).is_ok()
    }

    /// Checks `signature` over `message` in `domain`.
    #[must_use]
    pub fn verify(&self, domain: &str, message: &[u8], signature: &Signature) -> bool {
        self.verify_in(domain.as_bytes(), message, signature)
    }

    /// Checks `signature` over `message` in a namespace that is no text, as the consensus engine's.
    pub(crate) fn verify_in(&self, namespace: &[u8], message: &[u8], signature: &Signature) -> bool {
        let Ok(key) = ed25519::PublicKey::decode(Copying(&self.0[..])) else { return false };
        let Ok(signature) = ed25519::Signature::decode(Copying(&signature.0[..])) else { return false };
        key.verify(namespace, message, &signature)
    }
}

/// An ed25519 secret key. Debug shows the public half only.
#[derive(Clone)]
pub struct SecretKey(ed25519::PrivateKey);

impl SecretKey {
    /// The key with these 32 secret bytes.
    ///
    /// # Errors
    /// [`InvalidKey`]: never for 32 bytes in practice; kept for the decoder's sake.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, InvalidKey> {
        ed25519::PrivateKey::decode(Copying(&bytes[..])).map(Self).map_err(|_| InvalidKey)
    }

    /// The secret bytes, for the key file and the consensus engine.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut out = [0u8; 32];
        out.copy_from_slice(&self.0.encode());
        out
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let mut out = [0u8; 32];
        out.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(out)
    }

    /// Signs `message` in `domain`; no signature is valid in another domain.
    #[must_use]
    pub fn sign(&self, domain: &str, message: &[u8]) -> Signature {
        self.sign_in(domain.as_bytes(), message)
    }

    pub(crate) fn sign_in(&self, namespace: &[u8], message: &[u8]) -> Signature {
        let mut out = [0u8; 64];
        out.copy_from_slice(self.0.sign(namespace, message).as_ref());
        Signature(out)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {:?})", self.public_key())
    }
}

impl GroupKey {
    /// Checks a threshold signature of the group.
    #[must_use]
    pub fn verify(&self, namespace: &[u8], message: &[u8], signature: &[u8; 48]) -> bool {
        verify_bls(&self.0, namespace, message, signature)
    }
}

/// A worker's VRF secret key.
#[derive(Clone)]
pub struct VrfSecretKey(Private);

impl VrfSecretKey {
    /// The key with these 32 secret bytes (a non-zero scalar below the group order, big-endian).
    ///
    /// # Errors
    /// [`InvalidKey`] outside that range.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, InvalidKey> {
        Private::decode(Copying(&bytes[..])).map(Self).map_err(|_| InvalidKey)
    }

    /// A key from 32 uniformly random bytes: the top three bits are cleared, which leaves a scalar
    /// below the group order.
    ///
    /// # Errors
    /// [`InvalidKey`] for the all-zero scalar.
    pub fn from_entropy(mut bytes: [u8; 32]) -> Result<Self, InvalidKey> {
        bytes[0] &= 0x1f;
        Self::from_bytes(bytes)
    }

    /// The secret bytes, for the key file.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut out = [0u8; 32];
        out.copy_from_slice(&self.0.encode());
        out
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> VrfPublicKey {
        let mut out = [0u8; 96];
        out.copy_from_slice(&ops::compute_public::<MinSig>(&self.0).encode());
        VrfPublicKey(out)
    }

    /// The proof for `input`; there is only one.
    #[must_use]
    pub fn prove(&self, input: &Digest) -> VrfProof {
        let mut out = [0u8; 48];
        let signature = ops::sign_message::<MinSig>(&self.0, VRF_NAMESPACE, input.as_bytes());
        out.copy_from_slice(&signature.encode());
        VrfProof(out)
    }
}

impl fmt::Debug for VrfSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VrfSecretKey(of {:?})", self.public_key())
    }
}

impl VrfPublicKey {
    /// The VRF's output for `input` when `proof` is the key's proof of it.
    #[must_use]
    pub fn verify(&self, input: &Digest, proof: &VrfProof) -> Option<Digest> {
        verify_bls(&self.0, VRF_NAMESPACE, input.as_bytes(), &proof.0).then(|| proof.output())
    }
}

impl VrfProof {
    /// The output that this proof stands for, once verified.
    #[must_use]
    pub fn output(&self) -> Digest {
        Digest::of("inferium/vrf-output/1", &[&self.0])
    }
}

fn verify_bls(key: &[u8; 96], namespace: &[u8], message: &[u8], signature: &[u8; 48]) -> bool {
    let Ok(key) = G2::decode(Copying(&key[..])) else { return false };
    let Ok(signature) = G1::decode(Copying(&signature[..])) else { return false };
    ops::verify_message::<MinSig>(&key, namespace, message, &signature).is_ok()
}
