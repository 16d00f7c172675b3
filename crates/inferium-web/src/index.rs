//! What verified blocks said, kept for the pages: bounded, in memory, rebuilt when the process starts.

mod agents;
mod books;
mod kept;

pub(crate) use agents::{AgentState, PaidRun, Spent, Version};
pub(crate) use books::{Block, Books, NodeBook, SegmentBook, Step, TaskBook, spaced, verdict_in_words};

use inferium_chain::LightClient;
use inferium_types::Event;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::broadcast;

/// News that a slow reader may miss before it has to look again.
const NEWS_MAX: usize = 256;

/// What happened in a block, for readers that follow the head.
#[derive(Debug, Clone)]
pub(crate) struct News {
    /// The block.
    pub(crate) block: Arc<Block>,
}

/// Follows a chain from its first block on and remembers what pages ask for.
///
/// Cost: a write lock for each block, held for microseconds; readers share theirs.
#[derive(Debug)]
pub struct Index {
    books: RwLock<Books>,
    news: broadcast::Sender<News>,
}

impl Index {
    /// An index that follows `chain` until the last reader drops it.
    pub(crate) fn follow(chain: &LightClient) -> Arc<Self> {
        let index = Arc::new(Self { books: RwLock::new(Books::default()), news: broadcast::Sender::new(NEWS_MAX) });
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
            books.agents.on_event(event, 1, 0);
        }
        Self { books: RwLock::new(books), news: broadcast::Sender::new(NEWS_MAX) }
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
