use super::{Replays, Step, TimeLeft, Turn, Wanted};
use inferium_types::{Digest, ProfileId, SegmentId};

fn segment(number: u8) -> SegmentId {
    SegmentId::new(Digest::sha256(&[number]))
}

fn profile(number: u8) -> ProfileId {
    ProfileId::new(Digest::sha256(&[number]))
}

fn wanted(number: u8, due_ms: u64, left: TimeLeft) -> Wanted {
    Wanted { id: segment(number), profile: profile(0), due_ms, left, has_evidence: true }
}

/// Begins whatever gets a turn.
fn begin(replays: &mut Replays) -> Vec<(SegmentId, Turn)> {
    let begun: Vec<_> = std::iter::from_fn(|| replays.next()).collect();
    begun.iter().for_each(|(id, _)| replays.begin(*id));
    begun
}

fn ids(begun: &[(SegmentId, Turn)]) -> Vec<SegmentId> {
    begun.iter().map(|(id, _)| *id).collect()
}

#[test]
fn turns_go_by_when_verdicts_are_due() {
    let mut replays = Replays::default();
    for (number, due_ms) in [(1, 900), (2, 500), (3, 700), (4, 100)] {
        assert_eq!(replays.step(wanted(number, due_ms, TimeLeft::Enough), 1), Step::Wait);
    }
    let mut begun = begin(&mut replays);
    assert_eq!(ids(&begun), [segment(4), segment(2)]);
    assert!(begin(&mut replays).is_empty());
    // One that comes later and is due earlier goes before those that have waited.
    replays.step(wanted(5, 600, TimeLeft::Enough), 1);
    begun.remove(0);
    assert_eq!(ids(&begin(&mut replays)), [segment(5)]);
}

#[test]
fn one_models_replays_do_not_hold_up_anothers() {
    let mut replays = Replays::default();
    for number in 1..4 {
        replays.step(wanted(number, number.into(), TimeLeft::Enough), 1);
    }
    replays.step(Wanted { profile: profile(1), ..wanted(9, 9, TimeLeft::Enough) }, 1);
    let begun = begin(&mut replays);
    assert_eq!(ids(&begun), [segment(1), segment(2), segment(9)]);
}

/// Evidence that is there and was not looked at is never called unavailable.
#[test]
fn what_waited_for_a_turn_is_replayed_when_its_time_runs_out() {
    let mut replays = Replays::default();
    for number in 1..4 {
        replays.step(wanted(number, number.into(), TimeLeft::Enough), 1);
    }
    let begun = begin(&mut replays);
    assert_eq!(ids(&begun), [segment(1), segment(2)]);
    // No turn is free; the third neither waits any longer nor is given up.
    for left in [TimeLeft::Half, TimeLeft::Late] {
        assert_eq!(replays.step(wanted(3, 3, left), 2), Step::Start);
    }
    assert!(replays.turn(profile(0)).is_none());
    replays.begin(segment(3));
    assert_eq!(replays.step(wanted(3, 3, TimeLeft::Half), 3), Step::Wait);
    drop(begun);
    assert!(replays.next().is_none(), "it would be replayed twice");
}

#[test]
fn only_what_was_tried_or_never_came_is_unavailable() {
    let mut replays = Replays::default();
    let late = wanted(1, 1, TimeLeft::Late);
    assert_eq!(replays.step(Wanted { has_evidence: false, ..late }, 5), Step::Unavailable);
    assert_eq!(replays.step(Wanted { has_evidence: false, left: TimeLeft::Half, ..late }, 5), Step::Wait);
    assert_eq!(replays.step(late, 5), Step::Start);
    replays.begin(late.id);
    assert_eq!(replays.step(late, 6), Step::Unavailable);
    replays.fail(late.id, 6);
    assert_eq!(replays.step(late, 6), Step::Unavailable);
    // What did not fit its draw was no try: what the worker sends then is looked at.
    replays.end(late.id);
    assert_eq!(replays.step(late, 7), Step::Start);
}

#[test]
fn a_replay_that_failed_is_tried_once_a_block() {
    let mut replays = Replays::default();
    replays.begin(segment(1));
    replays.fail(segment(1), 7);
    assert_eq!(replays.step(wanted(1, 1, TimeLeft::Half), 7), Step::Wait);
    assert_eq!(replays.step(wanted(1, 1, TimeLeft::Half), 8), Step::Start);
}

#[test]
fn what_is_not_to_be_judged_any_more_takes_no_turn() {
    let mut replays = Replays::default();
    for number in 1..4 {
        replays.step(wanted(number, number.into(), TimeLeft::Enough), 1);
    }
    replays.retain(|id| id == segment(3));
    assert_eq!(ids(&begin(&mut replays)), [segment(3)]);
}

/// An outage renews the time for a verdict.
#[test]
fn a_verdict_that_is_due_later_now_is_replayed_once() {
    let mut replays = Replays::default();
    for due_ms in [5, 9] {
        replays.step(wanted(1, due_ms, TimeLeft::Enough), 1);
    }
    replays.step(wanted(2, 7, TimeLeft::Enough), 1);
    assert_eq!(ids(&begin(&mut replays)), [segment(2), segment(1)]);
}
