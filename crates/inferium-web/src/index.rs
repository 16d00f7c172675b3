//! What verified blocks said, kept for the pages: bounded, in memory, rebuilt when the process starts.

mod agents;
mod books;

pub(crate) use agents::{PaidRun, Spent, Version};
pub(crate) use books::{Block, Books, SegmentBook, Step, TaskBook, spaced, verdict_in_words};

use inferium_chain::LightClient;
use inferium_query::boards::{AgentRow, Board, Kind, ValidatorRow, WorkerRow, command};
use inferium_types::{Digest, Event, NetworkKey};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::broadcast;

/// News that a slow reader may miss before it has to look again.
const NEWS_MAX: usize = 256;

/// What happened in a block, for readers that follow the head.
#[derive(Debug, Clone)]
pub(crate) struct News {
    /// The block.
    pub(crate) block: Arc<Block>,
}

/// A board with what it takes to make it again.
#[derive(Debug)]
pub(crate) struct Stated<R> {
    pub(crate) board: Board<R>,
    pub(crate) digest: Digest,
    pub(crate) command: String,
}

impl<R> Stated<R> {
    fn new(kind: Kind, board: Board<R>, digest: Digest, network: &NetworkKey) -> Self {
        let command = command(kind, (board.first, board.height), network, &digest);
        Self { board, digest, command }
    }

    /// All but its rows.
    pub(crate) fn json(&self) -> Value {
        let board = &self.board;
        json!({
            "first": board.first, "height": board.height, "block": board.block, "complete": board.complete,
            "rows": board.rows.len(), "digest": self.digest.to_string(), "command": self.command,
        })
    }
}

/// The boards after the last block that was read.
#[derive(Debug)]
pub(crate) struct Boards {
    pub(crate) workers: Stated<WorkerRow>,
    pub(crate) validators: Stated<ValidatorRow>,
    pub(crate) agents: Stated<AgentRow>,
}

/// Follows a chain from its first block on and remembers what pages ask for.
///
/// Cost: a write lock for each block, held for microseconds; readers share theirs.
#[derive(Debug)]
pub struct Index {
    books: RwLock<Books>,
    /// Those that were asked for last: one ranking serves all readers until the next block.
    boards: Mutex<Option<Arc<Boards>>>,
    news: broadcast::Sender<News>,
}

impl Index {
    /// An index that follows `chain` until the last reader drops it.
    pub(crate) fn follow(chain: &LightClient) -> Arc<Self> {
        let index = Arc::new(Self::over(Books::default()));
        let (chain, follower) = (chain.clone(), Arc::downgrade(&index));
        tokio::spawn(async move {
            let mut next = 1;
            // A feed ends when no validator keeps its next block: what is older stays unknown.
            loop {
                let mut blocks = chain.subscribe_from(next);
                while let Some(block) = blocks.recv().await {
                    let Some(index) = follower.upgrade() else { return };
                    next = block.header.height.saturating_add(1);
                    index.take(Block::of(&block));
                }
                if follower.strong_count() == 0 {
                    return;
                }
                next = next.max(chain.height());
                let mut head = chain.head();
                head.mark_unchanged();
                if head.changed().await.is_err() {
                    return;
                }
            }
        });
        index
    }

    /// An index that follows nothing and knows what `events` say of agents, as if one block had them: for measurements.
    #[must_use]
    pub fn of_events(events: &[Event]) -> Self {
        let mut books = Books::default();
        for event in events {
            books.boards.on_event(event);
            books.agents.on_event(event, 1, 0);
        }
        Self::over(books)
    }

    fn over(books: Books) -> Self {
        Self { books: RwLock::new(books), boards: Mutex::default(), news: broadcast::Sender::new(NEWS_MAX) }
    }

    /// The boards of `network`, which is the one that is followed, as of the last block that was read.
    pub(crate) fn boards(&self, network: &NetworkKey) -> Arc<Boards> {
        let mut kept = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        let books = self.read();
        let fold = &books.boards;
        let is_new = |kept: &&Arc<Boards>| {
            let board = &kept.workers.board;
            (board.first, board.height) == (fold.first(), fold.height())
        };
        if let Some(boards) = kept.as_ref().filter(is_new) {
            return Arc::clone(boards);
        }
        let (workers, validators, agents) =
            (fold.workers(network), fold.validators(network), fold.agents_board(network));
        let digests = (workers.digest(), validators.digest(), agents.digest());
        let boards = Arc::new(Boards {
            workers: Stated::new(Kind::Workers, workers, digests.0, network),
            validators: Stated::new(Kind::Validators, validators, digests.1, network),
            agents: Stated::new(Kind::Agents, agents, digests.2, network),
        });
        *kept = Some(Arc::clone(&boards));
        boards
    }

    fn take(&self, block: Block) {
        let block = Arc::new(block);
        self.books.write().unwrap_or_else(PoisonError::into_inner).take(&block);
        // Nobody may be reading.
        let _ = self.news.send(News { block });
    }

    /// The books as they are now. Not to be held over a wait.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Books> {
        self.books.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every block from now on.
    pub(crate) fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }
}
