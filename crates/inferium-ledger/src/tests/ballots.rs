//! Commit and reveal: SPEC V2.

use super::forced::{equivocation, final_block};
use super::support::*;
use crate::{Ballot, Phase, Rejection, SegmentState, Stage};
use inferium_types::{
    Amount, ConsensusVote, Digest, Event, Parameters, RejectReason, SegmentId, SlashRule, TransactionBody, VerdictVote,
};

/// A newcomer's segment before its two members, of so many validators.
fn judged(validators: u32) -> (Chain, SegmentId, Vec<String>) {
    let mut chain = Chain::with(validators, devnet(validators)).furnished(1);
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(2, 10, 10));
    let members = chain.draw(segment);
    (chain, segment, members)
}

fn ballot(chain: &Chain, segment: SegmentId, name: &str) -> Ballot {
    let SegmentState::Judging { members, .. } = &chain.state.segment(&segment).unwrap().state else {
        panic!("judging")
    };
    members.iter().find(|member| member.validator == id(name)).unwrap().ballot
}

fn stage(chain: &Chain, segment: SegmentId) -> Option<Stage> {
    match chain.state.segment(&segment)?.state {
        SegmentState::Judging { stage, .. } => Some(stage),
        _ => None,
    }
}

fn missed(chain: &Chain) -> Vec<String> {
    let missed = |event: &Event| match event {
        Event::Slashed(slash) if slash.rule == SlashRule::MissedDuty => Some(chain.name(&slash.node)),
        _ => None,
    };
    chain.history.iter().filter_map(missed).collect()
}

/// Lets the phase's time run out, in blocks and in milliseconds.
fn wait_out(chain: &mut Chain, segment: SegmentId) {
    let before = (chain.phase(segment), stage(chain, segment));
    while (chain.phase(segment), stage(chain, segment)) == before {
        chain.blocks(1);
    }
}

const LATE: Rejection = Rejection::WrongState { what: "a late verdict" };
const OPEN: Rejection = Rejection::WrongState { what: "an open verdict" };
const EARLY: Rejection = Rejection::WrongState { what: "a reveal" };

/// A vote is public only when every other seat is bound: until then nobody has one to copy.
#[test]
fn an_open_vote_comes_last() {
    let (mut chain, segment, members) = judged(7);
    assert_eq!(members.len(), 2);
    for name in &members {
        chain.fails(name, verdict(segment, valid()), &OPEN);
    }
    let first = chain.commitment(segment, &members[0], invalid());
    chain.ok(&members[0], first);
    // The last of n may still commit; it need not.
    let mut both = chain.clone();
    let body = both.commitment(segment, &members[1], valid());
    let events = both.ok(&members[1], body);
    let due_at_ms = both.now_ms + both.parameters().reveal_ms;
    assert_eq!(events, [Event::RevealsOpened { segment, due_at_ms }]);
    let events = chain.ok(&members[1], verdict(segment, valid()));
    let given = Event::VerdictGiven { segment, validator: id(&members[1]), vote: valid() };
    assert_eq!(events, [given, Event::RevealsOpened { segment, due_at_ms }]);
    // Who was first can't follow the other any more.
    chain.fails(&members[0], reveal(segment, &members[0], valid()), &Rejection::Commitment);
    chain.ok(&members[0], reveal(segment, &members[0], invalid()));
    assert_eq!(stage(&chain, segment), Some(Stage::Widened));
}

/// In one block, too, the order of transactions decides who is bound.
#[test]
fn an_open_vote_follows_the_last_commitment_in_one_block() {
    let (chain, segment, members) = judged(4);
    let commitment = chain.tx(&members[0], chain.commitment(segment, &members[0], valid()));
    let open = chain.tx(&members[1], verdict(segment, valid()));
    let environment = chain.environment();
    let mut refused = chain.clone();
    assert!(refused.block_in(&environment, &[open.clone(), commitment.clone()]).is_err());
    let mut taken = chain;
    taken.block(&[commitment, open]);
    assert_eq!(taken.phase(segment), Some(Phase::Revealing));
}

/// A committee of one has nobody to copy from: one transaction, as ever.
#[test]
fn a_committee_of_one_votes_at_once() {
    let (chain, segment, members) = judged(3);
    assert_eq!(members.len(), 1);
    let mut open = chain.clone();
    open.ok(&members[0], verdict(segment, valid()));
    assert!(matches!(open.state.segment(&segment).unwrap().state, SegmentState::Final { .. }));
    // It may commit, to no use.
    let mut hidden = chain;
    let body = hidden.commitment(segment, &members[0], valid());
    hidden.ok(&members[0], body);
    assert_eq!(hidden.phase(segment), Some(Phase::Revealing));
    hidden.ok(&members[0], reveal(segment, &members[0], valid()));
    assert!(matches!(hidden.state.segment(&segment).unwrap().state, SegmentState::Final { .. }));
}

#[test]
fn a_member_is_bound_once() {
    let (mut chain, segment, members) = judged(4);
    let (first, second) = (members[0].as_str(), members[1].as_str());
    let body = |chain: &Chain, name: &str, vote| chain.commitment(segment, name, vote);
    let nothing = Rejection::Unknown { what: "commitment" };
    chain.fails(first, reveal(segment, first, valid()), &nothing);
    let commitment = body(&chain, first, valid());
    chain.ok(first, commitment.clone());
    let exists = Rejection::Exists { what: "commitment" };
    chain.fails(first, commitment, &exists);
    chain.fails(first, body(&chain, first, invalid()), &exists);
    // Before all are bound nothing is shown, neither openly nor with its salt.
    chain.fails(first, verdict(segment, valid()), &EARLY);
    chain.fails(first, reveal(segment, first, valid()), &EARLY);
    chain.ok(second, verdict(segment, VerdictVote::Unavailable));
    chain.fails(second, body(&chain, second, valid()), &Rejection::Exists { what: "verdict" });
    chain.fails(second, reveal(segment, second, valid()), &Rejection::Exists { what: "verdict" });
    for stranger in ["w0", "g0", "x0"] {
        let strange = chain.tx(stranger, body(&chain, stranger, valid()));
        assert!(crate::execute(&chain.state, &chain.environment(), &[strange]).is_err(), "{stranger}");
    }
    let outsider = (0..4).map(|index| format!("v{index}")).find(|name| !members.contains(name)).unwrap();
    let refused = Rejection::NotAllowed { expected: "a member of the committee" };
    chain.fails(&outsider, body(&chain, &outsider, valid()), &refused);
    let unknown = SegmentId::new(Digest::ZERO);
    let body = TransactionBody::CommitVerdict { segment: unknown, commitment: Digest::ZERO };
    chain.fails(first, body, &Rejection::Unknown { what: "segment" });
}

/// What is shown is exactly what was committed to: vote, salt, draw, segment and member.
#[test]
fn only_what_was_committed_to_is_shown() {
    let (mut chain, segment, members) = judged(4);
    let (first, second) = (members[0].as_str(), members[1].as_str());
    // The second copies the first one's commitment, without knowing what it hides.
    let TransactionBody::CommitVerdict { commitment, .. } = chain.commitment(segment, first, valid()) else {
        panic!("a commitment")
    };
    chain.ok(first, TransactionBody::CommitVerdict { segment, commitment });
    chain.ok(second, TransactionBody::CommitVerdict { segment, commitment });
    for vote in [invalid(), VerdictVote::Unavailable, VerdictVote::Valid { effort: Digest::sha256(b"another") }] {
        chain.fails(first, reveal(segment, first, vote), &Rejection::Commitment);
    }
    for salt in [None, Some(salt(second)), Some(Digest::ZERO)] {
        let body = TransactionBody::SubmitVerdict { segment, vote: valid(), salt };
        chain.fails(first, body, &Rejection::Commitment);
    }
    chain.ok(first, reveal(segment, first, valid()));
    // Now it sees vote and salt, and they are of no use to it.
    chain.fails(second, reveal(segment, first, valid()), &Rejection::Commitment);
    chain.fails(second, verdict(segment, valid()), &Rejection::Commitment);
    chain.fails(second, reveal(segment, second, valid()), &Rejection::Commitment);
    wait_out(&mut chain, segment);
    assert_eq!((missed(&chain), stage(&chain, segment)), (vec![second.to_owned()], Some(Stage::Widened)));
}

/// A commitment about another segment, or another draw of the same one, is none here.
#[test]
fn a_commitment_is_of_one_draw() {
    let (mut chain, segment, members) = judged(4);
    let SegmentState::Judging { seed, .. } = chain.state.segment(&segment).unwrap().state else { panic!("judging") };
    let name = members[0].as_str();
    let elsewhere = [
        valid().commitment(SegmentId::new(Digest::ZERO), &seed, &id(name), &salt(name)),
        valid().commitment(segment, &Digest::ZERO, &id(name), &salt(name)),
        valid().commitment(segment, &seed, &id(&members[1]), &salt(name)),
    ];
    for commitment in elsewhere {
        let mut chain = chain.clone();
        chain.ok(name, TransactionBody::CommitVerdict { segment, commitment });
        chain.ok(&members[1], verdict(segment, valid()));
        chain.fails(name, reveal(segment, name, valid()), &Rejection::Commitment);
    }
    let commitment = valid().commitment(segment, &seed, &id(name), &salt(name));
    chain.ok(name, TransactionBody::CommitVerdict { segment, commitment });
    chain.ok(&members[1], verdict(segment, valid()));
    chain.ok(name, reveal(segment, name, valid()));
}

/// Who has not committed when the time for it is over votes no more; the others show their votes.
#[test]
fn after_its_time_nobody_commits() {
    let (mut chain, segment, members) = judged(5);
    let (first, second) = (members[0].as_str(), members[1].as_str());
    chain.bind(segment, &[(first, valid())]);
    for _ in 0..chain.parameters().verdict_blocks {
        chain.block_at(chain.now_ms + 1);
    }
    let due = chain.state.segment(&segment).unwrap().verdict_due_ms(chain.state.meta()).unwrap();
    chain.wait_until(due - 1);
    // In the block at the end of the window it still counts, a block later it does not.
    let mut last = chain.clone();
    let transaction = last.tx(second, last.commitment(segment, second, valid()));
    let mut environment = last.environment();
    environment.timestamp_ms = due;
    last.block_in(&environment, &[transaction]).unwrap();
    assert!(ballot(&last, segment, second).is_bound());
    chain.block_at(due);
    assert_eq!(chain.phase(segment), Some(Phase::Revealing));
    chain.fails(second, chain.commitment(segment, second, valid()), &LATE);
    chain.fails(second, verdict(segment, valid()), &LATE);
    assert!(missed(&chain).is_empty(), "not before the end");
    chain.reveal(segment);
    // Nobody is waited for any more.
    assert_eq!((missed(&chain), stage(&chain, segment)), (vec![second.to_owned()], Some(Stage::Widened)));
    assert_eq!(chain.stake(second), chain.stake(first) / 1_000 * 999);
}

/// The time to show a vote ends to the millisecond, and not before its least number of blocks.
#[test]
fn reveals_have_their_time_and_blocks() {
    let (mut chain, segment, members) = judged(4);
    chain.bind(segment, &[(&members[0], valid()), (&members[1], valid())]);
    let body = reveal(segment, &members[0], valid());
    let due = chain.now_ms + chain.parameters().reveal_ms;
    let last = chain.state.height() + chain.parameters().reveal_blocks;
    for (late_ms, is_taken) in [(-1i64, true), (0, true), (1, false)] {
        let mut chain = chain.clone();
        while chain.state.height() < last {
            chain.block_at(chain.now_ms + 1);
        }
        let at_ms = due.checked_add_signed(late_ms).unwrap();
        if !is_taken {
            chain.block_at(due);
        }
        let transaction = chain.tx(&members[0], body.clone());
        let mut environment = chain.environment();
        environment.timestamp_ms = at_ms;
        // Once all look it may show it later.
        assert_eq!(chain.block_in(&environment, &[transaction]).is_ok(), is_taken, "{late_ms}");
        let expected = if is_taken { None } else { Some(Stage::Widened) };
        assert_eq!(stage(&chain, segment), expected, "{late_ms}");
    }
    // Enough time, one block early.
    chain.wait_until(due + 5);
    while chain.state.height() + 1 < last {
        chain.block_at(chain.now_ms + 2);
    }
    assert_eq!(chain.phase(segment), Some(Phase::Revealing));
    chain.block_at(chain.now_ms + 2);
    assert_eq!(stage(&chain, segment), Some(Stage::Widened));
    assert_eq!(missed(&chain), members[..1]);
}

/// SPEC C3: nobody could show anything while the chain stood still; a millisecond less is no pause.
#[test]
fn an_outage_costs_no_one_its_reveal() {
    for (more_ms, is_pause) in [(1, true), (0, false)] {
        let (mut chain, segment, members) = judged(4);
        chain.state.meta_mut().parameters.reveal_ms = 60_000;
        chain.bind(segment, &[(&members[0], valid()), (&members[1], valid())]);
        for _ in 0..chain.parameters().reveal_blocks {
            chain.block_at(chain.now_ms + 1);
        }
        let due = chain.state.segment(&segment).unwrap().verdict_due_ms(chain.state.meta()).unwrap();
        let gap = chain.parameters().pause_ms + more_ms;
        chain.wait_until(due - gap + 10);
        chain.block_at(chain.now_ms + gap);
        assert!(chain.now_ms > due);
        assert_eq!(missed(&chain).is_empty(), is_pause, "{more_ms}");
        if is_pause {
            let renewed = chain.state.segment(&segment).unwrap().verdict_due_ms(chain.state.meta()).unwrap();
            assert_eq!(renewed, chain.now_ms + 60_000, "a whole window");
            chain.wait_until(renewed - 1);
            assert!(missed(&chain).is_empty());
            chain.wait_until(renewed);
            assert_eq!(missed(&chain), members[..1], "once it is over, silence is silence");
        }
    }
}

/// Nobody escapes by keeping a vote back: it stays bound, pays for each window, and what the others
/// say is not looked at before all had their time.
#[test]
fn who_keeps_its_vote_back_stays_bound() {
    let (mut chain, segment, members) = judged(5);
    let (first, second) = (members[0].as_str(), members[1].as_str());
    chain.bind(segment, &[(first, valid()), (second, invalid())]);
    // A doubt is on the chain, and waits.
    assert_eq!(stage(&chain, segment), Some(Stage::Committee));
    wait_out(&mut chain, segment);
    assert_eq!((stage(&chain, segment), missed(&chain)), (Some(Stage::Widened), vec![first.to_owned()]));
    // All look, itself included: but it has said what it has to say.
    assert!(matches!(ballot(&chain, segment, first), Ballot::Committed { .. }));
    assert!(!chain.silent_members(segment).contains(&members[0]));
    chain.fails(first, chain.commitment(segment, first, invalid()), &Rejection::Exists { what: "commitment" });
    chain.fails(first, verdict(segment, invalid()), &EARLY);
    let rest = chain.silent_members(segment);
    let votes: Vec<(&str, VerdictVote)> = rest.iter().map(|name| (name.as_str(), invalid())).collect();
    let mut shown = chain.clone();
    shown.cast(segment, &votes);
    // It shows it after all, with the others: convicted like them that approved at once.
    assert_eq!(shown.state.segment(&segment), None);
    assert_eq!(shown.stake(first), 0);
    // Or never: four of five are enough without it, when its time is over.
    let (name, body) = {
        let mut kept = chain.clone();
        kept.bind(segment, &votes);
        let mut transactions = kept.reveals(segment);
        transactions.retain(|transaction| transaction.transaction().sender != id(first));
        kept.block(&transactions);
        assert_eq!(stage(&kept, segment), Some(Stage::Widened), "it is waited for");
        while kept.state.segment(&segment).is_some() {
            kept.blocks(1);
        }
        assert_eq!(missed(&kept), [first, first]);
        let wrong =
            |event: &Event| matches!(event, Event::SegmentRejected { reason: RejectReason::ProvenWrong { .. }, .. });
        assert!(kept.history.iter().any(wrong));
        (first, reveal(segment, first, valid()))
    };
    chain.fails(name, body, &EARLY);
}

/// SPEC V3: votes that were given stay; newcomers commit and show theirs like the first members.
#[test]
fn a_widened_committee_commits_anew() {
    let (mut chain, segment, members) = judged(6);
    chain.cast(segment, &[(&members[0], valid()), (&members[1], VerdictVote::Unavailable)]);
    assert_eq!((stage(&chain, segment), chain.phase(segment)), (Some(Stage::Widened), Some(Phase::Committing)));
    let rest = chain.silent_members(segment);
    assert_eq!(rest.len(), 4);
    for name in &rest {
        chain.fails(name, verdict(segment, valid()), &OPEN);
    }
    for name in &members {
        chain.fails(name, verdict(segment, valid()), &Rejection::Exists { what: "verdict" });
    }
    chain.vote(segment, &rest[..3], valid());
    assert_eq!(chain.phase(segment), Some(Phase::Committing));
    chain.ok(&rest[3], verdict(segment, valid()));
    assert_eq!(chain.phase(segment), Some(Phase::Revealing));
    chain.reveal(segment);
    assert!(matches!(chain.state.segment(&segment).unwrap().state, SegmentState::Final { .. }));
    assert!(missed(&chain).is_empty());
}

/// Takes the seat of a validator that signed two contradicting votes.
fn bar(chain: &mut Chain, name: &str) {
    let of = chain.state.meta().chain;
    let vote = |block| ConsensusVote::sign(of, 0, 5, final_block(block), &key(name));
    chain.ok("x0", equivocation(name, vote("a"), vote("b")));
    assert!(chain.state.node(&id(name)).unwrap().disqualified);
}

/// SPEC C5: a member that lost its seat is silent at once, and pays nothing for that.
#[test]
fn a_removed_member_is_not_waited_for() {
    let (chain, segment, members) = judged(5);
    let silence = |chain: &Chain| {
        chain.history.iter().any(|event| matches!(event, Event::Slashed(of) if of.rule == SlashRule::MissedDuty))
    };
    // It has said nothing: who is left finds all others bound, and votes openly.
    let mut blank = chain.clone();
    bar(&mut blank, &members[0]);
    blank.fails(&members[0], blank.commitment(segment, &members[0], valid()), &Rejection::Disqualified);
    blank.ok(&members[1], verdict(segment, valid()));
    assert_eq!(stage(&blank, segment), Some(Stage::Widened), "the seat stays, and approves nothing");
    let rest: Vec<String> = blank.silent_members(segment).into_iter().filter(|name| *name != members[0]).collect();
    assert_eq!(rest.len(), 3);
    for name in &rest {
        let body = blank.commitment(segment, name, valid());
        blank.ok(name, body);
    }
    assert_eq!(blank.phase(segment), Some(Phase::Revealing), "in the block in which the last one was bound");
    for name in &rest {
        blank.ok(name, reveal(segment, name, valid()));
    }
    assert!(matches!(blank.state.segment(&segment).unwrap().state, SegmentState::Final { .. }), "four of five");
    assert!(!silence(&blank));
    // The others wait for it only: they go on in the block that bars it.
    let mut waiting = chain.clone();
    let body = waiting.commitment(segment, &members[1], valid());
    waiting.ok(&members[1], body);
    bar(&mut waiting, &members[0]);
    assert_eq!(waiting.phase(segment), Some(Phase::Revealing));
    // It is bound, and does not show its vote any more.
    let mut bound = chain;
    for name in &members {
        let body = bound.commitment(segment, name, valid());
        bound.ok(name, body);
    }
    bound.ok(&members[1], reveal(segment, &members[1], valid()));
    bar(&mut bound, &members[0]);
    assert_eq!(stage(&bound, segment), Some(Stage::Widened));
    bound.fails(&members[0], reveal(segment, &members[0], valid()), &Rejection::Disqualified);
    assert!(!silence(&bound));
}

/// SPEC C5: where all that are left have lost their seats, there is nothing to wait for.
#[test]
fn a_committee_of_removed_members_decides_nothing() {
    let (mut chain, segment, members) = judged(5);
    for name in &members {
        bar(&mut chain, name);
    }
    assert_eq!((stage(&chain, segment), chain.committee(segment).len()), (Some(Stage::Widened), 5));
    for name in chain.silent_members(segment).iter().filter(|name| !members.contains(name)) {
        bar(&mut chain, name);
    }
    assert_eq!(chain.state.segment(&segment), None, "refunded, since nobody can decide");
}

/// SPEC V4: a court commits like any committee, and looks at all votes at once.
#[test]
fn a_court_commits_and_reveals() {
    let (mut chain, lease) = {
        let mut chain =
            Chain::with(9, Parameters { profile_slash_max: inferium_types::Ppm::ONE, ..devnet(4) }).furnished(1);
        chain.ok("x9", TransactionBody::Transfer { to: id("g0"), amount: Amount::from_ifr(100) });
        let lease = chain.lease();
        (chain, lease)
    };
    let segment = chain.approve(lease, totals(1, 10, 10));
    chain.ok("g0", TransactionBody::OpenDispute { segment });
    let court = chain.draw(segment);
    assert_eq!((court.len(), chain.phase(segment)), (7, Some(Phase::Committing)));
    chain.fails(&court[0], verdict(segment, valid()), &OPEN);
    // Five of seven would decide; the last two are waited for.
    let votes: Vec<(&str, VerdictVote)> = court.iter().map(|name| (name.as_str(), valid())).collect();
    chain.bind(segment, &votes);
    for name in &court[..5] {
        chain.ok(name, reveal(segment, name, valid()));
        assert_eq!(stage(&chain, segment), Some(Stage::Court));
    }
    chain.ok(&court[5], reveal(segment, &court[5], valid()));
    assert!(matches!(chain.state.segment(&segment).unwrap().state, SegmentState::Final { .. }));
}

/// What a person is told of it (SPEC T8).
#[test]
fn why_tells_how_far_a_judgement_is() {
    let (mut chain, segment, members) = judged(5);
    let why = |chain: &Chain| chain.state.why_segment(&segment).unwrap();
    chain.bind(segment, &[(&members[0], valid())]);
    assert_eq!(why(&chain), "being judged by its committee: 1 of 2 are bound to a verdict");
    chain.ok(&members[1], verdict(segment, invalid()));
    assert_eq!(why(&chain), "being judged by its committee: 1 of the 2 verdicts are shown");
    chain.reveal(segment);
    let all = "being judged by all eligible validators, after a doubt: 2 of 5 are bound to a verdict";
    assert_eq!(why(&chain), all);
}
