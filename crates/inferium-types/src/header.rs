//! Block headers: the only hand-made layout, since EVM contracts read it at fixed offsets.

use crate::{ChainId, Digest, NodeId};
use borsh::{BorshDeserialize, BorshSerialize};

/// The layout's version, the header's first four bytes.
pub const HEADER_VERSION: u32 = 1;

/// A block's header. Its digest is what validators certify.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// The chain.
    pub chain: ChainId,
    /// Blocks before this one.
    pub height: u64,
    /// Time in milliseconds since 1970 (SPEC C3).
    pub timestamp_ms: u64,
    /// The parent's digest.
    pub parent: Digest,
    /// Root of the state after this block: proves presence and absence of entries.
    pub state_root: Digest,
    /// Merkle root over the block's events (SPEC J5).
    pub receipts_root: Digest,
    /// Digest of the block's body: seeds and transactions.
    pub body_root: Digest,
    /// Consensus epoch.
    pub epoch: u64,
    /// Consensus view.
    pub view: u64,
    /// View of the parent.
    pub parent_view: u64,
    /// Who proposed it.
    pub proposer: NodeId,
    /// Root of the state's operation log, which state sync fetches against.
    pub operations_root: Digest,
    /// First operation that is still needed.
    pub operations_start: u64,
    /// Operations so far.
    pub operations_end: u64,
}

impl Header {
    /// Bytes of the fixed layout.
    pub const SIZE: usize = 4 + 32 * 7 + 8 * 7;

    /// The fixed layout: version, then the fields in order, integers big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::SIZE);
        out.extend_from_slice(&HEADER_VERSION.to_be_bytes());
        out.extend_from_slice(self.chain.digest().as_bytes());
        out.extend_from_slice(&self.height.to_be_bytes());
        out.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        for digest in [self.parent, self.state_root, self.receipts_root, self.body_root] {
            out.extend_from_slice(digest.as_bytes());
        }
        for number in [self.epoch, self.view, self.parent_view] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(self.proposer.as_bytes());
        out.extend_from_slice(self.operations_root.as_bytes());
        out.extend_from_slice(&self.operations_start.to_be_bytes());
        out.extend_from_slice(&self.operations_end.to_be_bytes());
        out
    }

    /// The block's digest: SHA-256 of the fixed layout.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.to_bytes())
    }
}
