//! Blocks as the engine carries them.
//!
//! A block's digest covers its header alone, and the header binds the body. Decoding checks that
//! binding, so that one digest never stands for two bodies, in a cache or on a disk.

use crate::keys::{EngineDigest, EngineKey, from_engine_digest, from_engine_key, to_engine_digest, to_engine_key};
use borsh::{BorshDeserialize, BorshSerialize};
use commonware_codec::{Buf, EncodeSize, Error as CodecError, RangeCfg, Read, Write};
use commonware_consensus::{
    BoundedBlock, CertifiableBlock, Heightable,
    simplex::types::Context,
    types::{Epoch, Height, Round, View},
};
use commonware_cryptography::Digestible;
use commonware_runtime::BufMut;
use inferium_types::{Digest, Genesis, Header, SeedSignature, SignedTransaction, limits};

/// Bytes of an encoded block at most: its transactions, its seeds, its header and list lengths.
pub(crate) const BLOCK_SIZE_MAX: usize =
    limits::BLOCK_TRANSACTIONS_SIZE_MAX + limits::BLOCK_SEEDS_MAX * 56 + Header::SIZE + 64;

/// The engine's context of a block: round, leader, parent.
pub(crate) type BlockContext = Context<EngineDigest, EngineKey>;

/// What a block holds besides its header.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Body {
    /// Beacon seeds that the ledger may use from this block on, ascending by view (SPEC C4).
    pub seeds: Vec<SeedSignature>,
    /// Transactions in the order in which they are executed.
    pub transactions: Vec<SignedTransaction>,
}

impl Body {
    /// What the header's `body_root` must be.
    #[must_use]
    pub fn root(&self) -> Digest {
        Digest::of_value("inferium/body/1", self)
    }
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    header: Header,
    body: Body,
    proposer: EngineKey,
    digest: EngineDigest,
}

impl Block {
    /// A block of these parts; `None` when the body is not the header's or the proposer is no key.
    #[must_use]
    pub fn new(header: Header, body: Body) -> Option<Self> {
        if header.body_root != body.root() {
            return None;
        }
        let proposer = to_engine_key(&header.proposer)?;
        let digest = to_engine_digest(header.digest());
        Some(Self { header, body, proposer, digest })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &Body {
        &self.body
    }

    /// The block's digest.
    #[must_use]
    pub fn id(&self) -> Digest {
        from_engine_digest(&self.digest)
    }

    /// The block before block 1, which nobody proposed: it stands for the empty store. Its
    /// proposer is the first validator, since the field must hold a key.
    pub(crate) fn genesis(genesis: &Genesis, operations: (Digest, u64, u64)) -> Option<Self> {
        let (operations_root, operations_start, operations_end) = operations;
        let body = Body::default();
        let header = Header {
            chain: genesis.chain(),
            height: 0,
            timestamp_ms: genesis.timestamp_ms,
            parent: Digest::ZERO,
            state_root: Digest::ZERO,
            receipts_root: Digest::ZERO,
            body_root: body.root(),
            epoch: 0,
            view: 0,
            parent_view: 0,
            proposer: genesis.validators.first()?.node,
            operations_root,
            operations_start,
            operations_end,
        };
        Self::new(header, body)
    }
}

/// The header fields that repeat the engine's context.
pub(crate) struct ContextFields {
    pub(crate) epoch: u64,
    pub(crate) view: u64,
    pub(crate) parent_view: u64,
    pub(crate) parent: Digest,
    pub(crate) proposer: inferium_types::NodeId,
}

impl From<&BlockContext> for ContextFields {
    fn from(context: &BlockContext) -> Self {
        Self {
            epoch: context.round.epoch().get(),
            view: context.round.view().get(),
            parent_view: context.parent.0.get(),
            parent: from_engine_digest(&context.parent.1),
            proposer: from_engine_key(&context.leader),
        }
    }
}

impl Write for Block {
    fn write(&self, buffer: &mut impl BufMut) {
        inferium_types::encode(&(&self.header, &self.body)).write(buffer);
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        // Cheap enough: headers and bodies are encoded in microseconds, and this stays right
        // whatever their encoding becomes.
        inferium_types::encode(&(&self.header, &self.body)).encode_size()
    }
}

impl Read for Block {
    type Cfg = ();

    fn read_cfg(buffer: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        let bytes = Vec::<u8>::read_cfg(buffer, &(RangeCfg::new(0..=BLOCK_SIZE_MAX), ()))?;
        let (header, body): (Header, Body) =
            inferium_types::decode(&bytes).map_err(|_| CodecError::Invalid("block", "not canonical"))?;
        Self::new(header, body).ok_or(CodecError::Invalid("block", "body or proposer does not fit the header"))
    }
}

impl Digestible for Block {
    type Digest = EngineDigest;

    fn digest(&self) -> EngineDigest {
        self.digest
    }
}

impl Heightable for Block {
    fn height(&self) -> Height {
        Height::new(self.header.height)
    }
}

impl commonware_consensus::Block for Block {
    fn parent(&self) -> EngineDigest {
        to_engine_digest(self.header.parent)
    }
}

impl CertifiableBlock for Block {
    type Context = BlockContext;

    fn context(&self) -> BlockContext {
        Context {
            round: Round::new(Epoch::new(self.header.epoch), View::new(self.header.view)),
            leader: self.proposer.clone(),
            parent: (View::new(self.header.parent_view), to_engine_digest(self.header.parent)),
        }
    }
}

impl BoundedBlock for Block {
    fn max_encode_size((): &()) -> usize {
        // Five more bytes for the length in front.
        BLOCK_SIZE_MAX + 5
    }
}

#[cfg(test)]
mod tests;
