//! The document that keeps a key under a password.
//!
//! ```json
//! { "version": 1, "address": "<64 hex>", "created_ms": 1,
//!   "kdf": { "name": "argon2id", "m_kib": 65536, "t": 3, "p": 1, "salt": "<64 hex>" },
//!   "cipher": { "name": "xchacha20poly1305", "nonce": "<48 hex>" },
//!   "ciphertext": "<96 hex>" }
//! ```
//!
//! The password and the salt give a key by argon2id; under it, XChaCha20-Poly1305 encrypts the
//! account's 32 secret bytes and authenticates all other fields. The document has one spelling:
//! unknown fields and upper-case hex are refused, so that no changed byte goes unnoticed.

use crate::Password;
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use inferium_types::{AccountId, SecretKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Bytes of salt.
pub const SALT_SIZE: usize = 32;
/// Bytes of nonce.
pub const NONCE_SIZE: usize = 24;
/// Memory that a keystore may ask for at least; below, guessing is too cheap. KiB.
pub const M_KIB_MIN: u32 = 8 * 1024;
/// Memory that a keystore may ask for at most, so that a stranger's file can't take the machine's. KiB.
pub const M_KIB_MAX: u32 = 512 * 1024;
/// Passes at most.
pub const T_MAX: u32 = 16;
/// Lanes at most.
pub const P_MAX: u32 = 4;

const VERSION: u32 = 1;
const KDF: &str = "argon2id";
const CIPHER: &str = "xchacha20poly1305";
const DOMAIN: &str = "inferium/keystore/1";
/// Secret bytes and the authenticator's tag.
const CIPHERTEXT_SIZE: usize = 32 + 16;

/// Why a keystore is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreError {
    /// Not a keystore's JSON, or a part of it.
    #[error("not a keystore: the document is damaged or of another kind")]
    Malformed,
    /// Made by a later release, or damaged.
    #[error("keystore version {found} is not known; this release reads version {VERSION}")]
    Version {
        /// What it says.
        found: u64,
    },
    /// Another derivation or cipher than ours.
    #[error("the keystore's {what} is not known")]
    Algorithm {
        /// `kdf` or `cipher`.
        what: &'static str,
    },
    /// A cost that is no protection, or an attack.
    #[error("the keystore's {name} is {found}; {min} to {max} are allowed")]
    Parameter {
        /// Which.
        name: &'static str,
        /// What it says.
        found: u32,
        /// At least.
        min: u32,
        /// At most.
        max: u32,
    },
    /// The password is not the keystore's. A changed field looks the same: nothing else can tell.
    #[error("wrong password, or the keystore was changed")]
    Password,
    /// The machine lacks the memory that the derivation takes.
    #[error("not enough memory to open the keystore")]
    Memory,
}

/// What a guess at the password costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParameters {
    /// Memory; KiB.
    pub m_kib: u32,
    /// Passes over it.
    pub t: u32,
    /// Lanes.
    pub p: u32,
}

impl Default for KdfParameters {
    /// Well above OWASP's minimum (19 MiB and two passes): 64 MiB and three passes.
    fn default() -> Self {
        Self { m_kib: 64 * 1024, t: 3, p: 1 }
    }
}

impl KdfParameters {
    fn check(&self) -> Result<(), KeystoreError> {
        let bounds = [("m_kib", self.m_kib, M_KIB_MIN, M_KIB_MAX), ("t", self.t, 1, T_MAX), ("p", self.p, 1, P_MAX)];
        for (name, found, min, max) in bounds {
            if !(min..=max).contains(&found) {
                return Err(KeystoreError::Parameter { name, found, min, max });
            }
        }
        Ok(())
    }
}

/// What a new keystore takes beside key and password; salt and nonce must be fresh random bytes.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// Cost.
    pub kdf: KdfParameters,
    /// Salt of the derivation.
    pub salt: [u8; SALT_SIZE],
    /// Nonce of the cipher.
    pub nonce: [u8; NONCE_SIZE],
    /// When; milliseconds since 1970.
    pub created_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    address: String,
    created_ms: u64,
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    name: String,
    m_kib: u32,
    t: u32,
    p: u32,
    salt: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Just enough to tell a later release's document from a damaged one.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// A key under a password. Holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keystore {
    address: AccountId,
    created_ms: u64,
    kdf: KdfParameters,
    salt: [u8; SALT_SIZE],
    nonce: [u8; NONCE_SIZE],
    ciphertext: [u8; CIPHERTEXT_SIZE],
}

impl Keystore {
    /// Puts a key under a password.
    ///
    /// # Errors
    /// [`KeystoreError::Parameter`] or [`KeystoreError::Memory`].
    pub fn seal(key: &SecretKey, password: &Password, sealing: &Sealing) -> Result<Self, KeystoreError> {
        let mut keystore = Self {
            address: key.public_key(),
            created_ms: sealing.created_ms,
            kdf: sealing.kdf,
            salt: sealing.salt,
            nonce: sealing.nonce,
            ciphertext: [0; CIPHERTEXT_SIZE],
        };
        let secret = Zeroizing::new(key.to_bytes());
        let payload = Payload { msg: &*secret, aad: &keystore.header() };
        let sealed = keystore.cipher(password)?.encrypt(&XNonce::from(keystore.nonce), payload);
        let sealed = sealed.map_err(|_| KeystoreError::Memory)?;
        keystore.ciphertext = sealed.try_into().map_err(|_| KeystoreError::Memory)?;
        Ok(keystore)
    }

    /// The key, for who knows the password.
    ///
    /// # Errors
    /// [`KeystoreError::Password`] or [`KeystoreError::Memory`].
    pub fn open(&self, password: &Password) -> Result<SecretKey, KeystoreError> {
        let payload = Payload { msg: &self.ciphertext, aad: &self.header() };
        let opened = self.cipher(password)?.decrypt(&XNonce::from(self.nonce), payload);
        let opened = Zeroizing::new(opened.map_err(|_| KeystoreError::Password)?);
        let mut secret = Zeroizing::new([0; 32]);
        if opened.len() != secret.len() {
            return Err(KeystoreError::Malformed);
        }
        secret.copy_from_slice(&opened);
        let key = SecretKey::from_bytes(*secret).map_err(|_| KeystoreError::Malformed)?;
        // Whoever made the file knew the password; the address must be the key's all the same,
        // since transactions are shown under it before the key is opened.
        if key.public_key() == self.address { Ok(key) } else { Err(KeystoreError::Malformed) }
    }

    /// The account, readable without the password.
    #[must_use]
    pub const fn address(&self) -> AccountId {
        self.address
    }

    /// When it was made; milliseconds since 1970.
    #[must_use]
    pub const fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// The document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let document = Document {
            version: VERSION,
            address: self.address.to_string(),
            created_ms: self.created_ms,
            kdf: Kdf {
                name: KDF.into(),
                m_kib: self.kdf.m_kib,
                t: self.kdf.t,
                p: self.kdf.p,
                salt: hex::encode(self.salt),
            },
            cipher: Cipher { name: CIPHER.into(), nonce: hex::encode(self.nonce) },
            ciphertext: hex::encode(self.ciphertext),
        };
        #[expect(clippy::expect_used, reason = "strings and numbers always have a JSON form")]
        serde_json::to_string_pretty(&document).expect("plain fields")
    }

    /// Reads a document; its costs are bounded before anything is derived.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn from_json(text: &str) -> Result<Self, KeystoreError> {
        let Versioned { version } = serde_json::from_str(text).map_err(|_| KeystoreError::Malformed)?;
        if version != u64::from(VERSION) {
            return Err(KeystoreError::Version { found: version });
        }
        let document: Document = serde_json::from_str(text).map_err(|_| KeystoreError::Malformed)?;
        if document.kdf.name != KDF {
            return Err(KeystoreError::Algorithm { what: "kdf" });
        }
        if document.cipher.name != CIPHER {
            return Err(KeystoreError::Algorithm { what: "cipher" });
        }
        let kdf = KdfParameters { m_kib: document.kdf.m_kib, t: document.kdf.t, p: document.kdf.p };
        kdf.check()?;
        Ok(Self {
            address: AccountId::from_bytes(bytes(&document.address)?),
            created_ms: document.created_ms,
            kdf,
            salt: bytes(&document.kdf.salt)?,
            nonce: bytes(&document.cipher.nonce)?,
            ciphertext: bytes(&document.ciphertext)?,
        })
    }

    /// Every field but the ciphertext, in one encoding: what the cipher authenticates.
    fn header(&self) -> Vec<u8> {
        let kdf = (KDF.to_owned(), self.kdf.m_kib, self.kdf.t, self.kdf.p, self.salt);
        let cipher = (CIPHER.to_owned(), self.nonce);
        inferium_types::encode(&(DOMAIN.to_owned(), VERSION, self.address, self.created_ms, kdf, cipher))
    }

    fn cipher(&self, password: &Password) -> Result<XChaCha20Poly1305, KeystoreError> {
        self.kdf.check()?;
        let KdfParameters { m_kib, t, p } = self.kdf;
        let mut key = Zeroizing::new([0; 32]);
        let params = Params::new(m_kib, t, p, Some(key.len())).map_err(|_| KeystoreError::Malformed)?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), &self.salt, &mut *key)
            .map_err(|_| KeystoreError::Memory)?;
        XChaCha20Poly1305::new_from_slice(&*key).map_err(|_| KeystoreError::Malformed)
    }
}

/// Hex in its one spelling.
fn bytes<const SIZE: usize>(text: &str) -> Result<[u8; SIZE], KeystoreError> {
    let mut out = [0; SIZE];
    hex::decode_to_slice(text, &mut out).map_err(|_| KeystoreError::Malformed)?;
    if hex::encode(out) == text { Ok(out) } else { Err(KeystoreError::Malformed) }
}
