//! Openings of segments, doubts that wait for one, and what is never opened (SPEC V5).

use super::book::{Book, Page, near, with};
use crate::entries::{OwedOrder, Segment};
use crate::tests::forced::{Case, case, opens, ordered, wrong};
use crate::tests::support::*;
use crate::{Opening, SegmentState, StateKey};
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
    for index in 2..16 {
        for name in [format!("w{index}"), format!("g{index}"), format!("x{index}")] {
            for account in [id(&name), id(&operator_of(&name))] {
                let balance = case.chain.state.account(&account).balance;
                case.chain.state.accounts.remove(&account);
                let meta = case.chain.state.meta_mut();
                meta.reward_pool = meta.reward_pool.add(balance).unwrap();
            }
        }
    }
    case
}

/// The case in which this is otherwise.
fn changed(case: &Case, change: impl FnOnce(&mut Segment)) -> Case {
    let mut case = case.clone();
    let mut entry = case.chain.state.segment(&case.segment).unwrap().clone();
    change(&mut entry);
    case.chain.state.set_segment(case.segment, Some(entry));
    case
}

fn approved(case: &Case) -> Case {
    let mut case = case.clone();
    case.approve();
    case
}

/// The case with a committee, its first members' votes cast.
fn judged(case: &Case, votes: &[VerdictVote]) -> (Case, Vec<String>) {
    let mut case = case.clone();
    let members = case.chain.draw(case.segment);
    for (name, vote) in members.iter().zip(votes) {
        case.chain.ok(name, verdict(case.segment, *vote));
    }
    (case, members)
}

/// An opening has its effect, and nothing that is only like it has.
fn opened(page: &mut Page<'_>, name: &str, case: &Case, job: Option<usize>) {
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
    let (right, _) = judged(&cases.right, &[wrong(1)]);
    opened(page, "a doubt about a known-right job goes on", &right, Some(1));
    let (none, _) = judged(&cases.none, &[wrong(2), wrong(2)]);
    opened(page, "a doubt goes on where nothing was ordered", &none, None);
    let late = with_late(&caught);
    opened(page, "late, while all judge", &late, Some(1));
    let mut court = approved(&cases.wrong);
    court.chain.ok("g0", TransactionBody::OpenDispute { segment: court.segment });
    let members = court.chain.draw(court.segment);
    let mut members = members.iter();
    while !court.chain.state.segment(&court.segment).unwrap().opening.is_asked() {
        court.chain.ok(members.next().unwrap(), verdict(court.segment, wrong(1)));
    }
    opened(page, "a court caught it: the bond returns", &court, Some(1));
}

/// The doubt after the worker's time.
fn with_late(case: &Case) -> Case {
    let mut case = case.clone();
    let Opening::Asked { until_ms, .. } = case.chain.state.segment(&case.segment).unwrap().opening else {
        panic!("asked")
    };
    case.chain.block_at(until_ms);
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
    let mut votes = |name: &str, case: &Case, member: &str, vote: VerdictVote| {
        let body = verdict(case.segment, vote);
        page.valid(name, "V5", &case.chain, member, body.clone());
        page.numbers(name, &case.chain, member, &body);
    };
    let (fresh, members) = judged(&cases.wrong, &[]);
    votes("a doubt asks the worker, and waits", &fresh, &members[0], wrong(1));
    votes("no evidence is no doubt: all look at once", &fresh, &members[0], VerdictVote::Unavailable);
    let ending = changed(&fresh, |segment| {
        if let SegmentState::Judging { due_at_ms, .. } = &mut segment.state {
            *due_at_ms = fresh.chain.now_ms + 2 * BLOCK_MS;
        }
    });
    votes("a doubt just before the verdicts are due puts them off", &ending, &members[0], wrong(1));
    let (asked, _) = judged(&cases.wrong, &[wrong(1)]);
    votes("an approval beside a doubt waits with it", &asked, &members[1], valid());
    votes("no evidence beside a doubt waits with it", &asked, &members[1], VerdictVote::Unavailable);
    let told = changed(&fresh, |segment| segment.opening = Opening::Opened { planted: None });
    votes("nobody is asked twice: the doubt goes on at once", &told, &members[0], wrong(1));
    let free = changed(&fresh, |segment| segment.opening = Opening::NotOwed);
    votes("nobody is asked who owes nothing", &free, &members[0], wrong(1));
    // All others agree: the last vote decides.
    let late = with_late(&asked);
    let deciding = |vote: VerdictVote| {
        let mut case = late.clone();
        loop {
            let silent = case.chain.silent_members(case.segment);
            let body = verdict(case.segment, vote);
            let mut next = case.clone();
            next.chain.ok(&silent[0], body);
            match next.chain.state.segment(&next.segment).map(|segment| &segment.state) {
                Some(SegmentState::Judging { .. }) => case = next,
                _ => return (case, silent[0].clone()),
            }
        }
    };
    let (case, last) = deciding(valid());
    votes("approved in spite of a doubt: to be opened before it is paid", &case, &last, valid());
    let (case, last) = deciding(wrong(1));
    votes("what is not opened in time is wrong", &case, &last, wrong(1));
    let mut anew = approved(&cases.wrong);
    anew.open(Some(1));
    let members = anew.chain.draw(anew.segment);
    let body = verdict(anew.segment, wrong(1));
    page.invalid("a planted job is judged no more", "V5", &anew.chain, &members[0], body, "out_of_bounds");
    let mut votes = |name: &str, vote: VerdictVote| {
        let body = verdict(anew.segment, vote);
        page.valid(name, "V5", &anew.chain, &members[0], body.clone());
        page.numbers(name, &anew.chain, &members[0], &body);
    };
    votes("another job of the same segment is, and nobody asked", wrong(0));
}

/// Doubts whose time is over.
fn waiting(book: &mut Book, cases: &Cases) {
    let page = &mut book.page("doubt_over");
    let (asked, _) = judged(&cases.wrong, &[wrong(1)]);
    let entry = asked.chain.state.segment(&asked.segment).unwrap();
    let (Opening::Asked { until_ms, .. }, SegmentState::Judging { due_at_ms, due_at_height, .. }) =
        (entry.opening, entry.state.clone())
    else {
        panic!("asked")
    };
    let about = [StateKey::Segment(asked.segment)];
    let chain = near(&asked.chain, until_ms);
    page.timed("the worker did not answer: the doubt goes on", "V5", &chain, until_ms, &about);
    let resumed = |before_ms| with(&chain, |state| state.meta_mut().resumed_at_ms = until_ms - before_ms);
    page.timed("its time begins anew after a pause", "C3", &resumed(9_999), until_ms, &about);
    page.timed("a pause that ended all of its time before changes nothing", "C3", &resumed(10_000), until_ms, &about);
    // Asked so late that the verdicts are due as well.
    let both = changed(&asked, |segment| {
        if let Opening::Asked { until_ms, .. } = &mut segment.opening {
            *until_ms = due_at_ms;
        }
    });
    let both = near(&both.chain, due_at_ms);
    let at_height = |height| with(&both, |state| state.meta_mut().height = height - 1);
    page.timed("the verdicts are due as well: the silent pay", "V5", &at_height(due_at_height), due_at_ms, &about);
    let resumed = with(&both, |state| state.meta_mut().resumed_at_ms = due_at_ms - 9_999);
    page.timed("after a pause the verdicts wait with it", "C3", &resumed, due_at_ms, &about);
    page.timed("a window is also a number of blocks", "C3", &at_height(due_at_height - 1), due_at_ms, &about);
    let (valid_too, _) = judged(&cases.wrong, &[wrong(1), valid()]);
    let Opening::Asked { until_ms, .. } = valid_too.chain.state.segment(&valid_too.segment).unwrap().opening else {
        panic!("asked")
    };
    page.timed("all voted, and all others look", "V5", &early(&valid_too.chain, until_ms), until_ms, &about);
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
