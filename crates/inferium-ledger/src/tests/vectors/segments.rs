//! Segments: commitment, settlement, disputes (SPEC J3, M5, V4).

use super::book::{Book, Page, near, purse_for, with};
use super::nodes::{barred, jailed, operator_barred};
use crate::entries::{Lease, LeaseState, Pool};
use crate::tests::support::*;
use crate::{SegmentState, StateKey};
use inferium_types::{
    Amount, Digest, JobTotals, LeaseEnd, LeaseId, Ppm, SegmentCommitment, SegmentId, SegmentTerms, TaskKind,
    TransactionBody,
};

pub(super) fn write(book: &mut Book) {
    let mut chain = Chain::ready(2);
    let lease = chain.lease();
    chain.blocks(1);
    commit_segment(book, &chain, lease);
    settlement(book, &chain, lease);
    open_dispute(book, &chain, lease);
}

fn commit(commitment: SegmentCommitment) -> TransactionBody {
    TransactionBody::CommitSegment { commitment }
}

/// The chain in which the lease is otherwise.
fn leased(chain: &Chain, lease: LeaseId, change: impl FnOnce(&mut Lease)) -> Chain {
    with(chain, |state| {
        let mut changed = *state.lease(&lease).unwrap();
        change(&mut changed);
        state.set_lease(lease, Some(changed));
    })
}

fn commit_segment(book: &mut Book, chain: &Chain, lease: LeaseId) {
    let page = &mut book.page("commit_segment");
    let of = |totals| commit(chain.segment(lease, totals));
    let usual = of(totals(2, 1_000, 500));
    page.valid("two jobs", "J3", chain, "w0", usual.clone());
    page.valid("as many jobs as the lease has", "T6", chain, "w0", of(totals(100, 10_000, 6_384)));
    page.valid("one job of all tokens of the lease", "J3", chain, "w0", of(totals(1, 99_000, 1_000)));
    owed(page, chain, lease);
    let now_ms = chain.now_ms + BLOCK_MS;
    let drained = |commits_until_ms| {
        let end = LeaseEnd::ClosedByGateway;
        leased(chain, lease, |lease| {
            lease.state = LeaseState::Draining { end, until_ms: u64::MAX, commits_until_ms };
        })
    };
    page.valid("in the last millisecond of an ended lease", "T6", &drained(now_ms), "w0", usual.clone());
    page.doors(chain, "w0", &usual);
    page.invalid("a millisecond after an ended lease", "T6", &drained(now_ms - 1), "w0", usual.clone(), "wrong_state");
    page.invalid("by the gateway", "J3", chain, "g0", usual.clone(), "not_allowed");
    page.invalid("by another worker", "J3", chain, "w1", usual.clone(), "not_allowed");
    let unknown = commit(chain.sign(SegmentTerms { lease: LeaseId::new(Digest::ZERO), ..terms_of(chain, lease) }));
    page.invalid("of a lease that never was", "J3", chain, "w0", unknown, "unknown");
    let second = leased(chain, lease, |lease| lease.segments = 1);
    page.invalid("an index that is used", "J3", &second, "w0", usual.clone(), "wrong_state");
    let ahead = commit(chain.sign(SegmentTerms { index: 1, ..terms_of(chain, lease) }));
    page.invalid("an index ahead", "J3", chain, "w0", ahead, "wrong_state");
    let height = chain.state.height() + 1;
    let same = leased(chain, lease, |lease| lease.segment_height = height);
    page.invalid("a second one of one block", "C9", &same, "w0", usual.clone(), "wrong_state");
    bounds(page, chain, lease);
    signatures(page, chain, lease);
    let fee = 1_000 * 1_000 + 500 * 2_000;
    let short = leased(chain, lease, |lease| lease.escrow = Amount::from_nano(fee - 1));
    page.invalid("one nano-IFR more than the lease holds", "M4", &short, "w0", usual.clone(), "insufficient");
    let exact = leased(chain, lease, |lease| lease.escrow = Amount::from_nano(fee));
    page.valid("all that the lease holds", "M4", &exact, "w0", usual.clone());
    page.numbers("all that the lease holds", &exact, "w0", &usual);
    let reserved = leased(chain, lease, |lease| lease.reserved = lease.escrow);
    page.invalid("when all that the lease holds is reserved", "M4", &reserved, "w0", usual.clone(), "insufficient");
    let limit = |unsettled| {
        with(chain, |state| state.nodes.get_mut(&id("w0")).unwrap().unsettled = Amount::from_nano(unsettled))
    };
    let most = 50_000_000_000;
    page.valid("up to the limit of unsettled pay", "V4", &limit(most - fee), "w0", usual.clone());
    let over = limit(most - fee + 1);
    page.invalid("one nano-IFR over the limit of unsettled pay", "V4", &over, "w0", usual.clone(), "unsettled_limit");
    page.invalid("by a disqualified worker", "S3", &barred(chain, "w0"), "w0", usual.clone(), "disqualified");
    page.invalid("by a jailed worker", "S", &jailed(chain, "w0", 1), "w0", usual, "jailed");
}

/// What a segment's worker owes where jobs are planted (SPEC V5).
fn owed(page: &mut Page<'_>, chain: &Chain, lease: LeaseId) {
    let chain = &with(chain, |state| state.meta_mut().parameters.forced_share = Ppm::new(12_345));
    let before = |jobs, tokens| leased(chain, lease, |lease| (lease.jobs, lease.tokens) = (jobs, tokens));
    let large = leased(chain, lease, |lease| (lease.terms.jobs_max, lease.terms.tokens_max) = (10_000, 10_000_000));
    let large = with(&large, |state| {
        let mut entry = *state.lease(&lease).unwrap();
        entry.escrow = Amount::from_ifr(1_000);
        entry.price.prompt_token = Amount::from_nano(1);
        state.set_lease(lease, Some(entry));
    });
    let small =
        |jobs, tokens| leased(chain, lease, |lease| (lease.terms.jobs_max, lease.terms.tokens_max) = (jobs, tokens));
    let board = leased(chain, lease, |lease| lease.terms.kind = TaskKind::Leaderboard);
    let interval = leased(chain, lease, |lease| lease.terms.kind = TaskKind::Training);
    for (name, chain, totals) in [
        ("an interval of training, among which nothing is planted", interval, totals(1, 220, 1)),
        ("a board, among which nothing is planted", board, totals(1, 220, 1)),
        ("the last job that leaves room for planted ones", before(90, 0), totals(2, 10, 10)),
        ("a job more: no room", before(91, 0), totals(2, 10, 10)),
        ("the last token that leaves room", before(0, 97_932), totals(2, 10, 10)),
        ("a token more: no room", before(0, 97_933), totals(2, 10, 10)),
        ("the least lease that has room", small(64, 16_384), totals(2, 10, 10)),
        ("too few jobs for room", small(63, 16_384), totals(2, 10, 10)),
        ("too few tokens for room", small(64, 16_383), totals(2, 10, 10)),
        ("a segment with room for one more job", large.clone(), totals(4_095, 10, 10)),
        ("a segment of all jobs that it may have", large.clone(), totals(4_096, 10, 10)),
        ("a segment with room for a planted job's tokens", large.clone(), totals(2, 16_118, 10)),
        ("a segment without", large, totals(2, 16_119, 10)),
    ] {
        let body = commit(chain.segment(lease, totals));
        page.valid(name, "V5", &chain, "w0", body.clone());
        page.numbers(name, &chain, "w0", &body);
    }
}

fn terms_of(chain: &Chain, lease: LeaseId) -> SegmentTerms {
    chain.segment(lease, totals(2, 1_000, 500)).terms
}

fn bounds(page: &mut Page<'_>, chain: &Chain, lease: LeaseId) {
    let mut refuse = |name: &str, rule: &str, chain: &Chain, totals: JobTotals, error: &str| {
        page.invalid(name, rule, chain, "w0", commit(chain.segment(lease, totals)), error);
    };
    refuse("no jobs", "J3", chain, totals(0, 10, 10), "out_of_bounds");
    refuse("one job more than the lease has", "T6", chain, totals(101, 10, 10), "out_of_bounds");
    let large = leased(chain, lease, |lease| lease.terms.jobs_max = u32::MAX);
    refuse("one job more than a segment has", "J3", &large, totals(4_097, 10, 10), "out_of_bounds");
    let many = leased(&large, lease, |lease| lease.jobs = u32::MAX);
    refuse("jobs past the end of numbers", "J3", &many, totals(1, 10, 10), "overflow");
    refuse("several jobs of one token more than can be replayed", "J3", chain, totals(2, 16_384, 1), "out_of_bounds");
    refuse("one token more than the lease has", "T6", chain, totals(1, 100_000, 1), "out_of_bounds");
    let spent = leased(chain, lease, |lease| lease.tokens = u64::MAX);
    refuse("tokens past the end of numbers", "J3", &spent, totals(1, 1, 0), "overflow");
    refuse("tokens that add up past the end of numbers", "J3", chain, totals(1, u64::MAX, u64::MAX), "out_of_bounds");
    let endless = leased(chain, lease, |lease| lease.terms.tokens_max = u64::MAX);
    refuse("a fee past the end of amounts", "M1", &endless, totals(1, u64::MAX / 1_000 + 1, 0), "overflow");
}

fn signatures(page: &mut Page<'_>, chain: &Chain, lease: LeaseId) {
    let good = chain.segment(lease, totals(2, 1_000, 500));
    let other = chain.segment(lease, totals(2, 1_000, 501));
    let unsigned = SegmentCommitment { worker_signature: other.worker_signature, ..good };
    page.invalid("the worker signed something else", "J3", chain, "w0", commit(unsigned), "signature");
    let unsigned = SegmentCommitment { gateway_signature: other.gateway_signature, ..good };
    page.invalid("the gateway signed something else", "J3", chain, "w0", commit(unsigned), "signature");
    let swapped = SegmentCommitment {
        worker_signature: good.gateway_signature,
        gateway_signature: good.worker_signature,
        ..good
    };
    page.invalid("each signed for the other", "J3", chain, "w0", commit(swapped), "signature");
}

/// A final segment of `w0` for `g0`, and when it is paid.
pub(super) fn approved(chain: &Chain, lease: LeaseId) -> (Chain, SegmentId, u64) {
    let mut chain = chain.clone();
    let segment = chain.approve(lease, totals(3, 1_001, 503));
    let SegmentState::Final { settles_at_ms, .. } = chain.state.segment(&segment).unwrap().state else {
        panic!("approved")
    };
    (chain, segment, settles_at_ms)
}

fn settlement(book: &mut Book, chain: &Chain, lease: LeaseId) {
    let page = &mut book.page("settlement");
    let (chain, segment, at_ms) = approved(chain, lease);
    let about = [StateKey::Segment(segment), StateKey::Lease(lease), StateKey::Node(id("w0"))];
    let paid = near(&chain, at_ms);
    page.timed("worker, committee, validators and treasury", "M5", &paid, at_ms, &about);
    let odd = with(&paid, |state| {
        let mut entry = state.segment(&segment).unwrap().clone();
        entry.fee = Amount::from_nano(99);
        state.set_segment(segment, Some(entry));
    });
    page.timed("parts round down, the treasury gets the rest", "M5", &odd, at_ms, &about);
    page.timed("a disqualified worker's part returns to the gateway", "M5", &barred(&paid, "w0"), at_ms, &about);
    let delegated = with(&paid, |state| {
        let SegmentState::Final { approval, .. } = state.segment(&segment).unwrap().state.clone() else {
            panic!("final")
        };
        let node = state.nodes.get_mut(&approval.approvers[0]).unwrap();
        node.delegated = Pool { tokens: Amount::from_ifr(150_000), shares: 1 << 40 };
        node.commission = inferium_types::Ppm::new(100_000);
    });
    page.timed("a member shares with its delegators, less its commission", "M7", &delegated, at_ms, &about);
    let unseated = with(&paid, |state| {
        let SegmentState::Final { approval, .. } = state.segment(&segment).unwrap().state.clone() else {
            panic!("final")
        };
        state.nodes.get_mut(&approval.approvers[0]).unwrap().disqualified = true;
    });
    page.timed("a disqualified member's part is the treasury's", "M5", &unseated, at_ms, &about);
    let measured = with(&paid, |state| {
        let mut entry = state.segment(&segment).unwrap().clone();
        entry.kind = TaskKind::Benchmark;
        state.set_segment(segment, Some(entry));
    });
    page.timed("a capability task is paid and earns nothing else", "M6", &measured, at_ms, &about);
    let old = with(&paid, |state| {
        let record = crate::Record { updated_ms: 0, ..record_of(100, 40_000, 2) };
        state.records.insert((id("w0"), profile()), record);
    });
    let known = |jobs, failures| {
        with(&paid, |state| {
            let tokens = 40_000;
            state.records.insert((id("w0"), profile()), record_of(jobs, tokens, failures));
            // Others are slower, as fast, and faster.
            state.meta_mut().speeds = [1; 32];
        })
    };
    page.timed("a long record among others as fast", "R2", &known(10_000, 3), at_ms, &about);
    page.timed("a longer one adds nothing", "R2", &known(10_001, 3), at_ms, &about);
    page.timed("no jobs and many failures: the least there is", "R2", &known(0, 1_000), at_ms, &about);
    let slow = with(&known(10_000, 0), |state| {
        let mut capability = state.capability(&id("w0")).unwrap().clone();
        capability.score = 1;
        state.set_capability(id("w0"), capability);
    });
    page.timed("the slowest counts as a tenth", "R2", &slow, at_ms, &about);
    page.timed("a record of before has lost some of its weight", "R1", &old, at_ms, &about);
}

fn open_dispute(book: &mut Book, chain: &Chain, lease: LeaseId) {
    let page = &mut book.page("open_dispute");
    let (chain, segment, _) = approved(chain, lease);
    let body = TransactionBody::OpenDispute { segment };
    let bond = 10 * IFR;
    let exact = purse_for(&chain, "g0", &body, bond);
    page.valid("by the gateway, with the bond and nothing else", "V4", &exact, "g0", body.clone());
    let rich = |name: &str| purse_for(&chain, name, &body, 2 * bond);
    page.valid("by a validator", "V4", &rich("v0"), "v0", body.clone());
    page.doors(&chain, "g0", &body);
    let short = purse_for(&chain, "g0", &body, bond - 1);
    page.invalid("one nano-IFR short of the bond", "V4", &short, "g0", body.clone(), "insufficient");
    for (name, stranger) in [("by the worker", "w0"), ("by another worker", "w1"), ("by a stranger", "x0")] {
        page.invalid(name, "V4", &chain, stranger, body.clone(), "not_allowed");
    }
    page.invalid("by a removed validator", "C5", &barred(&rich("v0"), "v0"), "v0", body.clone(), "disqualified");
    page.invalid("by a jailed validator", "S", &jailed(&rich("v0"), "v0", 2), "v0", body.clone(), "jailed");
    let changed = |change: fn(&mut crate::Segment)| {
        with(&chain, |state| {
            let mut entry = state.segment(&segment).unwrap().clone();
            change(&mut entry);
            state.set_segment(segment, Some(entry));
        })
    };
    let own = changed(|segment| segment.gateway = segment.worker);
    page.invalid("of a capability task, by the worker itself", "V4", &own, "w0", body.clone(), "not_allowed");
    let twice = changed(|segment| segment.disputed = true);
    page.invalid("a second time", "V4", &twice, "v0", body.clone(), "exists");
    let mut disputed = chain.clone();
    disputed.ok("g0", body.clone());
    page.invalid("while the court is drawn", "V4", &disputed, "v0", body.clone(), "wrong_state");
    let unknown = TransactionBody::OpenDispute { segment: SegmentId::new(Digest::ZERO) };
    page.invalid("of a segment that is settled, or never was", "V4", &chain, "g0", unknown, "unknown");
    let mut awaiting = chain.clone();
    let next = awaiting.commit(lease, totals(1, 10, 10));
    let early = TransactionBody::OpenDispute { segment: next };
    page.invalid("before its committee is drawn", "V4", &awaiting, "g0", early.clone(), "wrong_state");
    awaiting.draw(next);
    page.invalid("while its committee judges it", "V4", &awaiting, "g0", early, "wrong_state");
    let other = operator_barred(&rich("v0"), "v0");
    page.valid("by a validator whose operator is barred: seats are kept", "S3", &other, "v0", body);
}
