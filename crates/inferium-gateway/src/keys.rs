//! Secrets of clients, of which the gateway keeps a hash, and of its operator.

use inferium_types::Digest;
use std::{fmt, str::FromStr};

const PREFIX: &str = "sk-inferium-";

/// Text that is no API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an API key: expected sk-inferium- and 48 hex digits")]
pub struct InvalidApiKey;

/// A client's secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey([u8; 24]);

impl ApiKey {
    /// A key from fresh random bytes.
    #[must_use]
    pub const fn from_entropy(bytes: [u8; 24]) -> Self {
        Self(bytes)
    }

    /// What the gateway keeps of it.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Digest::of("inferium/api-key/1", &[&self.0])
    }

    /// The secret as clients send it.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

impl FromStr for ApiKey {
    type Err = InvalidApiKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(PREFIX).ok_or(InvalidApiKey)?;
        let mut bytes = [0u8; 24];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| InvalidApiKey)?;
        Ok(Self(bytes))
    }
}

const ADMIN_PREFIX: &str = "inferium-admin-";

/// The secret of the gateway's operator: who shows it may make and revoke API keys.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken([u8; 32]);

impl AdminToken {
    /// A token of these random bytes.
    #[must_use]
    pub const fn from_entropy(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What is compared: how long that takes tells nothing of the token.
    pub(crate) fn hash(&self) -> Digest {
        hash_shown(&self.reveal())
    }

    /// The secret as it is sent.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{ADMIN_PREFIX}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

/// What a text that is shown as an admin token is compared by.
pub(crate) fn hash_shown(token: &str) -> Digest {
    Digest::of("inferium/admin-token/1", &[token.as_bytes()])
}
