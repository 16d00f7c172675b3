//! The same wiring on another runtime and network, for deterministic simulations.
//!
//! Only `inferium-sim` uses this. Its types are the engine's, and change with it.

use crate::{
    application::Marshal,
    block::Block,
    engine::{self, CHANNELS},
    execution::Core,
    index::Index,
    keys::{EngineKey, to_engine_key},
    mempool::SubmitError,
    node::Head,
    pace::Pace,
    seat::Seated,
};
use commonware_consensus::{Reporter, marshal::Update};
use commonware_glue::stateful::Mailbox as StatefulMailbox;
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_runtime::{Clock, Handle, Metrics, Quota, Spawner, Storage};
use inferium_ledger::State;
use inferium_types::{Digest, Genesis, SecretKey, SignedTransaction, TransactionId};
use rand_core::{CryptoRng, Rng};
use std::sync::Arc;
use tokio::sync::mpsc;

pub use crate::{
    application::ChainApplication,
    scheme::{Scheme, VoteSignature},
};

/// What final blocks are reported to.
pub type ApplicationReporter<E> = StatefulMailbox<E, ChainApplication>;

/// One validator of a simulated network.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The network.
    pub genesis: Arc<Genesis>,
    /// The validator's key.
    pub secret_key: SecretKey,
    /// Its share of the group key.
    pub share: Vec<u8>,
    /// How fast it proposes.
    pub pace: Pace,
    /// Its block index, which outlives crashes as a file would.
    pub index: Index,
}

/// A validator in a simulation.
#[derive(Clone)]
pub struct Simulated {
    core: Core,
    marshal: Marshal,
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulated").field("height", &self.core.head.borrow().height).finish_non_exhaustive()
    }
}

impl Simulated {
    /// Hands in a transaction.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn submit(&self, transaction: SignedTransaction) -> Result<TransactionId, SubmitError> {
        self.core.mempool.submit(transaction)
    }

    /// The state after the last final block.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        self.core.states.last()
    }

    /// The highest final block.
    #[must_use]
    pub fn head(&self) -> Head {
        self.core.head.borrow().clone()
    }

    /// The final blocks so far.
    #[must_use]
    pub const fn index(&self) -> &Index {
        &self.core.index
    }

    /// Height up to which the engine has acknowledged blocks as durable.
    pub async fn acknowledged(&self) -> u64 {
        self.marshal.get_processed().await.map_or(0, |processed| processed.height().get())
    }

    /// The digest of a final block.
    #[must_use]
    pub fn digest(&self, height: u64) -> Option<Digest> {
        self.core.index.digest(height).ok().flatten()
    }
}

/// The validators' keys as the simulated network knows them, in the genesis' order.
#[must_use]
pub fn participants(genesis: &Genesis) -> Vec<EngineKey> {
    genesis.validators.iter().filter_map(|validator| to_engine_key(&validator.node)).collect()
}

/// The network's channels, and what each lets through a second.
#[must_use]
pub fn channels() -> Vec<(u64, Quota)> {
    CHANNELS.to_vec()
}

/// The largest message of a network of this many validators.
#[must_use]
pub fn message_size_max(validators: u32) -> u32 {
    engine::message_size_max(validators)
}

/// Starts a validator on any runtime and network.
///
/// # Errors
/// In words: keys that don't fit, storage that can't be opened.
pub async fn start<E, M, B, TX, RX, R, W>(
    context: E,
    name: String,
    seat: Seat,
    peers: M,
    blocker: B,
    channels: Vec<(TX, RX)>,
    wrap: W,
) -> Result<(Handle<()>, Simulated), String>
where
    E: Clock + CryptoRng + Rng + Spawner + Storage + Metrics,
    M: Provider<PublicKey = EngineKey>,
    B: Blocker<PublicKey = EngineKey> + Sync,
    TX: Sender<PublicKey = EngineKey>,
    RX: Receiver<PublicKey = EngineKey>,
    R: Reporter<Activity = Update<Block>>,
    W: FnOnce(ApplicationReporter<E>) -> R,
{
    let Seat { genesis, secret_key, share, pace, index } = seat;
    let seated = Seated::new(genesis, &secret_key, &share, pace, index).map_err(|error| error.to_string())?;
    let core = seated.core.clone();
    // Nobody asks a simulated validator for proofs.
    let (_, proofs) = mpsc::channel(1);
    let parts = seated.parts(name, proofs, peers, blocker, channels);
    let (engine, marshal) = engine::start(context, parts, wrap).await.map_err(|error| error.to_string())?;
    Ok((engine, Simulated { core, marshal }))
}
