//! What a network starts from.

use crate::{AccountId, Amount, ChainId, Digest, GroupKey, NetworkKey, NodeId, Parameters};
use borsh::{BorshDeserialize, BorshSerialize};

/// A validator that the network starts with.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GenesisNode {
    /// Its key, in consensus and on the ledger.
    pub node: NodeId,
    /// Its operator.
    pub operator: AccountId,
    /// Stake.
    pub stake: Amount,
    /// Public URL.
    pub url: String,
}

/// A network's first state. Its digest is the chain id.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Genesis {
    /// Name for people.
    pub name: String,
    /// When it was made; milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The group key.
    pub group: GroupKey,
    /// The public polynomial of the group key, as the consensus engine encodes it.
    pub sharing: Vec<u8>,
    /// Parameters.
    pub parameters: Parameters,
    /// Free balances, ascending by account.
    pub accounts: Vec<(AccountId, Amount)>,
    /// Operators and their bonds, ascending by account.
    pub operators: Vec<(AccountId, Amount)>,
    /// Seats, ascending by key.
    pub validators: Vec<GenesisNode>,
}

impl Genesis {
    /// IFR that will ever be (SPEC M1).
    pub const SUPPLY: Amount = Amount::from_ifr(250_000_000);

    /// The chain's id.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        ChainId::new(Digest::of_value("inferium/genesis/1", self))
    }

    /// What receipts verify against.
    #[must_use]
    pub fn network_key(&self) -> NetworkKey {
        NetworkKey { chain: self.chain(), group: self.group }
    }
}
