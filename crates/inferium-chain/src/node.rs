//! Validators as the rest of the program sees them: plain handles on plain types.
//!
//! All validators of a process run in one engine runtime on a thread of its own. The engine's
//! storage errors are panics (SPEC C8): they end that thread, and [`ValidatorHandle::fatal`] tells
//! the owner, who must let the process exit.

use crate::blame::Equivocation;
use crate::{
    deal::DealError,
    engine::{self, CHANNELS, EngineError, ProofReply, ProofRequest},
    execution::Core,
    index::{FinalBlock, Index, IndexError},
    keys::{EngineKey, to_engine_key},
    mempool::SubmitError,
    pace::Pace,
    seat::{SeatError, Seated},
};
use commonware_cryptography::ChaCha20Poly1305;
use commonware_p2p::{
    Address, AddressableManager as _,
    authenticated::lookup::{self, Network},
};
use commonware_runtime::{Runner as _, Supervisor as _, tokio as engine_runtime};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZUsize, TryCollect as _, ordered::Map};
use inferium_ledger::State;
use inferium_types::{Digest, Genesis, Header, NetworkKey, NodeId, SecretKey, SignedTransaction, TransactionId};
use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Questions about the store that wait.
const PROOF_QUEUE: usize = 64;
/// Messages between the network's tasks.
const NETWORK_MAILBOX: NonZeroUsize = NZUsize!(256);

/// One validator to start.
#[derive(Debug, Clone)]
pub struct ValidatorSetup {
    /// Prefix of its storage; unique in its directory.
    pub name: String,
    /// Its key, a seat of the genesis.
    pub secret_key: SecretKey,
    /// Its share of the group key, as dealt.
    pub share: Vec<u8>,
    /// The network.
    pub genesis: Arc<Genesis>,
    /// Every validator's address, its own included.
    pub peers: Vec<(NodeId, SocketAddr)>,
    /// Where it listens for the others.
    pub listen: SocketAddr,
    /// Where it keeps its data.
    pub directory: PathBuf,
    /// How fast it proposes.
    pub pace: Pace,
}

/// Why validators did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No validator to start, or directories that differ.
    #[error("{reason}")]
    Setup {
        /// What is wrong.
        reason: &'static str,
    },
    /// Keys do not fit the genesis.
    #[error("validator {name}: {error}")]
    Keys {
        /// Which.
        name: String,
        /// Why.
        error: DealError,
    },
    /// A peer's key is not valid.
    #[error("validator {name}: the peers' keys are not valid, or one stands twice")]
    Peers {
        /// Which.
        name: String,
    },
    /// The directory can't be made.
    #[error("{directory}: {error}")]
    Directory {
        /// Which.
        directory: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The index can't be opened.
    #[error("validator {name}: {error}")]
    Index {
        /// Which.
        name: String,
        /// Why.
        error: IndexError,
    },
    /// The stored state can't be loaded.
    #[error("validator {name}: {reason}")]
    Engine {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// The thread can't be made.
    #[error("the consensus thread did not start: {reason}")]
    Thread {
        /// Why.
        reason: String,
    },
    /// Consensus ended while it read what is stored, which may not agree with itself.
    #[error(
        "{directory}: consensus ended while it read what is stored there ({reason}). A folder that was copied while its node ran \
         ends like that: copy it again once the node has stopped"
    )]
    Store {
        /// Where it is stored.
        directory: PathBuf,
        /// What was found.
        reason: String,
    },
}

/// The highest final block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its height.
    pub height: u64,
    /// Its digest.
    pub digest: Digest,
    /// Its header; `None` for the genesis, which is no block.
    pub header: Option<Header>,
}

/// How the consensus thread ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fatal {
    /// It runs.
    Running,
    /// Somebody stopped it.
    Stopped,
    /// It failed: the process must exit, and say why.
    Failed {
        /// Why.
        reason: String,
    },
}

/// One running validator. Clones share it.
#[derive(Clone)]
pub struct ValidatorHandle {
    node: NodeId,
    core: Core,
    proofs: mpsc::Sender<ProofRequest>,
    stop: watch::Sender<bool>,
    fatal: watch::Receiver<Fatal>,
}

impl std::fmt::Debug for ValidatorHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ValidatorHandle")
            .field("node", &self.node)
            .field("height", &self.core.head.borrow().height)
            .finish_non_exhaustive()
    }
}

impl ValidatorHandle {
    /// The validator's key.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// What light clients need to know of this network.
    #[must_use]
    pub const fn network_key(&self) -> NetworkKey {
        self.core.network
    }

    /// Hands in a transaction, which goes to the other validators as well.
    ///
    /// # Errors
    /// [`SubmitError`]: it was not taken.
    pub fn submit(&self, transaction: SignedTransaction) -> Result<TransactionId, SubmitError> {
        self.core.mempool.submit(transaction)
    }

    /// Why a transaction that was taken has been dropped since, as far as this node knows.
    #[must_use]
    pub fn rejection(&self, transaction: TransactionId) -> Option<String> {
        self.core.mempool.rejection(transaction)
    }

    /// True while the transaction waits for a block here.
    #[must_use]
    pub fn is_waiting(&self, transaction: TransactionId) -> bool {
        self.core.mempool.contains(transaction)
    }

    /// The state after the last final block; a clone costs nothing.
    #[must_use]
    pub fn state(&self) -> State {
        self.core.states.last().unwrap_or_else(|| State::genesis(&self.core.genesis))
    }

    /// Validators that this one has seen sign votes that contradict each other since it started.
    #[must_use]
    pub fn equivocations(&self) -> Vec<Equivocation> {
        self.core.blame.found()
    }

    /// The highest final block, and news of it.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<Head> {
        self.core.head.subscribe()
    }

    /// Final blocks from now on, in order; after a restart the last few may come again. Whoever
    /// lags too far, or was not there, reads on from [`Self::index`].
    #[must_use]
    pub fn blocks(&self) -> broadcast::Receiver<Arc<FinalBlock>> {
        self.core.blocks.subscribe()
    }

    /// The final blocks so far.
    #[must_use]
    pub const fn index(&self) -> &Index {
        &self.core.index
    }

    /// Value and proof of a state entry under the root of the last applied block.
    pub(crate) async fn prove(&self, key: Vec<u8>) -> Option<ProofReply> {
        let (reply, answer) = oneshot::channel();
        self.proofs.send(ProofRequest { key, reply }).await.ok()?;
        match answer.await.ok()? {
            Ok(reply) => Some(reply),
            Err(error) => {
                tracing::error!(%error, "no proof");
                None
            }
        }
    }

    /// Stops all validators that were started together, and waits for that.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let _ = self.fatal().await;
    }

    /// Resolves when the consensus thread ends.
    pub async fn fatal(&self) -> Fatal {
        let mut fatal = self.fatal.clone();
        match fatal.wait_for(|fatal| *fatal != Fatal::Running).await {
            Ok(fatal) => fatal.clone(),
            Err(_) => Fatal::Failed { reason: "the consensus thread vanished".into() },
        }
    }
}

/// A seat, and the real network around it.
struct Prepared {
    name: String,
    seat: Seated,
    peers: Map<EngineKey, Address>,
    listen: SocketAddr,
    proofs: mpsc::Receiver<ProofRequest>,
}

/// Starts validators in one engine runtime, on a thread of its own; returns when all of them run.
///
/// They share one storage directory, each with a prefix of its own. Final blocks that the engine
/// had not acknowledged when it stopped last are delivered once more.
///
/// # Errors
/// [`StartError`].
pub async fn start_validators(setups: Vec<ValidatorSetup>) -> Result<Vec<ValidatorHandle>, StartError> {
    let Some(first) = setups.first() else {
        return Err(StartError::Setup { reason: "there is no validator to start" });
    };
    let directory = first.directory.clone();
    let is_fresh = std::fs::read_dir(&directory).map_or(true, |mut entries| entries.next().is_none());
    if setups.iter().any(|setup| setup.directory != directory) {
        return Err(StartError::Setup { reason: "validators of one process share one directory" });
    }
    let (stop, stopped) = watch::channel(false);
    let (fatal_sender, fatal) = watch::channel(Fatal::Running);
    let asked_to_stop = stop.subscribe();
    let (mut prepared, mut handles) = (Vec::new(), Vec::new());
    for setup in setups {
        let (validator, handle) = prepare(setup, &stop, &fatal)?;
        prepared.push(validator);
        handles.push(handle);
    }
    let (started, ready) = oneshot::channel();
    let stored = directory.clone();
    let runner = std::thread::Builder::new()
        .name("consensus".into())
        .spawn(move || run(stored, prepared, started, stopped))
        .map_err(|error| StartError::Thread { reason: error.to_string() })?;
    // A second thread waits for the first, since a panic there must become news for the owners.
    std::thread::Builder::new()
        .name("consensus-watch".into())
        .spawn(move || {
            let end = match runner.join() {
                Ok(()) => Fatal::Stopped,
                // Tasks that are dropped one after the other may find the others gone.
                Err(_) if *asked_to_stop.borrow() => Fatal::Stopped,
                Err(panic) => Fatal::Failed { reason: panic_text(panic.as_ref()) },
            };
            fatal_sender.send_replace(end);
        })
        .map_err(|error| StartError::Thread { reason: error.to_string() })?;
    match ready.await {
        Ok(Ok(())) => Ok(handles),
        Ok(Err((name, error))) => Err(StartError::Engine { name, reason: error.to_string() }),
        Err(_) => {
            let end = match handles.first() {
                Some(handle) => handle.fatal().await,
                None => Fatal::Stopped,
            };
            Err(match end {
                Fatal::Failed { reason } if is_fresh => StartError::Thread { reason },
                Fatal::Failed { reason } => StartError::Store { directory, reason },
                Fatal::Running | Fatal::Stopped => StartError::Thread { reason: "it was stopped".into() },
            })
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "the consensus thread panicked".into())
}

fn prepare(
    setup: ValidatorSetup,
    stop: &watch::Sender<bool>,
    fatal: &watch::Receiver<Fatal>,
) -> Result<(Prepared, ValidatorHandle), StartError> {
    let ValidatorSetup { name, secret_key, share, genesis, peers, listen, directory, pace } = setup;
    let peers = peers
        .iter()
        .map(|(node, address)| to_engine_key(node).map(|key| (key, Address::from(*address))))
        .collect::<Option<Vec<_>>>()
        .and_then(|peers| peers.into_iter().try_collect().ok())
        .ok_or_else(|| StartError::Peers { name: name.clone() })?;
    let own = directory.join(format!("{name}-index"));
    std::fs::create_dir_all(&own).map_err(|error| StartError::Directory { directory: own.clone(), error })?;
    let index = Index::open(&own).map_err(|error| StartError::Index { name: name.clone(), error })?;
    let seat = Seated::new(genesis, &secret_key, &share, pace, index).map_err(|error| match error {
        SeatError::Keys(error) => StartError::Keys { name: name.clone(), error },
        SeatError::Index(error) => StartError::Index { name: name.clone(), error },
        SeatError::NoValidator => StartError::Setup { reason: "the genesis has no valid validator" },
    })?;
    let (proofs, requests) = mpsc::channel(PROOF_QUEUE);
    let handle = ValidatorHandle {
        node: secret_key.public_key(),
        core: seat.core.clone(),
        proofs,
        stop: stop.clone(),
        fatal: fatal.clone(),
    };
    Ok((Prepared { name, seat, peers, listen, proofs: requests }, handle))
}

type Started = oneshot::Sender<Result<(), (String, EngineError)>>;

/// The consensus thread.
fn run(directory: PathBuf, validators: Vec<Prepared>, started: Started, mut stopped: watch::Receiver<bool>) {
    let config = engine_runtime::Config::new()
        .with_storage_directory(directory)
        .with_worker_threads(2)
        .with_max_blocking_threads(8)
        .with_tcp_nodelay(Some(true));
    engine_runtime::Runner::new(config).start(|context| async move {
        let mut engines = Vec::new();
        for validator in validators {
            let name = validator.name.clone();
            match start_one(&context, validator).await {
                Ok(engine) => engines.push(engine),
                Err(error) => {
                    let _ = started.send(Err((name, error)));
                    return;
                }
            }
        }
        // Whoever started this may have given up; then `stopped` ends, too.
        let _ = started.send(Ok(()));
        let ended = futures::future::select_all(engines);
        let stop = std::pin::pin!(stopped.wait_for(|stop| *stop));
        if let futures::future::Either::Left(_) = futures::future::select(ended, stop).await {
            end_by_failure();
        }
        // Everything is durable before it is spoken of, so dropping the tasks here loses nothing.
        // The runtime's orderly stop would make the engine's actors find each other gone and panic.
    });
}

#[expect(
    clippy::panic,
    reason = "an engine that ends by itself has failed: the thread must not end as if it had been stopped"
)]
fn end_by_failure() {
    panic!("a consensus engine ended");
}

#[cfg_attr(test, expect(clippy::unused_async, reason = "no engine is started there"))]
async fn start_one(
    context: &engine_runtime::Context,
    validator: Prepared,
) -> Result<commonware_runtime::Handle<()>, EngineError> {
    let Prepared { name, seat, peers, listen, proofs } = validator;
    let context = context.child("validator").with_attribute("name", name.clone());
    let seats = u32::try_from(seat.core.genesis.validators.len()).unwrap_or(u32::MAX);
    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer: seat.identity.clone(),
            synchrony_bound: Duration::from_secs(5),
            max_handshake_age: Duration::from_secs(10),
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let namespace = [seat.core.network.consensus_namespace().as_slice(), b"_P2P"].concat();
    let peers_max = NonZeroUsize::new(peers.len().saturating_add(1)).unwrap_or(NonZeroUsize::MIN);
    let mut config = lookup::Config::local(
        handshake,
        &namespace,
        listen,
        peers_max,
        engine::message_size_max(seats),
        NETWORK_MAILBOX,
    );
    config.dial_frequency = Duration::from_millis(200);
    config.tracked_peer_sets = NonZeroUsize::MIN;
    let (mut network, mut oracle) = Network::new(context.child("network"), config);
    oracle.track(0, peers);
    let channels = CHANNELS.iter().map(|(channel, quota)| network.register(*channel, *quota)).collect();
    network.start();
    let parts = seat.parts(name, proofs, oracle.clone(), oracle, channels);
    // The tests of this crate's parts start no chain, and what the engine's generics become takes as long to compile as most
    // other crates together; those in `tests/` start chains of the crate as it is.
    #[cfg(test)]
    let engine: Result<_, EngineError> = {
        drop((context, parts));
        Err(EngineError::Channel)
    };
    #[cfg(not(test))]
    let engine = engine::start(context, parts, |application| application).await.map(|(engine, _)| engine);
    engine
}
