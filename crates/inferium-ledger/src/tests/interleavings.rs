//! Every order in which few things can happen to one lease: SPEC M2 to M4, T3, T6, V3, V4.
//!
//! Each order of each subset of the operations is run on one lease with one segment; an operation
//! that can't be done then fails, and must change its fee and nonce only. After every block all
//! general claims are checked; at the end everything has ended, once, and is paid or returned, once.

use super::slashing::proof;
use super::stalls::{request, result};
use super::support::*;
use crate::{Rejection, SegmentState, StallState, State, execute, money::is_duty};
use inferium_types::{
    Amount, Digest, Event, LeaseId, Parameters, Ppm, RejectReason, SegmentCommitment, SegmentId, SegmentTerms, StallId,
    TaskTerms, TransactionBody, VerdictVote, VerifiedTransaction,
};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Commit,
    CloseByGateway,
    CloseByWorker,
    Stall,
    Answer,
    /// All who may vote say this, and find the segment so until the end.
    Approve,
    Reject,
    Silence,
    DisputeByGateway,
    DisputeByValidator,
    /// The worker is barred.
    Conflict,
    /// The worker takes all its stake back.
    Leave,
    /// Time passes to the end of the lease, or of a window.
    Wait(u64),
}

struct Run {
    chain: Chain,
    lease: LeaseId,
    commitment: SegmentCommitment,
    history: Vec<Step>,
}

impl Run {
    fn segment(&self) -> SegmentId {
        self.commitment.terms.id()
    }

    fn stall(&self) -> StallId {
        StallId::of_job(self.lease, 0)
    }

    fn step(&mut self, step: Step) {
        self.history.push(step);
        let dispute = TransactionBody::OpenDispute { segment: self.segment() };
        let (lease, request) = (self.lease, request(self.lease, 0));
        match step {
            Step::Commit => {
                self.attempt("w0", TransactionBody::CommitSegment { commitment: self.commitment });
            }
            Step::CloseByGateway => self.attempt("g0", TransactionBody::CloseLease { lease }),
            Step::CloseByWorker => self.attempt("w0", TransactionBody::CloseLease { lease }),
            Step::Stall => {
                self.attempt("g0", TransactionBody::ReportStall { request });
                // The relays get the request at once.
                for _ in 0..3 {
                    self.block(&[]);
                }
                let relays = match self.chain.state.stall(&self.stall()).map(|stall| &stall.state) {
                    Some(StallState::Relaying { relays, .. }) => relays.clone(),
                    _ => Vec::new(),
                };
                for (relay, _) in &relays[..relays.len().min(2)] {
                    let name = self.chain.name(relay);
                    self.attempt(&name, TransactionBody::CertifyDelivery { stall: self.stall() });
                }
            }
            Step::Answer => {
                let body = TransactionBody::AnswerStall { stall: self.stall(), result: result(&request) };
                self.attempt("w0", body);
            }
            Step::Approve => self.say(valid()),
            Step::Reject => self.say(invalid()),
            Step::Silence => self.say(VerdictVote::Unavailable),
            Step::DisputeByGateway => self.attempt("g0", dispute),
            Step::DisputeByValidator => self.attempt("v0", dispute),
            Step::Conflict => {
                let (first, second) = (proof("w0", lease, 1), proof("w0", lease, 2));
                self.attempt("x0", TransactionBody::ProveConflict { worker: id("w0"), first, second });
            }
            Step::Leave => self.attempt("w0", unbond("w0", self.chain.stake("w0"))),
            Step::Wait(ms) => {
                let until_ms = self.chain.now_ms + ms;
                while self.chain.now_ms < until_ms {
                    let mut environment = self.chain.environment();
                    environment.timestamp_ms = until_ms.min(self.chain.now_ms + 25_000);
                    self.chain.quick_block(&environment, &[]);
                    self.check();
                }
            }
        }
    }

    /// The segment's committee is drawn if it waits for that, and votes, until it is decided.
    fn say(&mut self, vote: VerdictVote) {
        for _ in 0..3 {
            if matches!(
                self.chain.state.segment(&self.segment()).map(|s| &s.state),
                Some(SegmentState::AwaitingSeed { .. })
            ) {
                self.block(&[]);
            }
        }
        if self.chain.silent_members(self.segment()).is_empty() {
            self.attempt("v0", verdict(self.segment(), vote));
        }
        loop {
            let names = self.chain.silent_members(self.segment());
            if names.is_empty() {
                return;
            }
            let bodies = names.iter().map(|name| (name, self.chain.commitment(self.segment(), name, vote)));
            let bound: Vec<_> = bodies.map(|(name, body)| self.chain.tx(name, body)).collect();
            self.block(&bound);
            let bodies = names.iter().map(|name| (name, reveal(self.segment(), name, vote)));
            let shown: Vec<_> = bodies.map(|(name, body)| self.chain.tx(name, body)).collect();
            self.block(&shown);
        }
    }

    /// A block with the transaction, or without it where it has no effect: then it changes its fee and
    /// nonce only.
    fn attempt(&mut self, sender: &str, body: TransactionBody) {
        let duty = is_duty(&body);
        let transaction = self.chain.tx(sender, body);
        let environment = self.chain.environment();
        match execute(&self.chain.state, &environment, std::slice::from_ref(&transaction)) {
            Err(_) => {
                assert!(duty, "{:?}", self.history);
                self.block(&[]);
            }
            Ok(with) => {
                let failed = with.events.iter().any(|event| matches!(event, Event::TransactionFailed { .. }));
                if failed {
                    let without = execute(&self.chain.state, &environment, &[]).unwrap();
                    let fee = fee_of(self.chain.parameters(), &transaction);
                    let mut paid = without.state;
                    let account = paid.accounts.get_mut(&id(sender)).unwrap();
                    account.balance = account.balance.sub(fee).unwrap();
                    account.nonce += 1;
                    let pool = paid.meta().validator_pool.add(fee).unwrap();
                    paid.meta_mut().validator_pool = pool;
                    assert_eq!(State::changes(&paid, &with.state), [], "{:?}", self.history);
                }
                self.block(&[transaction]);
            }
        }
    }

    fn block(&mut self, transactions: &[VerifiedTransaction]) {
        let environment = self.chain.environment();
        self.chain.quick_block(&environment, transactions);
        self.check();
    }

    /// What holds at any time. [`Chain::quick_block`] has checked that money adds up.
    fn check(&self) {
        let state = &self.chain.state;
        let segment = state.segment(&self.segment());
        let owed = segment.map_or(0, |segment| segment.fee.nano());
        match state.lease(&self.lease) {
            Some(lease) => {
                assert_eq!((lease.reserved.nano(), lease.segments_pending), (owed, u32::from(segment.is_some())));
                assert!(lease.escrow >= lease.reserved, "{:?}", self.history);
            }
            None => {
                assert_eq!(owed, 0, "a lease outlives its segments: {:?}", self.history);
                assert_eq!(state.stall(&self.stall()), None, "and its claims: {:?}", self.history);
            }
        }
        assert_eq!(state.node(&id("w0")).unwrap().unsettled.nano(), owed);
        let used = state.offer(profile(), id("w0")).map_or(0, |offer| offer.slots_used);
        let active = state.leases().filter(|(_, lease)| lease.state == crate::LeaseState::Active).count();
        assert!(u32::try_from(active).unwrap() == used || state.offer(profile(), id("w0")).is_none());
    }

    /// Left alone, everything ends.
    fn finish(mut self, locked: u64) {
        self.step(Step::Wait(500_000));
        let (history, state) = (&self.history, &self.chain.state);
        assert_eq!((state.lease(&self.lease), state.segment(&self.segment())), (None, None), "{history:?}");
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        let (mut refund, mut bonds, mut decision) = (0, 0i64, None);
        let (mut settled_fee, mut convicted) = (0, false);
        for event in &self.chain.history {
            let kind = match event {
                Event::LeaseEnded { lease, .. } if *lease == self.lease => "lease ended",
                Event::LeaseClosed { lease, refund: back, .. } if *lease == self.lease => {
                    refund = back.nano();
                    "lease closed"
                }
                Event::SegmentCommitted { .. } => "committed",
                Event::SegmentApproved(outcome) if outcome.settled => {
                    settled_fee = outcome.fee.nano();
                    decision = Some("settled");
                    "over"
                }
                Event::SegmentApproved(_) => "approved",
                Event::SegmentRejected { reason, .. } => {
                    convicted = matches!(reason, RejectReason::ProvenWrong { .. });
                    decision = Some("rejected");
                    "over"
                }
                Event::DisputeOpened { bond, .. } => {
                    bonds += i64::try_from(bond.nano()).unwrap();
                    "disputed"
                }
                Event::DisputeClosed { returned, upheld, .. } => {
                    assert!(!upheld || decision == Some("rejected"), "{history:?}");
                    bonds -= i64::try_from(if returned.is_zero() { 10 * IFR } else { returned.nano() }).unwrap();
                    "dispute closed"
                }
                _ => continue,
            };
            *counts.entry(kind).or_default() += 1;
        }
        let count = |kind| counts.get(kind).copied().unwrap_or(0);
        assert_eq!((count("lease ended"), count("lease closed")), (1, 1), "{history:?}");
        assert!(count("committed") <= 1 && count("approved") <= 1, "{history:?}");
        assert_eq!(count("over"), count("committed"), "a segment is paid or refunded, once: {history:?}");
        assert_eq!((count("disputed"), bonds), (count("dispute closed"), 0), "{history:?}");
        assert!(count("disputed") <= 1, "{history:?}");
        // All that was locked went to someone, once: the reservation is what is left.
        let reservation = locked - refund - settled_fee;
        assert!(reservation == 0 || reservation == 10_000, "{reservation}: {history:?}");
        assert!(!convicted || state.node(&id("w0")).unwrap().faults_ms.len() == 1, "{history:?}");
        let disputes = state.segments().filter(|(_, segment)| segment.dispute.is_some()).count();
        assert_eq!((disputes, state.stalls().count()), (0, 0));
        assert!(state.draws.is_empty());
    }
}

/// Five validators, of which one has money for a bond; a lease of one slot for half a minute.
fn start() -> (Chain, LeaseId, u64) {
    let parameters = Parameters { profile_slash_max: Ppm::ONE, verdict_blocks: 2, ..devnet(5) };
    let mut chain = Chain::with(5, parameters).furnished(1);
    chain.ok("x9", TransactionBody::Transfer { to: id("v0"), amount: Amount::from_ifr(100) });
    let lease = chain.lease_of(TaskTerms { lease_ms: 30_000, ..task_terms() });
    let locked = chain.state.lease(&lease).unwrap().escrow.nano();
    (chain, lease, locked)
}

/// Calls `visit` with every order of every subset of `items`.
fn orders<T: Copy>(items: &[T], chosen: &mut Vec<T>, visit: &mut impl FnMut(&[T])) {
    visit(chosen);
    for (index, item) in items.iter().enumerate() {
        let mut rest = items.to_vec();
        rest.remove(index);
        chosen.push(*item);
        orders(&rest, chosen, visit);
        chosen.pop();
    }
}

/// Runs every order; says how many there were.
fn run_all(steps: &[Step]) -> usize {
    let (chain, lease, locked) = start();
    let terms = SegmentTerms { lease, index: 0, totals: totals(1, 1_000, 500), root: Digest::ZERO };
    let commitment = chain.sign(terms);
    let mut count = 0;
    orders(steps, &mut Vec::new(), &mut |order| {
        let mut run = Run { chain: chain.clone(), lease, commitment, history: Vec::new() };
        run.chain.history.clear();
        for step in order {
            run.step(*step);
        }
        run.finish(locked);
        count += 1;
    });
    count
}

/// Six things make 1,957 orders of subsets.
const OF_SIX: usize = 1_957;
const OF_FIVE: usize = 326;

#[test]
fn closing_committing_and_judging_in_every_order() {
    use Step::{Approve, CloseByGateway, CloseByWorker, Commit, Reject, Wait};
    assert_eq!(run_all(&[Commit, CloseByGateway, CloseByWorker, Approve, Reject, Wait(11_000)]), OF_SIX);
}

#[test]
fn disputes_in_every_order() {
    use Step::{Approve, Commit, DisputeByGateway, DisputeByValidator, Reject, Wait};
    assert_eq!(run_all(&[Commit, Approve, DisputeByGateway, DisputeByValidator, Reject, Wait(21_000)]), OF_SIX);
}

#[test]
fn undecided_disputes_in_every_order() {
    use Step::{Approve, Commit, DisputeByGateway, Silence, Wait};
    assert_eq!(run_all(&[Commit, Approve, DisputeByGateway, Silence, Wait(61_000)]), OF_FIVE);
}

#[test]
fn claims_in_every_order() {
    use Step::{Answer, Approve, CloseByWorker, Commit, Stall, Wait};
    assert_eq!(run_all(&[Commit, Stall, Answer, CloseByWorker, Approve, Wait(11_000)]), OF_SIX);
}

#[test]
fn the_end_of_the_worker_in_every_order() {
    use Step::{Approve, Commit, Conflict, DisputeByGateway, Leave, Wait};
    assert_eq!(run_all(&[Commit, Approve, Conflict, DisputeByGateway, Leave, Wait(21_000)]), OF_SIX);
}

/// The same transaction twice, or late, or of another's nonce, is refused and changes nothing (C9, M3).
#[test]
fn nothing_counts_twice() {
    let (chain, lease, _) = start();
    let close = chain.tx("g0", TransactionBody::CloseLease { lease });
    let after = execute(&chain.state, &chain.environment(), std::slice::from_ref(&close)).unwrap().state;
    let mut next = chain.clone();
    next.block(std::slice::from_ref(&close));
    assert_eq!(next.state, after);
    let expected = chain.state.next_nonce(&id("g0"));
    let stale = Rejection::NonceTooLow { expected: expected + 1, found: expected };
    let refused = Err(crate::InvalidBlock::Transaction { index: 0, rejection: stale.clone() });
    let environment = next.environment();
    assert_eq!(next.block_in(&environment, std::slice::from_ref(&close)), refused);
    let twice = [close.clone(), close];
    let refused = Err(crate::InvalidBlock::Transaction { index: 1, rejection: stale });
    let environment = chain.environment();
    assert_eq!(chain.clone().block_in(&environment, &twice), refused);
    let ahead = chain.tx_after("g0", 1, TransactionBody::CloseLease { lease });
    let too_high = Rejection::NonceTooHigh { expected, found: expected + 1 };
    let refused = Err(crate::InvalidBlock::Transaction { index: 0, rejection: too_high });
    let mut chain = chain;
    assert_eq!(chain.block_in(&environment, &[ahead]), refused);
}
