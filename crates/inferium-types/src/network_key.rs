//! What a verifier must know of a network: its chain and its group key.

use crate::{ChainId, Digest, GroupKey, certificate};
use borsh::{BorshDeserialize, BorshSerialize};
use std::{fmt, str::FromStr};

/// Text that names no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a network key: expected inferium:<64 hex digits of the chain id>:<192 hex digits of the group key>")]
pub struct InvalidNetworkKey;

/// Chain id and group key: all that receipts verify against.
///
/// Text form: `inferium:<chain id>:<group key>`, both in lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NetworkKey {
    /// The chain.
    pub chain: ChainId,
    /// The validators' group key.
    pub group: GroupKey,
}

impl NetworkKey {
    /// The prefix of everything that validators sign in consensus.
    #[must_use]
    pub fn consensus_namespace(&self) -> Vec<u8> {
        certificate::consensus_namespace(self.chain)
    }
}

impl fmt::Display for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inferium:{}:{}", self.chain, self.group)
    }
}

impl FromStr for NetworkKey {
    type Err = InvalidNetworkKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.trim().split(':');
        let (Some("inferium"), Some(chain), Some(group), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidNetworkKey);
        };
        let chain = Digest::from_hex(chain).map(ChainId::new).ok_or(InvalidNetworkKey)?;
        let group = GroupKey::from_hex(group).ok_or(InvalidNetworkKey)?;
        Ok(Self { chain, group })
    }
}
