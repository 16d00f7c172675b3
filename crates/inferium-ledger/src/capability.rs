//! What workers' machines can do: measured, not declared (SPEC N2, N3).
//!
//! A capability task is a lease of a worker with itself: a chain of jobs that the beacon sets,
//! each made from the result of the one before, so that neither several machines nor work ahead
//! of time can shorten it. The chain's own clock times it, from the block that grants the lease to
//! the block that commits the segment; a committee replays a part of it like of any other.

use crate::entries::{Capability, LeaseState, Meta, Node, Segment};
use crate::execute::Block;
use crate::market::tier_index;
use crate::pool::escrow_for;
use crate::{Rejection, State};
use inferium_types::{
    CapabilityReport, Digest, Event, LeaseId, ModelTask, NodeId, Parameters, Ppm, Price, ProfileId, TaskId, TaskKind,
    TaskTerms, Tier, TransactionId, VerificationMode, limits,
};

/// Share of a capability task's jobs that its committee replays.
pub(crate) const ASSESSMENT_REPLAY: Ppm = Ppm::new(250_000);
/// Context that its jobs need; tokens.
const CONTEXT_TOKENS: u32 = 512;
/// What a token of an answer weighs against one of a prompt: it takes a pass of its own.
const COMPLETION_WEIGHT: u64 = 8;
/// Windows of work that the lease leaves for starting, committing and slow blocks.
const LEASE_WINDOWS: u64 = 5;

impl Block {
    /// SPEC N2: the worker asks for its task when it is idle enough, and pays for it.
    pub(crate) fn open_assessment(
        &mut self,
        transaction: TransactionId,
        sender: NodeId,
        profile: ProfileId,
        report: &CapabilityReport,
    ) -> Result<(), Rejection> {
        self.active_node(sender, "a worker", Node::is_worker)?;
        if !report.is_well_formed() {
            return Err(Rejection::OutOfBounds { field: "report" });
        }
        self.check_leasable(&[profile])?;
        if matches!(
            self.state.task_of(profile),
            ModelTask::Host | ModelTask::Fold | ModelTask::Train | ModelTask::Prove | ModelTask::ProvePrivate { .. }
        ) {
            return Err(Rejection::Profile { expected: "a model's" });
        }
        if self.state.is_barred_from(sender, profile) {
            return Err(Rejection::BarredFromProfile);
        }
        let task = TaskId::new(transaction.digest());
        let id = LeaseId::of_task(task);
        let old = self.state.capabilities.get(&sender);
        let running = old.and_then(|old| old.lease).and_then(|lease| self.state.leases.get(&lease));
        if running.is_some_and(|lease| lease.state == LeaseState::Active || lease.segments_pending > 0) {
            return Err(Rejection::WrongState { what: "a second capability task" });
        }
        let parameters = &self.state.meta().parameters;
        let terms = assessment_terms(profile, self.state.mode_of(profile), parameters);
        let escrow = escrow_for(&terms, parameters)?;
        let capability = Capability {
            report: report.clone(),
            profile,
            lease: Some(id),
            ..old.cloned().unwrap_or_else(|| Capability {
                report: report.clone(),
                profile,
                lease: None,
                score: 0,
                tier: None,
                measured_at_ms: 0,
                call_due_ms: None,
                draw_at_ms: u64::MAX,
            })
        };
        self.state.debit(sender, escrow)?;
        self.state.set_capability(sender, capability);
        self.begin_lease(task, sender, sender, terms, terms.price_max, escrow);
        Ok(())
    }

    /// A committee approved a capability task: its totals and its time are the measure.
    pub(crate) fn measure(&mut self, segment: &Segment) {
        let Some(mut capability) = self.state.capabilities.get(&segment.worker).cloned() else { return };
        // SPEC S3: whoever was barred meanwhile serves nothing.
        if self.state.nodes.get(&segment.worker).is_none_or(|node| node.disqualified) {
            return;
        }
        let totals = &segment.terms.totals;
        let units = totals.prompt_tokens.saturating_add(totals.completion_tokens.saturating_mul(COMPLETION_WEIGHT));
        let meta = self.state.meta();
        let score = units.saturating_mul(1_000).checked_div(segment.elapsed_ms).unwrap_or(0);
        let most = self.state.task_of(segment.profile).most_tier();
        let tier = tier_of(score, &meta.parameters).min(capability.report.tier).min(most);
        capability.profile = segment.profile;
        capability.score = score;
        capability.tier = Some(tier);
        capability.measured_at_ms = self.now_ms;
        capability.call_due_ms = None;
        capability.draw_at_ms = self.now_ms.saturating_add(meta.parameters.epoch_ms);
        let (worker, profile) = (segment.worker, capability.profile);
        self.state.set_capability(worker, capability);
        self.events.push(Event::CapabilityMeasured { worker, profile, score, tier });
    }

    /// Once an epoch the beacon may call a worker to be measured again; one that does not come
    /// loses its tier.
    pub(crate) fn advance_capability(&mut self, id: NodeId) {
        let Some(mut capability) = self.state.capabilities.get(&id).cloned() else { return };
        let meta = self.state.meta();
        let parameters = &meta.parameters;
        if let Some(due_at_ms) = capability.call_due_ms {
            // SPEC C3: nobody could come while the chain stood still.
            let renewed_ms = meta.renewed_ms(parameters.assessment_call_ms);
            // A task that was opened at the last moment puts nothing off: else a next one could
            // always follow.
            let running = capability
                .lease
                .and_then(|lease| self.state.leases.get(&lease))
                .is_some_and(|lease| lease.granted_ms.saturating_add(parameters.assessment_ms) <= due_at_ms);
            if due_at_ms < renewed_ms {
                capability.call_due_ms = Some(renewed_ms);
            } else if running {
                capability.call_due_ms = Some(self.now_ms.saturating_add(parameters.assessment_ms));
            } else {
                self.lose_tier(id);
                return;
            }
        } else {
            let draw = Digest::of("inferium/assessment/1", &[meta.beacon.as_bytes(), id.as_bytes()]);
            if draw.draw(u64::from(Ppm::ONE.get())) < u64::from(parameters.assessment_share.get()) {
                let due_at_ms = self.now_ms.saturating_add(parameters.assessment_call_ms);
                capability.call_due_ms = Some(due_at_ms);
                self.events.push(Event::AssessmentCalled { worker: id, due_at_ms });
            } else {
                capability.draw_at_ms = self.now_ms.saturating_add(parameters.epoch_ms);
            }
        }
        self.state.set_capability(id, capability);
    }

    /// The worker serves nothing until it is measured again.
    pub(crate) fn lose_tier(&mut self, id: NodeId) {
        let Some(mut capability) = self.state.capabilities.get(&id).cloned() else { return };
        let had_one = capability.tier.is_some();
        capability.tier = None;
        capability.call_due_ms = None;
        capability.draw_at_ms = u64::MAX;
        self.state.set_capability(id, capability);
        if had_one {
            self.events.push(Event::TierLost { worker: id });
        }
    }
}

impl State {
    /// What a worker's machine measured.
    #[must_use]
    pub fn capability(&self, worker: &NodeId) -> Option<&Capability> {
        self.capabilities.get(worker)
    }

    /// Writes a worker's capability, and keeps the counts over all workers (SPEC N3, R2).
    pub(crate) fn set_capability(&mut self, id: NodeId, capability: Capability) {
        let new = (capability.tier, capability.score);
        let old = self.put_capability(id, capability).map_or((None, 0), |old| (old.tier, old.score));
        if new.0 != old.0 {
            self.wait_anew(id);
        }
        let meta = self.meta_mut();
        for ((tier, score), grows) in [(old, false), (new, true)] {
            let Some(tier) = tier else { continue };
            let slots = [meta.tiers.get_mut(tier_index(tier)), meta.speeds.get_mut(speed_index(score))];
            for slot in slots.into_iter().flatten() {
                *slot = if grows { slot.saturating_add(1) } else { slot.saturating_sub(1) };
            }
        }
    }

    /// Draws of another tier, or while it had none, passed no one over (SPEC T5).
    fn wait_anew(&mut self, worker: NodeId) {
        let profiles: Vec<ProfileId> = self.profiles.keys().copied().collect();
        for profile in profiles {
            let draws = self.draws_for(worker, profile);
            if let Some(offer) = self.offers.get_mut(&(profile, worker)) {
                offer.waits_from = draws;
            }
        }
    }

    /// Share of measured workers that are slower, with half of those about as fast (SPEC R2).
    pub(crate) fn speed_percentile(&self, worker: &NodeId) -> Ppm {
        match self.capabilities.get(worker) {
            Some(capability) if capability.tier.is_some() => self.percentile_of(capability.score),
            Some(_) | None => Ppm::default(),
        }
    }

    /// Share of measured workers that are slower than one of this score.
    pub(crate) fn percentile_of(&self, score: u64) -> Ppm {
        let speeds = &self.meta().speeds;
        let index = speed_index(score);
        let count = |speeds: &[u32]| speeds.iter().fold(0u64, |sum, count| sum.saturating_add(u64::from(*count)));
        let slower = count(speeds.get(..index).unwrap_or(&[]));
        let equal = u64::from(speeds.get(index).copied().unwrap_or(0));
        let below = slower.saturating_mul(2).saturating_add(equal).saturating_mul(500_000);
        let share = below.checked_div(count(speeds)).unwrap_or(0);
        Ppm::new(u32::try_from(share).unwrap_or(u32::MAX))
    }
}

impl Meta {
    /// Measured workers that may serve a tier: its own at once, higher ones what would starve
    /// (SPEC N3).
    #[must_use]
    pub const fn workers_for(&self, tier: Tier) -> u32 {
        let [low, mid, high] = self.tiers;
        match tier {
            Tier::Low => low.saturating_add(mid).saturating_add(high),
            Tier::Mid => mid.saturating_add(high),
            Tier::High => high,
        }
    }
}

/// Scores of one binary order of magnitude count as equally fast.
fn speed_index(score: u64) -> usize {
    score.checked_ilog2().and_then(|log| usize::try_from(log).ok()).unwrap_or(0).min(31)
}

/// SPEC N3: the tier by the measured score alone.
const fn tier_of(score: u64, parameters: &Parameters) -> Tier {
    if score >= parameters.tier_high_score {
        Tier::High
    } else if score >= parameters.tier_mid_score {
        Tier::Mid
    } else {
        Tier::Low
    }
}

const fn assessment_terms(profile: ProfileId, mode: VerificationMode, parameters: &Parameters) -> TaskTerms {
    let price = parameters.assessment_price;
    TaskTerms {
        kind: TaskKind::Benchmark,
        mode,
        tier: Tier::Low,
        profile,
        price_max: Price { prompt_token: price, completion_token: price },
        jobs_max: parameters.assessment_items_max,
        tokens_max: limits::SEGMENT_TOKENS_MAX,
        slots: 1,
        context_tokens: CONTEXT_TOKENS,
        open_ms: 1,
        lease_ms: parameters.assessment_ms.saturating_mul(LEASE_WINDOWS),
    }
}
