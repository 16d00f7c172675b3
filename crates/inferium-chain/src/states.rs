//! The ledger's states in memory: the last final one, and one per block that may follow it.
//!
//! The authenticated store holds what is durable; blocks execute here, since a state clones in
//! constant time. Each block is executed once: what a proposer or verifier found out is kept by
//! the block's digest until the block is final or cannot be any more.

use inferium_ledger::State;
use inferium_types::{Digest, Event, Header};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// What executing a block gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The block's height.
    pub(crate) height: u64,
    /// The state after it.
    pub(crate) state: State,
    /// What it decided.
    pub(crate) events: Vec<Event>,
}

/// The state that the store held at start.
#[derive(Debug, Clone)]
struct Base {
    height: u64,
    root: Digest,
    state: State,
}

#[derive(Debug, Default)]
struct Tree {
    outcomes: BTreeMap<Digest, Arc<Outcome>>,
}

/// All states that blocks may build on.
#[derive(Debug, Clone)]
pub(crate) struct States {
    tree: Arc<Mutex<Tree>>,
    base: Arc<watch::Sender<Option<Base>>>,
    last: Arc<watch::Sender<Option<State>>>,
}

impl States {
    pub(crate) fn new() -> Self {
        Self {
            tree: Arc::default(),
            base: Arc::new(watch::Sender::new(None)),
            last: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Sets the state that the store holds, of height `height` under `root`.
    pub(crate) fn set_base(&self, height: u64, root: Digest, state: State) {
        self.last.send_replace(Some(state.clone()));
        self.base.send_replace(Some(Base { height, root, state }));
    }

    /// The state after the block with this header. Waits for the store to be read at start;
    /// `None` when the block was not executed here and the store does not hold its state.
    pub(crate) async fn after(&self, digest: Digest, header: &Header) -> Option<State> {
        if let Some(outcome) = self.outcome(digest) {
            return Some(outcome.state.clone());
        }
        let mut base = self.base.subscribe();
        let base = base.wait_for(Option::is_some).await.ok()?.clone()?;
        // The genesis header can't name the empty store's root: it has none to prove against.
        let same = base.height == header.height && (header.height == 0 || base.root == header.state_root);
        same.then_some(base.state)
    }

    /// What executing the block gave, if it was executed here.
    pub(crate) fn outcome(&self, digest: Digest) -> Option<Arc<Outcome>> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner).outcomes.get(&digest).cloned()
    }

    /// Keeps what executing the block gave.
    pub(crate) fn insert(&self, digest: Digest, outcome: Arc<Outcome>) {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner).outcomes.insert(digest, outcome);
    }

    /// Makes the block's state the last final one and forgets what can't be built on any more.
    pub(crate) fn finalize(&self, digest: Digest, outcome: &Outcome) {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        tree.outcomes.retain(|other, kept| kept.height > outcome.height || *other == digest);
        drop(tree);
        self.last.send_replace(Some(outcome.state.clone()));
    }

    /// The last final state, once the store was read.
    pub(crate) fn last(&self) -> Option<State> {
        self.last.borrow().clone()
    }
}
