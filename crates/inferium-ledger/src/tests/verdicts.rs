//! Committees and what their votes decide: SPEC V1, V2, V3, T3.

use super::support::*;
use crate::Stage;
use crate::entries::{Pool, Unbonding};
use crate::{Record, Rejection, SegmentState};
use inferium_types::{
    Amount, Digest, Event, JobFault, LeaseId, Ppm, ProposalAction, RejectReason, SegmentId, SlashRule, TaskTerms,
    VerdictVote,
};

const VETERAN: Record = record_of(1_000, 1_000_000, 0);

fn with_validators(count: u32, record: Record) -> (Chain, LeaseId) {
    let mut parameters = devnet(count);
    parameters.unsettled_max = inferium_types::Ppm::ONE;
    let mut chain = Chain::with(count, parameters).furnished(1);
    chain.state.records.insert((id("w0"), profile()), record);
    let lease = chain.lease_of(TaskTerms { tokens_max: 2_000_000, ..task_terms() });
    (chain, lease)
}

fn seats(count: u32, record: Record, fee: u64) -> usize {
    let (mut chain, lease) = with_validators(count, record);
    let segment = chain.commit(lease, totals(1, fee / 1_000, 0));
    chain.draw(segment).len()
}

/// SPEC V1: one, two or three members by value; the steps are exact.
#[test]
fn committee_grows_with_the_value() {
    let steps = [(0, 1), (9_999_000, 1), (10_000_000, 2), (999_999_000, 2), (1_000_000_000, 3)];
    for (fee, expected) in steps {
        assert_eq!(seats(7, VETERAN, fee), expected, "{fee}");
    }
    assert_eq!(seats(7, Record::default(), 0), 2, "a newcomer has two at least");
    assert_eq!(seats(7, Record::default(), 1_000_000_000), 3);
}

/// SPEC V1: two eligible seats stay outside, and one is always drawn.
#[test]
fn committee_leaves_two_seats_outside_if_it_can() {
    for (validators, expected) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 3), (6, 3)] {
        assert_eq!(seats(validators, VETERAN, 1_000_000_000), expected, "{validators} validators");
    }
}

fn judged(validators: u32) -> (Chain, SegmentId, Vec<String>) {
    let (mut chain, lease) = with_validators(validators, Record::default());
    let segment = chain.commit(lease, totals(2, 10, 10));
    let members = chain.draw(segment);
    (chain, segment, members)
}

#[test]
fn verdicts_come_from_members_once_each_about_jobs_that_exist() {
    let (mut chain, segment, members) = judged(5);
    assert_eq!(members.len(), 2);
    let outsider = (0..5).map(|index| format!("v{index}")).find(|name| !members.contains(name)).unwrap();
    let not_a_member = Rejection::NotAllowed { expected: "a member of the committee" };
    chain.fails(&outsider, verdict(segment, valid()), &not_a_member);
    for stranger in ["w0", "g0", "x0"] {
        let transaction = chain.tx(stranger, verdict(segment, valid()));
        assert!(crate::execute(&chain.state, &chain.environment(), &[transaction]).is_err(), "{stranger}");
    }
    let about = |job| VerdictVote::Invalid { job, fault: JobFault::Text };
    let unknown = SegmentId::new(Digest::ZERO);
    chain.fails(&members[0], verdict(unknown, valid()), &Rejection::Unknown { what: "segment" });
    let commitment = chain.commitment(segment, &members[0], valid());
    assert_eq!(chain.ok(&members[0], commitment), [], "nothing is told");
    chain.fails(&members[1], verdict(segment, about(2)), &Rejection::OutOfBounds { field: "job" });
    let events = chain.ok(&members[1], verdict(segment, about(1)));
    assert!(events.contains(&Event::VerdictGiven { segment, validator: id(&members[1]), vote: about(1) }));
    for vote in [valid(), about(1), VerdictVote::Unavailable] {
        chain.fails(&members[1], verdict(segment, vote), &Rejection::Exists { what: "verdict" });
    }
}

#[test]
fn verdict_before_the_draw_or_after_the_decision_is_refused() {
    let (mut chain, lease) = with_validators(4, Record::default());
    let segment = chain.commit(lease, totals(1, 10, 10));
    let closed = Rejection::WrongState { what: "a verdict" };
    chain.carries_seeds = false;
    chain.fails("v0", verdict(segment, valid()), &closed);
    chain.carries_seeds = true;
    let members = chain.draw(segment);
    chain.vote(segment, &members, valid());
    chain.fails(&members[0], verdict(segment, valid()), &closed);
}

/// SPEC V3: n - 1 of n approvals are not enough, all are.
#[test]
fn only_unanimous_approval_is_final() {
    let (mut chain, segment, members) = judged(5);
    let approved = |event: &Event| matches!(event, Event::SegmentApproved(_));
    let (mut one, all) = (chain.clone(), &members);
    one.cast(segment, &[(&all[0], valid()), (&all[1], VerdictVote::Unavailable)]);
    assert!(!one.history.iter().any(approved));
    assert!(matches!(one.state.segment(&segment).unwrap().state, SegmentState::Judging { stage: Stage::Widened, .. }));
    let events = chain.vote(segment, &members, valid());
    let approvers: Vec<_> = {
        let mut approvers: Vec<_> = members.iter().map(|name| id(name)).collect();
        approvers.sort();
        approvers
    };
    let approved = events.iter().find_map(|event| match event {
        Event::SegmentApproved(outcome) => Some(outcome.clone()),
        _ => None,
    });
    let outcome = approved.unwrap();
    assert_eq!((outcome.approvers, outcome.settled, outcome.segment), (approvers, false, segment));
}

/// SPEC V3: any doubt widens, to everyone who is eligible; widening adds, never replaces.
#[test]
fn any_doubt_widens_the_committee() {
    for doubt in [invalid(), VerdictVote::Unavailable] {
        let (mut chain, segment, members) = judged(5);
        let events = chain.cast(segment, &[(&members[0], doubt), (&members[1], valid())]);
        let all = chain.committee(segment);
        assert_eq!(all.len(), 5);
        assert!(members.iter().all(|member| all.contains(member)));
        let drawn = events.iter().find_map(|event| match event {
            Event::CommitteeDrawn { members, .. } => Some(members.clone()),
            _ => None,
        });
        // Whoever voted has no more to do.
        let waiting: Vec<String> = drawn.unwrap().iter().map(|member| chain.name(member)).collect();
        assert_eq!(waiting, chain.silent_members(segment));
        assert_eq!(waiting.len(), 3);
        chain.fails(&members[0], verdict(segment, valid()), &Rejection::Exists { what: "verdict" });
    }
}

/// SPEC V3, C4: an escalation has its limit, and the seed decides who is in, not the order of keys.
#[test]
fn escalation_is_drawn_up_to_its_limit() {
    let mut lowest_keys = 0;
    for world in 0..8 {
        let mut parameters = devnet(9);
        parameters.escalation_max = 5;
        let mut chain = Chain::with(9, parameters).furnished(1);
        chain.world = format!("world {world}");
        let lease = chain.lease();
        let segment = chain.commit(lease, totals(1, 10, 10));
        let members = chain.draw(segment);
        chain.vote(segment, &members, invalid());
        let all = chain.committee(segment);
        assert_eq!(all.len(), 5);
        assert!(members.iter().all(|member| all.contains(member)));
        let mut others: Vec<_> =
            (0..9).map(|index| format!("v{index}")).filter(|name| !members.contains(name)).collect();
        others.sort_by_key(|name| id(name));
        lowest_keys += u32::from(others[..3].iter().all(|name| all.contains(name)));
    }
    assert!(lowest_keys < 4, "{lowest_keys} of 8 escalations took the lowest keys");
}

fn outcome_of(votes: &[VerdictVote]) -> Option<Event> {
    let count = u32::try_from(votes.len()).unwrap();
    let (mut chain, segment, members) = judged(count);
    let mut left: Vec<VerdictVote> = votes.to_vec();
    // A doubt first, so that the committee is widened.
    let doubt = left.iter().position(|vote| *vote != valid())?;
    left.swap(0, doubt);
    while !left.is_empty() {
        let silent = chain.silent_members(segment);
        let now: Vec<_> = silent.iter().map(String::as_str).zip(left.drain(..silent.len())).collect();
        chain.cast(segment, &now);
    }
    assert_ne!(members.len(), votes.len());
    chain.history.into_iter().find(|event| matches!(event, Event::SegmentApproved(_) | Event::SegmentRejected { .. }))
}

/// SPEC V3: more than two thirds of all seats decide, exactly two thirds don't.
#[test]
fn widened_committee_decides_by_more_than_two_thirds() {
    let (yes, no, none) = (valid(), invalid(), VerdictVote::Unavailable);
    let approved = |votes: &[VerdictVote]| matches!(outcome_of(votes), Some(Event::SegmentApproved(_)));
    let reason = |votes: &[VerdictVote]| match outcome_of(votes) {
        Some(Event::SegmentRejected { reason, .. }) => Some(reason),
        _ => None,
    };
    let wrong = Some(RejectReason::ProvenWrong { job: 0, fault: JobFault::Token });
    assert!(approved(&[yes, yes, yes, no]));
    assert!(approved(&[yes, yes, yes, yes, yes, no, none]));
    assert_eq!(reason(&[no, no, no, yes]), wrong);
    assert_eq!(reason(&[no, no, no, none]), wrong);
    assert_eq!(reason(&[none, none, none, yes]), Some(RejectReason::Unavailable));
    assert_eq!(reason(&[yes, yes, no, no]), Some(RejectReason::Unresolved));
    assert_eq!(reason(&[yes, yes, yes, yes, no, no]), Some(RejectReason::Unresolved), "two thirds");
    assert_eq!(reason(&[no, no, no, no, yes, yes]), Some(RejectReason::Unresolved), "two thirds");
    assert_eq!(reason(&[none, none, no, no, yes, yes]), Some(RejectReason::Unresolved));
    // Evidence that some got, and that convinced none of them, is as good as none: nobody gets away by showing it to half.
    assert_eq!(reason(&[no, no, none, none]), Some(RejectReason::Unavailable));
    assert_eq!(reason(&[none, none, none, no, no, yes, yes]), Some(RejectReason::Unavailable));
    assert_eq!(reason(&[none, no, no, yes, yes, yes]), Some(RejectReason::Unresolved));
}

/// A conviction names the first job and fault that anyone found.
#[test]
fn conviction_names_the_first_fault() {
    let (mut chain, segment, members) = judged(4);
    let says = |job, fault| VerdictVote::Invalid { job, fault };
    chain.cast(segment, &[(&members[0], says(1, JobFault::Leaf)), (&members[1], says(0, JobFault::Logits))]);
    let rest = chain.silent_members(segment);
    chain.cast(segment, &[(&rest[0], says(0, JobFault::Text)), (&rest[1], says(1, JobFault::Prompt))]);
    let reason = RejectReason::ProvenWrong { job: 0, fault: JobFault::Text };
    assert!(
        chain.history.iter().any(|event| matches!(event, Event::SegmentRejected { reason: of, .. } if *of == reason))
    );
}

/// SPEC T3: judgement has its deadline; unresolved is a refund, and no slash of the worker.
#[test]
fn unresolved_segment_is_refunded_without_a_slash() {
    let (mut chain, segment, members) = judged(4);
    let lease = chain.state.segment(&segment).unwrap().terms.lease;
    let locked = chain.state.lease(&lease).unwrap().escrow;
    let stake = chain.stake("w0");
    chain.vote(segment, &members, VerdictVote::Unavailable);
    let rest = chain.silent_members(segment);
    chain.vote(segment, &rest, valid());
    assert_eq!(chain.state.segment(&segment), None);
    let entry = chain.state.lease(&lease).unwrap();
    assert_eq!((entry.escrow, entry.reserved, entry.segments_pending), (locked, Amount::ZERO, 0));
    assert_eq!(chain.stake("w0"), stake);
    assert!(chain.state.node(&id("w0")).unwrap().unsettled.is_zero());
    assert_eq!(chain.record("w0").2, 0);
}

/// So many of so many seats find no evidence, the others approve.
fn without_evidence(chain: &mut Chain, segment: SegmentId, count: usize) {
    let mut left = count;
    loop {
        let silent = chain.silent_members(segment);
        if silent.is_empty() {
            return;
        }
        let votes: Vec<(&str, VerdictVote)> = silent
            .iter()
            .map(|name| {
                let finds = left == 0;
                left = left.saturating_sub(1);
                (name.as_str(), if finds { valid() } else { VerdictVote::Unavailable })
            })
            .collect();
        chain.cast(segment, &votes);
    }
}

/// SPEC V3, S: no evidence for more than two thirds: the client pays nothing, the worker the fee, which
/// burns; a failure is on record. Exactly two thirds decide nothing.
#[test]
fn segment_without_evidence_costs_its_worker_the_fee() {
    for (count, costs) in [(5, true), (4, false)] {
        let (mut chain, segment, _) = judged(6);
        let (stake, lease) = (chain.stake("w0"), chain.state.segment(&segment).unwrap().terms.lease);
        let (fee, escrow) = (chain.state.segment(&segment).unwrap().fee, chain.state.lease(&lease).unwrap().escrow);
        without_evidence(&mut chain, segment, count);
        assert_eq!(chain.state.segment(&segment), None);
        let entry = chain.state.lease(&lease).unwrap();
        assert_eq!((entry.escrow, entry.reserved, entry.spoiled), (escrow, Amount::ZERO, costs));
        assert_eq!(chain.record("w0"), (0, 0, u64::from(costs)));
        // Two jobs, all replayed: three of the fee of one are more than the fee.
        let cost = if costs { fee.nano() * 3 / 2 } else { 0 };
        assert_eq!((chain.stake("w0"), fee.nano()), (stake - cost, 30_000));
        assert_eq!(chain.state.holds().count(), usize::from(costs));
        let Some((number, hold)) = chain.state.holds().next().map(|(number, hold)| (*number, hold.clone())) else {
            continue;
        };
        assert_eq!((hold.rule, hold.segment), (SlashRule::EvidenceWithheld, Some(segment)));
        assert_eq!((hold.provers.len(), hold.harmed, hold.disqualified), (0, None, false));
        assert!(chain.state.node(&id("w0")).unwrap().is_active(chain.state.meta().epoch), "nobody is jailed");
        assert!(chain.state.profile(&profile()).unwrap().slashed.1.is_zero(), "SPEC S5 counts other faults");
        // SPEC S2: an appeal gives it back, and without one all of it burns.
        let mut appealed = chain.clone();
        appealed.enact(ProposalAction::Restitute { slash: number });
        assert_eq!(appealed.stake("w0"), stake);
        let burned = chain.state.meta().burned.nano();
        chain.wait_until(hold.releases_at_ms);
        assert_eq!((chain.state.meta().burned.nano(), chain.stake("w0")), (burned + cost, stake - cost));
    }
}

/// SPEC S: what keeping evidence back costs, to the nano; the chance that a job is drawn does not matter.
#[test]
fn withheld_evidence_costs_three_times_a_job_in_the_mean() {
    for (fee, jobs, replayed, expected) in [
        (1_000, 100, 1_000_000, 1_000),
        // A third of the fee is expected to be looked at: from there on the fee is enough.
        (1_000, 3, 1_000_000, 1_000),
        (1_000, 2, 1_000_000, 1_500),
        (1_000, 1, 1_000_000, 3_000),
        (1_000, 300, 10_000, 1_000),
        (1_000, 299, 10_000, 1_003),
        (1_000, 1, 10_000, 300_000),
        (0, 1, 10_000, 0),
        (7, 1, 0, 7),
        (u64::MAX, 1, 1, u64::MAX),
    ] {
        let cost = crate::reputation::withheld_cost(Amount::from_nano(fee), jobs, Ppm::new(replayed));
        assert_eq!(cost.nano(), expected, "{fee} {jobs} {replayed}");
    }
}

/// `w0` has so much stake left, and so much on its way out.
pub(super) fn leave_stake(chain: &mut Chain, own: u64, leaving: u64) {
    let mut node = chain.state.node(&id("w0")).unwrap().clone();
    let spare = node.stake.sub(Amount::from_nano(own + leaving)).unwrap();
    node.stake = Amount::from_nano(own);
    node.unbonding = Pool { tokens: Amount::from_nano(leaving), shares: u128::from(leaving) };
    chain.state.set_node(id("w0"), node);
    let treasury = chain.state.meta().treasury.add(spare).unwrap();
    chain.state.meta_mut().treasury = treasury;
    if leaving > 0 {
        let matures_at_ms = chain.now_ms + 600_000;
        let unbonding =
            Unbonding { node: id("w0"), account: id("x0"), shares: leaving.into(), matures_at_ms, waited: false };
        chain.state.set_unbonding(0, Some(unbonding));
    }
}

/// SPEC S2: it takes own stake first, then what is on its way out, and no more than there is.
#[test]
fn withheld_evidence_takes_no_more_than_there_is() {
    for (own, leaving, expected) in
        [(45_001, 9, [45_000, 0]), (45_000, 9, [45_000, 0]), (44_999, 9, [44_999, 1]), (1, 2, [1, 2]), (0, 0, [0, 0])]
    {
        let (mut chain, segment, _) = judged(4);
        leave_stake(&mut chain, own, leaving);
        without_evidence(&mut chain, segment, 3);
        let (_, hold) = chain.state.holds().next().unwrap();
        assert_eq!([hold.own.nano(), hold.unbonding.nano()], expected, "{own} {leaving}");
        let node = chain.state.node(&id("w0")).unwrap();
        let left = [node.stake.nano(), node.unbonding.tokens.nano()];
        assert_eq!(left, [own - expected[0], leaving - expected[1]]);
    }
}

/// SPEC C3: a verdict is overdue after its time and its blocks; the later counts.
#[test]
fn verdicts_are_due_after_time_and_blocks() {
    let (chain, segment, members) = judged(4);
    let drawn = chain.now_ms;
    let totals = chain.state.segment(&segment).unwrap().terms.totals;
    let tokens = totals.prompt_tokens + totals.completion_tokens;
    let due = drawn + chain.parameters().verdict_ms + tokens * chain.parameters().verdict_token_ms;
    let least = chain.parameters().verdict_blocks;
    let last = chain.state.height() + least;
    let is_widened = |chain: &Chain| {
        matches!(chain.state.segment(&segment).unwrap().state, SegmentState::Judging { stage: Stage::Widened, .. })
    };
    // Enough blocks, one millisecond early.
    let mut early = chain.clone();
    for _ in 0..=least {
        early.block_at(early.now_ms + 1);
    }
    early.wait_until(due - 1);
    assert!(!is_widened(&early));
    early.block_at(due);
    assert!(is_widened(&early));
    // Enough time, one block early.
    let mut few = chain.clone();
    few.wait_until(due + 5);
    while few.state.height() + 1 < last {
        few.block_at(few.now_ms + 2);
    }
    assert!(!is_widened(&few));
    few.block_at(few.now_ms + 2);
    assert!(is_widened(&few));
    for member in &members {
        assert_eq!(few.stake(member), chain.stake(member) / 1_000 * 999, "a missed duty");
    }
}

/// SPEC C3: while the chain stands still nobody can vote, so that an open window begins anew; a
/// millisecond less is no pause.
#[test]
fn outage_costs_no_member_its_stake() {
    for (more_ms, is_pause) in [(1, true), (0, false)] {
        let (mut chain, segment, members) = judged(4);
        let stakes: Vec<u64> = members.iter().map(|member| chain.stake(member)).collect();
        let due = chain.state.segment(&segment).unwrap().verdict_due_ms(chain.state.meta()).unwrap();
        for _ in 0..chain.parameters().verdict_blocks {
            chain.block_at(chain.now_ms + 1);
        }
        let gap = chain.parameters().pause_ms + more_ms;
        chain.wait_until(due - gap + 10);
        chain.block_at(chain.now_ms + gap);
        assert!(chain.now_ms > due);
        let paid: Vec<u64> = members.iter().map(|member| chain.stake(member)).collect();
        assert_eq!(paid == stakes, is_pause, "{more_ms}");
        if is_pause {
            let renewed = chain.state.segment(&segment).unwrap().verdict_due_ms(chain.state.meta()).unwrap();
            assert_eq!(renewed - chain.now_ms, due - (judged(4).0).now_ms, "a whole window");
            let reloaded = crate::State::from_entries(chain.state.entries()).unwrap();
            assert_eq!(reloaded, chain.state);
            chain.wait_until(renewed);
            assert!(
                members.iter().all(|member| chain.stake(member) < stakes[0]),
                "once it is over, silence is silence"
            );
        }
    }
}

/// Silence of everyone ends too: each window has its end.
#[test]
fn silent_committee_ends_unresolved() {
    let (mut chain, segment, _) = judged(4);
    chain.blocks(61);
    assert_eq!(chain.silent_members(segment).len(), 4);
    chain.blocks(61);
    assert_eq!(chain.state.segment(&segment), None);
    let unresolved = |event: &Event| matches!(event, Event::SegmentRejected { segment: of, reason: RejectReason::Unresolved, .. } if *of == segment);
    assert_eq!(chain.history.iter().filter(|event| unresolved(event)).count(), 1);
}

/// With no one to add, the votes that are there decide.
#[test]
fn committee_of_all_seats_decides_without_more() {
    let (mut chain, segment, members) = judged(1);
    chain.vote(segment, &members, invalid());
    assert_eq!(chain.state.segment(&segment), None);
    assert!(
        chain
            .history
            .iter()
            .any(|event| { matches!(event, Event::SegmentRejected { reason: RejectReason::ProvenWrong { .. }, .. }) })
    );
}

/// SPEC R3: a dear job is replayed so often that a wrong one loses three times its fee in the mean.
#[test]
fn dear_jobs_are_replayed_by_their_value() {
    let veteran = record_of(100_000, 100_000_000, 0);
    // Three fees by 10 % of 1,000 IFR, for each of the segment's jobs.
    for (fee, jobs, expected) in
        [(333_333_000, 1, 10_000), (400_000_000, 1, 12_000), (1_500_000_000, 1, 45_000), (12_000_000, 1, 10_000)]
    {
        let (mut chain, lease) = with_validators(7, veteran);
        let segment = chain.commit(lease, totals(jobs, fee / 1_000, 0));
        chain.draw(segment);
        let SegmentState::Judging { replay, .. } = chain.state.segment(&segment).unwrap().state else {
            panic!("judging")
        };
        assert_eq!(replay.get(), expected, "{fee}");
    }
}

/// SPEC V1: with less than half of the least stake a validator has nothing to say.
#[test]
fn who_has_too_little_left_judges_no_more() {
    let (mut chain, lease) = with_validators(3, VETERAN);
    let half = chain.parameters().validator_stake_min.split(2);
    for (name, left) in [("v0", half.sub(Amount::from_nano(1)).unwrap()), ("v1", Amount::ZERO), ("v2", half)] {
        let mut node = chain.state.node(&id(name)).unwrap().clone();
        let taken = node.stake.sub(left).unwrap();
        node.stake = left;
        chain.state.set_node(id(name), node);
        let meta = chain.state.meta_mut();
        meta.reward_pool = meta.reward_pool.add(taken).unwrap();
    }
    for _ in 0..6 {
        let segment = chain.commit(lease, totals(1, 10, 10));
        assert_eq!(chain.draw(segment), ["v2"]);
    }
}
