//! Challenges of this worker's jobs (SPEC V11): each one is stood until it is over, over restarts too.

use super::{Core, Own, WorkerError};
use crate::challenge::Shower;
use crate::crime::Crime;
use crate::store::ChallengeRecord;
use inferium_types::{NodeId, SegmentId};
use std::sync::Arc;

impl Core {
    /// A validator says that a job was computed wrong.
    pub(super) fn on_challenge(&mut self, record: ChallengeRecord) -> Result<(), WorkerError> {
        if self.config.crime == Some(Crime::Silent) {
            return Ok(());
        }
        // Before the block counts as handled: after a crash nothing else would tell of the challenge.
        self.store.put_challenge(&record)?;
        self.stand(record)
    }

    /// Begins to show what is asked, unless that is under way.
    pub(super) fn stand(&mut self, record: ChallengeRecord) -> Result<(), WorkerError> {
        let ChallengeRecord { segment, challenger, job } = record;
        let kept = self.store.segment(segment)?;
        let index = usize::try_from(job).unwrap_or(usize::MAX);
        let Some(job) = kept.and_then(|kept| kept.jobs.into_iter().nth(index)) else {
            // It is settled or rejected, and so is the challenge.
            return Ok(self.store.remove_challenge((segment, challenger))?);
        };
        if !self.showing.insert((segment, challenger)) {
            return Ok(());
        }
        // What was planted by order can't be shown, and need not be, once that is known (SPEC V5).
        self.open_now(segment);
        let (chain, sender, model) = (self.chain.clone(), self.sender.clone(), self.model.clone());
        let desk = Arc::clone(&self.audits);
        let shower = Shower { record, job, model, chain, sender, desk };
        let own = self.own_tx.clone();
        tokio::spawn(async move {
            shower.run().await;
            // The loop is gone only when the worker stops.
            let _ = own.send(Own::ChallengeOver((segment, challenger))).await;
        });
        Ok(())
    }

    pub(super) fn on_challenge_over(&mut self, key: (SegmentId, NodeId)) -> Result<(), WorkerError> {
        self.showing.remove(&key);
        Ok(self.store.remove_challenge(key)?)
    }
}
