//! Segments: commitment, approval, settlement: SPEC J3, M4, M5, V4, R3.

use super::support::*;
use crate::{InvalidBlock, LeaseState, Rejection, SegmentState};
use inferium_types::{
    Amount, Digest, Event, JobTotals, LeaseEnd, LeaseId, Ppm, SegmentCommitment, SegmentTerms, Signature, TaskTerms,
    TransactionBody, limits,
};

fn commit(commitment: SegmentCommitment) -> TransactionBody {
    TransactionBody::CommitSegment { commitment }
}

fn terms(lease: LeaseId, index: u32, totals: JobTotals) -> SegmentTerms {
    SegmentTerms { lease, index, totals, root: Digest::ZERO }
}

#[test]
fn segment_needs_both_signatures() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let good = chain.segment(lease, totals(1, 10, 10));
    let by = |name: &str| (good.terms.sign_as_worker(&key(name)), good.terms.sign_as_gateway(&key(name)));
    let worker = Rejection::Signature { whose: "worker's" };
    let gateway = Rejection::Signature { whose: "gateway's" };
    let cases = [
        (SegmentCommitment { worker_signature: by("g0").0, ..good }, &worker),
        (SegmentCommitment { worker_signature: by("w0").1, ..good }, &worker),
        (SegmentCommitment { worker_signature: Signature::from_bytes([0; 64]), ..good }, &worker),
        (SegmentCommitment { gateway_signature: by("w0").1, ..good }, &gateway),
        (SegmentCommitment { gateway_signature: by("g0").0, ..good }, &gateway),
        (SegmentCommitment { terms: SegmentTerms { root: Digest::sha256(b"x"), ..good.terms }, ..good }, &worker),
    ];
    for (commitment, rejection) in cases {
        chain.fails("w0", commit(commitment), rejection);
    }
    // Who refused a segment can't commit it behind the back of who has its evidence.
    for sender in ["g0", "x0"] {
        chain.fails(sender, commit(good), &Rejection::NotAllowed { expected: "the lease's worker" });
    }
    let events = chain.ok("w0", commit(good));
    let expected = Event::SegmentCommitted { segment: good.terms.id(), lease, totals: good.terms.totals };
    assert_eq!(events, [expected]);
}

#[test]
fn segments_come_in_order() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let out_of_order = Rejection::WrongState { what: "a segment out of order" };
    chain.fails("w0", commit(chain.sign(terms(lease, 1, totals(1, 1, 1)))), &out_of_order);
    chain.commit(lease, totals(1, 1, 1));
    chain.fails("w0", commit(chain.sign(terms(lease, 0, totals(1, 1, 1)))), &out_of_order);
    chain.fails("w0", commit(chain.sign(terms(lease, 2, totals(1, 1, 1)))), &out_of_order);
    chain.commit(lease, totals(1, 1, 1));
    let unknown = chain.sign(terms(LeaseId::new(Digest::ZERO), 0, totals(1, 1, 1)));
    chain.fails("w0", commit(unknown), &Rejection::Unknown { what: "lease" });
}

/// SPEC T6: a lease takes so many jobs and tokens, and ends with the last.
#[test]
fn lease_is_exhausted_by_jobs_or_tokens_and_takes_no_more() {
    let base = TaskTerms { jobs_max: 3, tokens_max: 1_000, ..task_terms() };
    for (last, exhausted) in [
        (totals(2, 10, 10), true),
        (totals(1, 400, 500), true),
        (totals(1, 10, 10), false),
        (totals(1, 400, 499), false),
    ] {
        let mut chain = Chain::ready(1);
        let lease = chain.lease_of(base);
        chain.commit(lease, totals(1, 50, 50));
        let segment = |totals| commit(chain.sign(terms(lease, 1, totals)));
        for jobs in [0, 3, u32::MAX] {
            chain.fails(
                "w0",
                segment(totals(jobs, 1, 1)),
                &match jobs {
                    u32::MAX => Rejection::Overflow,
                    _ => Rejection::OutOfBounds { field: "jobs" },
                },
            );
        }
        chain.fails("w0", segment(totals(1, 401, 500)), &Rejection::OutOfBounds { field: "tokens" });
        chain.fails("w0", segment(totals(1, u64::MAX, 1)), &Rejection::Overflow);
        chain.fails("w0", segment(totals(1, u64::MAX, 0)), &Rejection::Overflow);
        chain.commit(lease, last);
        let state = chain.state.lease(&lease).unwrap().state;
        let ended = matches!(state, LeaseState::Draining { end: LeaseEnd::Exhausted, .. });
        assert_eq!(ended, exhausted, "{last:?}");
    }
}

#[test]
fn segment_holds_so_many_jobs() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease_of(TaskTerms { jobs_max: 10_000, ..task_terms() });
    let most = u32::try_from(limits::SEGMENT_JOBS_MAX).unwrap();
    let too_many = chain.segment(lease, totals(most + 1, 1, 1));
    chain.fails("w0", commit(too_many), &Rejection::OutOfBounds { field: "jobs" });
    chain.commit(lease, totals(most, 1, 1));
}

/// SPEC J3: a lease that ended still takes what it had, until it is closed.
#[test]
fn draining_lease_takes_segments_until_it_closes() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    chain.ok("w0", TransactionBody::CloseLease { lease });
    let segment = chain.commit(lease, totals(1, 10, 10));
    chain.blocks(15);
    assert!(chain.state.segment(&segment).is_some());
    assert!(chain.state.lease(&lease).is_some(), "it waits for its segment");
    let members = chain.committee(segment);
    chain.vote(segment, &members, valid());
    chain.blocks(25);
    assert_eq!(chain.state.segment(&segment), None);
    assert_eq!(chain.state.lease(&lease), None);
}

/// SPEC T6: what a lease had is taken for ten seconds after its end, to the millisecond.
#[test]
fn draining_lease_takes_segments_for_its_drain_time() {
    for (late_ms, is_taken) in [(0, true), (1, false)] {
        let mut chain = Chain::ready(1);
        let lease = chain.lease();
        // A segment that waits for its verdict keeps the lease there.
        chain.commit(lease, totals(1, 10, 10));
        chain.ok("w0", TransactionBody::CloseLease { lease });
        let until = chain.now_ms + chain.parameters().lease_drain_ms;
        let second = chain.tx("w0", commit(chain.segment(lease, totals(1, 10, 10))));
        let mut environment = chain.environment();
        environment.timestamp_ms = until + late_ms;
        let outcome = chain.block_in(&environment, &[second]).map(|_| ());
        let rejection = Rejection::WrongState { what: "a segment of a closed lease" };
        let expected = if is_taken { Ok(()) } else { Err(InvalidBlock::Transaction { index: 0, rejection }) };
        assert_eq!(outcome, expected, "{late_ms}");
    }
}

/// SPEC J3: what a committee can replay in its window; a single job may have more.
#[test]
fn segment_of_several_jobs_has_so_many_tokens() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let tokens = limits::SEGMENT_TOKENS_MAX;
    let beyond = commit(chain.segment(lease, totals(2, 1, tokens)));
    chain.fails("w0", beyond, &Rejection::OutOfBounds { field: "tokens" });
    chain.commit(lease, totals(2, 1, tokens - 1));
    chain.commit(lease, totals(1, 1, tokens));
}

/// SPEC C9: segments pay no fee, so a lease has one per block at most.
#[test]
fn lease_commits_one_segment_per_block() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let first = chain.sign(terms(lease, 0, totals(1, 1, 1)));
    let second = chain.sign(terms(lease, 1, totals(1, 1, 1)));
    let both = [chain.tx("w0", commit(first)), chain.tx_after("w0", 1, commit(second))];
    let environment = chain.environment();
    let rejection = Rejection::WrongState { what: "a second segment of one block" };
    let refused = Err(InvalidBlock::Transaction { index: 1, rejection });
    assert_eq!(chain.clone().block_in(&environment, &both), refused);
    chain.ok("w0", commit(first));
    chain.ok("w0", commit(second));
}

/// SPEC V4: unsettled pay is at most 5 % of the stake, to the nano.
#[test]
fn unsettled_pay_is_bounded_by_the_stake() {
    // 5 % of 1,000 IFR is 50 IFR: 25,000,000 tokens at 2,000 nano.
    let mut chain = Chain::ready(1);
    let lease = chain.lease_of(TaskTerms { tokens_max: 40_000_000, ..task_terms() });
    let limit = Amount::from_ifr(50);
    let over = chain.segment(lease, totals(1, 1, 25_000_000));
    let found = Amount::from_nano(limit.nano() + 1_000);
    chain.fails("w0", commit(over), &Rejection::UnsettledLimit { found, limit });
    chain.approve(lease, totals(1, 0, 25_000_000));
    assert_eq!(chain.state.node(&id("w0")).unwrap().unsettled, limit);
    let more = chain.segment(lease, totals(1, 1, 0));
    chain.fails("w0", commit(more), &Rejection::UnsettledLimit { found, limit });
    chain.blocks(21);
    assert!(chain.state.node(&id("w0")).unwrap().unsettled.is_zero());
    chain.commit(lease, totals(1, 1, 0));
}

#[test]
fn fee_never_exceeds_what_the_lease_holds() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let mut entry = *chain.state.lease(&lease).unwrap();
    // A state that no history gives: less locked than the terms allow to spend.
    let kept = Amount::from_nano(19_999);
    let back = entry.escrow.sub(kept).unwrap();
    entry.escrow = kept;
    chain.state.set_lease(lease, Some(entry));
    chain.state.credit(id("g0"), back).unwrap();
    let needed = Amount::from_nano(20_000);
    let over = chain.segment(lease, totals(1, 0, 10));
    chain.fails("w0", commit(over), &Rejection::Insufficient { needed, available: kept });
    chain.commit(lease, totals(1, 1, 9));
}

/// SPEC M5, V4: nothing is paid before the challenge window is over; then 80 / 12 / 4 / 4 to the
/// nano, what does not divide to the treasury.
#[test]
fn settlement_splits_the_fee() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let fee = 1_000 * 7 + 2_000 * 3;
    let segment = chain.approve(lease, totals(1, 7, 3));
    let SegmentState::Final { approval, settles_at_ms, .. } = chain.state.segment(&segment).unwrap().state.clone()
    else {
        panic!("final")
    };
    assert_eq!(settles_at_ms, chain.now_ms + chain.parameters().challenge_ms);
    let names: Vec<String> = approval.approvers.iter().map(|member| chain.name(member)).collect();
    let locked = chain.state.lease(&lease).unwrap().escrow.nano();
    // The epoch turns elsewhere, so that the pool stays comparable.
    chain.block_at(settles_at_ms - 1);
    assert!(chain.state.segment(&segment).is_some());
    let worker = chain.balance("w0");
    let members: Vec<u64> = names.iter().map(|name| chain.balance(name)).collect();
    let (pool, treasury) = (chain.state.meta().validator_pool.nano(), chain.state.meta().treasury.nano());
    let events = chain.block_at(settles_at_ms);
    let settled = |event: &Event| {
        matches!(event, Event::SegmentApproved(outcome)
            if outcome.settled && outcome.segment == segment && outcome.fee.nano() == fee
                && outcome.to_worker.nano() == fee * 80 / 100
                && outcome.to_each_approver.nano() == fee * 12 / 100 / u64::try_from(names.len()).unwrap())
    };
    assert!(events.iter().any(settled));
    assert_eq!(chain.balance("w0") - worker, fee * 80 / 100);
    let part = fee * 12 / 100 / u64::try_from(names.len()).unwrap();
    for (name, old) in names.iter().zip(members) {
        assert_eq!(chain.balance(name) - old, part);
    }
    assert_eq!(chain.state.meta().validator_pool.nano() - pool, fee * 4 / 100);
    let rest = fee - fee * 80 / 100 - part * u64::try_from(names.len()).unwrap() - fee * 4 / 100;
    assert_eq!(chain.state.meta().treasury.nano() - treasury, rest);
    let entry = chain.state.lease(&lease).unwrap();
    assert_eq!((entry.escrow.nano(), entry.reserved.nano(), entry.segments_pending), (locked - fee, 0, 0));
    assert_eq!(chain.record("w0"), (1, 10, 0));
}

#[test]
fn fee_of_one_nano_goes_somewhere() {
    let mut chain = Chain::ready(1);
    chain.ok("w0", {
        let price = inferium_types::Price { prompt_token: Amount::from_nano(1), completion_token: Amount::ZERO };
        let terms = inferium_types::OfferTerms { slots: 1, price, context_tokens: 4_096, batches: true };
        TransactionBody::SetOffer { profile: profile(), terms }
    });
    let (_, lease) = chain.open("g0", task_terms());
    chain.approve(lease, totals(1, 1, 500));
    chain.blocks(25);
    assert_eq!(chain.state.meta().treasury.nano(), 1);
    assert_eq!(chain.state.segments().count(), 0);
}

/// What a node was paid from the reward pool.
fn emitted(chain: &Chain, name: &str) -> u64 {
    let rewards = chain.history.iter().filter_map(|event| match event {
        Event::Rewarded { node, emission, .. } if *node == id(name) => Some(emission.nano()),
        _ => None,
    });
    rewards.sum()
}

/// What went back to the gateway and out to others is what was locked.
#[test]
fn refund_and_pay_are_the_escrow() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let locked = chain.state.lease(&lease).unwrap().escrow.nano();
    for index in 0..3 {
        chain.approve(lease, totals(1, 10 + index, 20));
    }
    chain.ok("g0", TransactionBody::CloseLease { lease });
    let worker = chain.balance("w0");
    chain.blocks(60);
    let refund = chain.history.iter().find_map(|event| match event {
        Event::LeaseClosed { lease: of, refund, .. } if *of == lease => Some(refund.nano()),
        _ => None,
    });
    let fees: Vec<u64> = (0..3).map(|index| 1_000 * (10 + index) + 40_000).collect();
    let to_worker: u64 = fees.iter().map(|fee| fee * 80 / 100).sum();
    let reservation = chain.balance("w0") - worker - to_worker - emitted(&chain, "w0");
    assert_eq!(refund.unwrap() + fees.iter().sum::<u64>() + reservation, locked);
}

/// SPEC R3: a newcomer by jobs or by tokens is replayed in full; then less, never below the least.
#[test]
fn replayed_share_falls_with_the_record() {
    let record = |jobs, tokens| record_of(jobs, tokens, 0);
    let cases = [
        (record(0, 0), 1_000_000),
        (record(49, 1_000_000), 1_000_000),
        (record(1_000_000, 19_999), 1_000_000),
        (record(50, 20_000), 1_000_000),
        (record(51, 20_000), 980_392),
        (record(100, 20_000), 500_000),
        (record(4_999, 20_000), 10_002),
        (record(5_000, 20_000), 10_000),
        (record(5_001, 20_000), 10_000),
        (record(u64::MAX / 1_000_000, u64::MAX / 1_000_000), 10_000),
    ];
    for (record, parts) in cases {
        let mut chain = Chain::ready(1);
        chain.state.records.insert((id("w0"), profile()), record);
        let lease = chain.lease();
        let segment = chain.commit(lease, totals(1, 10, 10));
        chain.draw(segment);
        let SegmentState::Judging { replay, .. } = chain.state.segment(&segment).unwrap().state.clone() else {
            panic!("judging")
        };
        assert_eq!(replay, Ppm::new(parts), "{record:?}");
    }
}
