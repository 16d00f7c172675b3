//! Random histories against a second, naive ledger that knows only money: it restates every rule
//! of M, T, V and S that moves any, and takes from the chain what happened, never how much.

use super::slashing::proof;
use super::stalls::{request, result};
use super::support::*;
use crate::{SegmentState, StallState, assemble, money::is_duty};
use inferium_types::{
    Amount, Digest, Event, JobFault, LeaseEnd, LeaseId, NodeId, OfferTerms, Price, SegmentId, SlashRule, StallId,
    TaskId, TaskTerms, TransactionBody, VerdictVote, VerifiedTransaction,
};
use proptest::{prelude::*, strategy::ValueTree as _};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Debug, Clone)]
struct ModelLease {
    gateway: NodeId,
    worker: NodeId,
    terms: TaskTerms,
    price: Price,
    left: u64,
    granted_height: u64,
    end: Option<LeaseEnd>,
}

#[derive(Debug, Clone)]
struct ModelSegment {
    lease: LeaseId,
    worker: NodeId,
    gateway: NodeId,
    fee: u64,
    votes: Vec<(NodeId, VerdictVote)>,
    is_over: bool,
}

#[derive(Debug, Clone)]
struct ModelHold {
    node: NodeId,
    rule: SlashRule,
    amount: u64,
    provers: Vec<NodeId>,
    harmed: Option<NodeId>,
}

/// Money by pocket, in nano-IFR.
#[derive(Debug, Default)]
struct Model {
    balances: BTreeMap<NodeId, u64>,
    bonds: BTreeMap<NodeId, u64>,
    stakes: BTreeMap<NodeId, u64>,
    validators: BTreeSet<NodeId>,
    barred: BTreeSet<NodeId>,
    faults: BTreeMap<NodeId, u64>,
    tasks: BTreeMap<TaskId, (NodeId, u64)>,
    ended: BTreeSet<TaskId>,
    leases: BTreeMap<LeaseId, ModelLease>,
    segments: BTreeMap<SegmentId, ModelSegment>,
    holds: VecDeque<ModelHold>,
    epoch_started_ms: u64,
    pool: u64,
    treasury: u64,
    burned: u64,
    reward_pool: u64,
}

impl Model {
    fn of(chain: &Chain) -> Self {
        let meta = chain.state.meta();
        Self {
            balances: chain.state.accounts.iter().map(|(id, account)| (*id, account.balance.nano())).collect(),
            bonds: chain.state.operators.iter().map(|(id, operator)| (*id, operator.bond.nano())).collect(),
            stakes: chain.state.nodes().map(|(id, node)| (*id, node.stake.nano())).collect(),
            validators: chain.state.nodes().filter(|(_, node)| node.is_validator()).map(|(id, _)| *id).collect(),
            epoch_started_ms: meta.epoch_started_ms,
            pool: meta.validator_pool.nano(),
            reward_pool: meta.reward_pool.nano(),
            ..Self::default()
        }
    }

    fn give(&mut self, to: NodeId, nano: u64) {
        *self.balances.entry(to).or_default() += nano;
    }

    fn take(&mut self, from: NodeId, nano: u64) {
        *self.balances.get_mut(&from).unwrap() -= nano;
    }

    fn block(&mut self, chain: &Chain, transactions: &[VerifiedTransaction], events: &[Event]) {
        let parameters = chain.parameters().clone();
        if chain.now_ms - self.epoch_started_ms >= parameters.epoch_ms {
            let passed = (chain.now_ms - self.epoch_started_ms) / parameters.epoch_ms;
            self.epoch_started_ms += passed * parameters.epoch_ms;
            let active: Vec<NodeId> = self.validators.difference(&self.barred).copied().collect();
            let part = self.pool.checked_div(active.len() as u64).unwrap_or(0);
            for validator in active {
                self.give(validator, part);
                self.pool -= part;
            }
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
        self.compare(chain);
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
            TransactionBody::RegisterNode { stake, .. } => {
                self.take(sender, stake.nano());
                self.stakes.insert(sender, stake.nano());
            }
            TransactionBody::OpenTask { terms } => {
                let price = terms.price_max.prompt_token.nano().max(terms.price_max.completion_token.nano());
                let per_slot = (100 * (terms.lease_ms / 1_000)).max(10_000);
                let escrow = price * terms.tokens_max + per_slot * u64::from(terms.slots);
                self.take(sender, escrow);
                self.tasks.insert(TaskId::new(transaction.id().digest()), (sender, escrow));
            }
            TransactionBody::CommitSegment { commitment } => {
                let lease = &self.leases[&commitment.terms.lease];
                let totals = &commitment.terms.totals;
                let fee = lease.price.prompt_token.nano() * totals.prompt_tokens
                    + lease.price.completion_token.nano() * totals.completion_tokens;
                let segment = ModelSegment {
                    lease: commitment.terms.lease,
                    worker: lease.worker,
                    gateway: lease.gateway,
                    fee,
                    votes: Vec::new(),
                    is_over: false,
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
                let (payer, left) = self.tasks.remove(task).unwrap();
                assert_eq!(payer, *gateway);
                assert!(self.ended.insert(*task), "a task ends once");
                let granted_height = chain.state.height();
                let (gateway, worker, terms, price) = (*gateway, *worker, *terms, *price);
                self.leases
                    .insert(*lease, ModelLease { gateway, worker, terms, price, left, granted_height, end: None });
            }
            Event::LeaseEnded { lease, end, .. } => {
                let lease = self.leases.get_mut(lease).unwrap();
                assert_eq!(lease.end.replace(*end), None, "a lease ends once");
            }
            Event::LeaseClosed { lease, refund, .. } => {
                let lease = self.leases.remove(lease).unwrap();
                let blocks = (chain.state.height() - lease.granted_height).min(lease.terms.lease_ms / 1_000);
                let held = match lease.end.unwrap() {
                    LeaseEnd::Fault => 0,
                    _ => (100 * blocks).max(10_000) * u64::from(lease.terms.slots),
                };
                assert_eq!(refund.nano(), lease.left - held);
                self.give(lease.worker, held);
                self.give(lease.gateway, lease.left - held);
            }
            Event::VerdictGiven { segment, validator, vote } => {
                self.segments.get_mut(segment).unwrap().votes.push((*validator, *vote));
            }
            Event::SegmentApproved(outcome) if outcome.settled => {
                let segment = self.segments.get_mut(&outcome.segment).unwrap();
                assert!(!segment.is_over, "a segment is paid once");
                segment.is_over = true;
                let segment = segment.clone();
                let fee = segment.fee;
                assert_eq!(outcome.fee.nano(), fee);
                self.leases.get_mut(&segment.lease).unwrap().left -= fee;
                let to_worker = fee * 80 / 100;
                let worker_barred = self.barred.contains(&segment.worker);
                self.give(if worker_barred { segment.gateway } else { segment.worker }, to_worker);
                let members: Vec<NodeId> =
                    segment.votes.iter().filter(|(_, vote)| is_valid(vote)).map(|(id, _)| *id).collect();
                let part = fee * 12 / 100 / members.len() as u64;
                for member in &members {
                    self.give(*member, part);
                }
                self.pool += fee * 4 / 100;
                self.treasury += fee - to_worker - part * members.len() as u64 - fee * 4 / 100;
            }
            Event::SegmentRejected { segment, .. } => {
                let segment = self.segments.get_mut(segment).unwrap();
                assert!(!segment.is_over, "a segment ends once");
                segment.is_over = true;
            }
            Event::Slashed(slash) => self.slash(transactions, slash),
            Event::SlashReleased { node, rule, burned } => {
                let hold = self.holds.pop_front().unwrap();
                assert_eq!((hold.node, hold.rule), (*node, *rule));
                let mut left = hold.amount;
                for prover in &hold.provers {
                    let part = hold.amount * 3 / 10 / hold.provers.len() as u64;
                    self.give(*prover, part);
                    left -= part;
                }
                if let Some(harmed) = hold.harmed {
                    self.give(harmed, hold.amount / 5);
                    left -= hold.amount / 5;
                }
                assert_eq!(burned.nano(), left);
                self.burned += left;
            }
            _ => {}
        }
    }

    fn slash(&mut self, transactions: &[VerifiedTransaction], slash: &inferium_types::SlashedNode) {
        let stake = self.stakes[&slash.node];
        let votes = |wanted: fn(&VerdictVote) -> bool| -> Vec<NodeId> {
            let segment = &self.segments[&slash.segment.unwrap()];
            let mut voters: Vec<NodeId> =
                segment.votes.iter().filter(|(_, vote)| wanted(vote)).map(|(id, _)| *id).collect();
            voters.sort();
            voters
        };
        let faults = self.faults.get(&slash.node).copied().unwrap_or(0) + 1;
        let (amount, provers, harmed) = match slash.rule {
            SlashRule::DeadlineMissed | SlashRule::MissedDuty => (stake / 1_000, Vec::new(), None),
            SlashRule::WrongApproval => {
                (stake, votes(is_invalid), Some(self.segments[&slash.segment.unwrap()].gateway))
            }
            SlashRule::WrongRejection => {
                let amount = if faults == 1 { stake / 20 } else { stake / 4 };
                (amount, votes(is_valid), Some(self.segments[&slash.segment.unwrap()].worker))
            }
            SlashRule::WrongResult => {
                let amount = match faults {
                    1 => stake / 10,
                    2 => stake / 2,
                    _ => stake,
                };
                (amount, votes(is_invalid), Some(self.segments[&slash.segment.unwrap()].gateway))
            }
            SlashRule::ConflictingResults => {
                let found = transactions.iter().find_map(|transaction| match &transaction.transaction().body {
                    TransactionBody::ProveConflict { worker, first, .. } if *worker == slash.node => {
                        Some((transaction.transaction().sender, first.leaf.request.lease))
                    }
                    _ => None,
                });
                let (sender, lease) = found.unwrap();
                (stake, vec![sender], self.leases.get(&lease).map(|lease| lease.gateway))
            }
        };
        assert_eq!(slash.amount.nano(), amount, "{:?}", slash.rule);
        let is_whole = match slash.rule {
            SlashRule::WrongApproval | SlashRule::ConflictingResults => true,
            SlashRule::WrongResult => faults >= 3,
            _ => false,
        };
        if matches!(slash.rule, SlashRule::WrongResult | SlashRule::WrongRejection) {
            self.faults.insert(slash.node, faults);
        }
        assert_eq!(slash.disqualified, is_whole);
        if is_whole {
            self.barred.insert(slash.node);
        }
        *self.stakes.get_mut(&slash.node).unwrap() -= amount;
        self.holds.push_back(ModelHold { node: slash.node, rule: slash.rule, amount, provers, harmed });
    }

    /// The chain has as much in every pocket.
    fn compare(&self, chain: &Chain) {
        let state = &chain.state;
        for (id, account) in &state.accounts {
            assert_eq!(
                account.balance.nano(),
                self.balances.get(id).copied().unwrap_or(0),
                "{}",
                chain.name_or_key(id)
            );
        }
        let stakes: BTreeMap<NodeId, u64> = state.nodes().map(|(id, node)| (*id, node.stake.nano())).collect();
        assert_eq!(stakes, self.stakes);
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
        }
        let holds: Vec<u64> = state.holds().map(|(_, hold)| hold.amount.nano()).collect();
        assert_eq!(holds, self.holds.iter().map(|hold| hold.amount).collect::<Vec<_>>());
        let meta = state.meta();
        let pools = [meta.validator_pool, meta.treasury, meta.burned, meta.reward_pool].map(Amount::nano);
        assert_eq!(pools, [self.pool, self.treasury, self.burned, self.reward_pool]);
        let all: u64 = self.balances.values().sum::<u64>()
            + self.bonds.values().sum::<u64>()
            + self.stakes.values().sum::<u64>()
            + tasks.values().sum::<u64>()
            + leases.values().sum::<u64>()
            + holds.iter().sum::<u64>()
            + pools.iter().sum::<u64>();
        assert_eq!(all, 250_000_000 * 1_000_000_000, "SPEC M2");
    }
}

const fn is_valid(vote: &VerdictVote) -> bool {
    matches!(vote, VerdictVote::Valid { .. })
}

const fn is_invalid(vote: &VerdictVote) -> bool {
    matches!(vote, VerdictVote::Invalid { .. })
}

/// One thing that someone tries; numbers choose who and what.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    kind: u8,
    who: u8,
    what: u8,
    much: u16,
}

fn nth<T>(items: impl IntoIterator<Item = T>, index: u8) -> Option<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    let count = items.len();
    (count > 0).then(|| items.swap_remove(usize::from(index) % count))
}

/// Turns an attempt into a transaction that has a chance.
#[expect(clippy::too_many_lines, reason = "one match over everything that happens")]
fn transaction(chain: &Chain, attempt: Attempt) -> Option<VerifiedTransaction> {
    let Attempt { kind, who, what, much } = attempt;
    let worker = format!("w{}", who % 3);
    let gateway = format!("g{}", who % 2);
    let state = &chain.state;
    let lease = || nth(state.leases().map(|(id, lease)| (*id, *lease)), what);
    let (sender, body) = match kind {
        0 => {
            let amount = Amount::from_nano(u64::from(much) << (what % 40));
            (format!("x{}", who % 3), TransactionBody::Transfer { to: id(&format!("x{}", what % 4)), amount })
        }
        1 | 2 => {
            let price = Price {
                prompt_token: Amount::from_nano(u64::from(what) * 4),
                completion_token: Amount::from_nano(u64::from(what) * 8),
            };
            let terms = OfferTerms { slots: u32::from(much % 5), price, context_tokens: 2_048 };
            (worker, TransactionBody::SetOffer { profile: profile(), terms })
        }
        3..=5 => {
            let terms = TaskTerms {
                jobs_max: u32::from(what % 7),
                tokens_max: u64::from(much) * 8,
                slots: 1 + u32::from(what % 3),
                open_ms: u64::from(what) * 200,
                lease_ms: u64::from(much),
                ..task_terms()
            };
            (gateway, TransactionBody::OpenTask { terms })
        }
        6 => {
            let (id, lease) = lease()?;
            let side = if who % 2 == 0 { lease.worker } else { lease.gateway };
            (chain.name(&side), TransactionBody::CloseLease { lease: id })
        }
        7..=10 => {
            let (id, lease) = lease()?;
            let totals = totals(1 + u32::from(who % 3), u64::from(much) / 16, u64::from(much) / 8);
            let commitment = chain.segment(id, totals);
            (chain.name(&lease.worker), TransactionBody::CommitSegment { commitment })
        }
        11..=18 => {
            let (segment, _) = nth(
                state.segments().filter(|(_, segment)| matches!(segment.state, SegmentState::Judging { .. })),
                what,
            )?;
            // Some segments are bad, some are left alone by one member, and some votes are wrong.
            let kind = segment.digest().as_bytes()[0] % 8;
            let vote = match much % 20 {
                0 => VerdictVote::Unavailable,
                1 | 2 if kind == 0 => valid(),
                1 => VerdictVote::Invalid { job: 0, fault: JobFault::Logits },
                _ if kind == 0 => invalid(),
                _ => valid(),
            };
            let member = nth(chain.silent_members(*segment), who)?;
            if kind == 1 && member == "v0" {
                return None;
            }
            (member, verdict(*segment, vote))
        }
        19 => {
            let (id, lease) = lease()?;
            (chain.name(&lease.gateway), TransactionBody::ReportStall { request: request(id, 0) })
        }
        20 | 21 => {
            let (stall, entry) = nth(state.stalls(), what)?;
            let StallState::Relaying { relays, .. } = &entry.state else { return None };
            (chain.name(&nth(relays, who)?.0), TransactionBody::CertifyDelivery { stall: *stall })
        }
        22 if much % 2 == 0 => {
            let (stall, entry) = nth(state.stalls(), what)?;
            let answer = result(&request(entry.lease, 0));
            (chain.name(&entry.worker), TransactionBody::AnswerStall { stall: *stall, result: answer })
        }
        23 if much % 40 == 0 => {
            let (id, lease) = lease()?;
            let name = chain.name(&lease.worker);
            let (first, second) = (proof(&name, id, 1), proof(&name, id, 2));
            (format!("x{}", who % 3), TransactionBody::ProveConflict { worker: lease.worker, first, second })
        }
        24 => (
            format!("x{}", 3 + who % 3),
            TransactionBody::RegisterOperator { bond: Amount::from_ifr(90 + u64::from(what % 20)) },
        ),
        25 => {
            let name = format!("x{}", 6 + who % 3);
            let body =
                chain.registration(&name, &format!("x{}", 3 + what % 3), worker_role(&name), Amount::from_ifr(1_000));
            (name, body)
        }
        26 => (worker, TransactionBody::CloseLease { lease: LeaseId::new(Digest::from([what; 32])) }),
        27 => (worker, TransactionBody::CertifyDelivery { stall: StallId::new(Digest::from([what; 32])) }),
        _ => return None,
    };
    Some(chain.tx(&sender, body))
}

/// Runs a history; counts what happened in it.
fn run(history: &[(Vec<Attempt>, u16)]) -> BTreeMap<&'static str, u32> {
    let mut chain = Chain::ready(3);
    chain.register("g1", gateway_role(), Amount::from_ifr(1_000));
    let mut model = Model::of(&chain);
    let mut met = BTreeMap::new();
    for (attempts, wait) in history {
        let candidates: Vec<VerifiedTransaction> =
            attempts.iter().filter_map(|attempt| transaction(&chain, *attempt)).collect();
        let mut environment = chain.environment();
        // Mostly a second, at times a minute.
        environment.timestamp_ms =
            chain.now_ms + if wait % 16 == 0 { 1 + u64::from(*wait) } else { 1 + u64::from(wait % 2_000) };
        let assembled = assemble(&chain.state, &environment, candidates).unwrap();
        let events = chain.block_in(&environment, &assembled.transactions).unwrap();
        assert_eq!(events, assembled.executed.events);
        assert_eq!(chain.state, assembled.executed.state);
        model.block(&chain, &assembled.transactions, &events);
        for event in &events {
            *met.entry(kind(event)).or_default() += 1;
        }
    }
    // Left alone, everything ends by itself (SPEC T3) and every escrow is back or paid.
    chain.blocks(900);
    assert_eq!((chain.state.tasks().count(), chain.state.stalls().count()), (0, 0));
    assert_eq!((chain.state.leases().count(), chain.state.segments().count()), (0, 0));
    assert!(chain.state.nodes().all(|(_, node)| node.unsettled.is_zero()));
    met
}

const fn kind(event: &Event) -> &'static str {
    match event {
        Event::TaskExpired { .. } => "expired",
        Event::LeaseGranted { .. } => "granted",
        Event::LeaseClosed { .. } => "closed",
        Event::SegmentApproved(outcome) if outcome.settled => "settled",
        Event::SegmentRejected { .. } => "rejected",
        Event::Slashed(slash) => slash.rule.name(),
        Event::SlashReleased { .. } => "released",
        Event::TransactionFailed { .. } => "failed",
        _ => "other",
    }
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (0u8..28, any::<u8>(), any::<u8>(), any::<u16>()).prop_map(|(kind, who, what, much)| Attempt {
        kind,
        who,
        what,
        much,
    })
}

fn history(blocks: usize) -> impl Strategy<Value = Vec<(Vec<Attempt>, u16)>> {
    prop::collection::vec((prop::collection::vec(attempt(), 0..6), any::<u16>()), blocks..=blocks)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn money_agrees_with_a_naive_ledger(history in history(150)) {
        run(&history);
    }
}

/// The histories are not idle: together they meet everything that moves money.
#[test]
fn histories_meet_every_way_money_moves() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut met: BTreeMap<&'static str, u32> = BTreeMap::new();
    for _ in 0..16 {
        let history = history(200).new_tree(&mut runner).unwrap().current();
        for (kind, count) in run(&history) {
            *met.entry(kind).or_default() += count;
        }
    }
    for wanted in [
        "expired",
        "granted",
        "closed",
        "settled",
        "rejected",
        "released",
        "failed",
        "deadline_missed",
        "wrong_result",
        "conflicting_results",
        "wrong_approval",
        "wrong_rejection",
        "missed_duty",
    ] {
        assert!(met.contains_key(wanted), "{wanted} is missing in {met:?}");
    }
}
