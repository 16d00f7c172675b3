//! Openings of segments, doubts that wait for one, and what is never opened (SPEC V5).

use super::book::{Book, Page, near, with};
use crate::entries::{OwedOrder, Segment};
use crate::tests::forced::{Case, case, opens, ordered, wrong};
use crate::tests::support::*;
use crate::{Opening, Phase, SegmentState, StateKey};
use inferium_types::{
    Amount, Digest, ForcedKind, ForcedOrder, OPENINGS_MAX, Ppm, SegmentId, SegmentOpening, TaskTerms, TransactionBody,
    VerdictVote, VrfProof,
};

/// Every segment holds a planted job; one of five does.
const ALL: u32 = 1_000_000;
const FIFTH: u32 = 200_000;

pub(super) fn write(book: &mut Book) {
    let cases = Cases {
        wrong: lean(ordered(ALL, Some(ForcedKind::Wrong))),
        right: lean(ordered(ALL, Some(ForcedKind::Right))),
        none: lean(ordered(FIFTH, None)),
    };
    let page = &mut book.page("open_segments");
    after_approval(page, &cases);
    boundaries(page, &cases);
    in_doubt(page, &cases);
    jackpots(page);
    orders(page, &cases);
    refusals(page, &cases);
    super::moot::of_planted_jobs(page, &cases.wrong, &cases.right);
    asking(book, &cases);
    waiting(book, &cases);
    unopened(book, &cases);
}

/// Committed segments by what was ordered.
struct Cases {
    wrong: Case,
    right: Case,
    none: Case,
}

/// The case without accounts that have no part in it: each would be taken away one by one.
fn lean(mut case: Case) -> Case {
    thin(&mut case.chain);
    case
}

/// Takes these accounts away.
pub(super) fn thin(chain: &mut Chain) {
    for index in 2..16 {
        for name in [format!("w{index}"), format!("g{index}"), format!("x{index}")] {
            for account in [id(&name), id(&operator_of(&name))] {
                let balance = chain.state.account(&account).balance;
                chain.state.accounts.remove(&account);
                let meta = chain.state.meta_mut();
                meta.reward_pool = meta.reward_pool.add(balance).unwrap();
            }
        }
    }
}

/// The case in which this is otherwise.
fn changed(case: &Case, change: impl FnOnce(&mut Segment)) -> Case {
    let mut case = case.clone();
    let mut entry = case.chain.state.segment(&case.segment).unwrap().clone();
    change(&mut entry);
    case.chain.state.set_segment(case.segment, Some(entry));
    case
}

pub(super) fn approved(case: &Case) -> Case {
    let mut case = case.clone();
    case.approve();
    case
}

/// The case with a committee, its first members' votes cast.
fn judged(case: &Case, votes: &[VerdictVote]) -> (Case, Vec<String>) {
    let mut case = case.clone();
    let members = case.chain.draw(case.segment);
    let votes: Vec<_> = members.iter().map(String::as_str).zip(votes.iter().copied()).collect();
    if !votes.is_empty() {
        case.chain.cast(case.segment, &votes);
    }
    (case, members)
}

/// The case in which all these have voted, and the first has not shown it yet; who, and what it shows.
fn all_but_one(case: &Case, votes: &[(&String, VerdictVote)]) -> (Case, String, TransactionBody) {
    let mut case = case.clone();
    let votes: Vec<(&str, VerdictVote)> = votes.iter().map(|(name, vote)| (name.as_str(), *vote)).collect();
    let (name, body) = case.chain.last_reveal(case.segment, &votes);
    (case, name, body)
}

/// An opening has its effect, and nothing that is only like it has.
pub(super) fn opened(page: &mut Page<'_>, name: &str, case: &Case, job: Option<usize>) {
    let (chain, good) = (&case.chain, case.opening(job));
    page.valid(name, "V5", chain, "w0", opens([good.clone()]));
    let mut refuse = |what: &str, sender: &str, body: TransactionBody, error: &str| {
        page.invalid(&format!("{name}: {what}"), "V5", chain, sender, body, error);
    };
    refuse("by a stranger", "x0", opens([good.clone()]), "not_allowed");
    refuse("by a validator", "v0", opens([good.clone()]), "not_allowed");
    refuse("twice at once", "w0", opens([good.clone(), good.clone()]), "exists");
    refuse("by the gateway", "g0", opens([good.clone()]), "not_allowed");
    let unknown = SegmentOpening { segment: SegmentId::of_lease(case.lease, 7), ..good.clone() };
    refuse("with a segment that never was", "w0", opens([good, unknown]), "unknown");
}

fn after_approval(page: &mut Page<'_>, cases: &Cases) {
    let (blind, right) = (approved(&cases.wrong), approved(&cases.right));
    opened(page, "who approved a known-wrong job loses everything", &blind, Some(1));
    opened(page, "a known-right job is only not paid", &right, Some(1));
    opened(page, "nothing was ordered", &approved(&cases.none), None);
    forged(page, &approved(&cases.none));
    let asked = changed(&right, |segment| {
        let Opening::Closed(order) = segment.opening else { panic!("closed") };
        segment.opening = Opening::Asked { order, until_ms: u64::MAX };
    });
    opened(page, "when it was asked for", &asked, Some(1));
}

/// Proofs that are not the worker's for this segment, and whose outputs order nothing, so that nothing else is wrong.
fn forged(page: &mut Page<'_>, case: &Case) {
    let orders_nothing = |proof: &VrfProof| ForcedOrder::of(proof.output()).kind(Ppm::new(FIFTH)).is_none();
    let inputs = (0u8..).map(|byte| Digest::sha256(&[byte]));
    for (name, key) in [("a proof over another input bars the worker", "w0"), ("a proof by another key does too", "w1")]
    {
        let proof = inputs.clone().map(|input| vrf(key).prove(&input)).find(orders_nothing).unwrap();
        let forged = SegmentOpening { proof, ..case.opening(None) };
        page.valid(name, "S", &case.chain, "w0", opens([forged.clone()]));
        let mut refuse = |what: &str, sender: &str, body: TransactionBody, error: &str| {
            page.invalid(&format!("{name}: {what}"), "S", &case.chain, sender, body, error);
        };
        let planted = SegmentOpening { planted: case.opening(Some(1)).planted, ..forged.clone() };
        refuse("with a job, which is refused first", "w0", opens([planted]), "evidence");
        refuse("twice at once", "w0", opens([forged.clone(), forged.clone()]), "exists");
        refuse("by another's hand", "g0", opens([forged.clone()]), "not_allowed");
        refuse("by a stranger", "x0", opens([forged.clone()]), "not_allowed");
        let unknown = SegmentOpening { segment: SegmentId::of_lease(case.lease, 7), ..forged.clone() };
        refuse("before a segment that never was", "w0", opens([forged, unknown]), "unknown");
    }
}

/// The share of jobs from which on the committee of this approved segment replays the planted one.
fn first_drawn(case: &Case) -> u32 {
    let SegmentState::Final { approval, .. } = &case.chain.state.segment(&case.segment).unwrap().state else {
        panic!("final")
    };
    let is_drawn = |parts: &u32| case.segment.draws_job(&approval.seed, 1, Ppm::new(*parts));
    (0..=ALL).find(is_drawn).unwrap()
}

fn boundaries(page: &mut Page<'_>, cases: &Cases) {
    let blind = approved(&cases.wrong);
    let first = first_drawn(&blind);
    let replaying = |parts| {
        changed(&blind, |segment| {
            let SegmentState::Final { approval, .. } = &mut segment.state else { panic!("final") };
            approval.replayed = Ppm::new(parts);
        })
    };
    opened(page, "the planted job is the last one drawn", &replaying(first), Some(1));
    opened(page, "the planted job was just not drawn", &replaying(first - 1), Some(1));
    // The least share by which this output orders something.
    let least = (0..=ALL).find(|parts| blind.order.kind(Ppm::new(*parts)).is_some()).unwrap();
    let owing = |parts, has_room| {
        changed(&blind, |segment| {
            segment.opening = Opening::Closed(OwedOrder { share: Ppm::new(parts), has_room });
        })
    };
    opened(page, "just ordered", &owing(least, true), Some(1));
    opened(page, "just not ordered", &owing(least - 1, true), None);
    opened(page, "ordered without room, and planted all the same", &owing(ALL, false), Some(1));
    let evidence = "evidence";
    let body = opens([blind.opening(Some(1))]);
    page.invalid("just not ordered, but planted", "V5", &owing(least - 1, true).chain, "w0", body, evidence);
    let body = opens([blind.opening(None)]);
    page.invalid("just ordered, but not planted", "V5", &owing(least, true).chain, "w0", body, evidence);
    let small = TaskTerms { jobs_max: 63, ..task_terms() };
    let roomless = approved(&lean(case(ALL, Some(ForcedKind::Wrong), false, &small)));
    opened(page, "ordered without room, and not planted", &roomless, None);
}

fn in_doubt(page: &mut Page<'_>, cases: &Cases) {
    let (caught, _) = judged(&cases.wrong, &[valid(), wrong(1)]);
    opened(page, "one member caught a known-wrong job, one was blind", &caught, Some(1));
    let (mistaken, _) = judged(&cases.wrong, &[wrong(2), wrong(1)]);
    opened(page, "who found another job wrong caught nothing", &mistaken, Some(1));
    let (right, _) = judged(&cases.right, &[wrong(1), valid()]);
    opened(page, "a doubt about a known-right job goes on", &right, Some(1));
    let (none, _) = judged(&cases.none, &[wrong(2), wrong(2)]);
    opened(page, "a doubt goes on where nothing was ordered", &none, None);
    let late = with_late(&caught);
    opened(page, "late, while all judge", &late, Some(1));
    let mut court = approved(&cases.wrong);
    let first = first_drawn(&court);
    court.chain.ok("g0", TransactionBody::OpenDispute { segment: court.segment });
    let members = court.chain.draw(court.segment);
    let mut lazy = court.clone();
    court.chain.vote(court.segment, &members, wrong(1));
    opened(page, "a court caught it: the bond returns, and who had approved loses everything", &court, Some(1));
    let of_draw =
        |parts| changed(&court, |segment| segment.dispute.as_mut().unwrap().approval.replayed = Ppm::new(parts));
    opened(page, "a court caught what the approvers were just drawn for", &of_draw(first), Some(1));
    opened(page, "a court caught what the approvers were just not drawn for", &of_draw(first - 1), Some(1));
    let votes: Vec<_> =
        members.iter().enumerate().map(|(at, name)| (name.as_str(), if at < 2 { valid() } else { wrong(1) })).collect();
    lazy.chain.cast(lazy.segment, &votes);
    opened(page, "a court caught it, but for two of its members", &lazy, Some(1));
}

/// The doubt after the worker's time.
fn with_late(case: &Case) -> Case {
    let mut case = case.clone();
    let Opening::Asked { until_ms, .. } = case.chain.state.segment(&case.segment).unwrap().opening else {
        panic!("asked")
    };
    let last = case.chain.state.height() + case.chain.parameters().reveal_blocks;
    while case.chain.state.height() + 1 < last {
        case.chain.block_at(case.chain.now_ms + 1);
    }
    case.chain.block_at(until_ms);
    assert!(matches!(case.chain.state.segment(&case.segment).unwrap().opening, Opening::Late(_)));
    case
}

fn jackpots(page: &mut Page<'_>) {
    let (caught, _) = judged(&lean(ordered(FIFTH, Some(ForcedKind::Wrong))), &[wrong(1), wrong(1)]);
    for (name, most, treasury) in [
        ("a jackpot of what one order costs the treasury", IFR, 1_000 * IFR),
        ("a jackpot of the most there is", 1_001, 1_000 * IFR),
        ("a jackpot of a thousandth of the treasury", IFR, 501_999),
    ] {
        let mut capped = caught.clone();
        let meta = capped.chain.state.meta_mut();
        meta.parameters.forced_jackpot_max = Amount::from_nano(most);
        meta.treasury = Amount::from_nano(treasury);
        opened(page, name, &capped, Some(1));
    }
}

/// What does not follow from the order.
fn orders(page: &mut Page<'_>, cases: &Cases) {
    let blind = approved(&cases.wrong);
    let mut refuse = |name: &str, rule: &str, case: &Case, opening: SegmentOpening| {
        page.invalid(name, rule, &case.chain, "w0", opens([opening]), "evidence");
    };
    refuse("a job that no order named", "V5", &blind, blind.opening(Some(0)));
    refuse("an ordered job that is missing", "V5", &blind, blind.opening(None));
    let edited = |change: fn(&mut inferium_types::PlantedJob)| {
        let mut opening = blind.opening(Some(1));
        change(opening.planted.as_mut().unwrap());
        opening
    };
    refuse("a path from another place", "J3", &blind, edited(|job| job.path.index = 2));
    refuse("a path of a larger tree", "J3", &blind, edited(|job| job.path.count += 1));
    refuse("a path of one step too many", "J3", &blind, edited(|job| job.path.siblings.push(Digest::ZERO)));
    refuse("a result that was changed", "J3", &blind, edited(|job| job.leaf.result.usage.completion_tokens = 4));
    refuse("a request that was changed", "J3", &blind, edited(|job| job.leaf.request.attempt += 1));
    let none = approved(&cases.none);
    refuse("a job where none was ordered", "V5", &none, none.opening(Some(1)));
    // The leaf is the lease's own; the order is not.
    let right = approved(&cases.right);
    let others = SegmentOpening { proof: blind.opening(None).proof, ..right.opening(Some(1)) };
    refuse("by the order of another lease", "V5", &right, others);
    let proof =
        vrf("w1").prove(&ForcedOrder::input(&blind.chain.state.lease(&blind.lease).unwrap().beacon, blind.lease, 0));
    refuse("by another worker's VRF", "V5", &blind, SegmentOpening { proof, ..blind.opening(Some(1)) });
}

fn refusals(page: &mut Page<'_>, cases: &Cases) {
    let opening = cases.wrong.opening(Some(1));
    let body = opens([opening]);
    let early = "wrong_state";
    page.invalid("before the committee is drawn", "V5", &cases.wrong.chain, "w0", body.clone(), early);
    let (judging, _) = judged(&cases.wrong, &[valid()]);
    page.invalid("while the committee judges", "V5", &judging.chain, "w0", body.clone(), early);
    let blind = approved(&cases.wrong);
    page.doors(&blind.chain, "w0", &body);
    let bounds = "out_of_bounds";
    page.invalid("of no segment", "V5", &blind.chain, "w0", opens([]), bounds);
    let many = TransactionBody::OpenSegments { openings: vec![cases.wrong.opening(None); OPENINGS_MAX + 1] };
    page.invalid("of one segment too many", "V5", &blind.chain, "w0", many, bounds);
    let free = changed(&blind, |segment| segment.opening = Opening::NotOwed);
    page.invalid("where nothing is owed", "V5", &free.chain, "w0", body.clone(), "wrong_state");
    let mut done = approved(&cases.right);
    done.open(Some(1));
    page.invalid("again", "V5", &done.chain, "w0", opens([done.opening(Some(1))]), "exists");
    let mut disputed = blind.clone();
    disputed.chain.ok("g0", TransactionBody::OpenDispute { segment: disputed.segment });
    page.invalid("while its court is drawn", "V5", &disputed.chain, "w0", body, early);
}

/// Votes that ask the worker, and votes that need not.
fn asking(book: &mut Book, cases: &Cases) {
    let page = &mut book.page("doubt");
    let mut shows = |name: &str, (case, member, body): &(Case, String, TransactionBody)| {
        page.valid(name, "V5", &case.chain, member, body.clone());
        page.numbers(name, &case.chain, member, body);
    };
    let (fresh, members) = judged(&cases.wrong, &[]);
    let two = |case: &Case, first, second| all_but_one(case, &[(&members[0], first), (&members[1], second)]);
    let nothing = VerdictVote::Unavailable;
    shows("a doubt asks the worker, and waits", &two(&fresh, wrong(1), valid()));
    shows("no evidence is no doubt: all look at once", &two(&fresh, nothing, valid()));
    shows("an approval beside a doubt waits with it", &two(&fresh, valid(), wrong(1)));
    shows("no evidence beside a doubt waits with it", &two(&fresh, nothing, wrong(1)));
    let told = changed(&fresh, |segment| segment.opening = Opening::Opened { planted: None });
    shows("nobody is asked twice: the doubt goes on at once", &two(&told, wrong(1), valid()));
    let free = changed(&fresh, |segment| segment.opening = Opening::NotOwed);
    shows("nobody is asked who owes nothing", &two(&free, wrong(1), valid()));
    let asked_before = changed(&fresh, |segment| {
        let Opening::Closed(order) = segment.opening else { panic!("closed") };
        segment.opening = Opening::Asked { order, until_ms: fresh.chain.now_ms + 500_000 };
    });
    shows("who was asked before is waited for", &two(&asked_before, wrong(1), valid()));
    // All others agree: the last vote decides.
    let (asked, _) = judged(&cases.wrong, &[wrong(1), valid()]);
    let late = with_late(&asked);
    let others = late.chain.silent_members(late.segment);
    let agree = |vote| all_but_one(&late, &others.iter().map(|name| (name, vote)).collect::<Vec<_>>());
    shows("approved in spite of a doubt: to be opened before it is paid", &agree(valid()));
    shows("what is not opened in time is wrong", &agree(wrong(1)));
    let mut anew = approved(&cases.wrong);
    anew.open(Some(1));
    let members = anew.chain.draw(anew.segment);
    let two = |first, second| all_but_one(&anew, &[(&members[0], first), (&members[1], second)]);
    shows("another job of the same segment is, and nobody asked", &two(wrong(0), valid()));
    let (planted, member, body) = two(wrong(1), valid());
    page.invalid("a planted job is judged no more", "V5", &planted.chain, &member, body, "out_of_bounds");
}

/// Doubts whose time is over.
fn waiting(book: &mut Book, cases: &Cases) {
    let page = &mut book.page("doubt_over");
    let (asked, _) = judged(&cases.wrong, &[wrong(1), valid()]);
    let Opening::Asked { until_ms, .. } = asked.chain.state.segment(&asked.segment).unwrap().opening else {
        panic!("asked")
    };
    let about = [StateKey::Segment(asked.segment)];
    let at_height = |height: u64| {
        with(&near(&asked.chain, until_ms), |state| {
            let mut segment = state.segment(&asked.segment).unwrap().clone();
            let SegmentState::Judging { due_at_height, .. } = &mut segment.state else { panic!("being judged") };
            *due_at_height = height;
            state.set_segment(asked.segment, Some(segment));
        })
    };
    let height = asked.chain.state.height() + 1;
    page.timed("the worker's time is over, and blocks are left", "C3", &at_height(height + 1), until_ms, &about);
    let chain = at_height(height);
    page.timed("the worker did not answer: the doubt goes on", "V5", &chain, until_ms, &about);
    let resumed = |before_ms| with(&chain, |state| state.meta_mut().resumed_at_ms = until_ms - before_ms);
    page.timed("its time begins anew after a pause", "C3", &resumed(9_999), until_ms, &about);
    page.timed("a pause that ended all of its time before changes nothing", "C3", &resumed(10_000), until_ms, &about);
    // One member was bound, and the other silent: it has paid when the worker is asked.
    let (mut one, members) = judged(&cases.wrong, &[wrong(1)]);
    let due =
        |case: &Case| case.chain.state.segment(&case.segment).unwrap().verdict_due_ms(case.chain.state.meta()).unwrap();
    while one.chain.phase(one.segment) == Some(Phase::Committing) {
        let due_ms = due(&one);
        one.chain.wait_until(due_ms);
    }
    let body = reveal(one.segment, &members[0], wrong(1));
    page.valid("the silent one pays before the worker is asked", "V5", &one.chain, &members[0], body.clone());
    page.numbers("the silent one", &one.chain, &members[0], &body);
    one.chain.ok(&members[0], body);
    let Opening::Asked { until_ms, .. } = one.chain.state.segment(&one.segment).unwrap().opening else {
        panic!("asked")
    };
    let mut chain = one.chain.clone();
    let last = chain.state.height() + chain.parameters().reveal_blocks;
    while chain.state.height() + 1 < last {
        chain.block_at(chain.now_ms + 1);
    }
    let chain = early(&chain, until_ms);
    page.timed("it pays once, and all others look", "V5", &chain, until_ms, &about);
}

/// The chain a block before this time, in an epoch that has just begun.
fn early(chain: &Chain, at_ms: u64) -> Chain {
    with(&near(chain, at_ms), |state| {
        let meta = state.meta_mut();
        meta.epoch_started_ms = meta.timestamp_ms;
    })
}

/// What is final, and not opened.
fn unopened(book: &mut Book, cases: &Cases) {
    let page = &mut book.page("unopened");
    let case = approved(&cases.none);
    let SegmentState::Final { settles_at_ms, .. } = case.chain.state.segment(&case.segment).unwrap().state else {
        panic!("final")
    };
    let about = [StateKey::Segment(case.segment), StateKey::Lease(case.lease), StateKey::Node(id("w0"))];
    let due = early(&case.chain, settles_at_ms);
    page.timed("a final segment is asked for", "V5", &due, settles_at_ms, &about);
    let window_ms = case.chain.parameters().challenge_ms;
    let mut asked = case.clone();
    asked.chain.wait_until(settles_at_ms);
    let until_ms = settles_at_ms + window_ms;
    let over = early(&asked.chain, until_ms);
    page.timed("not opened in time: unpaid, a failure on record, no reservation", "V5", &over, until_ms, &about);
    let resumed = |before_ms| with(&over, |state| state.meta_mut().resumed_at_ms = until_ms - before_ms);
    page.timed("its time begins anew after a pause", "C3", &resumed(window_ms - 1), until_ms, &about);
    page.timed(
        "a pause that ended all of its time before changes nothing",
        "C3",
        &resumed(window_ms),
        until_ms,
        &about,
    );
    let late = changed(&case, |segment| {
        let Opening::Closed(order) = segment.opening else { panic!("closed") };
        segment.opening = Opening::Late(order);
    });
    page.timed("late for a doubt, and not opened yet", "V5", &early(&late.chain, settles_at_ms), settles_at_ms, &about);
    let mut paid = case;
    paid.open(None);
    page.timed("opened, and nothing was planted", "V5", &early(&paid.chain, settles_at_ms), settles_at_ms, &about);
    let mut planted = approved(&cases.right);
    planted.open(Some(1));
    let SegmentState::Final { settles_at_ms, .. } = planted.chain.state.segment(&planted.segment).unwrap().state else {
        panic!("final")
    };
    let about = [StateKey::Segment(planted.segment), StateKey::Lease(planted.lease), StateKey::Node(id("w0"))];
    let due = early(&planted.chain, settles_at_ms);
    page.timed("a planted job is in no pay and no record", "V5", &due, settles_at_ms, &about);
}
