//! Segments: proposed to the gateway, signed by both, committed, proven (SPEC J3).

use super::{Core, Own, WorkerError};
use crate::evidence::Handover;
use crate::forced;
use crate::job::JobContext;
use crate::lease::Agreement;
use crate::store::SegmentRecord;
use inferium_ledger::{Lease, StateKey};
use inferium_store::StoreError;
use inferium_types::{
    Digest, JobId, LeaseId, NodeId, Ppm, SegmentCommitment, SegmentId, SegmentTerms, Signature, TransactionBody,
    wire::{Planting, WorkerMessage},
};
use std::time::Duration;
use tracing::debug;

/// Jobs of a segment from which the lease counts as busy, and how long it then collects.
const BUSY_JOBS: u32 = 32;
const BUSY_REST: Duration = Duration::from_secs(1);
/// Wait before a segment's transaction is tried again.
const COMMIT_RETRY: Duration = Duration::from_secs(1);

impl Core {
    /// After a break, proposes again what the gateway may not have seen.
    pub(super) fn propose_again(&self, gateway: NodeId) -> Result<(), WorkerError> {
        for work in self.leases.values().filter(|work| work.record.gateway == gateway) {
            let Agreement::Proposed(terms) = &work.agreement else { continue };
            if let Some(record) = self.store.segment(terms.id())? {
                self.propose(&record);
            }
        }
        Ok(())
    }

    /// The next segment may follow at once, unless the lease is so busy that waiting a little
    /// lets one segment hold much more.
    pub(super) fn on_committed(&mut self, terms: SegmentTerms) -> Result<(), WorkerError> {
        let lease = terms.lease;
        let Some(work) = self.leases.get_mut(&lease) else { return Ok(()) };
        let is_busy = terms.totals.jobs >= BUSY_JOBS && !work.has_whole_segment();
        work.agreement = if is_busy && !work.record.ended { Agreement::Resting } else { Agreement::Idle };
        if is_busy {
            let own = self.own_tx.clone();
            tokio::spawn(async move {
                tokio::time::sleep(BUSY_REST).await;
                let _ = own.send(Own::Rested(lease)).await;
            });
        }
        self.next_segment(lease)
    }

    /// Proposes the lease's next segment when there is something to commit.
    pub(super) fn next_segment(&mut self, lease: LeaseId) -> Result<(), WorkerError> {
        let Some(work) = self.leases.get_mut(&lease) else { return Ok(()) };
        // SPEC V5: what the VRF orders is done first.
        if let Some(planting) = work.begin_planting(self.parameters.forced_share) {
            let (model, server) = (self.model.clone(), self.config.server.clone());
            let context = JobContext::honest(model, server, work.vrf_output, work.record.terms.mode);
            let own = self.own_tx.clone();
            tokio::spawn(async move {
                let done = forced::plant(context, lease, planting).await;
                // The loop is gone only when the worker stops.
                let _ = own.send(Own::Planted(lease, done.map(Box::new))).await;
            });
        } else if let Some(record) = work.make_segment(&self.config.key) {
            // SPEC C8: on disk before the signature leaves.
            self.store.put_segment(&record)?;
            self.propose(&record);
        }
        self.drop_if_done(lease)
    }

    pub(super) fn propose(&self, record: &SegmentRecord) {
        let Some(outbox) = self.sessions.outbox(record.gateway) else { return };
        let message = WorkerMessage::Segment {
            terms: record.terms,
            jobs: (0u32..)
                .zip(&record.leaves)
                .filter(|(index, _)| record.planted != Some(*index))
                .map(|(_, leaf)| leaf.request.job)
                .collect(),
            signature: record.worker_signature,
            planted: planting(record),
        };
        let outbox = outbox.clone();
        tokio::spawn(async move {
            // A lost session proposes again when it is back.
            let _ = outbox.send(message).await;
        });
    }

    pub(super) fn on_signed(
        &mut self,
        gateway: NodeId,
        lease: LeaseId,
        index: u32,
        signature: Signature,
    ) -> Result<(), WorkerError> {
        let Some(mut record) = self.store.segment(SegmentId::of_lease(lease, index))? else { return Ok(()) };
        let is_awaited =
            self.leases.get(&lease).is_some_and(|work| work.agreement == Agreement::Proposed(record.terms));
        if !is_awaited || record.gateway != gateway || !record.terms.signed_by_gateway(&gateway, &signature) {
            return Ok(());
        }
        record.gateway_signature = Some(signature);
        self.store.put_segment(&record)?;
        self.commit(record, signature);
        Ok(())
    }

    pub(super) fn commit(&mut self, record: SegmentRecord, gateway_signature: Signature) {
        let terms = record.terms;
        if let Some(work) = self.leases.get_mut(&terms.lease) {
            work.agreement = Agreement::Committing(terms);
        }
        let commitment = SegmentCommitment { terms, worker_signature: record.worker_signature, gateway_signature };
        let (sender, own) = (self.sender.clone(), self.own_tx.clone());
        tokio::spawn(async move {
            let outcome = sender.send(TransactionBody::CommitSegment { commitment }).await;
            let _ = own.send(Own::Committed(terms, outcome.map(drop).map_err(|e| e.to_string()))).await;
        });
    }

    /// Waits a little, and looks what became of the lease, before a segment's transaction is tried again.
    pub(super) fn retry_later(&self, terms: SegmentTerms, reason: &str) {
        debug!(lease = %terms.lease, index = terms.index, reason, "segment not committed yet");
        let (own, chain) = (self.own_tx.clone(), self.chain.clone());
        tokio::spawn(async move {
            tokio::time::sleep(COMMIT_RETRY).await;
            let lease = chain.entry::<Lease>(&StateKey::Lease(terms.lease)).await;
            let _ = own.send(Own::Retry(terms, lease.map(|lease| lease.map(|lease| lease.segments)))).await;
        });
    }

    /// Tries a segment again, unless the chain has it or its lease is gone. `committed` is how many of the lease's
    /// segments the chain has, if it has the lease.
    pub(super) fn retry(&mut self, terms: SegmentTerms, committed: Option<u32>) -> Result<(), WorkerError> {
        match (committed, self.store.segment(terms.id())?) {
            (Some(committed), Some(record)) if committed == terms.index => {
                if let Some(signature) = record.gateway_signature {
                    self.commit(record, signature);
                }
            }
            (Some(_), _) => {
                if let Some(work) = self.leases.get_mut(&terms.lease) {
                    work.agreement = Agreement::Idle;
                }
                self.next_segment(terms.lease)?;
            }
            (None, _) => self.forget_lease(terms.lease)?,
        }
        Ok(())
    }

    /// Takes out what the gateway did not get and proposes the rest; when nothing can be agreed
    /// on, the work is lost and the lease over (SPEC J3: never more than one segment).
    pub(super) fn on_refused(
        &mut self,
        gateway: NodeId,
        lease: LeaseId,
        index: u32,
        undelivered: &[JobId],
    ) -> Result<(), WorkerError> {
        let Some(work) = self.leases.get_mut(&lease).filter(|work| work.record.gateway == gateway) else {
            return Ok(());
        };
        if !matches!(&work.agreement, Agreement::Proposed(terms) if terms.index == index) {
            return Ok(());
        }
        let id = SegmentId::of_lease(lease, index);
        let Some(refused) = self.store.segment(id)? else {
            return Err(StoreError::new(format_args!("segment {id} was proposed, and is not kept")).into());
        };
        let was_ended = work.record.ended;
        let other = work.take_back(refused, undelivered, &self.config.key);
        let ends = work.record.ended && !was_ended;
        // SPEC C8: on disk before the signature leaves.
        self.store.replace_segment(id, other.as_ref())?;
        if let Some(other) = other {
            self.propose(&other);
        }
        if ends {
            let sender = self.sender.clone();
            tokio::spawn(async move {
                if let Err(error) = sender.send(TransactionBody::CloseLease { lease }).await {
                    debug!(%lease, %error, "the lease was not closed");
                }
            });
        }
        self.drop_if_done(lease)
    }

    /// Starts to send a segment's evidence to members of its committee. The worker's loop does not wait for anyone
    /// there: jobs begin meanwhile.
    pub(super) fn send_evidence(
        &self,
        segment: SegmentId,
        members: &[NodeId],
        seed: &Digest,
        replay: Ppm,
        known_wrong: Option<u32>,
    ) -> Result<(), WorkerError> {
        let Some(record) = self.store.segment(segment)? else { return Ok(()) };
        let handover = Handover {
            vrf_proof: self.leases.get(&record.terms.lease).map(|work| work.vrf_proof),
            vrf: self.config.vrf.clone(),
            record,
            seed: *seed,
            replay,
            known_wrong,
            chain: self.chain.clone(),
            http: self.http.clone(),
        };
        tokio::spawn(handover.run(members.to_vec()));
        Ok(())
    }
}

/// What the gateway has to know of a planted job to sign for it.
fn planting(record: &SegmentRecord) -> Option<Planting> {
    let position = record.planted?;
    let leaf = record.leaves.get(usize::try_from(position).ok()?)?.clone();
    Some(Planting { proof: record.forced_proof?, position, leaf })
}
