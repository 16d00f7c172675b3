//! How busy what is served is.

use super::Hub;
use inferium_types::{NodeId, ProfileId};
use std::collections::BTreeSet;

/// What serves a profile now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Load {
    /// Those with an open lease.
    pub(crate) workers: BTreeSet<NodeId>,
    pub(crate) leases: usize,
    /// Jobs that all of them take at a time.
    pub(crate) slots: u64,
    /// Jobs that they are at.
    pub(crate) running: usize,
}

impl Hub {
    /// What serves a profile now.
    pub(crate) fn load(&self, profile: ProfileId) -> Load {
        let inner = self.lock();
        let mut load = Load::default();
        for entry in inner.leases.values().filter(|entry| entry.record.terms.profile == profile) {
            load.running = load.running.saturating_add(entry.running.len());
            if entry.is_open() {
                load.workers.insert(entry.record.worker);
                load.leases = load.leases.saturating_add(1);
                load.slots = load.slots.saturating_add(entry.record.terms.slots.into());
            }
        }
        load
    }

    /// Requests that wait for a lease with room.
    pub(crate) fn queued(&self) -> usize {
        self.lock().waiting.len()
    }
}
