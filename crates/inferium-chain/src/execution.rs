//! Building and checking blocks: the ledger's rules, the store's roots, the beacon's seeds.

use crate::blame::Blame;
use crate::{
    block::{Block, BlockContext, Body, ContextFields},
    index::{FinalBlock, Index},
    mempool::Mempool,
    node::Head,
    pace::Pace,
    seeds::Seeds,
    states::{Outcome, States},
    store::{self, Batch, SealedBatch, SyncTarget},
};
use commonware_glue::stateful::{
    Finality,
    db::{Merkleized as _, Unmerkleized as _},
};
use commonware_runtime::Spawner;
use commonware_storage::Context as StorageContext;
use commonware_utils::non_empty_range;
use futures::future::Either;
use inferium_ledger::{BlockEnvironment, State, assemble, execute};
use inferium_types::{Digest, Event, Genesis, Header, NetworkKey, SeedSignature, VerifiedTransaction, limits};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{broadcast, watch};

/// How far a block's time may be ahead of a voter's clock (SPEC C3).
const AHEAD_MAX_MS: u64 = 2_000;
/// How long a voter waits for its clock to come within that; longer would hold up other blocks.
const AHEAD_WAIT_MAX_MS: u64 = 3_000;

/// What the application shares with the rest of the node.
#[derive(Clone)]
pub(crate) struct Core {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) network: NetworkKey,
    pub(crate) genesis_block: Block,
    pub(crate) pace: Pace,
    pub(crate) states: States,
    pub(crate) seeds: Seeds,
    pub(crate) blame: Blame,
    pub(crate) mempool: Mempool,
    pub(crate) index: Index,
    pub(crate) head: Arc<watch::Sender<Head>>,
    pub(crate) blocks: broadcast::Sender<Arc<FinalBlock>>,
}

/// Why a block gets no vote. Permanent, but for [`InvalidCandidate::Ahead`], which a later
/// request judges anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidCandidate {
    #[error("the block is for another chain")]
    Chain,
    #[error("height {found} does not follow {parent}")]
    Height { parent: u64, found: u64 },
    #[error("timestamp {found} is not above the parent's {parent}")]
    Timestamp { parent: u64, found: u64 },
    #[error("timestamp is {by_ms} ms ahead")]
    Ahead { by_ms: u64 },
    #[error("seeds are not ascending, too many, or not of earlier views")]
    SeedOrder,
    #[error("the seed of view {view} is not the group's")]
    Seed { view: u64 },
    #[error("more transactions than a block may hold")]
    TooManyTransactions,
    #[error("transaction {position}: {error}")]
    Transaction { position: usize, error: inferium_types::InvalidSignature },
    #[error("{0}")]
    Ledger(#[from] inferium_ledger::InvalidBlock),
    #[error("receipts root is {found}, executing gives {expected}")]
    ReceiptsRoot { expected: Digest, found: Digest },
    #[error("state root is {found}, executing gives {expected}")]
    StateRoot { expected: Digest, found: Digest },
}

impl Core {
    /// Waits until a block may follow the parent: at the idle pace, or at the busy one as soon as
    /// there is something to do.
    async fn wait_for_pace<E: commonware_runtime::Clock>(&self, clock: &E, parent: &Header, state: &State) {
        loop {
            let arrival = self.mempool.arrival();
            let busy = state.is_busy() || self.mempool.has_candidates(state);
            let due_ms = self.pace.due_ms(parent.timestamp_ms, busy);
            let left_ms = due_ms.saturating_sub(unix_ms(clock.current()));
            if left_ms == 0 {
                return;
            }
            // A parent ahead of this clock must not hold the leader up beyond one pace.
            let left_ms = left_ms.min(self.pace.idle_ms.max(self.pace.busy_ms));
            let sleep = std::pin::pin!(clock.sleep(Duration::from_millis(left_ms)));
            let arrival = std::pin::pin!(arrival);
            if let Either::Left(_) = futures::future::select(sleep, arrival).await {
                return;
            }
        }
    }

    /// Makes a block on `parent` and what it writes.
    pub(crate) async fn build<E: StorageContext + Spawner>(
        &self,
        clock: &E,
        context: &BlockContext,
        parent: &Block,
        batch: Batch<E>,
    ) -> Option<(Block, SealedBatch<E>)> {
        let Some(state) = self.states.after(parent.id(), parent.header()).await else {
            tracing::error!(height = parent.header().height, "no state to build on");
            return None;
        };
        self.wait_for_pace(clock, parent.header(), &state).await;
        let fields = ContextFields::from(context);
        let timestamp_ms = unix_ms(clock.current()).max(parent.header().timestamp_ms.saturating_add(1));
        let seeds =
            self.seeds.for_block(fields.parent_view, fields.view, &state.wanted_views(), limits::BLOCK_SEEDS_MAX);
        let environment = BlockEnvironment {
            height: parent.header().height.saturating_add(1),
            view: fields.view,
            timestamp_ms,
            proposer: fields.proposer,
            seeds: seeds.clone(),
        };
        let candidates = self.mempool.candidates(&state);
        let assembled = match assemble(&state, &environment, candidates) {
            Ok(assembled) => assembled,
            Err(error) => {
                tracing::error!(%error, height = environment.height, "can't build a block");
                return None;
            }
        };
        self.mempool.reject(assembled.rejected);
        let child = assembled.executed.state;
        let sealed = seal::<E>(batch, &state, &child, environment.height).await;
        let transactions = assembled.transactions.iter().map(|transaction| transaction.signed().clone()).collect();
        let body = Body { seeds, transactions };
        let target = target::<E>(&sealed);
        let header = Header {
            chain: self.network.chain,
            height: environment.height,
            timestamp_ms,
            parent: fields.parent,
            state_root: crate::keys::from_engine_digest(&sealed.root()),
            receipts_root: Event::root(&assembled.executed.events),
            body_root: body.root(),
            epoch: fields.epoch,
            view: fields.view,
            parent_view: fields.parent_view,
            proposer: fields.proposer,
            operations_root: crate::keys::from_engine_digest(&target.root),
            operations_start: *target.range.start(),
            operations_end: *target.range.end(),
        };
        let block = Block::new(header, body)?;
        let outcome = Outcome { height: environment.height, state: child, events: assembled.executed.events };
        self.states.insert(block.id(), Arc::new(outcome));
        Some((block, sealed))
    }

    /// Checks a block and gives what it writes.
    pub(crate) async fn check<E: StorageContext + Spawner>(
        &self,
        clock: &E,
        block: &Block,
        parent: &Block,
        batch: Batch<E>,
        finality: Finality,
    ) -> Result<SealedBatch<E>, InvalidCandidate> {
        let header = block.header();
        let Some(state) = self.states.after(parent.id(), parent.header()).await else {
            // The runner forks batches from a parent that was processed or is stored, so this is
            // a broken invariant: better to stop than to vote on an unknown state.
            fatal("the parent's state is neither in memory nor stored");
        };
        let outcome = match self.states.outcome(block.id()) {
            Some(outcome) => outcome,
            None => {
                self.check_header(block, parent)?;
                if finality == Finality::Candidate {
                    self.wait_for_time(clock, header.timestamp_ms).await?;
                }
                Arc::new(self.execute(block, &state)?)
            }
        };
        let sealed = seal::<E>(batch, &state, &outcome.state, header.height).await;
        // The runner compares the operations' root and range; the canonical root is ours to check.
        let expected = crate::keys::from_engine_digest(&sealed.root());
        if header.state_root != expected {
            return Err(InvalidCandidate::StateRoot { expected, found: header.state_root });
        }
        self.states.insert(block.id(), outcome);
        Ok(sealed)
    }

    fn check_header(&self, block: &Block, parent: &Block) -> Result<(), InvalidCandidate> {
        let (header, before) = (block.header(), parent.header());
        if header.chain != self.network.chain {
            return Err(InvalidCandidate::Chain);
        }
        if before.height.checked_add(1) != Some(header.height) {
            return Err(InvalidCandidate::Height { parent: before.height, found: header.height });
        }
        if header.timestamp_ms <= before.timestamp_ms {
            return Err(InvalidCandidate::Timestamp { parent: before.timestamp_ms, found: header.timestamp_ms });
        }
        if block.body().transactions.len() > limits::BLOCK_TRANSACTIONS_MAX {
            return Err(InvalidCandidate::TooManyTransactions);
        }
        self.check_seeds(header, &block.body().seeds)
    }

    fn check_seeds(&self, header: &Header, seeds: &[SeedSignature]) -> Result<(), InvalidCandidate> {
        let ascending = seeds.iter().zip(seeds.iter().skip(1)).all(|(one, next)| one.view < next.view);
        let earlier = seeds.last().is_none_or(|last| last.view < header.view);
        if !ascending || !earlier || seeds.len() > limits::BLOCK_SEEDS_MAX {
            return Err(InvalidCandidate::SeedOrder);
        }
        let network = &self.network;
        match seeds.iter().find(|seed| !seed.verify(network.chain, &network.group, header.epoch)) {
            Some(seed) => Err(InvalidCandidate::Seed { view: seed.view }),
            None => Ok(()),
        }
    }

    /// SPEC C3: a block from the future is waited for, within bounds. Only voters do this; what
    /// is final was judged before.
    async fn wait_for_time<E: commonware_runtime::Clock>(
        &self,
        clock: &E,
        timestamp_ms: u64,
    ) -> Result<(), InvalidCandidate> {
        let by_ms = timestamp_ms.saturating_sub(unix_ms(clock.current())).saturating_sub(AHEAD_MAX_MS);
        if by_ms > AHEAD_WAIT_MAX_MS {
            return Err(InvalidCandidate::Ahead { by_ms });
        }
        if by_ms > 0 {
            clock.sleep(Duration::from_millis(by_ms)).await;
        }
        Ok(())
    }

    fn execute(&self, block: &Block, state: &State) -> Result<Outcome, InvalidCandidate> {
        let header = block.header();
        let transactions = verify_transactions(block, self.network)?;
        let environment = BlockEnvironment {
            height: header.height,
            view: header.view,
            timestamp_ms: header.timestamp_ms,
            proposer: header.proposer,
            seeds: block.body().seeds.clone(),
        };
        let executed = execute(state, &environment, &transactions)?;
        let expected = Event::root(&executed.events);
        if header.receipts_root != expected {
            return Err(InvalidCandidate::ReceiptsRoot { expected, found: header.receipts_root });
        }
        Ok(Outcome { height: header.height, state: executed.state, events: executed.events })
    }
}

/// Writes the difference between two states and computes the root.
async fn seal<E: StorageContext + Spawner>(
    batch: Batch<E>,
    parent: &State,
    child: &State,
    height: u64,
) -> SealedBatch<E> {
    // Nothing is stored before block 1, which therefore writes the genesis state too.
    let changes = if height == 1 { State::changes(&State::empty(), child) } else { State::changes(parent, child) };
    match store::write_changes::<E>(batch, changes).merkleize().await {
        Ok(sealed) => sealed,
        Err(error) => fatal(&error.to_string()),
    }
}

/// What the block commits to for state sync.
fn target<E: StorageContext + Spawner>(sealed: &SealedBatch<E>) -> SyncTarget {
    SyncTarget::new(sealed.ops_root(), non_empty_range!(sealed.sync_boundary(), sealed.bounds().tip.size))
}

fn verify_transactions(block: &Block, network: NetworkKey) -> Result<Vec<VerifiedTransaction>, InvalidCandidate> {
    let (mut verified, mut size) = (Vec::with_capacity(block.body().transactions.len()), 0usize);
    for (position, signed) in block.body().transactions.iter().enumerate() {
        let transaction =
            signed.clone().verify(network.chain).map_err(|error| InvalidCandidate::Transaction { position, error })?;
        size = size.saturating_add(transaction.size());
        if size > limits::BLOCK_TRANSACTIONS_SIZE_MAX {
            return Err(InvalidCandidate::TooManyTransactions);
        }
        verified.push(transaction);
    }
    Ok(verified)
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Stops the node: a broken invariant or a failed write must not be survived (SPEC C8).
#[expect(clippy::panic, reason = "fail-stop is what the engine does with its own storage errors, too")]
pub(crate) fn fatal(reason: &str) -> ! {
    tracing::error!(reason, "the validator stops");
    panic!("{reason}");
}

#[cfg(test)]
mod tests;
