//! Measurement (SPEC N2, N3), and the fine print of draws and priority (T5, R2).

use super::book::{Book, Page, near, with};
use super::nodes::barred;
use super::pool::embedding;
use crate::entries::{Capability, Offer, Task};
use crate::tests::support::*;
use crate::{Segment, StateKey};
use inferium_types::{
    Amount, Digest, LeaseId, OfferTerms, SegmentId, TaskId, Tier, TransactionBody, VerifiedTransaction,
};

pub(super) fn write(book: &mut Book) {
    measurement(book);
    assessment_call(book);
    draws(book);
}

/// The task that this request for measurement becomes.
fn asked(chain: &Chain) -> (VerifiedTransaction, LeaseId) {
    let body = TransactionBody::OpenAssessment { profile: profile(), report: report(Tier::High) };
    let transaction = chain.tx("w0", body);
    let lease = LeaseId::of_task(TaskId::new(transaction.id().digest()));
    (transaction, lease)
}

fn measurement(book: &mut Book) {
    let page = &mut book.page("measurement");
    let mut chain = Chain::with(6, Chain::new().parameters().clone()).furnished(2);
    let (transaction, lease) = asked(&chain);
    chain.block(&[transaction]);
    chain.blocks(1);
    let commitment = TransactionBody::CommitSegment { commitment: chain.segment(lease, totals(4, 512, 64)) };
    page.valid("its one segment ends the task", "N2", &chain, "w0", commitment.clone());
    page.numbers("the one segment", &chain, "w0", &commitment);
    let segment = chain.commit(lease, totals(4, 512, 64));
    chain.blocks(2);
    let about = [StateKey::Segment(segment)];
    page.drawn("a quarter of the jobs is replayed", "N2", &chain, &about);
    page.closed_doors("a draw", &chain, chain.now_ms + BLOCK_MS, &about);
    let members = chain.draw(segment);
    let drawn = chain.clone();
    let (last, body) = chain.last_reveal(segment, &[(&members[0], valid()), (&members[1], valid())]);
    let last = last.as_str();
    // 1,024 units: the score by how long they took.
    let took = |elapsed_ms| measured(&chain, segment, |segment| segment.elapsed_ms = elapsed_ms);
    let mut measure = |name: &str, chain: &Chain| {
        let page: &mut Page<'_> = page;
        page.valid(name, "N3", chain, last, body.clone());
        page.numbers(name, chain, last, &body);
    };
    measure("tier Mid from its least score on", &took(10_240));
    measure("tier Low just below it", &took(10_241));
    measure("tier High from its least score on", &took(51));
    measure("tier Low at most on an embedding profile", &embedding(&took(51)));
    measure("in no time at all: no score", &took(0));
    measure(
        "never above what the worker asked for",
        &with(&took(51), |state| {
            let mut asked = state.capability(&id("w0")).unwrap().clone();
            asked.report.tier = Tier::Mid;
            state.set_capability(id("w0"), asked);
        }),
    );
    let offering = with(&took(51), |state| {
        state.profiles.get_mut(&profile()).unwrap().draws = [11, 22, 33];
        let terms = OfferTerms { slots: 2, price: PRICE, context_tokens: 1_024, batches: true };
        state.offers.insert((profile(), id("w0")), Offer { terms, slots_used: 0, waits_from: 5 });
    });
    measure("of another tier, an offer waits from now on", &offering);
    measure("a disqualified worker is not measured", &barred(&took(100), "w0"));
    let mut wrong = drawn;
    wrong.cast(segment, &[(&members[0], valid()), (&members[1], invalid())]);
    let others = wrong.silent_members(segment);
    let votes: Vec<_> = others.iter().map(|name| (name.as_str(), invalid())).collect();
    let (sender, body) = wrong.last_reveal(segment, &votes);
    let sender = sender.as_str();
    page.valid("a wrong one is a wrong result, and the tier is gone", "N2", &wrong, sender, body.clone());
    page.numbers("a wrong one", &wrong, sender, &body);
}

fn measured(chain: &Chain, segment: SegmentId, change: impl FnOnce(&mut Segment)) -> Chain {
    with(chain, |state| {
        let mut entry = state.segment(&segment).unwrap().clone();
        change(&mut entry);
        state.set_segment(segment, Some(entry));
    })
}

fn assessment_call(book: &mut Book) {
    let page = &mut book.page("assessment_call");
    let chain = Chain::ready(1);
    let at_ms = chain.now_ms + 15_000;
    let about = [StateKey::Capability(id("w0"))];
    let due = |share: u32, change: &dyn Fn(&mut Capability)| {
        let changed = with(&chain, |state| {
            state.meta_mut().parameters.assessment_share = inferium_types::Ppm::new(share);
            let mut capability = state.capability(&id("w0")).unwrap().clone();
            capability.draw_at_ms = at_ms;
            change(&mut capability);
            state.set_capability(id("w0"), capability);
        });
        near(&changed, at_ms)
    };
    page.timed("everyone is called", "N2", &due(1_000_000, &|_| {}), at_ms, &about);
    let beacon = chain.state.meta().beacon;
    let drawn = Digest::of("inferium/assessment/1", &[beacon.as_bytes(), id("w0").as_bytes()]).draw(1_000_000);
    let drawn = u32::try_from(drawn).unwrap();
    page.timed("the draw is just below the share: called", "N2", &due(drawn + 1, &|_| {}), at_ms, &about);
    page.timed("the draw is the share: not called", "N2", &due(drawn, &|_| {}), at_ms, &about);
    let called = |capability: &mut Capability| capability.call_due_ms = Some(at_ms);
    page.timed("who does not come loses its tier", "N2", &due(40_000, &called), at_ms, &about);
    let paused = with(&due(40_000, &called), |state| state.meta_mut().resumed_at_ms = at_ms - 119_999);
    page.timed("the call begins anew after a pause", "C3", &paused, at_ms, &about);
    let in_time = with(&due(40_000, &called), |state| state.meta_mut().resumed_at_ms = at_ms - 120_000);
    page.timed("a pause that ended a whole call before changes nothing", "C3", &in_time, at_ms, &about);
    let (transaction, lease) = asked(&chain);
    let mut running = chain.clone();
    running.block(&[transaction]);
    let granted = |granted_ms| {
        let running = with(&running, |state| {
            let granted = crate::Lease { granted_ms, expires_at_ms: u64::MAX, ..*state.lease(&lease).unwrap() };
            state.set_lease(lease, Some(granted));
            let mut capability = state.capability(&id("w0")).unwrap().clone();
            called(&mut capability);
            state.set_capability(id("w0"), capability);
        });
        near(&running, at_ms)
    };
    page.timed("who works on it in time gets the time", "N2", &granted(at_ms - 2_000), at_ms, &about);
    page.timed("who began too late to end in time loses its tier", "N2", &granted(at_ms - 1_999), at_ms, &about);
}

/// A chain with a task of this name and offers of `w0`, slow, and `w1`, fast and proven.
fn unequal(chain: &Chain, name: u64) -> (Chain, TaskId) {
    let task = TaskId::new(Digest::of("task", &[&name.to_be_bytes()]));
    let terms = task_terms();
    let chain = with(chain, |state| {
        let opened = Task {
            requester: id("g0"),
            terms,
            escrow: Amount::from_nano(1_000),
            opened: (1, 0),
            expires_at_ms: state.meta().timestamp_ms + terms.open_ms,
        };
        state.set_task(task, Some(opened));
        state.records.insert((id("w1"), profile()), record_of(9_000, 90_000, 1));
        for worker in ["w0", "w1"] {
            let terms = OfferTerms { slots: 1, price: PRICE, context_tokens: 1_024, batches: true };
            state.offers.insert((profile(), id(worker)), Offer { terms, slots_used: 0, waits_from: 0 });
        }
    });
    (chain, task)
}

fn draws(book: &mut Book) {
    let page = &mut book.page("draws");
    let mut chain = Chain::ready(3);
    chain.blocks(4);
    // `w2` has no offer and is only there to be slower than.
    for (name, score) in [("w0", 150), ("w1", 1_000_000), ("w2", 200)] {
        chain.set_measured(name, Tier::Mid, score);
    }
    let next_ms = chain.now_ms + BLOCK_MS;
    let beacon = chain.state.meta().beacon;
    let lane_of = |task: TaskId| {
        let draw = Digest::of("inferium/match/1", &[beacon.as_bytes(), task.digest().as_bytes()]);
        Digest::of("inferium/match-lane/1", &[draw.as_bytes()]).draw(100)
    };
    let named = |wanted: u64, skip: usize| {
        let mut all = (0u64..).map(|name| unequal(&chain, name)).filter(|(_, task)| lane_of(*task) == wanted);
        all.nth(skip).unwrap()
    };
    let about = |task| {
        let mut keys = vec![StateKey::Task(task)];
        for name in ["w0", "w1"] {
            keys.extend([StateKey::Offer((profile(), id(name))), StateKey::Capability(id(name))]);
        }
        keys
    };
    for (lane, what) in [(4, "uniform"), (5, "by priority"), (60, "by priority")] {
        for turn in 0..3 {
            let (chain, task) = named(lane, turn);
            let name = format!("{what}, lane {lane}, draw {turn}");
            page.block(&name, "T5", &chain, next_ms, &about(task));
            page.closed_doors(&name, &none_free(&chain), next_ms, &about(task));
        }
    }
    let (chain, task) = named(60, 0);
    let patient = |w0: u64, w1: u64| {
        with(&chain, |state| {
            state.profiles.get_mut(&profile()).unwrap().draws = [9; 3];
            for (name, passed_over) in [("w0", w0), ("w1", w1)] {
                state.offers.get_mut(&(profile(), id(name))).unwrap().waits_from = 9 - passed_over;
            }
        })
    };
    for (name, chain) in [
        ("one short of overdue", patient(5, 5)),
        ("both overdue: the longer", patient(7, 6)),
        ("one just overdue", patient(6, 0)),
        ("the other just overdue", patient(0, 6)),
    ] {
        page.block(name, "T5", &chain, next_ms, &about(task));
        page.closed_doors(name, &none_free(&chain), next_ms, &about(task));
    }
}

/// No worker has room: a block grants nothing.
fn none_free(chain: &Chain) -> Chain {
    with(chain, |state| {
        for name in ["w0", "w1"] {
            state.offers.get_mut(&(profile(), id(name))).unwrap().slots_used = 1;
        }
    })
}
