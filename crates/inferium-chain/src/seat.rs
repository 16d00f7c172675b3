//! A validator's seat: what it is made of on any runtime and network, real or simulated.

use crate::blame::Blame;
use crate::{
    block::Block,
    deal::{self, DealError},
    engine::{Parts, ProofRequest},
    execution::Core,
    index::{Index, IndexError},
    keys::{EngineKey, from_engine_digest},
    mempool::Mempool,
    node::Head,
    pace::Pace,
    scheme::Scheme,
    seeds::Seeds,
    states::States,
    store::Databases,
};
use commonware_cryptography::{Signer as _, ed25519};
use commonware_glue::stateful::db::DatabaseSet;
use commonware_runtime::tokio as engine_runtime;
use inferium_types::{Genesis, SecretKey, SignedTransaction};
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, watch};

/// Final blocks that a slow listener may lag behind before it must read the index.
const BLOCKS_BUFFERED: usize = 256;

/// Why nobody can sit here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeatError {
    #[error(transparent)]
    Keys(#[from] DealError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("the genesis has no valid validator")]
    NoValidator,
}

/// A validator with everything checked that can be checked before it runs.
pub(crate) struct Seated {
    /// Proves who it is in the network.
    pub(crate) identity: ed25519::PrivateKey,
    /// What application and services share.
    pub(crate) core: Core,
    scheme: Scheme,
    gossip: mpsc::Receiver<SignedTransaction>,
}

impl Seated {
    /// Takes the seat of `secret_key` with its `share` of the group key.
    pub(crate) fn new(
        genesis: Arc<Genesis>,
        secret_key: &SecretKey,
        share: &[u8],
        pace: Pace,
        index: Index,
    ) -> Result<Self, SeatError> {
        let (scheme, identity) = deal::signer(&genesis, secret_key, share)?;
        let (core, gossip) = new_core(genesis, pace, index)?;
        Ok(Self { identity, core, scheme, gossip })
    }

    /// The engine's parts, with storage under the prefix `name`, on this network.
    pub(crate) fn parts<M, B, TX, RX>(
        self,
        name: String,
        proofs: mpsc::Receiver<ProofRequest>,
        peers: M,
        blocker: B,
        channels: Vec<(TX, RX)>,
    ) -> Parts<M, B, TX, RX> {
        let key: EngineKey = self.identity.public_key();
        let Self { core, scheme, gossip, .. } = self;
        Parts { name, key, scheme, core, gossip, proofs, peers, blocker, channels }
    }
}

/// What application and services of one validator share.
pub(crate) fn new_core(
    genesis: Arc<Genesis>,
    pace: Pace,
    index: Index,
) -> Result<(Core, mpsc::Receiver<SignedTransaction>), SeatError> {
    let network = genesis.network_key();
    // The sync target of the empty store does not depend on the runtime.
    let empty = <Databases<engine_runtime::Context> as DatabaseSet<engine_runtime::Context>>::initial_sync_targets();
    let operations = (from_engine_digest(&empty.root), *empty.range.start(), *empty.range.end());
    let genesis_block = Block::genesis(&genesis, operations).ok_or(SeatError::NoValidator)?;
    let states = States::new();
    let (mempool, gossip) = Mempool::new(network.chain, states.clone());
    let head = match index.last()? {
        Some(block) => {
            Head { height: block.header.height, digest: block.header.digest(), header: Some(block.header.clone()) }
        }
        None => Head { height: 0, digest: genesis_block.id(), header: None },
    };
    let core = Core {
        genesis,
        network,
        genesis_block,
        pace,
        states,
        seeds: Seeds::default(),
        blame: Blame::default(),
        mempool,
        index,
        head: Arc::new(watch::Sender::new(head)),
        blocks: broadcast::Sender::new(BLOCKS_BUFFERED),
    };
    Ok((core, gossip))
}
