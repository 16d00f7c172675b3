//! What holds of tasks whose results are all looked at whole: boards, training and proofs.

use super::{Chain, id, record_of};
use crate::{Opening, SegmentState};
use inferium_types::{Amount, Event, JobFault, JobTotals, LeaseId, Ppm, ProfileId, SegmentId, SlashRule, VerdictVote};

/// What follows where every result is looked at whole and nothing is planted (SPEC L2, X3, V10): one by a worker with the best record is
/// judged by two, and all of it.
pub(in crate::tests) fn assert_looked_at_whole_by_two(
    chain: &mut Chain,
    lease: LeaseId,
    profile: ProfileId,
    of: JobTotals,
) {
    chain.state.records.insert((id("w0"), profile), record_of(1_000_000, 1_000_000, 0));
    let segment = chain.commit(lease, of);
    assert_eq!(chain.state.segment(&segment).unwrap().opening, Opening::NotOwed);
    assert_eq!(chain.draw(segment).len(), 2);
    let SegmentState::Judging { replay, .. } = chain.state.segment(&segment).unwrap().state else { panic!("judging") };
    assert_eq!(replay, Ppm::ONE);
}

/// Whether a segment was approved with this fee.
pub(in crate::tests) fn is_paid(chain: &Chain, segment: SegmentId, fee: u64) -> bool {
    chain.history.iter().any(|event| {
        matches!(event, Event::SegmentApproved(outcome) if outcome.segment == segment && outcome.fee.nano() == fee)
    })
}

/// What follows when everybody finds a segment of `w0` wrong (SPEC S): it costs what a wrong result does, and nothing is left of it.
pub(in crate::tests) fn assert_wrong_result_is_slashed(
    (mut chain, segment, members): (Chain, SegmentId, Vec<String>),
    fault: JobFault,
) {
    let before = chain.stake("w0");
    let wrong = VerdictVote::Invalid { job: 0, fault };
    chain.vote(segment, &members, wrong);
    chain.vote_rest(segment, wrong);
    let slash = chain.history.iter().find_map(|event| match event {
        Event::Slashed(slash) if slash.node == id("w0") => Some(slash.clone()),
        _ => None,
    });
    let slash = slash.unwrap();
    assert_eq!((slash.rule, slash.segment), (SlashRule::WrongResult, Some(segment)));
    let share = chain.parameters().slash_wrong_result;
    assert_eq!(before - chain.stake("w0"), Amount::from_nano(before).share(share).nano());
    assert!(chain.state.segment(&segment).is_none());
}
