//! When to open a task: one of the gateway's own waits in the pool at any time, never two.

use inferium_types::TaskId;
use std::collections::BTreeSet;

/// Where the opening of a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    None,
    /// Sent; not known to be in a block.
    Sent,
    /// In this block, whose events say what became of it: it may be leased in the very same.
    InBlock(u64),
}

/// The gateway's tasks in the pool, as the blocks say that were followed so far.
#[derive(Debug)]
pub(crate) struct Demand {
    open: BTreeSet<TaskId>,
    opening: Opening,
    /// The next block to follow.
    next: u64,
}

impl Demand {
    /// Before any block is followed. No task is opened before the block at `head` is: blocks until
    /// then may hold one of an earlier run.
    pub(crate) const fn new(head: Option<u64>) -> Self {
        let opening = match head {
            Some(height) => Opening::InBlock(height),
            None => Opening::None,
        };
        Self { open: BTreeSet::new(), opening, next: 0 }
    }

    /// True when a task should be opened now; it is then taken to be sent.
    pub(crate) fn take(&mut self) -> bool {
        if let Opening::InBlock(height) = self.opening
            && height < self.next
        {
            self.opening = Opening::None;
        }
        if self.opening != Opening::None || !self.open.is_empty() {
            return false;
        }
        self.opening = Opening::Sent;
        true
    }

    /// What was sent is in a block, or will not be.
    pub(crate) const fn sent(&mut self, height: Option<u64>) {
        self.opening = match height {
            Some(height) => Opening::InBlock(height),
            None => Opening::None,
        };
    }

    /// True while one waits in the pool.
    pub(crate) fn waits(&self) -> bool {
        !self.open.is_empty()
    }

    /// The chain has the task.
    pub(crate) fn opened(&mut self, task: TaskId) {
        self.open.insert(task);
    }

    /// The task was leased or has expired.
    pub(crate) fn gone(&mut self, task: TaskId) {
        self.open.remove(&task);
    }

    /// Every event of the block at `height` was seen.
    pub(crate) const fn followed(&mut self, height: u64) {
        self.next = height.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
