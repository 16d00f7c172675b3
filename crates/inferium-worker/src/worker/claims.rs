//! Certified claims against this worker (SPEC T6): each one is answered, over restarts too.

use super::{Core, Own, WorkerError};
use crate::crime::Crime;
use crate::job::JobContext;
use crate::stall::Answerer;
use crate::store::ClaimRecord;
use inferium_ledger::{Lease, Stall, StateKey};
use inferium_types::{NodeId, StallId, vrf_input};
use std::sync::Arc;

impl Core {
    /// Enough relays hold a request: the worker's time runs.
    pub(super) async fn on_claim(&mut self, stall: StallId, relays: &[NodeId]) -> Result<(), WorkerError> {
        if self.config.crime == Some(Crime::Silent) {
            return Ok(());
        }
        let record = ClaimRecord { stall, relays: relays.to_vec() };
        // Before the block counts as handled: after a crash nothing else would tell of the claim.
        self.store.put_claim(&record)?;
        self.answer(record).await
    }

    /// Begins to answer a claim, unless it is over or being answered.
    pub(super) async fn answer(&mut self, record: ClaimRecord) -> Result<(), WorkerError> {
        let id = record.stall;
        if self.answering.contains(&id) {
            return Ok(());
        }
        let Some(claim): Option<Stall> = self.chain.entry(&StateKey::Stall(id)).await? else {
            return Ok(self.store.remove_claim(id)?);
        };
        let Some(lease): Option<Lease> = self.chain.entry(&StateKey::Lease(claim.lease)).await? else {
            return Ok(self.store.remove_claim(id)?);
        };
        self.answering.insert(id);
        let vrf_output = self.config.vrf.prove(&vrf_input(&lease.beacon, claim.lease)).output();
        let answerer = Answerer {
            id,
            claim,
            relays: record.relays,
            key: self.config.key.clone(),
            chain: self.chain.clone(),
            sender: self.sender.clone(),
            http: self.http.clone(),
            context: JobContext { engine: Arc::clone(&self.engine), vrf_output, salt: [0; 32], crime: None },
        };
        let own = self.own_tx.clone();
        tokio::spawn(async move {
            answerer.run().await;
            // The loop is gone only when the worker stops.
            let _ = own.send(Own::ClaimOver(id)).await;
        });
        Ok(())
    }

    pub(super) fn on_claim_over(&mut self, id: StallId) -> Result<(), WorkerError> {
        self.answering.remove(&id);
        Ok(self.store.remove_claim(id)?)
    }
}
