//! The slashing table (SPEC S): from proof to hold, from hold to the end.

use crate::Rejection;
use crate::entries::{Hold, LeaseState, Member, Segment};
use crate::execute::Block;
use inferium_types::{
    Amount, Event, JobId, JobProof, LeaseEnd, LeaseId, NodeId, Ppm, ProfileId, SegmentId, SlashRule, SlashedNode,
    VerdictVote,
};

const WHOLE: Ppm = Ppm::ONE;
/// First and later wrong results.
const WRONG_RESULT: [Ppm; 2] = [Ppm::new(100_000), Ppm::new(500_000)];
/// First and later wrong rejections.
const WRONG_REJECTION: [Ppm; 2] = [Ppm::new(50_000), Ppm::new(250_000)];
const DEADLINE_MISSED: Ppm = Ppm::new(1_000);
const MISSED_DUTY: Ppm = Ppm::new(1_000);
/// Upheld faults within [`FAULT_MEMORY_MS`] that make fraud.
const FAULTS_MAX: usize = 3;
const FAULT_MEMORY_MS: u64 = 30 * 24 * 3_600_000;
/// Epochs that a jailed worker sits out besides the running one.
const JAIL_EPOCHS: u64 = 2;
/// Parts of a released hold at most: who proved it, and who was harmed (SPEC S2).
const PROVERS_SHARE: Ppm = Ppm::new(300_000);
const HARMED_SHARE: Ppm = Ppm::new(200_000);

/// What a slash is about.
struct Cause {
    rule: SlashRule,
    segment: Option<SegmentId>,
    job: Option<JobId>,
    provers: Vec<NodeId>,
    harmed: Option<NodeId>,
}

impl Block {
    /// The full committee found the segment wrong: the worker pays, and so does everyone who
    /// attested a replay that can't have been.
    pub(crate) fn convict(&mut self, segment: &Segment, id: SegmentId, members: &[Member]) {
        let voted = |wanted: fn(&VerdictVote) -> bool| -> Vec<NodeId> {
            members.iter().filter(|m| m.vote.as_ref().is_some_and(wanted)).map(|m| m.validator).collect()
        };
        let provers = voted(|vote| matches!(vote, VerdictVote::Invalid { .. }));
        let approvers = voted(|vote| matches!(vote, VerdictVote::Valid { .. }));
        let cause = |rule| Cause {
            rule,
            segment: Some(id),
            job: None,
            provers: provers.clone(),
            harmed: Some(segment.gateway),
        };
        for approver in approvers {
            self.slash(approver, WHOLE, cause(SlashRule::WrongApproval));
            self.disqualify(approver);
        }
        let faults = self.remember_fault(segment.worker);
        self.record_fault(segment.worker, segment.profile);
        if faults >= FAULTS_MAX {
            self.slash(segment.worker, WHOLE, cause(SlashRule::WrongResult));
            self.disqualify(segment.worker);
        } else {
            let [first, later] = WRONG_RESULT;
            let share = if faults <= 1 { first } else { later };
            self.slash(segment.worker, share, cause(SlashRule::WrongResult));
            self.jail(segment.worker);
        }
    }

    pub(crate) fn slash_wrong_rejection(
        &mut self,
        validator: NodeId,
        segment: &Segment,
        id: SegmentId,
        provers: &[NodeId],
    ) {
        let [first, later] = WRONG_REJECTION;
        let share = if self.remember_fault(validator) <= 1 { first } else { later };
        let cause = Cause {
            rule: SlashRule::WrongRejection,
            segment: Some(id),
            job: None,
            provers: provers.to_vec(),
            harmed: Some(segment.worker),
        };
        self.slash(validator, share, cause);
    }

    pub(crate) fn slash_missed_duty(&mut self, validator: NodeId, id: SegmentId) {
        let cause =
            Cause { rule: SlashRule::MissedDuty, segment: Some(id), job: None, provers: Vec::new(), harmed: None };
        self.slash(validator, MISSED_DUTY, cause);
    }

    /// SPEC T6: a certified request got no answer. Nobody gains by it: who claims chooses the request.
    pub(crate) fn slash_deadline(&mut self, worker: NodeId, job: JobId, profile: ProfileId) {
        let cause =
            Cause { rule: SlashRule::DeadlineMissed, segment: None, job: Some(job), provers: Vec::new(), harmed: None };
        self.slash(worker, DEADLINE_MISSED, cause);
        self.record_fault(worker, profile);
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
        let lease = first.leaf.request.lease;
        let cause = Cause {
            rule: SlashRule::ConflictingResults,
            segment: None,
            job: Some(first.leaf.request.job),
            provers: vec![sender],
            harmed: self.state.leases.get(&lease).map(|lease| lease.gateway),
        };
        self.slash(worker, WHOLE, cause);
        self.disqualify(worker);
        Ok(())
    }

    /// Moves a share of the node's stake into a hold (SPEC S2).
    fn slash(&mut self, id: NodeId, share: Ppm, cause: Cause) {
        let Some(mut node) = self.state.nodes.get(&id).cloned() else { return };
        let amount = node.stake.share(share);
        node.stake = node.stake.sub(amount).unwrap_or(Amount::ZERO);
        let (operator, role) = (node.operator, node.role.name().to_owned());
        self.state.nodes.insert(id, node);
        let meta = self.state.meta_mut();
        let number = meta.slashes;
        meta.slashes = meta.slashes.saturating_add(1);
        let releases_at_ms = self.now_ms.saturating_add(meta.parameters.slash_hold_ms);
        let disqualified = share == WHOLE;
        self.events.push(Event::Slashed(SlashedNode {
            node: id,
            role,
            operator,
            rule: cause.rule,
            segment: cause.segment,
            job: cause.job,
            amount,
            disqualified,
        }));
        self.state.set_hold(
            number,
            Some(Hold {
                node: id,
                rule: cause.rule,
                segment: cause.segment,
                amount,
                provers: cause.provers,
                harmed: cause.harmed,
                releases_at_ms,
            }),
        );
    }

    /// SPEC S2: most is burned; who proved it and who was harmed get a part.
    pub(crate) fn release_hold(&mut self, number: u64) {
        let Some(hold) = self.state.holds.get(&number).cloned() else { return };
        self.state.set_hold(number, None);
        let mut burned = hold.amount;
        let mut give = |state: &mut crate::State, to: NodeId, amount: Amount| {
            if let Ok(rest) = burned.sub(amount) {
                burned = rest;
                state.pay(to, amount);
            }
        };
        let count = u64::try_from(hold.provers.len()).unwrap_or(u64::MAX);
        let finder = hold.amount.share(PROVERS_SHARE).split(count);
        for prover in &hold.provers {
            give(&mut self.state, *prover, finder);
        }
        if let Some(harmed) = hold.harmed {
            give(&mut self.state, harmed, hold.amount.share(HARMED_SHARE));
        }
        let meta = self.state.meta_mut();
        meta.burned = meta.burned.add(burned).unwrap_or(meta.burned);
        self.events.push(Event::SlashReleased { node: hold.node, rule: hold.rule, burned });
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
        if let Some(entry) = self.state.operators.get_mut(&operator) {
            entry.barred = true;
        }
        self.dismiss(id);
    }

    /// Takes a worker out of the pool: no offers, no leases.
    fn dismiss(&mut self, worker: NodeId) {
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
