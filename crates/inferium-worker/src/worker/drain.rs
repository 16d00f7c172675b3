//! Stopping without loss: what was signed is judged and opened before the worker goes.
//!
//! A worker that just goes leaves segments whose evidence nobody gets, and pays for them (SPEC S6).

use super::{Core, WorkerError};
use crate::lease::LeaseWork;
use inferium_types::{LeaseId, OfferTerms, SegmentId, TransactionBody};
use std::collections::BTreeSet;
use tracing::debug;

/// How far segments of a worker that wants to go have come.
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// It wants to go.
    pub(super) begun: bool,
    /// Segments with a verdict that is not paid yet.
    judged: BTreeSet<SegmentId>,
    /// Segments that were opened, or owe no opening.
    opened: BTreeSet<SegmentId>,
}

impl Drain {
    pub(super) fn on_judged(&mut self, segment: SegmentId) {
        self.judged.insert(segment);
    }

    pub(super) fn on_opened(&mut self, segments: impl IntoIterator<Item = SegmentId>) {
        self.opened.extend(segments);
    }

    /// It is paid or rejected.
    pub(super) fn on_over(&mut self, segment: SegmentId) {
        self.judged.remove(&segment);
        self.opened.remove(&segment);
    }
}

impl Core {
    /// Takes nothing new, and ends what there is.
    pub(super) fn begin_drain(&mut self) -> Result<(), WorkerError> {
        self.drain.begun = true;
        let terms = OfferTerms { slots: 0, ..self.config.offer };
        self.send(TransactionBody::SetOffer { profile: self.config.profile, terms });
        let open: Vec<LeaseId> =
            self.leases.values().filter(|work| !work.record.ended).map(|work| work.record.lease).collect();
        for lease in open {
            self.close(lease);
        }
        for due_ms in self.unopened.values_mut() {
            *due_ms = 0;
        }
        self.open_segments()
    }

    pub(super) fn close(&self, lease: LeaseId) {
        self.send(TransactionBody::CloseLease { lease });
    }

    fn send(&self, body: TransactionBody) {
        let sender = self.sender.clone();
        tokio::spawn(async move {
            if let Err(error) = sender.send(body).await {
                debug!(%error, "on the way out");
            }
        });
    }

    /// Whether nothing is lost by going now.
    pub(super) fn is_drained(&self) -> Result<bool, WorkerError> {
        if !self.drain.begun || !self.leases.values().all(LeaseWork::is_done) {
            return Ok(false);
        }
        let owes = self.parameters.forced_share.get() > 0;
        let is_over = |id: &SegmentId| self.drain.judged.contains(id) && (!owes || self.drain.opened.contains(id));
        Ok(self.store.segment_ids()?.iter().all(is_over))
    }
}
