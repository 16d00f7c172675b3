//! The slashing table (SPEC S): from proof to hold, from hold to the end.

use crate::entries::{Hold, LeaseState, Member, Segment};
use crate::execute::Block;
use crate::verdicts::voters;
use crate::{Rejection, reputation};
use inferium_types::{
    AccountId, Amount, ConsensusVote, Event, JobId, JobProof, LeaseEnd, LeaseId, NodeId, Ppm, ProfileId, RequestProof,
    SegmentId, SignedTotals, SlashRule, SlashedNode, TaskId, TaskKind, VerdictVote,
};

const WHOLE: Taken = Taken::Share(Ppm::ONE);
/// Upheld faults within [`FAULT_MEMORY_MS`] that make fraud.
const FAULTS_MAX: usize = 3;
const FAULT_MEMORY_MS: u64 = 30 * 24 * 3_600_000;
/// Epochs that a jailed worker sits out besides the running one.
const JAIL_EPOCHS: u64 = 2;

/// How much a slash takes.
#[derive(Clone, Copy)]
enum Taken {
    /// A share of all stake that answers for the node, of each pool alike.
    Share(Ppm),
    /// So much, as far as there is: of own stake first, then of what unbonds.
    Amount(Amount),
}

/// What a slash is about.
struct Cause {
    rule: SlashRule,
    segment: Option<SegmentId>,
    job: Option<JobId>,
    profile: Option<ProfileId>,
    provers: Vec<NodeId>,
    harmed: Option<NodeId>,
    /// What they lost by it at most.
    harm: Amount,
    /// It takes the right to work, not only stake.
    bars: bool,
}

impl Cause {
    /// Nobody gains by it, and it is about nothing yet.
    const fn new(rule: SlashRule) -> Self {
        Self {
            rule,
            segment: None,
            job: None,
            profile: None,
            provers: Vec::new(),
            harmed: None,
            harm: Amount::ZERO,
            bars: false,
        }
    }
}

impl Block {
    /// The full committee found `job` of the segment wrong: the worker pays, and so does everyone who
    /// attested a replay that can't have been.
    pub(crate) fn convict(&mut self, segment: &Segment, id: SegmentId, members: &[Member], job: u32) {
        let mut provers = voters(members, |vote| matches!(vote, VerdictVote::Invalid { .. }));
        let mut approvers = voters(members, VerdictVote::approves);
        for prover in &provers {
            self.count_duty(*prover);
        }
        if let Some(dispute) = &segment.dispute {
            // Who approved first attested its replay, whatever it says now: of the jobs that were drawn for it.
            approvers.extend(dispute.approval.attested(id, job));
            approvers.sort_unstable();
            approvers.dedup();
            provers.push(dispute.challenger);
            provers.retain(|prover| approvers.binary_search(prover).is_err());
            provers.sort_unstable();
            provers.dedup();
        }
        self.punish(segment, id, approvers, &provers);
    }

    /// SPEC V11: the ledger computed it.
    pub(crate) fn convict_refuted(
        &mut self,
        segment: &Segment,
        id: SegmentId,
        approvers: &[NodeId],
        challenger: NodeId,
    ) {
        self.count_duty(challenger);
        // As in a dispute: who attested what it then refutes gets no part of what that costs.
        let provers: Vec<NodeId> = Some(challenger).filter(|prover| !approvers.contains(prover)).into_iter().collect();
        self.punish(segment, id, approvers.to_vec(), &provers);
    }

    fn punish(&mut self, segment: &Segment, id: SegmentId, mut approvers: Vec<NodeId>, provers: &[NodeId]) {
        let payer = self.state.payer_of(segment.terms.lease, segment.gateway);
        let harm = self.state.at_stake(segment);
        let cause = |rule| Cause {
            segment: Some(id),
            profile: Some(segment.profile),
            provers: provers.to_vec(),
            harmed: Some(payer).filter(|payer| *payer != segment.worker),
            harm,
            ..Cause::new(rule)
        };
        // SPEC V6: on a profile that is measured no verdict costs stake, either way.
        approvers.retain(|_| !self.state.is_measured(segment.profile));
        for approver in approvers {
            self.bar(approver, cause(SlashRule::WrongApproval));
        }
        let faults = self.remember_fault(segment.worker);
        self.record_fault(segment.worker, segment.profile);
        if segment.kind == TaskKind::Benchmark {
            self.lose_tier(segment.worker);
        }
        if faults >= FAULTS_MAX {
            self.bar(segment.worker, cause(SlashRule::WrongResult));
        } else {
            let parameters = &self.state.meta().parameters;
            let share = if faults <= 1 { parameters.slash_wrong_result } else { parameters.slash_wrong_again };
            self.slash(segment.worker, Taken::Share(share), cause(SlashRule::WrongResult));
            self.jail(segment.worker);
        }
    }

    /// What the others agree on is not what this one said: it rejected what is right, or attested a replay that it has not
    /// made.
    pub(crate) fn slash_wrong_verdict(
        &mut self,
        validator: NodeId,
        rule: SlashRule,
        segment: &Segment,
        id: SegmentId,
        provers: &[NodeId],
    ) {
        let is_first = self.remember_fault(validator) <= 1;
        let parameters = &self.state.meta().parameters;
        let share = if is_first { parameters.slash_wrong_rejection } else { parameters.slash_rejection_again };
        let cause = Cause {
            segment: Some(id),
            profile: Some(segment.profile),
            provers: provers.to_vec(),
            harmed: Some(segment.worker),
            harm: segment.fee,
            ..Cause::new(rule)
        };
        self.slash(validator, Taken::Share(share), cause);
    }

    /// SPEC V3: no evidence. All of it burns, so that nobody gains by finding none; and it counts for
    /// no pause of a profile (S5), since no bug of an engine keeps evidence back.
    pub(crate) fn slash_withheld(&mut self, segment: &Segment, id: SegmentId, replayed: Ppm) {
        let cost = reputation::withheld_cost(segment.fee, segment.terms.totals.jobs, replayed);
        // SPEC S6: a run's must cost more than a committee of its own could bring.
        let cost = cost.max(self.state.at_stake(segment));
        let cause = Cause { segment: Some(id), ..Cause::new(SlashRule::EvidenceWithheld) };
        self.slash(segment.worker, Taken::Amount(cost), cause);
    }

    /// SPEC V7: the number of the slash. Nobody is to gain by statistics, so all of it burns.
    pub(crate) fn slash_statistics(&mut self, segment: &Segment, id: SegmentId) -> u64 {
        let meta = self.state.meta();
        let (number, share) = (meta.slashes, meta.parameters.slash_statistics);
        let cause = Cause { segment: Some(id), profile: Some(segment.profile), ..Cause::new(SlashRule::Statistics) };
        self.slash(segment.worker, Taken::Share(share), cause);
        number
    }

    pub(crate) fn slash_missed_duty(&mut self, validator: NodeId, id: SegmentId) {
        let share = self.state.meta().parameters.slash_missed_duty;
        self.slash(validator, Taken::Share(share), Cause { segment: Some(id), ..Cause::new(SlashRule::MissedDuty) });
    }

    /// SPEC T6: a certified request got no answer. Nobody gains by it: who claims chooses the request.
    pub(crate) fn slash_deadline(&mut self, worker: NodeId, job: JobId, profile: ProfileId) {
        let share = self.state.meta().parameters.slash_deadline;
        self.slash(worker, Taken::Share(share), Cause { job: Some(job), ..Cause::new(SlashRule::DeadlineMissed) });
        self.record_fault(worker, profile);
    }

    /// SPEC S: a gateway that signed two sums for one segment loses its bond.
    pub(crate) fn prove_double_signing(
        &mut self,
        sender: AccountId,
        gateway: NodeId,
        first: &SignedTotals,
        second: &SignedTotals,
    ) -> Result<(), Rejection> {
        self.accused_gateway(gateway)?;
        let signed = |totals: &SignedTotals| totals.terms.signed_by_gateway(&gateway, &totals.gateway_signature);
        if !signed(first) || !signed(second) {
            return Err(Rejection::Evidence { why: "the gateway did not sign both" });
        }
        if first.terms.id() != second.terms.id() {
            return Err(Rejection::Evidence { why: "the segments differ" });
        }
        if first.terms == second.terms {
            return Err(Rejection::Evidence { why: "the sums are equal" });
        }
        let lease = self.state.leases.get(&first.terms.lease);
        let cause = Cause {
            segment: Some(first.terms.id()),
            provers: vec![sender],
            harmed: lease.map(|lease| lease.worker),
            harm: lease.map_or(Amount::ZERO, |lease| lease.escrow),
            ..Cause::new(SlashRule::DoubleSigning)
        };
        self.bar(gateway, cause);
        Ok(())
    }

    /// SPEC S: a gateway that signed segments with two requests for one sequence of a lease loses its bond.
    pub(crate) fn prove_double_request(
        &mut self,
        sender: AccountId,
        gateway: NodeId,
        first: &RequestProof,
        second: &RequestProof,
    ) -> Result<(), Rejection> {
        self.accused_gateway(gateway)?;
        if !first.proves(&gateway) || !second.proves(&gateway) {
            return Err(Rejection::Evidence { why: "a leaf is not in a segment of its lease that the gateway signed" });
        }
        let (one, other) = (&first.leaf.request, &second.leaf.request);
        if (one.lease, one.sequence) != (other.lease, other.sequence) {
            return Err(Rejection::Evidence { why: "the sequences differ" });
        }
        if one == other {
            return Err(Rejection::Evidence { why: "the requests are equal" });
        }
        let lease = self.state.leases.get(&one.lease);
        let cause = Cause {
            segment: Some(first.terms.id()),
            job: Some(one.job),
            provers: vec![sender],
            harmed: lease.map(|lease| lease.worker),
            harm: lease.map_or(Amount::ZERO, |lease| lease.escrow),
            ..Cause::new(SlashRule::DoubleRequest)
        };
        self.bar(gateway, cause);
        Ok(())
    }

    /// A gateway that has something to lose.
    fn accused_gateway(&self, gateway: NodeId) -> Result<(), Rejection> {
        let node = self.state.nodes.get(&gateway).ok_or(Rejection::Unknown { what: "gateway" })?;
        if !node.is_gateway() {
            return Err(Rejection::Unknown { what: "gateway" });
        }
        if node.disqualified { Err(Rejection::Disqualified) } else { Ok(()) }
    }

    /// SPEC S: a validator that signed two consensus votes of which an honest one signs one.
    pub(crate) fn prove_equivocation(
        &mut self,
        sender: AccountId,
        validator: NodeId,
        first: &ConsensusVote,
        second: &ConsensusVote,
    ) -> Result<(), Rejection> {
        let node = self.state.nodes.get(&validator).ok_or(Rejection::Unknown { what: "validator" })?;
        if !node.is_validator() {
            return Err(Rejection::Unknown { what: "validator" });
        }
        if node.disqualified {
            return Err(Rejection::Disqualified);
        }
        if !first.contradicts(second) {
            return Err(Rejection::Evidence { why: "the votes do not contradict each other" });
        }
        let chain = self.state.meta().chain;
        if !first.signed_by(chain, &validator) || !second.signed_by(chain, &validator) {
            return Err(Rejection::Evidence { why: "the validator did not sign both" });
        }
        self.bar(validator, Cause { provers: vec![sender], ..Cause::new(SlashRule::Equivocation) });
        Ok(())
    }

    /// SPEC S, fraud: a VRF proof that is not the worker's, signed by the worker.
    pub(crate) fn bar_forger(&mut self, worker: NodeId, segment: SegmentId) {
        self.bar(worker, Cause { segment: Some(segment), ..Cause::new(SlashRule::ForgedProof) });
    }

    /// SPEC V5, S: it attested the replay of a job whose evidence root no replay gives. No bug of an
    /// engine can do that, so it counts for no pause of a profile (S5), and nobody gains by it: who
    /// plants the job is not to be tempted.
    pub(crate) fn bar_blind_approver(&mut self, validator: NodeId, segment: SegmentId) {
        self.bar(validator, Cause { segment: Some(segment), ..Cause::new(SlashRule::WrongApproval) });
    }

    /// SPEC S, fraud: two results over one request, both signed by the worker.
    pub(crate) fn prove_conflict(
        &mut self,
        sender: NodeId,
        worker: NodeId,
        first: &JobProof,
        second: &JobProof,
    ) -> Result<(), Rejection> {
        let node = self.state.nodes.get(&worker).ok_or(Rejection::Unknown { what: "worker" })?;
        if !node.is_worker() {
            return Err(Rejection::Unknown { what: "worker" });
        }
        if node.disqualified {
            return Err(Rejection::Disqualified);
        }
        if !first.proves(&worker) || !second.proves(&worker) {
            return Err(Rejection::Evidence { why: "a leaf is not in a segment that the worker signed" });
        }
        if first.leaf.request.digest() != second.leaf.request.digest() {
            return Err(Rejection::Evidence { why: "the requests differ" });
        }
        if first.leaf.result == second.leaf.result {
            return Err(Rejection::Evidence { why: "the results are equal" });
        }
        let lease = self.state.leases.get(&first.leaf.request.lease);
        let cause = Cause {
            job: Some(first.leaf.request.job),
            provers: vec![sender],
            harmed: lease.map(|lease| self.state.payer_of(first.leaf.request.lease, lease.gateway)),
            harm: lease.map_or(Amount::ZERO, |lease| lease.escrow),
            ..Cause::new(SlashRule::ConflictingResults)
        };
        self.bar(worker, cause);
        Ok(())
    }

    /// SPEC S3: takes everything, and the right to work.
    fn bar(&mut self, id: NodeId, cause: Cause) {
        self.slash(id, WHOLE, Cause { bars: true, ..cause });
        self.disqualify(id);
    }

    /// Moves a part of the stake that answers for the node into a hold (SPEC S2, M7).
    fn slash(&mut self, id: NodeId, taken: Taken, cause: Cause) {
        let Some(mut node) = self.state.nodes.get(&id).cloned() else { return };
        let (own, delegated, unbonding) = match taken {
            Taken::Share(share) => (node.stake.share(share), node.delegated.cut(share), node.unbonding.cut(share)),
            Taken::Amount(amount) => {
                let own = node.stake.min(amount);
                let rest = amount.sub(own).unwrap_or(Amount::ZERO);
                (own, Amount::ZERO, node.unbonding.cut_amount(rest))
            }
        };
        node.stake = node.stake.sub(own).unwrap_or(Amount::ZERO);
        node.holds = node.holds.saturating_add(1);
        let (operator, role) = (node.operator, node.role.name().to_owned());
        self.state.set_node(id, node);
        let meta = self.state.meta_mut();
        let number = meta.slashes;
        meta.slashes = meta.slashes.saturating_add(1);
        let releases_at_ms = self.now_ms.saturating_add(meta.parameters.slash_hold_ms);
        let hold = Hold {
            node: id,
            rule: cause.rule,
            segment: cause.segment,
            job: cause.job,
            own,
            delegated,
            unbonding,
            disqualified: cause.bars,
            provers: cause.provers,
            harmed: cause.harmed,
            harm: cause.harm,
            taken_at_ms: self.now_ms,
            releases_at_ms,
        };
        self.events.push(Event::Slashed(SlashedNode {
            slash: number,
            node: id,
            role,
            operator,
            rule: hold.rule,
            segment: hold.segment,
            job: hold.job,
            amount: hold.amount(),
            releases_at_ms,
            disqualified: hold.disqualified,
        }));
        if let Some(profile) = cause.profile {
            self.count_slash(profile, hold.amount());
        }
        self.state.set_hold(number, Some(hold));
    }

    /// SPEC S2: most is burned; who proved it and who was harmed get a part of the offender's own
    /// stake. What was its delegators' only burns.
    pub(crate) fn release_hold(&mut self, number: u64) {
        let Some(hold) = self.state.holds.get(&number).cloned() else { return };
        self.state.set_hold(number, None);
        self.end_hold(hold.node);
        let parameters = &self.state.meta().parameters;
        let (for_provers, for_harmed) = (parameters.slash_provers_share, parameters.slash_harmed_share);
        let mut burned = hold.amount();
        let mut give = |state: &mut crate::State, to: NodeId, amount: Amount| {
            if let Ok(rest) = burned.sub(amount) {
                burned = rest;
                state.pay(to, amount);
            }
        };
        let count = u64::try_from(hold.provers.len()).unwrap_or(u64::MAX);
        let for_all = hold.own.share(for_provers);
        // SPEC S2: a hand whose own worker is the bait must not live off the lazy that take it.
        let for_all = if hold.rule == SlashRule::WrongApproval { for_all.min(hold.harm) } else { for_all };
        let to_each_prover = for_all.split(count);
        for prover in &hold.provers {
            give(&mut self.state, *prover, to_each_prover);
        }
        // SPEC S2: never more than the harm, or to be cheated would be worth a bait.
        let to_harmed = hold.harmed.map_or(Amount::ZERO, |_| hold.own.share(for_harmed).min(hold.harm));
        if let Some(harmed) = hold.harmed {
            give(&mut self.state, harmed, to_harmed);
        }
        let meta = self.state.meta_mut();
        meta.burned = meta.burned.add(burned).unwrap_or(meta.burned);
        let Hold { node, rule, .. } = hold;
        self.events.push(Event::SlashReleased { slash: number, node, rule, burned, to_each_prover, to_harmed });
    }

    fn end_hold(&mut self, id: NodeId) {
        if let Some(node) = self.state.nodes.get_mut(&id) {
            node.holds = node.holds.saturating_sub(1);
        }
    }

    /// SPEC S2: an appeal was won; everything goes back to whom it was taken from, and so does the
    /// right to work.
    pub(crate) fn restitute(&mut self, number: u64) -> Result<(), Rejection> {
        let hold = self.state.holds.get(&number).cloned().ok_or(Rejection::Unknown { what: "held slash" })?;
        let mut node = self.state.nodes.get(&hold.node).cloned().ok_or(Rejection::Unknown { what: "node" })?;
        self.state.set_hold(number, None);
        node.holds = node.holds.saturating_sub(1);
        node.stake = node.stake.add(hold.own)?;
        // Where no one is left in a pool, its part is the operator's to pass on.
        let nobodys = [node.delegated.give(hold.delegated), node.unbonding.give(hold.unbonding)];
        let operator = node.operator;
        // SPEC G1: what a vote took, no appeal about something else gives back.
        let is_barred = node.removed || self.is_barred_without(number, hold.node);
        if hold.disqualified && !is_barred {
            node.disqualified = false;
        }
        let of_node = |rule| self.state.holds.values().any(|other| other.node == hold.node && other.rule == rule);
        if hold.rule == SlashRule::WrongResult && !of_node(SlashRule::WrongResult) {
            node.active_from_epoch = node.active_from_epoch.min(self.state.meta().epoch);
        }
        let is_fault = matches!(hold.rule, SlashRule::WrongResult | SlashRule::WrongRejection | SlashRule::FalseReplay);
        if let Some(fault) = node.faults_ms.iter().position(|at_ms| is_fault && *at_ms == hold.taken_at_ms) {
            node.faults_ms.remove(fault);
        }
        self.state.set_node(hold.node, node);
        for back in nobodys.into_iter().filter_map(Result::err) {
            self.state.pay(operator, back);
        }
        if hold.disqualified
            && !self.state.nodes.values().any(|node| node.operator == operator && node.disqualified)
            && let Some(entry) = self.state.operators.get_mut(&operator)
        {
            entry.barred = false;
        }
        self.forget_conviction(number);
        let meta = self.state.meta_mut();
        meta.slashes_overturned = meta.slashes_overturned.saturating_add(1);
        self.events.push(Event::SlashOverturned { slash: number, node: hold.node, amount: hold.amount() });
        Ok(())
    }

    /// True when another held slash bars the node as well.
    fn is_barred_without(&self, number: u64, node: NodeId) -> bool {
        self.state.holds.iter().any(|(other, hold)| *other != number && hold.node == node && hold.disqualified)
    }

    /// Counts the node's upheld faults that are not forgotten, this one included.
    fn remember_fault(&mut self, id: NodeId) -> usize {
        let now_ms = self.now_ms;
        let Some(node) = self.state.nodes.get_mut(&id) else { return 0 };
        node.faults_ms.retain(|at_ms| now_ms.saturating_sub(*at_ms) < FAULT_MEMORY_MS);
        node.faults_ms.push(now_ms);
        let count = node.faults_ms.len();
        let extra = count.saturating_sub(FAULTS_MAX);
        node.faults_ms.drain(..extra);
        count
    }

    fn jail(&mut self, worker: NodeId) {
        let until = self.state.meta().epoch.saturating_add(JAIL_EPOCHS);
        if let Some(node) = self.state.nodes.get_mut(&worker) {
            node.active_from_epoch = until;
        }
        self.dismiss(worker);
    }

    /// SPEC S3: for ever, key and operator.
    fn disqualify(&mut self, id: NodeId) {
        let Some(node) = self.state.nodes.get_mut(&id) else { return };
        node.disqualified = true;
        let operator = node.operator;
        self.vacated.insert(id);
        if let Some(entry) = self.state.operators.get_mut(&operator) {
            entry.barred = true;
        }
        // SPEC S3: nothing of this hand works on.
        let its: Vec<NodeId> =
            self.state.nodes.iter().filter(|(_, node)| node.operator == operator).map(|(id, _)| *id).collect();
        for node in its {
            self.lose_tier(node);
            self.dismiss(node);
            let open: Vec<TaskId> =
                self.state.tasks.iter().filter(|(_, task)| task.requester == node).map(|(id, _)| *id).collect();
            for task in open {
                self.expire_task(task);
            }
        }
    }

    /// Takes a node out of the pool: no offers, no leases.
    pub(crate) fn dismiss(&mut self, worker: NodeId) {
        let leases: Vec<LeaseId> = self
            .state
            .leases
            .iter()
            .filter(|(_, lease)| lease.worker == worker && lease.state == LeaseState::Active)
            .map(|(id, _)| *id)
            .collect();
        for lease in leases {
            self.end_lease(lease, LeaseEnd::Fault);
        }
        let offers: Vec<(ProfileId, NodeId)> =
            self.state.offers.keys().filter(|(_, of)| *of == worker).copied().collect();
        for offer in offers {
            self.state.offers.remove(&offer);
        }
    }
}
