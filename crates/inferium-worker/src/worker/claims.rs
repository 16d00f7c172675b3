//! Certified claims against this worker (SPEC T6): each one is answered, over restarts too.

use super::{Core, Own, WorkerError};
use crate::crime::Crime;
use crate::stall::Answerer;
use crate::store::ClaimRecord;
use inferium_types::{NodeId, StallId};
use std::sync::Arc;

impl Core {
    /// Enough relays hold a request: the worker's time runs.
    pub(super) fn on_claim(&mut self, stall: StallId, relays: &[NodeId]) -> Result<(), WorkerError> {
        if matches!(self.config.crime, Some(Crime::Silent | Crime::LateProof)) {
            return Ok(());
        }
        let record = ClaimRecord { stall, relays: relays.to_vec() };
        // Before the block counts as handled: after a crash nothing else would tell of the claim.
        self.store.put_claim(&record)?;
        self.answer(record);
        Ok(())
    }

    /// Begins to answer a claim, unless it is being answered.
    pub(super) fn answer(&mut self, record: ClaimRecord) {
        let id = record.stall;
        if !self.answering.insert(id) {
            return;
        }
        let answerer = Answerer {
            id,
            relays: record.relays,
            key: self.config.key.clone(),
            vrf: self.config.vrf.clone(),
            chain: self.chain.clone(),
            sender: self.sender.clone(),
            http: self.http.clone(),
            model: self.model.clone(),
            server: self.config.server.clone(),
            prover: self.config.proving.as_ref().map(|proving| Arc::clone(&proving.prover)),
        };
        let own = self.own_tx.clone();
        tokio::spawn(async move {
            answerer.run().await;
            // The loop is gone only when the worker stops.
            let _ = own.send(Own::ClaimOver(id)).await;
        });
    }

    pub(super) fn on_claim_over(&mut self, id: StallId) -> Result<(), WorkerError> {
        self.answering.remove(&id);
        Ok(self.store.remove_claim(id)?)
    }
}
