//! What a worker takes up when it starts again.

use super::{Core, WorkerError};
use crate::lease::{Agreement, LeaseUse};
use crate::store::{LeaseRecord, SegmentRecord};
use inferium_ledger::{Lease, LeaseState, Segment, SegmentState, StateKey};
use inferium_types::NodeId;

impl Core {
    /// Takes up what a former run left: leases, segments that are signed but not settled,
    /// claims that are not answered.
    pub(super) async fn recover(&mut self) -> Result<(), WorkerError> {
        for record in self.store.leases()? {
            let on_chain: Option<Lease> = self.chain.entry(&StateKey::Lease(record.lease)).await?;
            match on_chain {
                Some(lease) => {
                    // Of a model that is not served any more it takes no jobs; what it did is still handed in.
                    let is_other = !self.serves(record.terms.profile);
                    if is_other {
                        self.close(record.lease);
                    }
                    let ended = is_other || lease.state != LeaseState::Active;
                    let used = LeaseUse { jobs: lease.jobs, tokens: lease.tokens };
                    self.serve(LeaseRecord { ended, ..record }, lease.segments, used);
                }
                None => self.store.remove_lease(record.lease)?,
            }
        }
        for id in self.store.segment_ids()? {
            if let Some(record) = self.store.segment(id)? {
                self.recover_segment(record).await?;
            }
        }
        for record in self.store.claims()? {
            self.answer(record);
        }
        for record in self.store.challenges()? {
            self.stand(record)?;
        }
        Ok(())
    }

    async fn recover_segment(&mut self, record: SegmentRecord) -> Result<(), WorkerError> {
        let id = record.terms.id();
        let on_chain: Option<Segment> = self.chain.entry(&StateKey::Segment(id)).await?;
        if let Some(segment) = on_chain {
            self.recover_opening(id, &segment);
            if let SegmentState::Judging { members, seed, replay, .. } = &segment.state {
                let waiting: Vec<NodeId> =
                    members.iter().filter(|m| !m.ballot.is_bound()).map(|m| m.validator).collect();
                self.send_evidence(id, &waiting, seed, *replay, segment.opening.known_wrong())?;
            }
            return Ok(());
        }
        match self.leases.get_mut(&record.terms.lease) {
            // Signed, and not on the chain: agree on it again before anything else.
            Some(work) if record.terms.index >= work.next_index => {
                work.next_index = record.terms.index.saturating_add(1);
                match record.gateway_signature {
                    Some(signature) => self.commit(record, signature),
                    None => work.agreement = Agreement::Proposed(record.terms),
                }
            }
            _ => self.store.remove_segment(id)?,
        }
        Ok(())
    }
}
