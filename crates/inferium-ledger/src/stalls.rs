//! Certified delivery: how the chain can see that a worker did not answer (SPEC T6).

use crate::Rejection;
use crate::entries::{LeaseState, Node, Stall, StallState};
use crate::execute::Block;
use inferium_types::{Digest, Event, ImpossibleJob, JobRequest, JobResult, LeaseEnd, NodeId, StallId};
use std::collections::BTreeSet;

impl Block {
    pub(crate) fn report_stall(&mut self, sender: NodeId, request: &JobRequest) -> Result<(), Rejection> {
        self.active_node(sender, "a gateway", Node::is_gateway)?;
        let lease = self.state.leases.get(&request.lease).copied().ok_or(Rejection::Unknown { what: "lease" })?;
        if lease.gateway != sender {
            return Err(Rejection::NotAllowed { expected: "the lease's gateway" });
        }
        if lease.state != LeaseState::Active {
            return Err(Rejection::WrongState { what: "a claim about an ended lease" });
        }
        // SPEC V12: an answer would be an opening that nobody counted.
        if self.state.openings_left(lease.terms.profile).is_some() {
            return Err(Rejection::WrongState { what: "a claim about private weights" });
        }
        // No worker is held to what none could do.
        request.check(lease.terms.context_tokens).map_err(|error| match error {
            ImpossibleJob::Sequence => Rejection::OutOfBounds { field: "sequence" },
            ImpossibleJob::Sampling => Rejection::OutOfBounds { field: "sampling" },
            _ => Rejection::OutOfBounds { field: "tokens" },
        })?;
        // One at a time: a worker is never held to more than one answer in a window.
        if self.has_stall(request.lease) {
            return Err(Rejection::Exists { what: "claim" });
        }
        let id = StallId::of_job(request.lease, request.sequence);
        let parameters = &self.state.meta().parameters;
        let view = self.view.saturating_add(parameters.draw_delay_views);
        let until_ms = self.now_ms.saturating_add(parameters.stall_certify_ms);
        self.state.set_stall(
            id,
            Some(Stall {
                lease: request.lease,
                worker: lease.worker,
                gateway: sender,
                request: request.digest(),
                tokens: request.tokens(),
                job: request.job,
                state: StallState::AwaitingSeed { view, until_ms },
            }),
        );
        Ok(())
    }

    /// Relays are validators of neither side, drawn by a seed that no one knew before (SPEC C4).
    pub(crate) fn draw_relays(&mut self, id: StallId, beacon: &Digest) {
        let Some(mut stall) = self.state.stalls.get(&id).cloned() else { return };
        let meta = self.state.meta();
        let sides = [&stall.worker, &stall.gateway].map(|side| self.state.operator_of(side));
        let mut relays: Vec<NodeId> = self
            .state
            .nodes
            .iter()
            .filter(|(_, node)| {
                node.is_validator() && node.is_active(meta.epoch) && !sides.contains(&Some(node.operator))
            })
            .map(|(id, _)| *id)
            .collect();
        relays.sort_by_key(|relay| {
            Digest::of("inferium/relay/1", &[beacon.as_bytes(), id.digest().as_bytes(), relay.as_bytes()])
        });
        // SPEC N6: most of them must not be one operator's.
        let mut operators = BTreeSet::new();
        relays.retain(|relay| operators.insert(self.state.operator_of(relay)));
        relays.truncate(usize::try_from(meta.parameters.stall_relays).unwrap_or(usize::MAX));
        relays.sort_unstable();
        if relays.is_empty() {
            self.state.set_stall(id, None);
            return;
        }
        let until_ms = self.now_ms.saturating_add(meta.parameters.stall_certify_ms);
        self.events.push(Event::StallReported {
            stall: id,
            lease: stall.lease,
            worker: stall.worker,
            request: stall.request,
            relays: relays.clone(),
        });
        stall.state =
            StallState::Relaying { relays: relays.into_iter().map(|relay| (relay, false)).collect(), until_ms };
        self.state.set_stall(id, Some(stall));
    }

    /// A relay holds the request; with most of them, the worker's time begins.
    pub(crate) fn certify_delivery(&mut self, sender: NodeId, id: StallId) -> Result<(), Rejection> {
        let mut stall = self.state.stalls.get(&id).cloned().ok_or(Rejection::Unknown { what: "claim" })?;
        let window_ms = stall.answer_window_ms(&self.state.meta().parameters);
        let StallState::Relaying { relays, .. } = &mut stall.state else {
            return Err(Rejection::WrongState { what: "a certification" });
        };
        let relay = relays
            .iter_mut()
            .find(|(relay, _)| *relay == sender)
            .ok_or(Rejection::NotAllowed { expected: "a drawn relay" })?;
        if relay.1 {
            return Err(Rejection::Exists { what: "certification" });
        }
        relay.1 = true;
        let certified = relays.iter().filter(|(_, certified)| *certified).count();
        if certified.saturating_mul(2) > relays.len() {
            let parameters = &self.state.meta().parameters;
            let due_at_ms = self.now_ms.saturating_add(window_ms);
            let due_at_height = self.height.saturating_add(parameters.draw_delay_views);
            let holders = relays.iter().filter(|(_, certified)| *certified).map(|(relay, _)| *relay).collect();
            stall.state = StallState::Certified { due_at_ms, due_at_height };
            self.events.push(Event::StallCertified { stall: id, worker: stall.worker, relays: holders, due_at_ms });
        }
        self.state.set_stall(id, Some(stall));
        Ok(())
    }

    pub(crate) fn answer_stall(&mut self, sender: NodeId, id: StallId, result: &JobResult) -> Result<(), Rejection> {
        let stall = self.state.stalls.get(&id).ok_or(Rejection::Unknown { what: "claim" })?;
        if stall.worker != sender {
            return Err(Rejection::NotAllowed { expected: "the claim's worker" });
        }
        if result.request != stall.request {
            return Err(Rejection::Evidence { why: "the result is for another request" });
        }
        let gateway = stall.gateway;
        self.state.set_stall(id, None);
        self.events.push(Event::StallAnswered { stall: id, gateway });
        Ok(())
    }

    /// A claim's time is over: it lapses, or the worker missed its deadline.
    pub(crate) fn advance_stall(&mut self, id: StallId) {
        let Some(mut stall) = self.state.stalls.get(&id).cloned() else { return };
        let meta = self.state.meta();
        let renewed_ms = meta.renewed_ms(stall.answer_window_ms(&meta.parameters));
        match &mut stall.state {
            StallState::AwaitingSeed { .. } | StallState::Relaying { .. } => self.state.set_stall(id, None),
            StallState::Certified { due_at_ms, due_at_height } => {
                // SPEC C3: nobody could answer while the chain stood still.
                let renewed_ms = Some(renewed_ms).filter(|at_ms| *due_at_ms < *at_ms);
                let early_ms = (self.height < *due_at_height).then(|| self.now_ms.saturating_add(1));
                if let Some(later_ms) = renewed_ms.or(early_ms) {
                    *due_at_ms = later_ms;
                    self.state.set_stall(id, Some(stall));
                    return;
                }
                self.state.set_stall(id, None);
                if let Some(lease) = self.state.leases.get(&stall.lease).copied() {
                    self.slash_deadline(stall.worker, stall.job, lease.terms.profile);
                    self.end_lease(stall.lease, LeaseEnd::Fault);
                }
            }
        }
    }
}
