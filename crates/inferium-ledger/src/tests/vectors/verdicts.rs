//! Committees and their verdicts (SPEC V), and what these cost (S).

use super::book::{Book, Page, near, with};
use super::nodes::{barred, jailed, operator_barred};
use crate::tests::support::*;
use crate::tests::verdicts::leave_stake;
use crate::{Phase, SegmentState, StateKey};
use inferium_types::{Amount, Digest, JobFault, Ppm, SegmentId, TaskKind, TransactionBody, VerdictVote};

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
    let steps = steps(&committed, &drawn, segment, &members);
    commit_verdict(book, &steps);
    submit_verdict(book, &steps, &members);
    overdue(book, &drawn, segment, &members);
    conviction(book, &drawn, segment, &members);
    withheld(book, &drawn, segment, &members);
    wrong_rejection(book, &drawn, segment, &members);
    false_replay(book, &drawn, segment, &members);
    court(book, &drawn, segment, &members);
}

/// The chain in which these have voted the same, and shown it if all are bound.
fn says(chain: &Chain, segment: SegmentId, names: &[String], vote: VerdictVote) -> Chain {
    let mut chain = chain.clone();
    chain.vote(segment, names, vote);
    chain
}

/// What a chain lacks: the sender, and the transaction that shows the last vote.
type Last = (Chain, String, TransactionBody);

/// All these have voted, and the first of them has not shown it yet.
fn all_but_one(chain: &Chain, segment: SegmentId, votes: &[(&String, VerdictVote)]) -> Last {
    let mut chain = chain.clone();
    let votes: Vec<(&str, VerdictVote)> = votes.iter().map(|(name, vote)| (name.as_str(), *vote)).collect();
    let (name, body) = chain.last_reveal(segment, &votes);
    (chain, name, body)
}

/// The same, when all vote alike but for the last of them.
fn nearly_all(chain: &Chain, segment: SegmentId, names: &[String], votes: [VerdictVote; 2]) -> Last {
    let last = names.len() - 1;
    let votes = names.iter().enumerate().map(|(index, name)| (name, votes[usize::from(index == last)]));
    all_but_one(chain, segment, &votes.collect::<Vec<_>>())
}

fn boards(page: &mut Page<'_>, segment: SegmentId, with_record: &[StateKey], known: &impl Fn(u64, u64, u64) -> Chain) {
    let of_kind = |kind, fee| {
        with(&known(1_000_000, 20_000, fee), |state| {
            let mut entry = state.segment(&segment).unwrap().clone();
            entry.kind = kind;
            state.set_segment(segment, Some(entry));
        })
    };
    let board = |fee| of_kind(TaskKind::Leaderboard, fee);
    let interval = of_kind(TaskKind::Training, 1);
    page.drawn("two members of an interval of training, who compute all of it", "X3", &interval, with_record);
    page.closed_doors("an interval", &interval, interval.now_ms + BLOCK_MS, &[StateKey::Segment(segment)]);
    page.drawn("two members of a board, who fold all of it", "L2", &board(1), with_record);
    page.drawn("three members of a dear board", "L2", &board(IFR), with_record);
    for fee in [1, IFR] {
        let chain = board(fee);
        page.closed_doors(
            &format!("a board for {fee}"),
            &chain,
            chain.now_ms + BLOCK_MS,
            &[StateKey::Segment(segment)],
        );
    }
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
    boards(page, segment, &with_record, &known);
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

/// A segment of two members on its way: who comes first and second, and the chain at each step.
struct Steps<'a> {
    committed: &'a Chain,
    drawn: &'a Chain,
    segment: SegmentId,
    first: &'a str,
    second: &'a str,
    /// Neither of them.
    outsider: String,
    /// The first one committed to an approval.
    bound: Chain,
    /// So did the second.
    hidden: Chain,
    /// The second one voted openly.
    last: Chain,
    done: Chain,
    /// As `bound`, in other phases.
    revealing: Chain,
    closed: Chain,
}

fn steps<'a>(committed: &'a Chain, drawn: &'a Chain, segment: SegmentId, members: &'a [String]) -> Steps<'a> {
    let (first, second) = (members[0].as_str(), members[1].as_str());
    let mut bound = drawn.clone();
    bound.bind(segment, &[(first, valid())]);
    let mut hidden = bound.clone();
    let body = hidden.commitment(segment, second, valid());
    hidden.ok(second, body);
    let (last, ..) = all_but_one(drawn, segment, &[(&members[0], valid()), (&members[1], valid())]);
    Steps {
        committed,
        drawn,
        segment,
        first,
        second,
        outsider: (0..6).map(|index| format!("v{index}")).find(|name| !members.contains(name)).unwrap(),
        revealing: with(&bound, |state| set_phase(state, segment, Phase::Revealing)),
        closed: with(&bound, |state| set_phase(state, segment, Phase::Closed)),
        bound,
        hidden,
        last,
        done: says(drawn, segment, members, valid()),
    }
}

fn commit_verdict(book: &mut Book, steps: &Steps<'_>) {
    let page = &mut book.page("commit_verdict");
    let Steps { committed, drawn, segment, first, second, outsider, bound, last, done, revealing, closed, .. } = steps;
    let body = drawn.commitment(*segment, first, valid());
    page.valid("the first of two is bound", "V2", drawn, first, body.clone());
    let other = bound.commitment(*segment, second, valid());
    page.valid("all are bound: they show their votes", "V2", bound, second, other.clone());
    page.doors(drawn, first, &body);
    refusals(page, drawn, *segment, first, &body, |segment| TransactionBody::CommitVerdict {
        segment,
        commitment: Digest::ZERO,
    });
    page.invalid("a validator that was not drawn", "V1", drawn, outsider, body.clone(), "not_allowed");
    page.invalid("a second time", "V2", bound, first, body.clone(), "exists");
    let otherwise = bound.commitment(*segment, first, invalid());
    page.invalid("a second time, otherwise", "V2", bound, first, otherwise, "exists");
    page.invalid("after its own vote", "V2", last, second, body.clone(), "exists");
    page.invalid("before the committee is drawn", "C4", committed, first, body.clone(), "wrong_state");
    page.invalid("after the segment is final", "V3", done, first, body, "wrong_state");
    page.invalid("while votes are shown", "V2", revealing, second, other.clone(), "wrong_state");
    page.invalid("while the worker is asked", "V2", closed, second, other, "wrong_state");
}

fn submit_verdict(book: &mut Book, steps: &Steps<'_>, members: &[String]) {
    let page = &mut book.page("submit_verdict");
    let Steps { committed, drawn, segment, first, second, outsider, bound, hidden, last, done, .. } = steps;
    let (segment, open) = (*segment, verdict(*segment, valid()));
    let shown = reveal(segment, first, valid());
    page.valid("the last of all votes openly", "V2", bound, second, open.clone());
    page.valid("the first of two shows its vote", "V2", hidden, second, reveal(segment, second, valid()));
    page.valid("the last one approves, too: it is final", "V3", last, first, shown.clone());
    let votes = [(&members[0], VerdictVote::Unavailable), (&members[1], valid())];
    let (doubted, _, doubt) = all_but_one(drawn, segment, &votes);
    page.valid("a doubt widens the committee to all", "V3", &doubted, first, doubt);
    let alone = alone(committed, segment);
    let one = alone.committee(segment).remove(0);
    page.valid("a committee of one votes at once", "V2", &alone, &one, open.clone());
    page.valid("it doubts, and is all there is", "V3", &alone, &one, verdict(segment, invalid()));
    page.doors(bound, second, &open);
    refusals(page, bound, segment, second, &open, |segment| verdict(segment, valid()));
    let at = |job| verdict(segment, VerdictVote::Invalid { job, fault: JobFault::Token });
    page.invalid("a job after the last one", "V3", bound, second, at(3), "out_of_bounds");
    page.invalid("the last job of all", "V3", bound, second, at(u32::MAX), "out_of_bounds");
    let after = VerdictVote::Invalid { job: 3, fault: JobFault::Leaf };
    let (beyond, _, body) = all_but_one(drawn, segment, &[(&members[0], after), (&members[1], valid())]);
    page.invalid("a job after the last one was committed to", "V3", &beyond, first, body, "out_of_bounds");
    page.invalid("a validator that was not drawn", "V1", bound, outsider, open.clone(), "not_allowed");
    page.invalid("before the committee is drawn", "C4", committed, first, open.clone(), "wrong_state");
    page.invalid("after the segment is final", "V3", done, first, open, "wrong_state");
    page.numbers("the last one", last, first, &shown);
    bindings(page, steps);
}

/// Votes that come too early or too late, or are not what the member is bound to.
fn bindings(page: &mut Page<'_>, steps: &Steps<'_>) {
    let Steps { drawn, segment, first, second, bound, hidden, last, revealing, closed, .. } = steps;
    let (segment, open) = (*segment, verdict(*segment, valid()));
    let show = |name: &str, vote| reveal(segment, name, vote);
    page.invalid("openly while another is not bound", "V2", drawn, first, open.clone(), "wrong_state");
    page.invalid("openly after a commitment", "V2", bound, first, open.clone(), "wrong_state");
    page.invalid("openly while votes are shown", "V2", revealing, second, open.clone(), "wrong_state");
    page.invalid("openly while the worker is asked", "V2", closed, second, open.clone(), "wrong_state");
    page.invalid("openly what it committed to", "V2", hidden, second, open.clone(), "commitment");
    page.invalid("before all are bound", "V2", bound, first, show(first, valid()), "wrong_state");
    page.invalid("of nothing that it committed to", "V2", bound, second, show(second, valid()), "unknown");
    page.invalid("while the worker is asked", "V2", closed, first, show(first, valid()), "wrong_state");
    page.invalid("another vote", "V2", hidden, second, show(second, invalid()), "commitment");
    let fault = VerdictVote::Invalid { job: 0, fault: JobFault::Leaf };
    page.invalid("another fault", "V2", hidden, second, show(second, fault), "commitment");
    let nothing = VerdictVote::Unavailable;
    page.invalid("no evidence after all", "V2", hidden, second, show(second, nothing), "commitment");
    let effort = VerdictVote::Valid { effort: Digest::sha256(b"another") };
    page.invalid("another effort", "V2", hidden, second, show(second, effort), "commitment");
    page.invalid("with another's salt", "V2", hidden, second, show(first, valid()), "commitment");
    // Who copied another's commitment can't show it: the member is in it.
    let copied = with(hidden, |state| {
        let mut entry = state.segment(&segment).unwrap().clone();
        if let SegmentState::Judging { members, .. } = &mut entry.state {
            let commitment = members.iter().find(|member| member.validator == id(first)).unwrap().ballot;
            members.iter_mut().for_each(|member| member.ballot = commitment);
        }
        state.set_segment(segment, Some(entry));
    });
    page.invalid("what was copied", "V2", &copied, second, show(first, valid()), "commitment");
    page.invalid("a second time", "V3", last, second, open, "exists");
    page.invalid("a second time, otherwise", "V3", last, second, show(second, invalid()), "exists");
}

/// The segment before a committee of one, of a profile that one validator declared.
fn alone(committed: &Chain, segment: SegmentId) -> Chain {
    let mut alone = with(committed, |state| state.profiles.get_mut(&profile()).unwrap().validators.truncate(1));
    assert_eq!(alone.draw(segment).len(), 1);
    alone
}

fn set_phase(state: &mut crate::State, segment: SegmentId, to: Phase) {
    let mut entry = state.segment(&segment).unwrap().clone();
    if let SegmentState::Judging { phase, .. } = &mut entry.state {
        *phase = to;
    }
    state.set_segment(segment, Some(entry));
}

/// What neither binds a member nor shows its vote; `of` is about any segment.
fn refusals(
    page: &mut Page<'_>,
    chain: &Chain,
    segment: SegmentId,
    member: &str,
    body: &TransactionBody,
    of: impl Fn(SegmentId) -> TransactionBody,
) {
    for (name, stranger) in [("a worker", "w1"), ("the segment's gateway", "g0"), ("a stranger", "x0")] {
        page.invalid(name, "V1", chain, stranger, body.clone(), "not_allowed");
    }
    page.invalid("a removed validator", "C5", &barred(chain, member), member, body.clone(), "disqualified");
    let name = "a validator that may work from the next epoch on";
    page.invalid(name, "S", &jailed(chain, member, 1), member, body.clone(), "jailed");
    let unknown = SegmentId::of_lease(chain.state.segment(&segment).unwrap().terms.lease, 77);
    page.invalid("a segment that never was", "V3", chain, member, of(unknown), "unknown");
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
    let (late, due_ms) = due(drawn);
    page.timed("all were silent: 0.1 % each, and all others look", "V3", &late, due_ms, &about);
    let narrow = with(&late, |state| state.meta_mut().parameters.escalation_max = 4);
    page.timed("no more than the most are added", "V3", &narrow, due_ms, &about);
    let mut bound = drawn.clone();
    bound.bind(segment, &[(&members[0], valid())]);
    let (late, due_ms) = due(&bound);
    page.timed("one member was silent: the other shows its vote", "V2", &late, due_ms, &about);
    windows(page, "to commit", &bound, &late, due_ms, segment);
    let mut showing = late.clone();
    showing.block_at(due_ms);
    let body = reveal(segment, &members[0], valid());
    let name = "it does: the silent one pays 0.1 %, and all others look";
    page.valid(name, "V3", &showing, &members[0], body.clone());
    page.numbers(name, &showing, &members[0], &body);
    let (late, due_ms) = due(&showing);
    page.timed("it does not: both pay 0.1 %, and all others look", "V2", &late, due_ms, &about);
    windows(page, "to show votes", &showing, &late, due_ms, segment);

    let mut widened = drawn.clone();
    widened.cast(segment, &[(&members[0], valid()), (&members[1], VerdictVote::Unavailable)]);
    let others = widened.silent_members(segment);
    widened.bind(segment, &[(&others[0], VerdictVote::Unavailable)]);
    let (mut late, due_ms) = due(&widened);
    page.timed("of a widened committee, too, who is bound shows its vote", "V2", &late, due_ms, &about);
    late.block_at(due_ms);
    let body = reveal(segment, &others[0], VerdictVote::Unavailable);
    let name = "no two thirds by the end: refunded, and the silent pay";
    page.valid(name, "T3", &late, &others[0], body.clone());
    page.numbers(name, &late, &others[0], &body);
    // Who was bound and silent stays bound when all look, and may still show it.
    let (mut bound_still, due_ms) = due(&showing);
    bound_still.block_at(due_ms);
    let rest = bound_still.silent_members(segment);
    let votes: Vec<_> = rest.iter().map(|name| (name.as_str(), valid())).collect();
    bound_still.bind(segment, &votes);
    let title = "who was late shows what it was bound to";
    let body = reveal(segment, &members[0], valid());
    page.valid(title, "V2", &bound_still, &members[0], body.clone());
    page.numbers(title, &bound_still, &members[0], &body);
}

/// A window is a time and a number of blocks, and begins anew after a pause (SPEC C3).
fn windows(page: &mut Page<'_>, what: &str, before: &Chain, late: &Chain, due_ms: u64, segment: SegmentId) {
    let about = [StateKey::Segment(segment)];
    let entry = before.state.segment(&segment).unwrap();
    let SegmentState::Judging { due_at_height, phase, .. } = entry.state else { panic!("judged") };
    for (name, less) in [("at its last block", 1), ("one block before", 2)] {
        let at_height = with(late, |state| state.meta_mut().height = due_at_height - less);
        page.timed(&format!("time {what}: {name}"), "C3", &at_height, due_ms, &about);
    }
    let window_ms = match phase {
        Phase::Committing => entry.verdict_window_ms(before.parameters()),
        Phase::Revealing | Phase::Closed => before.parameters().reveal_ms,
    };
    for (name, before_ms) in [("anew after a pause", window_ms - 1), ("over in spite of a pause", window_ms)] {
        let paused = with(late, |state| state.meta_mut().resumed_at_ms = due_ms - before_ms);
        page.timed(&format!("time {what}: {name}"), "C3", &paused, due_ms, &about);
    }
}

/// What can't be done where one member's vote decides once it is shown; the names begin with `case`.
fn last_doors(page: &mut Page<'_>, case: &str, (chain, last, body): &Last, segment: SegmentId, voted: &str) {
    let named = |name: &str| format!("{case}: {name}");
    page.invalid(&named("who voted, again"), "V3", chain, voted, verdict(segment, invalid()), "exists");
    let other = reveal(segment, last, VerdictVote::Invalid { job: 1, fault: JobFault::Leaf });
    page.invalid(&named("another vote"), "V2", chain, last, other, "commitment");
    page.invalid(&named("the worker itself"), "V1", chain, "w0", body.clone(), "not_allowed");
    page.invalid(&named("a removed member"), "C5", &barred(chain, last), last, body.clone(), "disqualified");
    let mut over = chain.clone();
    over.ok(last, body.clone());
    let error = if over.state.segment(&segment).is_some() { "wrong_state" } else { "unknown" };
    page.invalid(&named("after the decision"), "V3", &over, last, body.clone(), error);
}

/// When the next block of the chain comes.
fn state_time(chain: &Chain) -> u64 {
    chain.now_ms + BLOCK_MS
}

fn conviction(book: &mut Book, drawn: &Chain, segment: SegmentId, members: &[String]) {
    let page = &mut book.page("conviction");
    let mut widened = drawn.clone();
    widened.cast(segment, &[(&members[0], valid()), (&members[1], invalid())]);
    let others = widened.silent_members(segment);
    let case = nearly_all(&widened, segment, &others, [invalid(); 2]);
    let (chain, last, body) = &case;
    page.valid("a first fault: 10 %, and all of who approved it", "S", chain, last, body.clone());
    last_doors(page, "a first fault", &case, segment, &others[1]);
    let both = says(drawn, segment, members, invalid());
    let rest: Vec<_> = others.iter().zip([invalid(), invalid(), valid(), valid()]).collect();
    let four = all_but_one(&both, segment, &rest);
    page.valid("four of six are not more than two thirds", "V3", &four.0, &four.1, four.2.clone());
    last_doors(page, "four of six", &four, segment, &others[1]);
    let month_ms = 30 * 24 * 3_600_000;
    for (name, age_ms) in
        [("a fault of 30 days ago is forgotten", month_ms), ("a fault just younger is not", month_ms - 1)]
    {
        // Far from the beginning of time, so that there was one.
        let aged = with(chain, |state| {
            state.meta_mut().timestamp_ms += month_ms;
            state.meta_mut().epoch_started_ms += month_ms;
            let mut entry = state.segment(&segment).unwrap().clone();
            if let SegmentState::Judging { due_at_ms, .. } = &mut entry.state {
                *due_at_ms += month_ms;
            }
            state.set_segment(segment, Some(entry));
            state.nodes.get_mut(&id("w0")).unwrap().faults_ms = vec![state_time(chain) + month_ms - age_ms];
            let offered = state.leases.keys().copied().collect::<Vec<_>>();
            for lease in offered {
                let old = *state.lease(&lease).unwrap();
                state.set_lease(lease, Some(crate::Lease { expires_at_ms: u64::MAX, ..old }));
            }
        });
        let mut aged = aged;
        aged.now_ms += month_ms;
        page.valid(name, "S", &aged, last, body.clone());
        page.numbers(name, &aged, last, body);
    }
    // What the vote takes: all of an approver, and a tenth of the worker, of what is then left bonded.
    let (taken, bonded) = (50_000 * IFR + 100 * IFR, chain.state.meta().bonded.nano());
    for (name, spare) in
        [("slashes just within what a profile may cost", 0), ("one nano-IFR more pauses the profile", 1)]
    {
        let limit = with(chain, |state| {
            state.meta_mut().parameters.profile_slash_max = inferium_types::Ppm::new(333_333);
            let most = Amount::from_nano(bonded - taken).share(inferium_types::Ppm::new(333_333));
            let before = most.nano() - taken + spare;
            let epoch = state.meta().epoch;
            let entry = state.profiles.get_mut(&profile()).unwrap();
            entry.slashed = (epoch, Amount::from_nano(before));
        });
        page.valid(name, "S5", &limit, last, body.clone());
        page.numbers(name, &limit, last, body);
    }
    let faults = |count: usize| {
        let chain = with(chain, |state| {
            let now_ms = state.meta().timestamp_ms;
            state.nodes.get_mut(&id("w0")).unwrap().faults_ms = vec![now_ms - 1_000; count];
        });
        (chain, last.clone(), body.clone())
    };
    page.valid("a second fault: 50 %", "S", &faults(1).0, last, body.clone());
    last_doors(page, "a second fault", &faults(1), segment, &others[1]);
    page.valid("a third fault: everything, for ever", "S", &faults(2).0, last, body.clone());
    last_doors(page, "a third fault", &faults(2), segment, &others[1]);
}

fn withheld(book: &mut Book, drawn: &Chain, segment: SegmentId, members: &[String]) {
    let page = &mut book.page("withheld");
    let nothing = VerdictVote::Unavailable;
    let none = says(drawn, segment, members, nothing);
    let others = none.silent_members(segment);
    let all = nearly_all(&none, segment, &others, [nothing, valid()]);
    let (chain, last, body) = &all;
    page.valid("no evidence: unpaid, a fault on record", "V3", chain, last, body.clone());
    last_doors(page, "no evidence", &all, segment, &members[0]);
    page.numbers("no evidence", chain, last, body);
    let but = |chain: Chain| (chain, last.clone(), body.clone());
    let seldom = but(with(chain, |state| {
        if let Some(SegmentState::Judging { replay, .. }) = state.segments.get_mut(&segment).map(|of| &mut of.state) {
            *replay = Ppm::new(10_000);
        }
    }));
    page.valid("no evidence: what is seldom replayed costs more", "S", &seldom.0, last, body.clone());
    last_doors(page, "no evidence, seldom replayed", &seldom, segment, &members[0]);
    let left = |own, leaving| {
        let mut chain = chain.clone();
        leave_stake(&mut chain, own, leaving);
        but(chain)
    };
    let poor = left(1_001, 10_000_000_000);
    page.valid("no evidence: own stake first, then what unbonds", "S2", &poor.0, last, body.clone());
    last_doors(page, "no evidence, little stake", &poor, segment, &members[0]);
    let bare = left(1_001, 3);
    page.valid("no evidence: no more than there is", "S2", &bare.0, last, body.clone());
    last_doors(page, "no evidence, no stake", &bare, segment, &members[0]);
}

fn wrong_rejection(book: &mut Book, drawn: &Chain, segment: SegmentId, members: &[String]) {
    let page = &mut book.page("wrong_rejection");
    let mut doubted = drawn.clone();
    doubted.cast(segment, &[(&members[0], invalid()), (&members[1], valid())]);
    let others = doubted.silent_members(segment);
    let case = nearly_all(&doubted, segment, &others, [valid(); 2]);
    let (chain, last, body) = &case;
    page.valid("a first time: 5 %", "S", chain, last, body.clone());
    last_doors(page, "a first time", &case, segment, &members[0]);
    let again = with(chain, |state| {
        let now_ms = state.meta().timestamp_ms;
        state.nodes.get_mut(&id(&members[0])).unwrap().faults_ms = vec![0, now_ms];
    });
    let again = (again, last.clone(), body.clone());
    page.valid("again: 25 %", "S", &again.0, last, body.clone());
    last_doors(page, "again", &again, segment, &members[0]);
}

fn false_replay(book: &mut Book, drawn: &Chain, segment: SegmentId, members: &[String]) {
    let page = &mut book.page("false_replay");
    let (both, last, doubt) = all_but_one(drawn, segment, &[(&members[0], unseen()), (&members[1], valid())]);
    page.valid("two approve by different replays: a doubt", "V2", &both, &last, doubt.clone());
    page.doors(&both, &last, &doubt);
    let mut doubted = drawn.clone();
    doubted.cast(segment, &[(&members[0], unseen()), (&members[1], valid())]);
    let others = doubted.silent_members(segment);
    let case = nearly_all(&doubted, segment, &others, [valid(); 2]);
    let (chain, last, body) = &case;
    page.valid("more than two thirds have another effort: 5 %", "V2", chain, last, body.clone());
    last_doors(page, "another effort", &case, segment, &members[0]);
    for (name, shown) in [
        ("another effort than it is bound to", reveal(segment, last, unseen())),
        ("with the salt of who has another effort", reveal(segment, &members[0], valid())),
        ("openly, behind a commitment", verdict(segment, valid())),
    ] {
        page.invalid(name, "V2", chain, last, shown, "commitment");
    }
    let again = with(chain, |state| {
        let now_ms = state.meta().timestamp_ms;
        state.nodes.get_mut(&id(&members[0])).unwrap().faults_ms = vec![0, now_ms];
    });
    let again = (again, last.clone(), body.clone());
    page.valid("again: 25 %", "S", &again.0, last, body.clone());
    last_doors(page, "another effort again", &again, segment, &members[0]);
    let both = nearly_all(&doubted, segment, &others, [invalid(), valid()]);
    page.valid("one rejected it, one has another effort", "V2", &both.0, &both.1, both.2.clone());
    last_doors(page, "a rejection and another effort", &both, segment, &members[0]);
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
    let mut court = chain.draw(segment);
    assert_eq!(court.len(), 6);
    // Who had approved it shows its vote early.
    court.sort_by_key(|name| members.contains(name));
    let nothing = VerdictVote::Unavailable;
    let upheld = nearly_all(&chain, segment, &court, [invalid(), nothing]);
    page.valid("upheld: who had approved loses everything", "V4", &upheld.0, &upheld.1, upheld.2.clone());
    last_doors(page, "upheld", &upheld, segment, &court[1]);
    let dismissed = nearly_all(&chain, segment, &court, [valid(), nothing]);
    let (chain_dismissed, last, body) = &dismissed;
    page.valid("dismissed: half the bond is the worker's", "V4", chain_dismissed, last, body.clone());
    last_doors(page, "dismissed", &dismissed, segment, &court[1]);
    let late = with(chain_dismissed, |state| {
        let mut entry = state.segment(&segment).unwrap().clone();
        entry.dispute.as_mut().unwrap().settles_at_ms = 1;
        state.set_segment(segment, Some(entry));
    });
    page.valid("dismissed after it was to be paid: in the next block", "V4", &late, last, body.clone());
    page.numbers("dismissed late", &late, last, body);
    let barred_operator = (operator_barred(chain_dismissed, last), last.clone(), body.clone());
    page.valid("a member whose operator is barred votes", "S3", &barred_operator.0, last, body.clone());
    last_doors(page, "barred operator", &barred_operator, segment, &court[1]);
    let votes: Vec<_> = court.iter().zip([nothing, valid(), valid(), valid(), nothing, nothing]).collect();
    let torn = all_but_one(&chain, segment, &votes);
    page.valid("no decision: it stands, and the bond returns", "V4", &torn.0, &torn.1, torn.2.clone());
    last_doors(page, "no decision", &torn, segment, &court[1]);
}
