//! Tasks, offers, matching, leases: SPEC T3, T4, T5, T6, M4.

use super::support::*;
use crate::market::Market;
use crate::state::Needs;
use crate::{LeaseState, Obstacle, Record, Rejection};
use inferium_types::{
    Amount, Digest, Event, LeaseEnd, LeaseId, OfferTerms, Parameters, Ppm, Price, ProfileId, TaskId, TaskKind,
    TaskTerms, TransactionBody, VerdictVote,
};
use std::collections::BTreeMap;

/// What the usual task locks: the dearer price for every token, and the reservation.
fn escrow(chain: &Chain, terms: &TaskTerms) -> u64 {
    let dearer = terms.price_max.prompt_token.nano().max(terms.price_max.completion_token.nano());
    let parameters = chain.parameters();
    let by_time = parameters.reservation_per_block.nano() * (terms.lease_ms / 1_000);
    dearer * terms.tokens_max + by_time.max(parameters.reservation_min.nano()) * u64::from(terms.slots)
}

fn worker_of(chain: &Chain, lease: &LeaseId) -> Option<String> {
    chain.state.lease(lease).map(|lease| chain.name(&lease.worker))
}

/// SPEC M4: locked when it opens, back when nobody came, one millisecond is decisive.
#[test]
fn task_without_a_worker_expires_at_its_time_and_is_refunded() {
    let mut chain = Chain::ready(1);
    let before = chain.balance("g0");
    let fee = fee_of(chain.parameters(), &chain.tx("g0", TransactionBody::OpenTask { terms: task_terms() })).nano();
    let (task, _) = chain.open("g0", task_terms());
    let opened = chain.now_ms;
    assert_eq!(chain.balance("g0"), before - fee - escrow(&chain, &task_terms()));
    let events = chain.block_at(opened + task_terms().open_ms - 1);
    assert!(events.iter().all(|event| matches!(event, Event::Rewarded { .. })), "an epoch turned at most: {events:?}");
    assert!(chain.state.task(&task).is_some());
    let expired = Event::TaskExpired { task, requester: id("g0") };
    assert_eq!(chain.block_at(opened + task_terms().open_ms), [expired]);
    assert_eq!(chain.state.task(&task), None);
    assert_eq!(chain.balance("g0"), before - fee);
}

#[test]
fn task_terms_have_bounds() {
    let chain = Chain::ready(1);
    let parameters = chain.parameters().clone();
    let base = task_terms();
    let outside = [
        ("jobs_max", TaskTerms { jobs_max: 0, ..base }),
        ("tokens_max", TaskTerms { tokens_max: 0, ..base }),
        ("slots", TaskTerms { slots: 0, ..base }),
        ("slots", TaskTerms { slots: 4_097, ..base }),
        ("jobs_max", TaskTerms { jobs_max: 1_000_001, ..base }),
        (
            "price_max",
            TaskTerms { price_max: Price { prompt_token: Amount::ZERO, completion_token: Amount::ZERO }, ..base },
        ),
        ("open_ms", TaskTerms { open_ms: 0, ..base }),
        ("open_ms", TaskTerms { open_ms: parameters.task_open_max_ms + 1, ..base }),
        ("lease_ms", TaskTerms { lease_ms: 0, ..base }),
        ("lease_ms", TaskTerms { lease_ms: parameters.lease_max_ms + 1, ..base }),
    ];
    for (field, terms) in outside {
        chain.fails("g0", TransactionBody::OpenTask { terms }, &Rejection::OutOfBounds { field });
    }
    let inside = [
        TaskTerms { jobs_max: 1, tokens_max: 1, ..base },
        TaskTerms { slots: 4_096, ..base },
        TaskTerms { jobs_max: 1_000_000, ..base },
        TaskTerms { open_ms: 1, ..base },
        TaskTerms { price_max: Price { prompt_token: Amount::ZERO, completion_token: Amount::from_nano(1) }, ..base },
        TaskTerms { open_ms: parameters.task_open_max_ms, ..base },
        TaskTerms { lease_ms: 1, ..base },
        TaskTerms { lease_ms: parameters.lease_max_ms, ..base },
    ];
    for terms in inside {
        let mut chain = chain.clone();
        let (task, _) = chain.open("g0", terms);
        assert_eq!(chain.state.task(&task).unwrap().escrow.nano(), escrow(&chain, &terms));
    }
}

#[test]
fn task_that_no_purse_could_hold_overflows() {
    let chain = Chain::ready(1);
    let terms = TaskTerms { tokens_max: u64::MAX, ..task_terms() };
    chain.fails("g0", TransactionBody::OpenTask { terms }, &Rejection::Overflow);
}

#[test]
fn gateway_locks_what_it_has_and_no_more() {
    let mut chain = Chain::ready(1);
    let costs = fee_of(chain.parameters(), &chain.tx("g0", TransactionBody::OpenTask { terms: task_terms() })).nano();
    let needed = escrow(&chain, &task_terms());
    let body = |nano| TransactionBody::Transfer { to: id("x0"), amount: Amount::from_nano(nano) };
    let fee = fee_of(chain.parameters(), &chain.tx("g0", body(1))).nano();
    let keep = costs + needed - 1;
    chain.ok("g0", body(chain.balance("g0") - fee - keep));
    let (needed, available) = (Amount::from_nano(needed), Amount::from_nano(needed - 1));
    let open = || TransactionBody::OpenTask { terms: task_terms() };
    chain.fails("g0", open(), &Rejection::Insufficient { needed, available });
    chain.ok("x0", TransactionBody::Transfer { to: id("g0"), amount: Amount::from_nano(1) });
    chain.ok("g0", open());
    assert_eq!(chain.balance("g0"), 0);
}

#[test]
fn offers_have_bounds_and_a_known_profile() {
    let mut chain = Chain::ready(1);
    let terms = |slots| OfferTerms { slots, price: PRICE, context_tokens: 4_096, batches: true };
    let unknown = TransactionBody::SetOffer { profile: ProfileId::new(Digest::ZERO), terms: terms(1) };
    chain.fails("w0", unknown, &Rejection::Unknown { what: "profile" });
    chain.fails("w0", offer(4_097), &Rejection::OutOfBounds { field: "slots" });
    let free = OfferTerms { price: Price { prompt_token: Amount::ZERO, completion_token: Amount::ZERO }, ..terms(1) };
    let body = TransactionBody::SetOffer { profile: profile(), terms: free };
    chain.fails("w0", body, &Rejection::OutOfBounds { field: "price" });
    chain.ok("w0", offer(4_096));
    chain.ok("w0", offer(0));
    assert_eq!(chain.state.offer(profile(), id("w0")), None);
}

/// SPEC T4: the block that opens a task leases it to a standing offer, and the other way round.
#[test]
fn task_meets_an_offer_in_the_same_block() {
    let mut chain = Chain::ready(1);
    chain.ok("w0", offer(1));
    let (task, lease) = chain.open("g0", task_terms());
    let granted = chain.events.iter().any(|event| {
        matches!(event, Event::LeaseGranted { lease: of, task: from, worker, gateway, .. }
            if *of == lease && *from == task && *worker == id("w0") && *gateway == id("g0"))
    });
    assert!(granted);
    assert_eq!(chain.state.task(&task), None);
    let (waiting, second) = chain.open("g0", task_terms());
    assert!(chain.state.task(&waiting).is_some(), "the slot is taken");
    chain.ok("w0", offer(2));
    assert_eq!(worker_of(&chain, &second), Some("w0".into()));
    assert_eq!(chain.state.offer(profile(), id("w0")).unwrap().slots_used, 2);
}

#[test]
fn offer_must_fit_price_context_and_slots() {
    let base = task_terms();
    let dearer = |price: Amount| Amount::from_nano(price.nano() - 1);
    let cases = [
        (TaskTerms { slots: 2, context_tokens: 4_096, ..base }, true),
        (TaskTerms { slots: 3, ..base }, false),
        (TaskTerms { context_tokens: 4_097, ..base }, false),
        (TaskTerms { price_max: Price { prompt_token: dearer(PRICE.prompt_token), ..PRICE }, ..base }, false),
        (TaskTerms { price_max: Price { completion_token: dearer(PRICE.completion_token), ..PRICE }, ..base }, false),
    ];
    for (terms, fits) in cases {
        let mut chain = Chain::ready(1);
        chain.ok("w0", offer(2));
        let (_, lease) = chain.open("g0", terms);
        assert_eq!(chain.state.lease(&lease).is_some(), fits, "{terms:?}");
    }
}

/// SPEC T5: the highest price first, then the oldest.
#[test]
fn tasks_are_served_by_price_then_age() {
    let mut chain = Chain::ready(1);
    let paying =
        |nano| TaskTerms { price_max: Price { completion_token: Amount::from_nano(nano), ..PRICE }, ..task_terms() };
    let (_, old) = chain.open("g0", paying(2_000));
    let same_block: Vec<_> =
        (0..2).map(|ahead| chain.tx_after("g0", ahead, TransactionBody::OpenTask { terms: paying(3_000) })).collect();
    chain.block(&same_block);
    let young = |index: usize| LeaseId::of_task(TaskId::new(same_block[index].id().digest()));
    let (_, best) = chain.open("g0", paying(4_000));
    for (slots, expected) in (1..).zip([best, young(0), young(1), old]) {
        chain.ok("w0", offer(slots));
        assert!(chain.state.lease(&expected).is_some(), "slot {slots}");
        assert_eq!(chain.state.leases().count(), usize::try_from(slots).unwrap());
    }
}

/// SPEC T4: who says so gets no batches, and the ledger tells why.
#[test]
fn an_offer_can_decline_batches() {
    for (takes, kind) in [(true, TaskKind::Batch), (false, TaskKind::Batch), (false, TaskKind::Inference)] {
        let mut chain = Chain::ready(1);
        let terms = OfferTerms { slots: 1, price: PRICE, context_tokens: 4_096, batches: takes };
        chain.ok("w0", TransactionBody::SetOffer { profile: profile(), terms });
        let (task, _) = chain.open("g0", TaskTerms { kind, ..task_terms() });

        let is_leased = takes || kind == TaskKind::Inference;
        assert_eq!(chain.state.task(&task).is_none(), is_leased, "{takes} {kind:?}");
        if !is_leased {
            let why = chain.state.why_task(&task).unwrap();
            assert_eq!(why.iter().map(|one| one.obstacles.clone()).collect::<Vec<_>>(), [vec![Obstacle::NoBatches]]);
        }
    }
}

/// SPEC T5: a batch that offers less than twice as much comes after those that someone waits for.
#[test]
fn a_batch_counts_half_its_price() {
    let mut chain = Chain::ready(1);
    let paying = |kind, nano| TaskTerms {
        kind,
        price_max: Price { completion_token: Amount::from_nano(nano), ..PRICE },
        ..task_terms()
    };
    let (_, batch) = chain.open("g0", paying(TaskKind::Batch, 5_999));
    let (_, waited_for) = chain.open("g0", paying(TaskKind::Inference, 3_000));
    let (_, dear) = chain.open("g0", paying(TaskKind::Batch, 6_002));
    for (slots, expected) in (1..).zip([dear, waited_for, batch]) {
        chain.ok("w0", offer(slots));
        assert!(chain.state.lease(&expected).is_some(), "slot {slots}");
    }
}

/// SPEC M4: half of what the worker asked for, rounded up; all of it where someone waits; what was not earned returns.
#[test]
fn a_batch_pays_a_part_of_the_price() {
    for (share, asked, expected) in [(500_000, 2_000, 1_000), (500_000, 7, 4), (1_000_000, 2_000, 2_000)] {
        for kind in [TaskKind::Batch, TaskKind::Inference] {
            let mut chain = Chain::with(6, Parameters { batch_price_share: Ppm::new(share), ..devnet(6) }).furnished(1);
            let price = Price { prompt_token: Amount::ZERO, completion_token: Amount::from_nano(asked) };
            let terms = OfferTerms { slots: 1, price, context_tokens: 4_096, batches: true };
            chain.ok("w0", TransactionBody::SetOffer { profile: chain.profile(), terms });
            let (_, lease) = chain.open("g0", TaskTerms { kind, ..task_terms() });
            let lease = *chain.state.lease(&lease).unwrap();
            let expected = if kind == TaskKind::Batch { expected } else { asked };
            assert_eq!((lease.price.prompt_token, lease.price.completion_token.nano()), (Amount::ZERO, expected));
        }
    }
}

fn with_records(workers: u32, records: &[(&str, Record)]) -> Chain {
    let mut chain = Chain::ready(workers);
    for (name, record) in records {
        chain.state.records.insert((id(name), profile()), *record);
    }
    for index in 0..workers {
        chain.ok(&format!("w{index}"), offer(4_000));
    }
    chain
}

/// Opens and grants `count` leases of one slot each; who got them, in order.
fn draws(chain: &mut Chain, count: u64) -> Vec<String> {
    let terms = TaskTerms { tokens_max: 1, ..task_terms() };
    let mut order = Vec::new();
    for _ in 0..count {
        let (_, lease) = chain.open("g0", terms);
        order.push(worker_of(chain, &lease).unwrap());
    }
    order
}

const EXCELLENT: Record = record_of(10_000, 10_000_000, 0);
const DREADFUL: Record = record_of(0, 0, 1_000_000);

/// SPEC T5: whatever the records, an eligible worker is passed over at most 4 x eligible times in
/// a row, also when many wait at once.
#[test]
fn no_eligible_worker_is_passed_over_for_long() {
    for workers in [2u32, 3, 5, 8] {
        let records: Vec<(String, Record)> = (1..workers).map(|index| (format!("w{index}"), DREADFUL)).collect();
        let mut records: Vec<(&str, Record)> = records.iter().map(|(name, record)| (name.as_str(), *record)).collect();
        records.push(("w0", EXCELLENT));
        let mut chain = with_records(workers, &records);
        let order = draws(&mut chain, u64::from(workers) * 20);
        let limit = usize::try_from(workers * 4).unwrap();
        let mut waits: BTreeMap<String, usize> = (0..workers).map(|index| (format!("w{index}"), 0)).collect();
        for chosen in order {
            for (name, wait) in &mut waits {
                *wait = if *name == chosen { 0 } else { *wait + 1 };
                assert!(*wait <= limit, "{name} of {workers} was passed over {wait} times");
            }
        }
    }
}

/// SPEC T5, R2: a good record draws more work, a newcomer still gets some.
#[test]
fn better_records_draw_more_leases() {
    let poor = record_of(10, 1_000, 20);
    let mut chain = with_records(2, &[("w0", EXCELLENT), ("w1", poor)]);
    let order = draws(&mut chain, 200);
    let good = order.iter().filter(|name| *name == "w0").count();
    assert!((120..200).contains(&good), "{good} of 200");
}

/// SPEC T5: one draw in twenty ignores records.
#[test]
fn twentieth_part_of_draws_is_uniform() {
    let mut chain = with_records(2, &[("w0", EXCELLENT), ("w1", DREADFUL)]);
    chain.ok("w1", offer(0));
    chain.ok("w1", offer(4_000));
    let (task, _) = chain.open("g0", TaskTerms { context_tokens: 1 << 30, ..task_terms() });
    let mut task = *chain.state.task(&task).unwrap();
    task.terms = task_terms();
    let needs = Needs::of(&task.terms, Amount::ZERO);
    let market = Market::of(&chain.state, profile());
    let weights = ["w0", "w1"].map(|name| chain.state.priority(id(name), profile()));
    let drawn = (0u32..20_000)
        .filter(|index| {
            let draw = Digest::of("test-draw", &[&index.to_be_bytes()]);
            let mut market = market.clone();
            let place = market.choose(&chain.state, &task, &needs, || draw).unwrap();
            market.serve(&chain.state, &task, &needs, place).unwrap().0 == id("w1")
        })
        .count();
    // Half of the uniform draws, and its due share of the others.
    let expected = 500 + 19_000 * usize::try_from(weights[1] / (weights[0] + weights[1])).unwrap();
    assert!(drawn.abs_diff(expected) < 75, "{drawn} of 20000, {expected} expected, weights {weights:?}");
}

/// SPEC C9: tasks that nobody can serve use up no more than their part of a block's matching, however
/// dear they are; what waits behind them is reached.
#[test]
fn tasks_that_no_one_can_serve_do_not_keep_others_waiting() {
    let mut parameters = devnet(4);
    parameters.queue_work_max = 4;
    let mut chain = Chain::with(4, parameters).furnished(1);
    chain.ok("w0", offer(2));
    let dear = Price { prompt_token: PRICE.prompt_token, completion_token: Amount::from_nano(9_000) };
    let vain = TaskTerms { price_max: dear, context_tokens: 1 << 30, ..task_terms() };
    for _ in 0..12 {
        chain.open("g0", vain);
    }
    let (_, lease) = chain.open("g0", task_terms());
    // Two of thirteen per block beyond the two at the head.
    let mut waited = 0;
    while chain.state.lease(&lease).is_none() {
        chain.blocks(1);
        waited += 1;
        assert!(waited <= 7, "not reached after {waited} blocks");
    }
    assert_eq!(chain.state.tasks().count(), 12);
    // The place to go on from outlives the task that held it, and a restart.
    let again = crate::State::from_entries(chain.state.entries()).unwrap();
    assert_eq!(again, chain.state);
}

/// SPEC T6: at its time, not before; then it drains; then what was not earned goes back (M4).
#[test]
fn lease_expires_drains_and_refunds() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let (granted_ms, granted_height) = (chain.now_ms, chain.state.height());
    let locked = escrow(&chain, &task_terms());
    let (gateway, worker) = (chain.balance("g0"), chain.balance("w0"));
    chain.block_at(granted_ms + task_terms().lease_ms - 1);
    assert_eq!(chain.state.lease(&lease).unwrap().state, LeaseState::Active);
    let events = chain.block_at(granted_ms + task_terms().lease_ms);
    let (end, sides) = (LeaseEnd::Expired, (id("w0"), id("g0")));
    assert_eq!(events, [Event::LeaseEnded { lease, worker: sides.0, gateway: sides.1, end }]);
    assert_eq!(chain.state.offer(profile(), id("w0")).unwrap().slots_used, 0);
    let drained = chain.now_ms + chain.parameters().lease_drain_ms;
    chain.block_at(drained - 1);
    assert!(chain.state.lease(&lease).is_some());
    let events = chain.block_at(drained);
    let per_slot = (chain.parameters().reservation_per_block.nano() * (chain.state.height() - granted_height))
        .max(chain.parameters().reservation_min.nano());
    let refund = Amount::from_nano(locked - per_slot);
    assert_eq!(events, [Event::LeaseClosed { lease, worker: sides.0, gateway: sides.1, refund }]);
    assert_eq!(chain.state.lease(&lease), None);
    assert_eq!(chain.balance("g0"), gateway + refund.nano());
    assert_eq!(chain.balance("w0"), worker + per_slot);
}

#[test]
fn either_side_closes_a_lease_once_and_no_one_else() {
    for (closer, end) in [("g0", LeaseEnd::ClosedByGateway), ("w0", LeaseEnd::ClosedByWorker)] {
        let mut chain = Chain::ready(1);
        let lease = chain.lease();
        let close = || TransactionBody::CloseLease { lease };
        chain.fails("x0", close(), &Rejection::NotAllowed { expected: "a side of the lease" });
        let events = chain.ok(closer, close());
        assert_eq!(events, [Event::LeaseEnded { lease, worker: id("w0"), gateway: id("g0"), end }]);
        chain.fails(closer, close(), &Rejection::WrongState { what: "closing an ended lease" });
        chain.blocks(11);
        chain.fails(closer, close(), &Rejection::Unknown { what: "lease" });
    }
}

/// SPEC T6, M4: the reservation grows by the block, from its least to what was locked.
#[test]
fn reservation_grows_with_blocks_within_its_bounds() {
    for blocks in [1u64, 89, 90, 91, 600, 640] {
        let mut chain = Chain::ready(1);
        let lease = chain.lease_of(TaskTerms { slots: 3, ..task_terms() });
        let worker = chain.balance("w0");
        // Blocks of one millisecond, so that the lease does not expire meanwhile.
        for _ in 1..blocks {
            chain.block_at(chain.now_ms + 1);
        }
        let close = chain.tx("g0", TransactionBody::CloseLease { lease });
        chain.block(&[close]);
        chain.block_at(chain.now_ms + chain.parameters().lease_drain_ms);
        assert_eq!(chain.state.lease(&lease), None);
        let held = (blocks + 1).min(600);
        assert_eq!(chain.balance("w0") - worker, (100 * held).max(10_000) * 3, "{blocks}");
    }
}

/// SPEC M4: a worker that takes leases to close them gets nothing for it.
#[test]
fn lease_that_its_worker_closes_pays_no_reservation() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let (worker, gateway) = (chain.balance("w0"), chain.balance("g0"));
    let locked = chain.state.lease(&lease).unwrap().escrow.nano();
    let fee = fee_of(chain.parameters(), &chain.tx("w0", TransactionBody::CloseLease { lease })).nano();
    chain.ok("w0", TransactionBody::CloseLease { lease });
    chain.block_at(chain.now_ms + chain.parameters().lease_drain_ms);
    assert_eq!(chain.state.lease(&lease), None);
    assert_eq!((chain.balance("w0"), chain.balance("g0")), (worker - fee, gateway + locked));
}

/// SPEC M4: nor does one that works, but shows nobody what it did.
#[test]
fn lease_with_a_segment_without_evidence_pays_no_reservation() {
    for (vote, pays) in [(VerdictVote::Unavailable, false), (valid(), true)] {
        let mut chain = Chain::ready(1);
        let lease = chain.lease();
        let segment = chain.commit(lease, totals(1, 10, 10));
        chain.draw(segment);
        chain.vote_rest(segment, vote);
        chain.ok("g0", TransactionBody::CloseLease { lease });
        chain.blocks(60);
        assert_eq!(chain.state.lease(&lease), None);
        let closed = chain.history.iter().find_map(|event| match event {
            Event::LeaseClosed { refund, .. } => Some(refund.nano()),
            _ => None,
        });
        let locked = escrow(&chain, &task_terms());
        let fee = if pays { 30_000 } else { 0 };
        let reservation = locked - fee - closed.unwrap();
        assert_eq!(reservation > 0, pays, "{vote:?}");
    }
}

#[test]
fn withdrawn_offer_goes_once_its_leases_have_ended() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    chain.ok("w0", offer(0));
    assert_eq!(chain.state.offer(profile(), id("w0")).unwrap().slots_free(), 0);
    let (waiting, _) = chain.open("g0", task_terms());
    assert!(chain.state.task(&waiting).is_some());
    chain.ok("w0", TransactionBody::CloseLease { lease });
    assert_eq!(chain.state.offer(profile(), id("w0")), None);
}

/// SPEC C9: expiry is bounded per block and carries over.
#[test]
fn due_work_carries_over_to_the_next_block() {
    let mut parameters = devnet(4);
    parameters.queue_work_max = 3;
    let mut chain = Chain::with(4, parameters).furnished(1);
    let tasks: Vec<_> =
        (0..7).map(|ahead| chain.tx_after("g0", ahead, TransactionBody::OpenTask { terms: task_terms() })).collect();
    chain.block(&tasks);
    chain.block_at(chain.now_ms + task_terms().open_ms - 1);
    assert_eq!(chain.state.tasks().count(), 7);
    for left in [4, 1, 0] {
        chain.blocks(1);
        assert_eq!(chain.state.tasks().count(), left);
    }
}
