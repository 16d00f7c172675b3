//! A second, naive ledger that knows only money: it restates every rule of M, T, V and S that moves
//! any, and takes from the chain what happened, never how much.
//!
//! Delegators and withdrawals are kept one by one, in millionths of a nano, without shares; where
//! the ledger rounds, it may differ from that by a nano for each time it did.

use super::support::*;
use crate::money::is_duty;
use inferium_types::{
    AccountId, Amount, Digest, EngineClass, Event, ForcedKind, LeaseEnd, LeaseId, NodeId, Ppm, Price, RejectReason,
    SegmentId, SlashRule, TaskId, TaskKind, TaskTerms, TransactionBody, VerdictVote, VerifiedTransaction,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
struct ModelLease {
    gateway: NodeId,
    worker: NodeId,
    terms: TaskTerms,
    price: Price,
    left: u64,
    granted_height: u64,
    end: Option<LeaseEnd>,
    /// A segment of it was wrong, or came without evidence.
    spoiled: bool,
}

#[derive(Debug, Clone)]
struct ModelSegment {
    lease: LeaseId,
    worker: NodeId,
    gateway: NodeId,
    kind: TaskKind,
    fee: u64,
    jobs: u64,
    price: Price,
    /// Of the last draw, with the share of jobs that were to be replayed.
    seed: Digest,
    replay: Ppm,
    votes: Vec<(NodeId, VerdictVote)>,
    /// Who approved, once that was disputed; and who disputed it.
    approvers: Option<Vec<NodeId>>,
    /// The draw that they approved by.
    approved_by: Option<(Digest, Ppm)>,
    challenger: Option<NodeId>,
    was_disputed: bool,
    is_final: bool,
    /// What was planted came to light.
    is_anew: bool,
    bond: u64,
    is_over: bool,
    /// Whether its first approvers were to replay what was found wrong.
    attested: bool,
}

impl ModelSegment {
    fn voters(&self, wanted: fn(&VerdictVote) -> bool) -> Vec<NodeId> {
        let mut voters: Vec<NodeId> = self.votes.iter().filter(|(_, vote)| wanted(vote)).map(|(id, _)| *id).collect();
        voters.sort();
        voters
    }

    /// SPEC V2, V6: those whose approvals say the same as most.
    fn agreed(&self) -> Vec<NodeId> {
        let said = |member: &NodeId| self.votes.iter().find(|(of, _)| of == member).map(|(_, vote)| vote);
        let same = |as_of: &NodeId| {
            let approvers = self.voters(is_valid).into_iter();
            approvers.filter(|member| said(member) == said(as_of)).collect::<Vec<_>>()
        };
        self.voters(is_valid).iter().map(same).max_by_key(Vec::len).unwrap_or_default()
    }

    /// SPEC S: its fee, or three of a job's fees by the chance that it is replayed.
    fn withheld(&self) -> u64 {
        self.fee.max(self.fee * 3_000_000 / (self.jobs * u64::from(self.replay.get())))
    }

    /// Who proved it wrong, and gets a part for it.
    fn provers(&self) -> Vec<NodeId> {
        let mut provers: BTreeSet<NodeId> = self.voters(is_invalid).into_iter().collect();
        provers.extend(self.challenger);
        for approver in self.approvers.iter().flatten().filter(|_| self.attested) {
            provers.remove(approver);
        }
        for approver in self.voters(is_valid) {
            provers.remove(&approver);
        }
        provers.into_iter().collect()
    }
}

#[derive(Debug, Clone)]
struct ModelHold {
    node: NodeId,
    rule: SlashRule,
    parts: [u64; 3],
    provers: Vec<NodeId>,
    harmed: Option<NodeId>,
    harm: u64,
}

/// Parts of one sum, in millionths of a nano.
#[derive(Debug)]
struct Parts<K> {
    nano: u64,
    of: BTreeMap<K, u128>,
    /// Times that the ledger may have rounded.
    rounded: u128,
}

const MICRO: u128 = 1_000_000;

impl<K> Default for Parts<K> {
    fn default() -> Self {
        Self { nano: 0, of: BTreeMap::new(), rounded: 0 }
    }
}

impl<K: Ord + Copy> Parts<K> {
    fn add(&mut self, key: K, nano: u64) {
        self.nano += nano;
        *self.of.entry(key).or_default() += u128::from(nano) * MICRO;
        self.rounded += 1;
    }

    /// All parts grow or shrink alike.
    fn become_nano(&mut self, nano: u64) {
        if self.nano > 0 {
            for part in self.of.values_mut() {
                *part = *part * u128::from(nano) / u128::from(self.nano);
            }
            self.rounded += 1;
        }
        self.nano = nano;
    }

    /// Takes out what is asked for, as the ledger says that it rounds.
    fn take(&mut self, key: K, nano: u64) {
        let part = self.of.get_mut(&key).unwrap();
        assert!(*part + (self.rounded + 2) * MICRO >= u128::from(nano) * MICRO, "{nano} of {part}");
        *part = part.saturating_sub(u128::from(nano) * MICRO);
        self.nano -= nano;
        self.rounded += 1;
    }

    fn agrees(&self, key: &K, nano: u64) -> bool {
        let part = self.of.get(key).copied().unwrap_or(0);
        part.abs_diff(u128::from(nano) * MICRO) <= (self.rounded + 2) * MICRO
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Work {
    fees: u64,
    duties: u64,
}

/// Money by pocket, in nano-IFR.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Below zero only between the transactions of a block and their events.
    balances: BTreeMap<NodeId, i64>,
    bonds: BTreeMap<NodeId, u64>,
    operators: BTreeMap<NodeId, AccountId>,
    stakes: BTreeMap<NodeId, u64>,
    delegated: BTreeMap<NodeId, Parts<AccountId>>,
    unbonding: BTreeMap<NodeId, Parts<u64>>,
    commissions: BTreeMap<NodeId, u64>,
    validators: BTreeSet<NodeId>,
    barred: BTreeSet<NodeId>,
    faults: BTreeMap<NodeId, u64>,
    tasks: BTreeMap<TaskId, (NodeId, u64)>,
    ended: BTreeSet<TaskId>,
    leases: BTreeMap<LeaseId, ModelLease>,
    segments: BTreeMap<SegmentId, ModelSegment>,
    holds: BTreeMap<u64, ModelHold>,
    epoch: u64,
    epoch_started_ms: u64,
    works: BTreeMap<(u64, NodeId), Work>,
    /// What was emitted already.
    paid: BTreeSet<(u64, NodeId)>,
    /// Who approved a planted job blindly, and is to be slashed for it in this block.
    blind: BTreeSet<(SegmentId, NodeId)>,
    blind_slashed: u32,
    forced_share: u64,
    class: Option<EngineClass>,
    jackpot_max: u64,
    pool: u64,
    treasury: u64,
    burned: u64,
    reward_pool: u64,
}

impl Model {
    pub(super) fn of(chain: &Chain) -> Self {
        let meta = chain.state.meta();
        assert!(chain.state.epoch_works.is_empty() && chain.state.delegations.is_empty());
        Self {
            balances: chain.state.accounts.iter().map(|(id, account)| (*id, signed(account.balance.nano()))).collect(),
            bonds: chain.state.operators.iter().map(|(id, operator)| (*id, operator.bond.nano())).collect(),
            operators: chain.state.nodes().map(|(id, node)| (*id, node.operator)).collect(),
            stakes: chain.state.nodes().map(|(id, node)| (*id, node.stake.nano())).collect(),
            validators: chain.state.nodes().filter(|(_, node)| node.is_validator()).map(|(id, _)| *id).collect(),
            epoch: meta.epoch,
            epoch_started_ms: meta.epoch_started_ms,
            forced_share: meta.parameters.forced_share.get().into(),
            class: Some(chain.model.engine.clone()),
            jackpot_max: meta.parameters.forced_jackpot_max.nano(),
            pool: meta.validator_pool.nano(),
            treasury: meta.treasury.nano(),
            reward_pool: meta.reward_pool.nano(),
            ..Self::default()
        }
    }

    fn give(&mut self, to: NodeId, nano: u64) {
        *self.balances.entry(to).or_default() += signed(nano);
    }

    fn take(&mut self, from: NodeId, nano: u64) {
        *self.balances.entry(from).or_default() -= signed(nano);
    }

    /// SPEC M7: what a validator earns is shared with who delegated to it, less its commission.
    fn reward(&mut self, validator: NodeId, nano: u64) {
        let own = u128::from(self.stakes.get(&validator).copied().unwrap_or(0));
        let others = self.delegated.get(&validator).map_or(0, |parts| parts.nano);
        let theirs = narrow((u128::from(nano) * u128::from(others)).checked_div(own + u128::from(others)).unwrap_or(0));
        let kept = theirs * self.commissions.get(&validator).copied().unwrap_or(0) / 1_000_000;
        let shared = theirs - kept;
        if let Some(parts) = self.delegated.get_mut(&validator).filter(|_| shared > 0) {
            parts.become_nano(parts.nano + shared);
        }
        self.give(validator, nano - shared);
    }

    fn duty(&mut self, validator: NodeId) {
        self.works.entry((self.epoch, validator)).or_default().duties += 1;
    }

    /// Does what the chain did in a block; how many had approved blindly what was planted (SPEC V5).
    pub(super) fn block(&mut self, chain: &Chain, transactions: &[VerifiedTransaction], events: &[Event]) -> u32 {
        let parameters = chain.parameters().clone();
        if chain.now_ms - self.epoch_started_ms >= parameters.epoch_ms {
            let passed = (chain.now_ms - self.epoch_started_ms) / parameters.epoch_ms;
            self.epoch_started_ms += passed * parameters.epoch_ms;
            let active: Vec<NodeId> = self.validators.difference(&self.barred).copied().collect();
            let part = self.pool.checked_div(active.len() as u64).unwrap_or(0);
            for validator in active {
                self.reward(validator, part);
                self.pool -= part;
            }
            self.epoch += passed;
        }
        let failed: BTreeSet<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::TransactionFailed { transaction, .. } => Some(*transaction),
                _ => None,
            })
            .collect();
        for transaction in transactions {
            let sender = transaction.transaction().sender;
            if !is_duty(&transaction.transaction().body) {
                let fee = 10_000 + 10 * transaction.size() as u64;
                self.take(sender, fee);
                self.pool += fee;
            }
            if !failed.contains(&transaction.id()) {
                self.transaction(sender, transaction);
            }
        }
        for event in events {
            self.event(chain, transactions, event);
        }
        // SPEC M6: whoever is not barred was paid for the epochs that are over.
        let epoch = self.epoch;
        self.works.retain(|(of, _), _| *of == epoch);
        assert!(self.blind.is_empty(), "who approves blindly loses all");
        std::mem::take(&mut self.blind_slashed)
    }

    fn transaction(&mut self, sender: NodeId, transaction: &VerifiedTransaction) {
        match &transaction.transaction().body {
            TransactionBody::Transfer { to, amount } => {
                self.take(sender, amount.nano());
                self.give(*to, amount.nano());
            }
            TransactionBody::RegisterOperator { bond } => {
                self.take(sender, bond.nano());
                self.bonds.insert(sender, bond.nano());
            }
            TransactionBody::RegisterNode { stake, operator, .. } => {
                self.take(sender, stake.nano());
                self.stakes.insert(sender, stake.nano());
                self.operators.insert(sender, *operator);
            }
            TransactionBody::SetCommission { commission } => {
                self.commissions.insert(sender, commission.get().into());
            }
            TransactionBody::OpenTask { terms } => {
                let escrow = escrow_of(terms);
                self.take(sender, escrow);
                self.tasks.insert(TaskId::new(transaction.id().digest()), (sender, escrow));
            }
            TransactionBody::CommitSegment { commitment } => {
                // A capability task that began in this block can't have a segment yet.
                let lease = &self.leases[&commitment.terms.lease];
                let totals = &commitment.terms.totals;
                let fee = lease.price.prompt_token.nano() * totals.prompt_tokens
                    + lease.price.completion_token.nano() * totals.completion_tokens;
                let segment = ModelSegment {
                    lease: commitment.terms.lease,
                    worker: lease.worker,
                    gateway: lease.gateway,
                    kind: lease.terms.kind,
                    fee,
                    jobs: totals.jobs.into(),
                    price: lease.price,
                    seed: Digest::ZERO,
                    replay: Ppm::new(0),
                    votes: Vec::new(),
                    approvers: None,
                    approved_by: None,
                    challenger: None,
                    was_disputed: false,
                    is_final: false,
                    is_anew: false,
                    bond: 0,
                    is_over: false,
                    attested: false,
                };
                let old = self.segments.insert(commitment.terms.id(), segment);
                assert!(old.is_none(), "a segment is committed once");
            }
            _ => {}
        }
    }

    #[expect(clippy::too_many_lines, reason = "one match over everything that happens")]
    fn event(&mut self, chain: &Chain, transactions: &[VerifiedTransaction], event: &Event) {
        match event {
            Event::TaskExpired { task, requester } => {
                let (payer, escrow) = self.tasks.remove(task).unwrap();
                assert_eq!(payer, *requester);
                self.give(payer, escrow);
                assert!(self.ended.insert(*task), "a task ends once");
            }
            Event::LeaseGranted { lease, task, worker, gateway, terms, price, .. } => {
                let (payer, left) = match terms.kind {
                    TaskKind::Benchmark => {
                        self.take(*worker, escrow_of(terms));
                        (*worker, escrow_of(terms))
                    }
                    _ => self.tasks.remove(task).unwrap(),
                };
                assert_eq!(payer, *gateway);
                assert!(self.ended.insert(*task), "a task ends once");
                let granted_height = chain.state.height();
                super::foreign::check_price(chain, (*worker, terms), *price);
                let (gateway, worker, terms, price) = (*gateway, *worker, *terms, *price);
                self.leases.insert(
                    *lease,
                    ModelLease { gateway, worker, terms, price, left, granted_height, end: None, spoiled: false },
                );
            }
            Event::LeaseEnded { lease, end, .. } => {
                let lease = self.leases.get_mut(lease).unwrap();
                assert_eq!(lease.end.replace(*end), None, "a lease ends once");
            }
            Event::LeaseClosed { lease, refund, .. } => {
                let lease = self.leases.remove(lease).unwrap();
                let blocks = (chain.state.height() - lease.granted_height).min(lease.terms.lease_ms / 1_000);
                let held = match lease.end.unwrap() {
                    LeaseEnd::Fault | LeaseEnd::ClosedByWorker => 0,
                    _ if lease.spoiled => 0,
                    _ => (100 * blocks).max(10_000) * u64::from(lease.terms.slots),
                };
                assert_eq!(refund.nano(), lease.left - held);
                self.give(lease.worker, held);
                self.give(lease.gateway, lease.left - held);
            }
            Event::CommitteeDrawn { segment, seed, replay, .. } => {
                let segment = self.segments.get_mut(segment).unwrap();
                (segment.seed, segment.replay) = (*seed, *replay);
            }
            Event::ForcedErrorOpened { segment, job, kind, caught, jackpot, .. } => {
                self.forced_error(transactions, *segment, (*job, *kind), (caught, jackpot.nano()));
            }
            Event::VerdictGiven { segment, validator, vote } => {
                self.segments.get_mut(segment).unwrap().votes.push((*validator, *vote));
            }
            Event::SegmentApproved(outcome) if !outcome.settled => {
                let segment = self.segments.get_mut(&outcome.segment).unwrap();
                (segment.is_final, segment.approved_by) = (true, Some((segment.seed, segment.replay)));
                for approver in self.segments[&outcome.segment].agreed() {
                    self.duty(approver);
                }
            }
            Event::SegmentApproved(outcome) => {
                let segment = self.segments.get_mut(&outcome.segment).unwrap();
                assert!(!segment.is_over, "a segment is paid once");
                assert_eq!(segment.bond, 0, "not while it is disputed");
                segment.is_over = true;
                let segment = segment.clone();
                let fee = outcome.fee.nano();
                assert_eq!(fee, segment.fee);
                self.leases.get_mut(&segment.lease).unwrap().left -= fee;
                let to_worker = fee * 80 / 100;
                let worker_barred = self.barred.contains(&segment.worker);
                self.give(if worker_barred { segment.gateway } else { segment.worker }, to_worker);
                let members = segment.approvers.clone().unwrap_or_else(|| segment.agreed());
                let part = fee * 12 / 100 / members.len() as u64;
                let seated: Vec<NodeId> = members.into_iter().filter(|member| !self.barred.contains(member)).collect();
                for member in &seated {
                    self.reward(*member, part);
                }
                self.pool += fee * 4 / 100;
                self.treasury += fee - to_worker - part * seated.len() as u64 - fee * 4 / 100;
                if segment.kind != TaskKind::Benchmark {
                    self.works.entry((self.epoch, segment.worker)).or_default().fees += fee;
                }
            }
            Event::SegmentRejected { segment: id, reason, .. } => {
                let (id, segment) = (*id, self.segments.get_mut(id).unwrap());
                assert!(!segment.is_over, "a segment ends once");
                segment.is_over = true;
                if *reason != RejectReason::Unresolved {
                    self.leases.get_mut(&segment.lease).unwrap().spoiled = true;
                }
                if let RejectReason::ProvenWrong { job, .. } = reason {
                    segment.attested =
                        segment.approved_by.is_some_and(|(seed, share)| id.draws_job(&seed, *job, share));
                    for prover in segment.clone().voters(is_invalid) {
                        self.duty(prover);
                    }
                } else if *reason == RejectReason::Statistics && !segment.is_final {
                    for approver in segment.clone().agreed() {
                        self.duty(approver);
                    }
                }
            }
            Event::DisputeOpened { segment, challenger, bond } => {
                assert_eq!(bond.nano(), 10 * IFR);
                self.take(*challenger, 10 * IFR);
                let segment = self.segments.get_mut(segment).unwrap();
                assert!(!std::mem::replace(&mut segment.was_disputed, true), "disputed once");
                (segment.challenger, segment.is_final) = (Some(*challenger), false);
                segment.bond = 10 * IFR;
                segment.approvers = Some(segment.agreed());
                segment.votes.clear();
            }
            Event::DisputeClosed { segment, challenger, upheld, returned } => {
                let segment = self.segments.get_mut(segment).unwrap();
                let bond = std::mem::take(&mut segment.bond);
                let is_anew = std::mem::take(&mut segment.is_anew);
                assert_eq!((segment.challenger, segment.is_over || is_anew), (Some(*challenger), *upheld));
                if is_anew {
                    segment.challenger = None;
                }
                segment.is_final = !*upheld;
                let segment = segment.clone();
                if returned.is_zero() {
                    let court = segment.agreed();
                    let part = bond / 2 / court.len() as u64;
                    for member in &court {
                        self.duty(*member);
                        self.reward(*member, part);
                    }
                    self.give(segment.worker, bond - part * court.len() as u64);
                } else {
                    assert_eq!(returned.nano(), bond);
                    self.give(*challenger, bond);
                }
            }
            Event::Slashed(slash) => self.slash(transactions, slash),
            Event::SlashReleased { slash, node, rule, burned, .. } => {
                let hold = self.holds.remove(slash).unwrap();
                assert_eq!((hold.node, hold.rule), (*node, *rule));
                let mut left: u64 = hold.parts.iter().sum();
                let own = hold.parts[0];
                let most = if hold.rule == SlashRule::WrongApproval { hold.harm } else { u64::MAX };
                for prover in &hold.provers {
                    let part = (own * 3 / 10).min(most) / hold.provers.len() as u64;
                    self.give(*prover, part);
                    left -= part;
                }
                if let Some(harmed) = hold.harmed {
                    let part = hold.harm.min(own / 5);
                    self.give(harmed, part);
                    left -= part;
                }
                assert_eq!(burned.nano(), left);
                self.burned += left;
            }
            Event::Bonded { node, account, amount } => {
                self.take(*account, amount.nano());
                if account == node || self.operators[node] == *account {
                    *self.stakes.get_mut(node).unwrap() += amount.nano();
                } else {
                    assert!(self.validators.contains(node));
                    self.delegated.entry(*node).or_default().add(*account, amount.nano());
                }
            }
            Event::Unbonding { unbonding, node, account, amount, .. } => {
                if self.operators[node] == *account {
                    *self.stakes.get_mut(node).unwrap() -= amount.nano();
                } else {
                    self.delegated.get_mut(node).unwrap().take(*account, amount.nano());
                }
                self.unbonding.entry(*node).or_default().add(*unbonding, amount.nano());
            }
            Event::Unbonded { unbonding, node, account, amount } => {
                let parts = self.unbonding.get_mut(node).unwrap();
                assert!(parts.agrees(unbonding, amount.nano()), "{amount} of {parts:?}");
                parts.of.remove(unbonding);
                parts.nano -= amount.nano();
                self.give(*account, amount.nano());
            }
            Event::Rewarded { node, epoch, emission, .. } if !emission.is_zero() => {
                self.emission(*epoch, *node, emission.nano());
            }
            _ => {}
        }
    }

    /// SPEC V5: nobody pays for the planted job; who voted for a known-wrong one that it was to replay
    /// loses all, who found it shares a jackpot, and the rest is judged anew.
    fn forced_error(
        &mut self,
        transactions: &[VerifiedTransaction],
        id: SegmentId,
        (job, kind): (u32, ForcedKind),
        (found, jackpot): (&[NodeId], u64),
    ) {
        let segment = self.segments.get_mut(&id).unwrap();
        assert!(!segment.is_over, "a segment is opened before it ends");
        let full_fee = segment.fee;
        segment.fee -= fee_of_planted(transactions, id, &segment.price);
        let mut blind = BTreeSet::new();
        let mut caught = Vec::new();
        if kind == ForcedKind::Wrong {
            let is_drawn = |(seed, replay): (Digest, Ppm)| id.draws_job(&seed, job, replay);
            if segment.approved_by.is_some_and(is_drawn) {
                blind.extend(segment.approvers.clone().unwrap_or_else(|| segment.voters(is_valid)));
            }
            if !segment.is_final && is_drawn((segment.seed, segment.replay)) {
                blind.extend(segment.voters(is_valid));
                caught.extend(segment.votes.iter().filter(|(_, vote)| is_about(vote, job)).map(|(member, _)| *member));
                caught.retain(|member| !blind.contains(member));
                caught.sort();
            }
            // What is approved stands when nobody had to see it.
            if !segment.is_final || !blind.is_empty() {
                segment.votes.clear();
                (segment.approvers, segment.approved_by) = (None, None);
                segment.is_final = false;
                segment.is_anew = segment.bond > 0;
                if segment.bond == 0 {
                    segment.challenger = None;
                }
            }
        }
        assert_eq!(found, caught, "who found it");
        // The treasury's 4 % of as many segments as it takes for one order; a thousandth of it.
        let segments = 1_000_000 / self.forced_share;
        let total = (full_fee * 4 / 100 * segments).min(self.jackpot_max).min(self.treasury / 1_000);
        let each = total.checked_div(caught.len() as u64).unwrap_or(0);
        assert_eq!(jackpot, each);
        for member in caught {
            self.treasury -= each;
            self.reward(member, each);
            self.duty(member);
        }
        self.blind_slashed += u32::try_from(blind.len()).unwrap();
        self.blind.extend(blind.into_iter().map(|member| (id, member)));
    }

    /// SPEC M6: a tenth of the epoch's fees at most; 70 % of it for workers, each within its own
    /// fees; 30 % for validators by their duties. The schedule allows far more.
    fn emission(&mut self, epoch: u64, node: NodeId, nano: u64) {
        assert!(!self.barred.contains(&node) && epoch < self.epoch);
        let of_epoch: Vec<Work> = self
            .works
            .range((epoch, NodeId::from_bytes([0; 32]))..)
            .take_while(|((of, _), _)| *of == epoch)
            .map(|(_, work)| *work)
            .collect();
        let work = self.works[&(epoch, node)];
        let fees: u64 = of_epoch.iter().map(|work| work.fees).sum();
        let limit = |fees: u64| (fees - fees * 80 / 100) / 2;
        let workers = limit(fees) * 70 / 100;
        if self.validators.contains(&node) {
            let duties: u64 = of_epoch.iter().map(|work| work.duties).sum();
            assert_eq!(nano, (limit(fees) - workers) * work.duties / duties);
            self.reward(node, nano);
        } else {
            assert!(nano <= limit(work.fees) * 70 / 100, "{nano} for {}", work.fees);
            let others = of_epoch.iter().filter(|work| work.fees > 0).count() - 1;
            assert!(others > 0 || nano == workers, "{nano} of {workers}, alone");
            self.give(node, nano);
        }
        assert!(self.paid.insert((epoch, node)), "paid twice");
        self.reward_pool -= nano;
    }

    fn slash(&mut self, transactions: &[VerifiedTransaction], slash: &inferium_types::SlashedNode) {
        use SlashRule::{ConflictingResults, DoubleRequest, DoubleSigning, Equivocation, ForgedProof, WrongApproval};
        let segment = slash.segment.and_then(|id| self.segments.get(&id)).cloned();
        let about = || segment.clone().unwrap();
        let faults = self.faults.get(&slash.node).copied().unwrap_or(0) + 1;
        let gateway_of = |segment: ModelSegment| Some(segment.gateway).filter(|gateway| *gateway != segment.worker);
        let is_blind = slash.rule == SlashRule::WrongApproval
            && slash.segment.is_some_and(|segment| self.blind.remove(&(segment, slash.node)));
        // One of how many parts it takes.
        let mut harm = segment.as_ref().filter(|_| !is_blind).map_or(0, |segment| segment.fee);
        assert!(!super::foreign::spares(self.class.as_ref(), slash.rule));
        let (divisor, provers, harmed) = match slash.rule {
            SlashRule::DeadlineMissed | SlashRule::MissedDuty => (1_000, Vec::new(), None),
            SlashRule::WrongApproval if is_blind => (1, Vec::new(), None),
            SlashRule::WrongApproval => (1, about().provers(), gateway_of(about())),
            SlashRule::WrongRejection | SlashRule::FalseReplay => {
                let approvers = about().agreed();
                assert!(!approvers.contains(&slash.node));
                (if faults == 1 { 20 } else { 4 }, approvers, Some(about().worker))
            }
            SlashRule::WrongResult => {
                let divisor = match faults {
                    1 => 10,
                    2 => 2,
                    _ => 1,
                };
                (divisor, about().provers(), gateway_of(about()))
            }
            SlashRule::ForgedProof | SlashRule::EvidenceWithheld => (1, Vec::new(), None),
            SlashRule::Statistics => (5, Vec::new(), None),
            SlashRule::DoubleSigning
            | SlashRule::DoubleRequest
            | SlashRule::ConflictingResults
            | SlashRule::Equivocation => {
                let (sender, lease) = accusation(transactions, slash.node);
                let is_worker = slash.rule == SlashRule::ConflictingResults;
                let other = |lease: &ModelLease| if is_worker { lease.gateway } else { lease.worker };
                harm = self.leases.get(&lease).map_or(0, |lease| lease.left);
                (1, vec![sender], self.leases.get(&lease).map(other))
            }
        };
        let withheld = (slash.rule == SlashRule::EvidenceWithheld).then(|| about().withheld());
        let cut = |nano: u64| nano / divisor;
        let own = self.stakes[&slash.node];
        let mut parts = [withheld.map_or_else(|| cut(own), |cost| cost.min(own)), 0, 0];
        *self.stakes.get_mut(&slash.node).unwrap() -= parts[0];
        if let Some(pool) = self.delegated.get_mut(&slash.node) {
            parts[1] = cut(pool.nano);
            pool.become_nano(pool.nano - parts[1]);
        }
        if let Some(pool) = self.unbonding.get_mut(&slash.node) {
            parts[2] = withheld.map_or_else(|| cut(pool.nano), |cost| (cost - parts[0]).min(pool.nano));
            pool.become_nano(pool.nano - parts[2]);
        }
        assert_eq!(slash.amount.nano(), parts.iter().sum::<u64>(), "{:?}", slash.rule);
        let is_whole = match slash.rule {
            WrongApproval | ConflictingResults | DoubleSigning | DoubleRequest | Equivocation | ForgedProof => true,
            SlashRule::WrongResult => faults >= 3,
            _ => false,
        };
        if matches!(slash.rule, SlashRule::WrongResult | SlashRule::WrongRejection | SlashRule::FalseReplay) {
            self.faults.insert(slash.node, faults);
        }
        assert_eq!(slash.disqualified, is_whole);
        if is_whole {
            self.barred.insert(slash.node);
        }
        let hold = ModelHold { node: slash.node, rule: slash.rule, parts, provers, harmed, harm };
        assert!(self.holds.insert(slash.slash, hold).is_none());
    }

    /// The chain has as much in every pocket.
    pub(super) fn compare(&self, chain: &Chain) {
        let state = &chain.state;
        for (id, account) in state.accounts.iter() {
            let expected = self.balances.get(id).copied().unwrap_or(0);
            assert_eq!(signed(account.balance.nano()), expected, "{}", chain.name_or_key(id));
        }
        let stakes: BTreeMap<NodeId, u64> = state.nodes().map(|(id, node)| (*id, node.stake.nano())).collect();
        assert_eq!(stakes, self.stakes);
        self.compare_stakes(chain);
        let bonds: BTreeMap<NodeId, u64> = state.operators.iter().map(|(id, entry)| (*id, entry.bond.nano())).collect();
        assert_eq!(bonds, self.bonds);
        let tasks: BTreeMap<TaskId, u64> = state.tasks().map(|(id, task)| (*id, task.escrow.nano())).collect();
        assert_eq!(tasks, self.tasks.iter().map(|(id, (_, escrow))| (*id, *escrow)).collect());
        let leases: BTreeMap<LeaseId, u64> = state.leases().map(|(id, lease)| (*id, lease.escrow.nano())).collect();
        assert_eq!(leases, self.leases.iter().map(|(id, lease)| (*id, lease.left)).collect());
        for (id, lease) in state.leases() {
            let open = self.segments.values().filter(|segment| segment.lease == *id && !segment.is_over);
            assert_eq!(lease.reserved.nano(), open.map(|segment| segment.fee).sum::<u64>());
        }
        for (id, node) in state.nodes() {
            let open = self.segments.values().filter(|segment| segment.worker == *id && !segment.is_over);
            assert_eq!(node.unsettled.nano(), open.map(|segment| segment.fee).sum::<u64>());
            assert_eq!(node.disqualified, self.barred.contains(id));
        }
        let holds: BTreeMap<u64, [u64; 3]> = state
            .holds()
            .map(|(id, hold)| (*id, [hold.own, hold.delegated, hold.unbonding].map(Amount::nano)))
            .collect();
        assert_eq!(holds, self.holds.iter().map(|(id, hold)| (*id, hold.parts)).collect());
        let disputed: u64 =
            state.segments().filter_map(|(_, segment)| Some(segment.dispute.as_ref()?.bond.nano())).sum();
        assert_eq!(disputed, self.segments.values().map(|segment| segment.bond).sum::<u64>());
        let meta = state.meta();
        let pools = [meta.validator_pool, meta.treasury, meta.burned, meta.reward_pool].map(Amount::nano);
        assert_eq!(pools, [self.pool, self.treasury, self.burned, self.reward_pool]);
        let all = u64::try_from(self.balances.values().sum::<i64>()).unwrap()
            + self.bonds.values().sum::<u64>()
            + self.stakes.values().sum::<u64>()
            + self.delegated.values().map(|parts| parts.nano).sum::<u64>()
            + self.unbonding.values().map(|parts| parts.nano).sum::<u64>()
            + tasks.values().sum::<u64>()
            + leases.values().sum::<u64>()
            + holds.values().flatten().sum::<u64>()
            + disputed
            + pools.iter().sum::<u64>();
        assert_eq!(all, 250_000_000 * 1_000_000_000, "SPEC M2");
    }

    /// The sums are equal; each part is, but for rounding.
    fn compare_stakes(&self, chain: &Chain) {
        let state = &chain.state;
        for (id, node) in state.nodes() {
            let delegated = self.delegated.get(id).map_or(0, |parts| parts.nano);
            let unbonding = self.unbonding.get(id).map_or(0, |parts| parts.nano);
            assert_eq!((node.delegated.tokens.nano(), node.unbonding.tokens.nano()), (delegated, unbonding));
        }
        for ((account, validator), delegation) in state.delegations.iter() {
            let worth = state.node(validator).unwrap().delegated.value(delegation.shares).nano();
            let parts = &self.delegated[validator];
            assert!(parts.agrees(account, worth), "{worth}, {parts:?}");
        }
        for (number, unbonding) in state.unbondings() {
            let worth = state.node(&unbonding.node).unwrap().unbonding.value(unbonding.shares).nano();
            assert!(self.unbonding[&unbonding.node].agrees(number, worth));
        }
    }
}

/// What the job that this block's opening of the segment shows would have cost.
fn fee_of_planted(transactions: &[VerifiedTransaction], id: SegmentId, price: &Price) -> u64 {
    let shown = transactions.iter().find_map(|transaction| match &transaction.transaction().body {
        TransactionBody::OpenSegments { openings } => {
            openings.iter().find(|opening| opening.segment == id && opening.planted.is_some())
        }
        _ => None,
    });
    let usage = shown.unwrap().planted.as_ref().unwrap().leaf.result.usage;
    price.prompt_token.nano() * u64::from(usage.prompt_tokens)
        + price.completion_token.nano() * u64::from(usage.completion_tokens)
}

/// Who accused a node, and about which lease.
fn accusation(transactions: &[VerifiedTransaction], accused: NodeId) -> (NodeId, LeaseId) {
    let found = transactions.iter().find_map(|transaction| match &transaction.transaction().body {
        TransactionBody::ProveConflict { worker, first, .. } if *worker == accused => {
            Some((transaction.transaction().sender, first.leaf.request.lease))
        }
        TransactionBody::ProveDoubleSigning { gateway, first, .. } if *gateway == accused => {
            Some((transaction.transaction().sender, first.terms.lease))
        }
        TransactionBody::ProveDoubleRequest { gateway, first, .. } if *gateway == accused => {
            Some((transaction.transaction().sender, first.terms.lease))
        }
        _ => None,
    });
    found.unwrap()
}

fn signed(nano: u64) -> i64 {
    i64::try_from(nano).unwrap()
}

fn narrow(nano: u128) -> u64 {
    u64::try_from(nano).unwrap()
}

fn escrow_of(terms: &TaskTerms) -> u64 {
    let price = terms.price_max.prompt_token.nano().max(terms.price_max.completion_token.nano());
    price * terms.tokens_max + (100 * (terms.lease_ms / 1_000)).max(10_000) * u64::from(terms.slots)
}

const fn is_valid(vote: &VerdictVote) -> bool {
    vote.approves()
}

const fn is_invalid(vote: &VerdictVote) -> bool {
    matches!(vote, VerdictVote::Invalid { .. })
}

fn is_about(vote: &VerdictVote, wanted: u32) -> bool {
    matches!(vote, VerdictVote::Invalid { job, .. } if *job == wanted)
}
