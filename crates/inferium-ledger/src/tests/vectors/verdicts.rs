//! Committees and their verdicts (SPEC V), and what these cost (S).

use super::book::{Book, Page, near, with};
use super::nodes::{barred, jailed, operator_barred};
use crate::tests::support::*;
use crate::tests::verdicts::leave_stake;
use crate::{SegmentState, StateKey};
use inferium_types::{Amount, Digest, JobFault, Ppm, SegmentId, TransactionBody, VerdictVote};

pub(super) fn write(book: &mut Book) {
    let mut chain = Chain::with(6, Chain::new().parameters().clone()).furnished(2);
    for index in 0..6 {
        chain.ok("x9", TransactionBody::Transfer { to: id(&format!("v{index}")), amount: Amount::from_ifr(100) });
    }
    let lease = chain.lease();
    chain.blocks(1);
    let mut committed = chain.clone();
    let segment = committed.commit(lease, totals(3, 1_000, 500));
    committee(book, &committed, segment);
    let mut drawn = committed.clone();
    let members = drawn.draw(segment);
    submit_verdict(book, &committed, &drawn, segment, &members);
    overdue(book, &drawn, segment, &members);
    conviction(book, &drawn, segment, &members);
    withheld(book, &drawn, segment, &members);
    wrong_rejection(book, &drawn, segment, &members);
    court(book, &drawn, segment, &members);
}

fn says(chain: &Chain, segment: SegmentId, names: &[String], vote: VerdictVote) -> Chain {
    let mut chain = chain.clone();
    for name in names {
        chain.ok(name, verdict(segment, vote));
    }
    chain
}

fn committee(book: &mut Book, committed: &Chain, segment: SegmentId) {
    let page = &mut book.page("committee");
    let about = [StateKey::Segment(segment)];
    // Without one of these fewer are eligible, and that would decide instead.
    let seats = (0..6).map(|index| StateKey::Node(id(&format!("v{index}"))));
    let all: Vec<StateKey> = seats.chain(about).collect();
    let with_record: Vec<StateKey> = all.iter().copied().chain([StateKey::Record((id("w0"), profile()))]).collect();
    let mut before = committed.clone();
    before.blocks(2);
    page.drawn("a newcomer's has two members, who replay everything", "V1", &before, &all);
    let known = |jobs, tokens, fee: u64| {
        with(&before, |state| {
            state.records.insert((id("w0"), profile()), record_of(jobs, tokens, 0));
            let mut entry = state.segment(&segment).unwrap().clone();
            entry.fee = Amount::from_nano(fee);
            state.set_segment(segment, Some(entry));
        })
    };
    page.drawn(
        "one member below 0.01 IFR, who replays a tenth",
        "R3",
        &known(500, 20_000, IFR / 100 - 1),
        &with_record,
    );
    page.drawn("two members from 0.01 IFR", "V1", &known(50, 20_000, IFR / 100), &with_record);
    page.drawn("three members from 1 IFR, who replay the least", "V1", &known(1_000_000, 20_000, IFR), &with_record);
    for (name, rule, known) in [
        ("49 jobs are a newcomer's", "R3", known(49, 40_000, IFR / 100 - 1)),
        ("19,999 tokens are a newcomer's", "R3", known(90, 19_999, IFR / 100 - 1)),
        ("50 jobs and 20,000 tokens are not", "R3", known(50, 20_000, IFR / 100 - 1)),
        ("two members below 1 IFR", "V1", known(60, 20_000, IFR - 1)),
    ] {
        page.drawn(name, rule, &known, &with_record);
        page.closed_doors(name, &known, known.now_ms + BLOCK_MS, &about);
    }
    answering(page, &before, segment, &known);
    let few = with(&before, |state| state.profiles.get_mut(&profile()).unwrap().validators.truncate(2));
    page.drawn("two eligible ones stay outside, one member remains", "V1", &few, &about);
    let four = with(&known(60, 20_000, IFR), |state| {
        state.profiles.get_mut(&profile()).unwrap().validators.truncate(4);
    });
    page.drawn("of four eligible ones two are drawn at most", "V1", &four, &with_record);
    page.closed_doors("four eligible ones", &four, four.now_ms + BLOCK_MS, &about);
    let related = with(&before, |state| {
        for name in ["v0", "v1", "v2"] {
            state.nodes.get_mut(&id(name)).unwrap().operator = id(&operator_of("g0"));
        }
        for name in ["v3", "v4"] {
            state.nodes.get_mut(&id(name)).unwrap().operator = id(&operator_of("v5"));
        }
    });
    page.drawn("nobody of a side's operator, and one of each other", "N6", &related, &about);
    let SegmentState::AwaitingSeed { until_ms, .. } = committed.state.segment(&segment).unwrap().state else {
        panic!("awaits its seed")
    };
    let late = near(committed, until_ms);
    page.timed("given up after three windows without its seed", "C4", &late, until_ms, &about);
    let resumed = |before_ms| with(&late, |state| state.meta_mut().resumed_at_ms = until_ms - before_ms);
    page.timed("the windows begin anew after a pause", "C3", &resumed(179_999), until_ms, &about);
    page.timed("a pause that ended all windows before changes nothing", "C3", &resumed(180_000), until_ms, &about);
    for (index, chain) in [&before, &few, &related].into_iter().enumerate() {
        let name = format!("state {index}");
        page.closed_doors(&name, chain, chain.now_ms + BLOCK_MS, &about);
    }
    for (index, fee) in [IFR / 100 - 1, IFR / 100, IFR].into_iter().enumerate() {
        let chain = known(50, 20_000, fee);
        page.closed_doors(&format!("known worker {index}"), &chain, chain.now_ms + BLOCK_MS, &about);
    }
}

/// What is at stake: of the worker, and of validators (SPEC R3, N4).
fn answering(page: &mut Page<'_>, before: &Chain, segment: SegmentId, known: &dyn Fn(u64, u64, u64) -> Chain) {
    // A job of 0.01 IFR against 10 % of 30 IFR: three times its fee is 1 % of that, the least share.
    let staked = |nano, jobs, fee: u64| {
        with(&known(1_000_000, 20_000, fee), |state| {
            state.nodes.get_mut(&id("w0")).unwrap().stake = Amount::from_nano(nano);
            let mut entry = state.segment(&segment).unwrap().clone();
            entry.terms.totals.jobs = jobs;
            state.set_segment(segment, Some(entry));
        })
    };
    let half = (0..6).map(|index| StateKey::Node(id(&format!("v{index}"))));
    let half: Vec<StateKey> = half.chain([StateKey::Segment(segment), StateKey::Node(id("w0"))]).collect();
    let cheap = IFR / 100 - 1;
    let least = before.parameters().validator_stake_min;
    let poorer = |name: &str, less: u64| {
        with(before, |state| {
            let node = state.nodes.get_mut(&id(name)).unwrap();
            node.stake = Amount::from_nano(least.nano() / 2 - less);
        })
    };
    for (name, rule, chain) in [
        ("a wrong job loses three times its fee in the mean", "R3", staked(1_000_000_007, 3, cheap)),
        ("as much at stake as the least share needs", "R3", staked(30_000_000_000, 1, cheap + 1)),
        ("a little less at stake", "R3", staked(29_000_000_000, 1, cheap + 1)),
        ("less at stake than the fee: all jobs", "R3", staked(1_000, 3, cheap)),
        ("nothing at stake: all jobs", "R3", staked(0, 3, cheap)),
        ("a validator with half of the least stake is drawn", "N4", poorer("v0", 0)),
        ("one with a nano-IFR less is not", "N4", poorer("v0", 1)),
    ] {
        page.drawn(name, rule, &chain, &half);
        page.closed_doors(name, &chain, chain.now_ms + BLOCK_MS, &half);
    }
}

fn submit_verdict(book: &mut Book, committed: &Chain, drawn: &Chain, segment: SegmentId, members: &[String]) {
    let page = &mut book.page("submit_verdict");
    let (first, second) = (members[0].as_str(), members[1].as_str());
    let body = verdict(segment, valid());
    page.valid("the first approval waits for the second", "V3", drawn, first, body.clone());
    let approved = says(drawn, segment, &members[..1], valid());
    page.valid("the last approval makes it final", "V3", &approved, second, body.clone());
    page.valid(
        "a doubt widens the committee to all",
        "V3",
        &approved,
        second,
        verdict(segment, VerdictVote::Unavailable),
    );
    page.doors(drawn, first, &body);
    refusals(page, drawn, segment, first);
    let outsider = (0..6).map(|index| format!("v{index}")).find(|name| !members.contains(name)).unwrap();
    page.invalid("a validator that was not drawn", "V1", drawn, &outsider, body.clone(), "not_allowed");
    page.invalid("a second time", "V3", &approved, first, body.clone(), "exists");
    page.invalid("a second time, otherwise", "V3", &approved, first, verdict(segment, invalid()), "exists");
    page.invalid("before the committee is drawn", "C4", committed, first, body.clone(), "wrong_state");
    let done = says(&approved, segment, &members[1..2], valid());
    page.invalid("after the segment is final", "V3", &done, first, body, "wrong_state");
}

fn refusals(page: &mut Page<'_>, drawn: &Chain, segment: SegmentId, member: &str) {
    let body = verdict(segment, valid());
    for (name, stranger) in [("a worker", "w1"), ("the segment's gateway", "g0"), ("a stranger", "x0")] {
        page.invalid(name, "V1", drawn, stranger, body.clone(), "not_allowed");
    }
    page.invalid("a removed validator", "C5", &barred(drawn, member), member, body.clone(), "disqualified");
    page.invalid(
        "a validator that may work from the next epoch on",
        "S",
        &jailed(drawn, member, 1),
        member,
        body,
        "jailed",
    );
    let at = |job| verdict(segment, VerdictVote::Invalid { job, fault: JobFault::Token });
    page.invalid("a job after the last one", "V3", drawn, member, at(3), "out_of_bounds");
    page.invalid("the last job of all", "V3", drawn, member, at(u32::MAX), "out_of_bounds");
    let unknown = verdict(SegmentId::new(Digest::ZERO), valid());
    page.invalid("a segment that never was", "V3", drawn, member, unknown, "unknown");
}

fn overdue(book: &mut Book, drawn: &Chain, segment: SegmentId, members: &[String]) {
    let page = &mut book.page("missed_duty");
    let about = [StateKey::Segment(segment)];
    let due = |chain: &Chain| {
        let meta = chain.state.meta();
        let due_ms = chain.state.segment(&segment).unwrap().verdict_due_ms(meta).unwrap();
        let mut near = near(chain, due_ms);
        near.state.meta_mut().height += 30;
        (near, due_ms)
    };
    let approved = says(drawn, segment, &members[..1], valid());
    let (late, due_ms) = due(&approved);
    page.timed("one member was silent: 0.1 %, and all others look", "V3", &late, due_ms, &about);
    let mut early = late.clone();
    early.state.meta_mut().height -= 30;
    page.timed("a window is also a number of blocks", "C3", &early, due_ms, &about);
    let SegmentState::Judging { due_at_height, .. } = drawn.state.segment(&segment).unwrap().state else {
        panic!("judged")
    };
    for (name, less) in [("at its last block", 1), ("one block before", 2)] {
        let mut at_height = late.clone();
        at_height.state.meta_mut().height = due_at_height - less;
        page.timed(name, "C3", &at_height, due_ms, &about);
    }
    let narrow = with(&late, |state| state.meta_mut().parameters.escalation_max = 4);
    page.timed("no more than the most are added", "V3", &narrow, due_ms, &about);
    let mut widened = says(&approved, segment, &members[1..2], VerdictVote::Unavailable);
    let others = widened.silent_members(segment);
    widened = says(&widened, segment, &others[..1], VerdictVote::Unavailable);
    let (late, due_ms) = due(&widened);
    page.timed("no two thirds by the end: refunded, and the silent pay", "T3", &late, due_ms, &about);
    let paused = with(&late, |state| state.meta_mut().resumed_at_ms = due_ms - 10_000);
    page.timed("the window begins anew after a pause", "C3", &paused, due_ms, &about);
}

/// What a member of a widened committee can't do; the names begin with `case`.
fn widened_doors(page: &mut Page<'_>, case: &str, chain: &Chain, segment: SegmentId, voted: &str, silent: &str) {
    let vote = verdict(segment, invalid());
    let named = |name: &str| format!("{case}: {name}");
    page.invalid(&named("who voted, again"), "V3", chain, voted, vote.clone(), "exists");
    let job = verdict(segment, VerdictVote::Invalid { job: 3, fault: JobFault::Leaf });
    page.invalid(&named("a job after the last one"), "V3", chain, silent, job, "out_of_bounds");
    page.invalid(&named("the worker itself"), "V1", chain, "w0", vote.clone(), "not_allowed");
    page.invalid(&named("a removed member"), "C5", &barred(chain, silent), silent, vote.clone(), "disqualified");
    let mut over = chain.clone();
    over.convict_rest(segment);
    let error = if over.state.segment(&segment).is_some() { "wrong_state" } else { "unknown" };
    page.invalid(&named("after the decision"), "V3", &over, &over_voter(chain, segment), vote, error);
}

/// When the next block of the chain comes.
fn state_time(chain: &Chain) -> u64 {
    chain.now_ms + BLOCK_MS
}

/// A validator that the decision leaves in its seat.
fn over_voter(chain: &Chain, segment: SegmentId) -> String {
    chain.silent_members(segment).last().unwrap().clone()
}

fn conviction(book: &mut Book, drawn: &Chain, segment: SegmentId, members: &[String]) {
    let page = &mut book.page("conviction");
    let approved = says(drawn, segment, &members[..1], valid());
    let mut chain = says(&approved, segment, &members[1..2], invalid());
    let others = chain.silent_members(segment);
    chain = says(&chain, segment, &others[..3], invalid());
    let last = &others[3];
    page.valid("a first fault: 10 %, and all of who approved it", "S", &chain, last, verdict(segment, invalid()));
    widened_doors(page, "a first fault", &chain, segment, &others[0], last);
    let four = says(drawn, segment, members, invalid());
    let others_of = four.silent_members(segment);
    let waiting = says(&four, segment, &others_of[..1], invalid());
    page.valid("four of six are not more than two thirds", "V3", &waiting, &others_of[1], verdict(segment, invalid()));
    widened_doors(page, "four of six", &waiting, segment, &others_of[0], &others_of[1]);
    let month_ms = 30 * 24 * 3_600_000;
    for (name, age_ms) in
        [("a fault of 30 days ago is forgotten", month_ms), ("a fault just younger is not", month_ms - 1)]
    {
        // Far from the beginning of time, so that there was one.
        let aged = with(&chain, |state| {
            state.meta_mut().timestamp_ms += month_ms;
            state.meta_mut().epoch_started_ms += month_ms;
            let mut entry = state.segment(&segment).unwrap().clone();
            if let SegmentState::Judging { due_at_ms, .. } = &mut entry.state {
                *due_at_ms += month_ms;
            }
            state.set_segment(segment, Some(entry));
            state.nodes.get_mut(&id("w0")).unwrap().faults_ms = vec![state_time(&chain) + month_ms - age_ms];
            let offered = state.leases.keys().copied().collect::<Vec<_>>();
            for lease in offered {
                let old = *state.lease(&lease).unwrap();
                state.set_lease(lease, Some(crate::Lease { expires_at_ms: u64::MAX, ..old }));
            }
        });
        let mut aged = aged;
        aged.now_ms += month_ms;
        page.valid(name, "S", &aged, last, verdict(segment, invalid()));
        page.numbers(name, &aged, last, &verdict(segment, invalid()));
    }
    // What the vote takes: all of an approver, and a tenth of the worker, of what is then left bonded.
    let (taken, bonded) = (50_000 * IFR + 100 * IFR, chain.state.meta().bonded.nano());
    for (name, spare) in
        [("slashes just within what a profile may cost", 0), ("one nano-IFR more pauses the profile", 1)]
    {
        let limit = with(&chain, |state| {
            state.meta_mut().parameters.profile_slash_max = inferium_types::Ppm::new(333_333);
            let most = Amount::from_nano(bonded - taken).share(inferium_types::Ppm::new(333_333));
            let before = most.nano() - taken + spare;
            let epoch = state.meta().epoch;
            let entry = state.profiles.get_mut(&profile()).unwrap();
            entry.slashed = (epoch, Amount::from_nano(before));
        });
        page.valid(name, "S5", &limit, last, verdict(segment, invalid()));
        page.numbers(name, &limit, last, &verdict(segment, invalid()));
    }
    let faults = |count: usize| {
        with(&chain, |state| {
            let now_ms = state.meta().timestamp_ms;
            state.nodes.get_mut(&id("w0")).unwrap().faults_ms = vec![now_ms - 1_000; count];
        })
    };
    page.valid("a second fault: 50 %", "S", &faults(1), last, verdict(segment, invalid()));
    widened_doors(page, "a second fault", &faults(1), segment, &others[0], last);
    page.valid("a third fault: everything, for ever", "S", &faults(2), last, verdict(segment, invalid()));
    widened_doors(page, "a third fault", &faults(2), segment, &others[0], last);
}

fn withheld(book: &mut Book, drawn: &Chain, segment: SegmentId, members: &[String]) {
    let page = &mut book.page("withheld");
    let nothing = VerdictVote::Unavailable;
    let mut chain = says(drawn, segment, members, nothing);
    let others = chain.silent_members(segment);
    chain = says(&chain, segment, &others[..2], nothing);
    let last = &others[2];
    page.valid("no evidence: unpaid, a fault on record", "V3", &chain, last, verdict(segment, nothing));
    widened_doors(page, "no evidence", &chain, segment, &members[0], last);
    page.numbers("no evidence", &chain, last, &verdict(segment, nothing));
    let seldom = with(&chain, |state| {
        if let Some(SegmentState::Judging { replay, .. }) = state.segments.get_mut(&segment).map(|of| &mut of.state) {
            *replay = Ppm::new(10_000);
        }
    });
    page.valid("no evidence: what is seldom replayed costs more", "S", &seldom, last, verdict(segment, nothing));
    widened_doors(page, "no evidence, seldom replayed", &seldom, segment, &members[0], last);
    let left = |own, leaving| {
        let mut chain = chain.clone();
        leave_stake(&mut chain, own, leaving);
        chain
    };
    let poor = left(1_001, 10_000_000_000);
    page.valid("no evidence: own stake first, then what unbonds", "S2", &poor, last, verdict(segment, nothing));
    widened_doors(page, "no evidence, little stake", &poor, segment, &members[0], last);
    let bare = left(1_001, 3);
    page.valid("no evidence: no more than there is", "S2", &bare, last, verdict(segment, nothing));
    widened_doors(page, "no evidence, no stake", &bare, segment, &members[0], last);
}

fn wrong_rejection(book: &mut Book, drawn: &Chain, segment: SegmentId, members: &[String]) {
    let page = &mut book.page("wrong_rejection");
    let doubted = says(drawn, segment, &members[..1], invalid());
    let mut others = doubted.silent_members(segment);
    let chain = says(&doubted, segment, &others[..4], valid());
    others = chain.silent_members(segment);
    let body = verdict(segment, valid());
    page.valid("a first time: 5 %", "S", &chain, &others[0], body.clone());
    widened_doors(page, "a first time", &chain, segment, &members[0], &others[0]);
    let again = with(&chain, |state| {
        let now_ms = state.meta().timestamp_ms;
        state.nodes.get_mut(&id(&members[0])).unwrap().faults_ms = vec![0, now_ms];
    });
    page.valid("again: 25 %", "S", &again, &others[0], body);
    widened_doors(page, "again", &again, segment, &members[0], &others[0]);
}

fn court(book: &mut Book, drawn: &Chain, segment: SegmentId, members: &[String]) {
    let page = &mut book.page("court");
    let mut chain = says(drawn, segment, members, valid());
    chain.ok("g0", TransactionBody::OpenDispute { segment });
    let mut before = chain.clone();
    before.blocks(2);
    let about = [StateKey::Segment(segment)];
    page.drawn("a court is drawn, and replays everything", "V4", &before, &about);
    page.closed_doors("a court", &before, before.now_ms + BLOCK_MS, &about);
    let mut challenged = says(drawn, segment, members, valid());
    challenged.ok("v0", TransactionBody::OpenDispute { segment });
    challenged.blocks(2);
    let seats = (0..6).map(|index| StateKey::Node(id(&format!("v{index}"))));
    let all: Vec<StateKey> = seats.chain(about).collect();
    page.drawn("who doubts does not judge", "V4", &challenged, &all);
    page.closed_doors("a validator's doubt", &challenged, challenged.now_ms + BLOCK_MS, &about);
    let fellow = with(&challenged, |state| state.nodes.get_mut(&id("v1")).unwrap().operator = id(&operator_of("v0")));
    page.drawn("nor does anyone of its operator", "V4", &fellow, &all);
    page.closed_doors("a doubt and a fellow", &fellow, fellow.now_ms + BLOCK_MS, &about);
    let court = chain.draw(segment);
    assert_eq!(court.len(), 6);
    let upheld = says(&chain, segment, &court[..4], invalid());
    page.valid("upheld: who had approved loses everything", "V4", &upheld, &court[4], verdict(segment, invalid()));
    widened_doors(page, "upheld", &upheld, segment, &court[0], &court[4]);
    let dismissed = says(&chain, segment, &court[..4], valid());
    page.valid("dismissed: half the bond is the worker's", "V4", &dismissed, &court[4], verdict(segment, valid()));
    widened_doors(page, "dismissed", &dismissed, segment, &court[0], &court[4]);
    let late = with(&dismissed, |state| {
        let mut entry = state.segment(&segment).unwrap().clone();
        entry.dispute.as_mut().unwrap().settles_at_ms = 1;
        state.set_segment(segment, Some(entry));
    });
    page.valid(
        "dismissed after it was to be paid: in the next block",
        "V4",
        &late,
        &court[4],
        verdict(segment, valid()),
    );
    page.numbers("dismissed late", &late, &court[4], &verdict(segment, valid()));
    let barred_operator = operator_barred(&dismissed, &court[4]);
    page.valid("a member whose operator is barred votes", "S3", &barred_operator, &court[4], verdict(segment, valid()));
    widened_doors(page, "barred operator", &barred_operator, segment, &court[0], &court[4]);
    let torn = says(&says(&chain, segment, &court[..3], valid()), segment, &court[3..5], VerdictVote::Unavailable);
    page.valid(
        "no decision: it stands, and the bond returns",
        "V4",
        &torn,
        &court[5],
        verdict(segment, VerdictVote::Unavailable),
    );
    widened_doors(page, "no decision", &torn, segment, &court[0], &court[5]);
}
