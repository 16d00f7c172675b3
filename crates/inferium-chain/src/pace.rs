//! How fast blocks follow each other.

use std::time::Duration;

/// The proposer's pace. The engine itself has no least time between blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Milliseconds between blocks while nothing waits.
    pub idle_ms: u64,
    /// Milliseconds between blocks while transactions or the ledger's queues wait.
    pub busy_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { idle_ms: 1_000, busy_ms: 100 }
    }
}

impl Pace {
    /// When a block may follow one of time `parent_ms`.
    pub(crate) const fn due_ms(&self, parent_ms: u64, busy: bool) -> u64 {
        parent_ms.saturating_add(if busy { self.busy_ms } else { self.idle_ms })
    }

    /// How long the others wait for a leader: well above the idle pace, so that an idle network
    /// skips no view.
    pub(crate) fn leader_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_ms.max(self.busy_ms)).saturating_add(Duration::from_secs(2))
    }

    /// How long they wait for the view to be certified.
    pub(crate) fn certification_timeout(&self) -> Duration {
        self.leader_timeout().saturating_add(Duration::from_secs(2))
    }
}
