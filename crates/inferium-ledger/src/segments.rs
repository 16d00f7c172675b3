//! Segments: commitment, approval, settlement (SPEC J3, J4, M5, V4).

use crate::agents::RunSplit;
use crate::entries::{Approval, Lease, LeaseState, Opening, OwedOrder, Run, Segment, SegmentState};
use crate::execute::Block;
use crate::{Rejection, reputation};
use inferium_types::{
    AccountId, Amount, Event, FORCED_TOKENS, JobTotals, LeaseEnd, NodeId, Parameters, Ppm, ProfileId, RejectReason,
    ReplayStatistics, SegmentCommitment, SegmentId, SegmentOutcome, SegmentTerms, TaskKind, limits,
};

/// Verdict windows that a segment may wait for its seed.
const SEED_WINDOWS: u64 = 3;

/// How long a segment waits for the seed that draws its committee; milliseconds.
pub(crate) const fn seed_window_ms(parameters: &Parameters) -> u64 {
    parameters.verdict_ms.saturating_mul(SEED_WINDOWS)
}

/// Whose a settled fee is (SPEC M5); the rest is the treasury's.
struct FeeShares {
    worker: Ppm,
    creator: Ppm,
    creator_id: Option<AccountId>,
    committee: Ppm,
    validators: Ppm,
}

impl Block {
    /// SPEC J3: both sides signed root and totals.
    pub(crate) fn commit_segment(&mut self, sender: NodeId, commitment: &SegmentCommitment) -> Result<(), Rejection> {
        let terms = commitment.terms;
        let mut lease = self.state.leases.get(&terms.lease).copied().ok_or(Rejection::Unknown { what: "lease" })?;
        // Only who can prove it: a gateway that refused a segment must not commit it behind the
        // worker's back, who then has no evidence for it any more.
        if sender != lease.worker {
            return Err(Rejection::NotAllowed { expected: "the lease's worker" });
        }
        let drained_ms = self.drain_renewed_ms();
        if matches!(lease.state, LeaseState::Draining { commits_until_ms, .. }
            if self.now_ms > commits_until_ms.max(drained_ms))
        {
            return Err(Rejection::WrongState { what: "a segment of a closed lease" });
        }
        if terms.index != lease.segments {
            return Err(Rejection::WrongState { what: "a segment out of order" });
        }
        // SPEC C9: segments are free of fees, so their number has a bound: one per block.
        if self.height <= lease.segment_height {
            return Err(Rejection::WrongState { what: "a second segment of one block" });
        }
        let (jobs_after, tokens_after) = sums_after(&lease, &terms.totals)?;
        self.check_steps(terms.lease, &lease, &terms.totals)?;
        if !terms.signed_by_worker(&lease.worker, &commitment.worker_signature) {
            return Err(Rejection::Signature { whose: "worker's" });
        }
        if !terms.signed_by_gateway(&lease.gateway, &commitment.gateway_signature) {
            return Err(Rejection::Signature { whose: "gateway's" });
        }
        let fee = terms.totals.fee(&lease.price)?;
        let reserved = lease.reserved.add(fee)?;
        if reserved > lease.escrow {
            return Err(Rejection::Insufficient { needed: reserved, available: lease.escrow });
        }
        self.reserve_unsettled(lease.worker, lease.terms.profile, unsettled(lease.terms.kind, fee))?;

        lease.reserved = reserved;
        lease.jobs = jobs_after;
        lease.tokens = tokens_after;
        lease.segments = lease.segments.saturating_add(1);
        lease.segment_height = self.height;
        lease.segments_pending = lease.segments_pending.saturating_add(1);
        self.state.set_lease(terms.lease, Some(lease));

        let id = terms.id();
        self.state.set_segment(
            id,
            Some(Segment {
                terms,
                worker: lease.worker,
                gateway: lease.gateway,
                profile: lease.terms.profile,
                price: lease.price,
                fee,
                kind: lease.terms.kind,
                elapsed_ms: self.now_ms.saturating_sub(lease.granted_ms),
                replay_tokens: self.replay_tokens(&terms),
                dispute: None,
                disputed: false,
                opening: self.opening_of(&lease, &terms.totals),
                state: self.awaiting_seed(),
            }),
        );
        self.events.push(Event::SegmentCommitted { segment: id, lease: terms.lease, totals: terms.totals });
        // SPEC N2: a capability task is timed by its one segment.
        let is_whole = lease.terms.kind == TaskKind::Benchmark;
        if is_whole || lease.jobs == lease.terms.jobs_max || lease.tokens == lease.terms.tokens_max {
            self.end_lease(terms.lease, LeaseEnd::Exhausted);
        }
        Ok(())
    }

    /// SPEC C4: bound in this block, drawn with the seed of a later view.
    pub(crate) fn awaiting_seed(&self) -> SegmentState {
        let parameters = &self.state.meta().parameters;
        SegmentState::AwaitingSeed {
            view: self.view.saturating_add(parameters.draw_delay_views),
            until_ms: self.now_ms.saturating_add(seed_window_ms(parameters)),
        }
    }

    /// SPEC V4: unsettled pay stays a small part of the stake that answers for it.
    fn reserve_unsettled(&mut self, worker: NodeId, profile: ProfileId, fee: Amount) -> Result<(), Rejection> {
        let is_barred = self.state.is_barred_from(worker, profile);
        let share = self.state.meta().parameters.unsettled_max;
        let epoch = self.state.meta().epoch;
        let node = self.state.nodes.get_mut(&worker).ok_or(Rejection::Unknown { what: "worker" })?;
        if node.disqualified {
            return Err(Rejection::Disqualified);
        }
        if !node.is_active(epoch) {
            return Err(Rejection::Jailed { until: node.active_from_epoch });
        }
        if is_barred {
            return Err(Rejection::BarredFromProfile);
        }
        let found = node.unsettled.add(fee)?;
        let limit = node.stake.share(share);
        if found > limit {
            return Err(Rejection::UnsettledLimit { found, limit });
        }
        node.unsettled = found;
        Ok(())
    }

    /// SPEC V3: unanimous approval finalises, with what the approvers measured, where they do.
    pub(crate) fn approve(
        &mut self,
        id: SegmentId,
        mut segment: Segment,
        approval: Approval,
        measured: Option<&ReplayStatistics>,
    ) {
        for approver in approval.approvers.iter().filter(|_| segment.counts_duties()) {
            self.count_duty(*approver);
        }
        // SPEC A2: it was under way when its run was over.
        if self.state.runs.get(&segment.terms.lease).is_some_and(|run| run.over) {
            self.reject(id, &segment, RejectReason::RunOver);
            return;
        }
        // SPEC V7: it was under way when its worker was convicted.
        if self.state.is_barred_from(segment.worker, segment.profile) {
            self.reject(id, &segment, RejectReason::Statistics);
            return;
        }
        let settles_at_ms = self.now_ms.saturating_add(self.state.meta().parameters.challenge_ms);
        // SPEC V5: whatever was asked about a doubt, its worker has until settlement again.
        if let Some(order) = segment.opening.owed() {
            segment.opening = Opening::Closed(order);
        }
        self.events.push(Event::SegmentApproved(outcome(id, &segment, &approval, None)));
        segment.state = SegmentState::Final { approval, settles_at_ms, held_until_ms: None };
        self.state.set_segment(id, Some(segment.clone()));
        let is_convicted = measured.is_some_and(|measured| self.fold(id, &segment, measured));
        if segment.kind == TaskKind::Benchmark && is_convicted {
            self.lose_tier(segment.worker);
        } else if segment.kind == TaskKind::Benchmark {
            self.measure(&segment);
        }
    }

    /// The segment costs nothing: its fee is free again in the lease.
    pub(crate) fn reject(&mut self, id: SegmentId, segment: &Segment, reason: RejectReason) {
        self.release_fee(segment, false);
        self.end_challenges(id);
        let is_workers = !matches!(reason, RejectReason::Unresolved | RejectReason::RunOver);
        if let Some(mut lease) = self.state.leases.get(&segment.terms.lease).copied().filter(|_| is_workers) {
            lease.spoiled = true;
            self.state.set_lease(segment.terms.lease, Some(lease));
        }
        self.state.set_segment(id, None);
        self.events.push(Event::SegmentRejected {
            segment: id,
            lease: segment.terms.lease,
            worker: segment.worker,
            gateway: segment.gateway,
            reason,
        });
        self.end_over(segment.terms.lease, if is_workers { LeaseEnd::Fault } else { LeaseEnd::Undecided });
    }

    /// SPEC M5, V4: the challenge window is over, everyone is paid.
    pub(crate) fn settle(&mut self, id: SegmentId, segment: &Segment, approval: &Approval) {
        let approvers = &approval.approvers;
        self.release_fee(segment, true);
        self.end_challenges(id);
        let run = self.state.runs.get(&segment.terms.lease).cloned();
        let shares = self.shares_of(run.as_ref());
        let mut left = segment.fee;
        let mut take = |amount: Amount| {
            let taken = amount.min(left);
            left = left.sub(taken).unwrap_or(Amount::ZERO);
            taken
        };
        let for_worker = take(segment.fee.share(shares.worker));
        let for_creator = take(segment.fee.share(shares.creator));
        let for_member = segment.fee.share(shares.committee).split(u64::try_from(approvers.len()).unwrap_or(u64::MAX));
        // SPEC S3: who was barred since earns nothing; its part is the treasury's.
        let has_seat = |id: &&NodeId| self.state.nodes.get(id).is_some_and(|node| !node.disqualified);
        let for_members: Vec<(NodeId, Amount)> =
            approvers.iter().filter(has_seat).map(|id| (*id, take(for_member))).collect();
        let for_validators = take(segment.fee.share(shares.validators));

        let is_barred = self.state.nodes.get(&segment.worker).is_none_or(|node| node.disqualified);
        let payer = self.state.payer_of(segment.terms.lease, segment.gateway);
        self.state.pay(if is_barred { payer } else { segment.worker }, for_worker);
        if let Some(creator) = shares.creator_id {
            self.state.pay(creator, for_creator);
        }
        let to_committee = for_members.iter().fold(0u64, |sum, (_, part)| sum.saturating_add(part.nano()));
        for (member, amount) in for_members {
            self.pay_validator(member, amount);
        }
        let meta = self.state.meta_mut();
        meta.validator_pool = meta.validator_pool.add(for_validators).unwrap_or(meta.validator_pool);
        meta.treasury = meta.treasury.add(left).unwrap_or(meta.treasury);

        self.count_settled(segment);
        self.state.set_segment(id, None);
        let to_worker = if is_barred { Amount::ZERO } else { for_worker };
        self.events.push(Event::SegmentApproved(outcome(id, segment, approval, Some((to_worker, for_member)))));
        if let Some(run) = run {
            let split = RunSplit {
                to_host: to_worker,
                to_payer: for_worker.sub(to_worker).unwrap_or(Amount::ZERO),
                to_creator: for_creator,
                to_each_approver: for_member,
                to_committee: Amount::from_nano(to_committee),
                to_treasury: left,
            };
            self.note_paid(id, segment, &run, split);
            self.note_settled(segment);
        }
    }

    /// SPEC M5: whose a fee is; of a run also its creator's.
    fn shares_of(&self, run: Option<&Run>) -> FeeShares {
        let parameters = &self.state.meta().parameters;
        match run.and_then(|run| self.state.agents.get(&run.agent)) {
            Some(agent) => FeeShares {
                worker: parameters.run_share_host,
                creator: parameters.run_share_creator,
                creator_id: Some(agent.creator),
                committee: parameters.run_share_committee,
                validators: Ppm::new(0),
            },
            None => FeeShares {
                worker: parameters.fee_share_worker,
                creator: Ppm::new(0),
                creator_id: None,
                committee: parameters.fee_share_committee,
                validators: parameters.fee_share_validators,
            },
        }
    }

    /// What settled work counts for: its worker's record, and emission.
    fn count_settled(&mut self, segment: &Segment) {
        // What a worker did for itself proves its machine, and earns nothing else.
        if segment.kind == TaskKind::Benchmark {
            return;
        }
        let (worker, profile) = (segment.worker, segment.profile);
        // SPEC M6: host and creator of a run may be one, and get more of its fee than a worker: it earns no emission.
        if segment.kind != TaskKind::Agent {
            let priority = self.state.priority(worker, profile);
            self.count_work(worker, segment.fee, priority);
        }
        let (record, totals) = (self.state.record(worker, profile), segment.clients_totals());
        let record = reputation::after_work(&record, totals.jobs.into(), totals.tokens());
        self.state.records.insert((worker, profile), record);
    }

    /// Ends the segment's hold on its lease and worker; with `paid`, its fee leaves the lease.
    fn release_fee(&mut self, segment: &Segment, paid: bool) {
        if let Some(mut lease) = self.state.leases.get(&segment.terms.lease).copied() {
            lease.reserved = lease.reserved.sub(segment.fee).unwrap_or(Amount::ZERO);
            lease.segments_pending = lease.segments_pending.saturating_sub(1);
            if paid {
                lease.escrow = lease.escrow.sub(segment.fee).unwrap_or(Amount::ZERO);
            }
            self.state.set_lease(segment.terms.lease, Some(lease));
        }
        if let Some(node) = self.state.nodes.get_mut(&segment.worker) {
            let unsettled = unsettled(segment.kind, segment.fee);
            node.unsettled = node.unsettled.sub(unsettled).unwrap_or(Amount::ZERO);
        }
    }

    /// What the worker owes for a segment that left the lease like this (SPEC V5).
    fn opening_of(&self, lease: &Lease, totals: &JobTotals) -> Opening {
        let share = self.state.meta().parameters.forced_share;
        // A capability task is measured by every job in it, and replayed more than enough. Where jobs are
        // measured no replay says for certain that one is wrong: nothing is ordered there.
        let is_measured = self.state.is_measured(lease.terms.profile);
        // Of a run every step is looked at, and there is no neighbour's to plant; so it is with boards, intervals of training and proofs (SPEC L2, X3, V10).
        let is_looked_at_whole = matches!(
            lease.terms.kind,
            TaskKind::Benchmark | TaskKind::Agent | TaskKind::Leaderboard | TaskKind::Training | TaskKind::Validation
        );
        if share.get() == 0 || is_looked_at_whole || is_measured {
            return Opening::NotOwed;
        }
        let jobs = usize::try_from(totals.jobs).unwrap_or(usize::MAX);
        let has_room = lease.terms.holds_planted()
            && lease.jobs <= lease.terms.clients_jobs_max()
            && lease.tokens <= lease.terms.clients_tokens_max()
            && jobs < limits::SEGMENT_JOBS_MAX
            && totals.tokens().saturating_add(FORCED_TOKENS) <= limits::SEGMENT_TOKENS_MAX;
        Opening::Closed(OwedOrder { share, has_room })
    }

    /// Tokens that a committee may have to replay: those of the jobs, or all that a run's model calls may have (SPEC A2).
    fn replay_tokens(&self, terms: &SegmentTerms) -> u64 {
        self.state.runs.get(&terms.lease).map_or(terms.totals.tokens(), |run| run.limits.tokens)
    }

    /// A fault of the worker on record (SPEC R1).
    pub(crate) fn record_fault(&mut self, worker: NodeId, profile: ProfileId) {
        let record = reputation::after_fault(&self.state.record(worker, profile));
        self.state.records.insert((worker, profile), record);
    }
}

/// What a segment adds to its worker's unsettled pay: of a run's nothing, since all that is at stake was counted when it was
/// granted (SPEC A2).
const fn unsettled(kind: TaskKind, fee: Amount) -> Amount {
    if matches!(kind, TaskKind::Agent) { Amount::ZERO } else { fee }
}

/// Jobs and tokens of the lease with these, when it may have so many (SPEC J3, T6).
fn sums_after(lease: &Lease, totals: &JobTotals) -> Result<(u32, u64), Rejection> {
    let jobs = usize::try_from(totals.jobs).unwrap_or(usize::MAX);
    let tokens = totals.tokens();
    let jobs_after = lease.jobs.checked_add(totals.jobs).ok_or(Rejection::Overflow)?;
    let tokens_after = lease.tokens.checked_add(tokens).ok_or(Rejection::Overflow)?;
    if jobs == 0 || jobs > limits::SEGMENT_JOBS_MAX || jobs_after > lease.terms.jobs_max {
        return Err(Rejection::OutOfBounds { field: "jobs" });
    }
    if tokens_after > lease.terms.tokens_max || (jobs > 1 && tokens > limits::SEGMENT_TOKENS_MAX) {
        return Err(Rejection::OutOfBounds { field: "tokens" });
    }
    Ok((jobs_after, tokens_after))
}

/// What events and receipts say of it; with what worker and approvers got once it is settled.
fn outcome(id: SegmentId, segment: &Segment, approval: &Approval, paid: Option<(Amount, Amount)>) -> SegmentOutcome {
    let (to_worker, to_each_approver) = paid.unwrap_or_default();
    SegmentOutcome {
        segment: id,
        lease: segment.terms.lease,
        worker: segment.worker,
        gateway: segment.gateway,
        profile: segment.profile,
        root: segment.terms.root,
        totals: segment.terms.totals,
        price: segment.price,
        fee: segment.fee,
        approvers: approval.approvers.clone(),
        replayed: approval.replayed,
        planted: segment.opening.planted().map(|planted| planted.job),
        to_worker,
        to_each_approver,
        settled: paid.is_some(),
    }
}
