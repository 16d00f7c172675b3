//! Who votes, with how much, and what the votes decide: SPEC G2.

use super::*;

// Who votes, and when.

#[test]
fn only_those_with_stake_vote() {
    let mut chain = chain();
    chain.ok("x1", bond("v0", IFR));
    chain.register("w0", worker_role("w0"), Amount::from_ifr(1_000));
    chain.register("g0", gateway_role(), Amount::from_ifr(1_000));
    let proposal = open(&mut chain, ProposalAction::Text);
    let stranger = Rejection::NotAllowed { expected: "someone with bonded stake" };
    chain.fails("x0", vote(proposal, YES), &stranger);
    chain.fails(&operator_of("w0"), vote(proposal, YES), &stranger);
    chain.fails("x1", vote(proposal + 1, YES), &Rejection::Unknown { what: "proposal" });
    say(&mut chain, proposal, &[("v0", YES), ("x1", NO), ("w0", ABSTAIN), ("g0", VETO)]);
    assert_eq!(chain.state.votes_on(proposal).count(), 4);
    // Whoever took everything back has none any more.
    chain.ok("x1", unbond("v0", IFR));
    chain.fails("x1", vote(proposal, YES), &stranger);
}

#[test]
fn last_vote_counts_and_counts_once() {
    let mut chain = chain();
    let proposal = open(&mut chain, ProposalAction::Text);
    for choice in [YES, VETO, NO, ABSTAIN, YES, NO] {
        say(&mut chain, proposal, &[("v0", choice)]);
    }
    let (first, second) = (chain.tx("v1", vote(proposal, NO)), chain.tx_after("v1", 1, vote(proposal, YES)));
    chain.block(&[first, second]);
    assert_eq!(chain.state.votes_on(proposal).count(), 2);
    assert_eq!(close(&mut chain, proposal), (ProposalOutcome::Failed, tally(SEAT, SEAT, 0, 0)));
}

#[test]
fn voting_ends_to_the_millisecond() {
    let mut chain = chain();
    let proposal = open(&mut chain, ProposalAction::Text);
    let at_ms = closes_at_ms(&chain, proposal);
    let late = Rejection::WrongState { what: "voting" };
    chain.wait_until(at_ms - BLOCK_MS - 1);
    let mut in_time = chain.clone();
    say(&mut in_time, proposal, &[("v0", YES), ("v1", YES)]);
    assert_eq!(in_time.now_ms, at_ms - 1);
    assert_eq!(close(&mut in_time, proposal).1, tally(2 * SEAT, 0, 0, 0));
    for state in ["passed", "ended"] {
        in_time.fails("v2", vote(proposal, YES), &late);
        assert!(in_time.state.votes_on(proposal).next().is_none(), "{state}");
        settle_once(&mut in_time, proposal);
    }
    // One that comes in the closing block is late.
    let mut environment = chain.environment();
    environment.timestamp_ms = at_ms;
    let transaction = chain.tx("v0", vote(proposal, YES));
    let (failed, reason) = (transaction.id(), late.to_string());
    let events = chain.block_in(&environment, &[transaction]).unwrap();
    assert_eq!(events[0], Event::TransactionFailed { transaction: failed, reason });
    assert_eq!(closings(&chain, proposal), [(ProposalOutcome::NoQuorum, tally(0, 0, 0, 0))]);
}

fn settle_once(chain: &mut Chain, proposal: u64) {
    if closings(chain, proposal).len() == 1 {
        settle(chain, proposal);
    }
}

/// SPEC S3: who was removed neither votes nor counts.
#[test]
fn disqualified_validators_have_no_vote() {
    let mut chain = chain();
    chain.ok("x1", bond("v3", 1_000 * IFR));
    next_epoch(&mut chain);
    next_epoch(&mut chain);
    let removal = open(&mut chain, removal("v3"));
    say(&mut chain, removal, &[("v0", YES), ("v1", YES), ("v2", YES)]);
    close(&mut chain, removal);
    let other = open(&mut chain, ProposalAction::Text);
    say(&mut chain, other, &[("v0", YES), ("v1", NO), ("v3", VETO), ("x1", VETO), ("v2", YES)]);
    assert_eq!(settle(&mut chain, removal), ProposalOutcome::Executed);
    chain.fails("v3", vote(other, YES), &Rejection::Disqualified);
    assert_eq!(close(&mut chain, other), (ProposalOutcome::Passed, tally(2 * SEAT, SEAT, 0, 0)));
}

/// A node that is gone for ever does not vote with what it delegated either: that is its
/// validator's to vote with.
#[test]
fn disqualified_delegators_have_no_vote() {
    let mut chain = chain();
    chain.register("w0", worker_role("w0"), Amount::from_ifr(1_000));
    chain.ok("w0", bond("v0", 7 * IFR));
    next_epoch(&mut chain);
    next_epoch(&mut chain);
    let proposal = open(&mut chain, ProposalAction::Text);
    say(&mut chain, proposal, &[("w0", NO), ("v0", YES)]);
    disqualify(&mut chain, "w0");
    chain.fails("w0", vote(proposal, YES), &Rejection::Disqualified);
    assert_eq!(close(&mut chain, proposal).1, tally(SEAT + 7 * IFR, 0, 0, 0));
}

// Power.

/// Two delegators of `v0`, bonded long before: 10,000 and 20,000 IFR.
fn delegated() -> Chain {
    delegated_with(feeless())
}

fn delegated_with(parameters: Parameters) -> Chain {
    let mut chain = chain_with(parameters);
    chain.ok("x1", bond("v0", 10_000 * IFR));
    chain.ok("x2", bond("v0", 20_000 * IFR));
    next_epoch(&mut chain);
    next_epoch(&mut chain);
    chain
}

fn tally_of(chain: &Chain, votes: &[(&str, VoteChoice)]) -> VoteTally {
    let mut chain = chain.clone();
    let proposal = open(&mut chain, ProposalAction::Text);
    say(&mut chain, proposal, votes);
    close(&mut chain, proposal).1
}

/// SPEC G2: a validator votes with what is delegated to it, unless the delegator votes itself.
#[test]
fn delegators_override_their_validator() {
    let chain = delegated();
    let ifr = |yes: u64, no: u64, abstain: u64, veto: u64| tally(yes * IFR, no * IFR, abstain * IFR, veto * IFR);
    for (votes, expected) in [
        (vec![("v0", YES)], ifr(80_000, 0, 0, 0)),
        (vec![("v0", YES), ("x1", NO)], ifr(70_000, 10_000, 0, 0)),
        (vec![("x1", NO), ("v0", YES)], ifr(70_000, 10_000, 0, 0)),
        (vec![("v0", YES), ("x2", VETO)], ifr(60_000, 0, 0, 20_000)),
        (vec![("v0", YES), ("x1", NO), ("x2", ABSTAIN)], ifr(50_000, 10_000, 20_000, 0)),
        (vec![("v0", YES), ("x1", YES)], ifr(80_000, 0, 0, 0)),
        (vec![("v0", YES), ("x1", YES), ("x2", YES)], ifr(80_000, 0, 0, 0)),
        (vec![("x1", YES)], ifr(10_000, 0, 0, 0)),
        (vec![("x1", YES), ("x2", NO)], ifr(10_000, 20_000, 0, 0)),
        (vec![("v1", NO), ("x1", YES)], ifr(10_000, 50_000, 0, 0)),
    ] {
        assert_eq!(tally_of(&chain, &votes), expected, "{votes:?}");
    }
}

#[test]
fn delegator_votes_with_everything_it_has() {
    let mut chain = delegated();
    chain.ok("x1", bond("v2", 5_000 * IFR));
    chain.ok("x3", TransactionBody::Transfer { to: id("v1"), amount: Amount::from_ifr(3_000) });
    chain.ok("v1", bond("v0", 3_000 * IFR));
    chain.register("w0", worker_role("w0"), Amount::from_ifr(1_000));
    chain.ok("w0", bond("v2", 7 * IFR));
    next_epoch(&mut chain);
    next_epoch(&mut chain);
    let ifr = |yes: u64, no: u64| tally(yes * IFR, no * IFR, 0, 0);
    assert_eq!(tally_of(&chain, &[("x1", YES)]), ifr(15_000, 0));
    assert_eq!(tally_of(&chain, &[("x1", YES), ("v0", NO), ("v2", NO)]), ifr(15_000, 50_000 + 23_000 + 50_000 + 7));
    // A validator that delegates to another.
    assert_eq!(tally_of(&chain, &[("v1", YES)]), ifr(53_000, 0));
    assert_eq!(tally_of(&chain, &[("v1", YES), ("v0", NO)]), ifr(53_000, 80_000));
    assert_eq!(tally_of(&chain, &[("w0", YES)]), ifr(1_007, 0));
    assert_eq!(tally_of(&chain, &[("w0", YES), ("v2", NO)]), ifr(1_007, 55_000));
}

/// A part of a pool that was slashed votes with what is left of it.
#[test]
fn slashed_delegations_vote_with_what_is_left() {
    let mut chain = delegated();
    let mut node = chain.state.node(&id("v0")).unwrap().clone();
    let gone = node.delegated.cut(Ppm::new(500_000));
    chain.state.set_node(id("v0"), node);
    chain.state.meta_mut().burned = gone;
    assert_eq!(tally_of(&chain, &[("v0", YES), ("x1", NO)]), tally(60_000 * IFR, 5_000 * IFR, 0, 0));
}

/// SPEC G2: bonded one epoch before. A stake of the last millisecond of the epoch before votes, one
/// of the first block of the proposal's epoch does not.
#[test]
fn stake_votes_from_the_epoch_after_it_was_bonded() {
    for (late, votes) in [(false, true), (true, false)] {
        let mut chain = chain();
        let meta = chain.state.meta();
        let turn_ms = meta.epoch_started_ms + meta.parameters.epoch_ms;
        chain.wait_until(turn_ms - BLOCK_MS);
        let bonds = [chain.tx("x1", bond("v0", 10_000 * IFR)), chain.tx("v1", bond("v1", IFR))];
        let mut environment = chain.environment();
        environment.timestamp_ms = if late { turn_ms } else { turn_ms - 1 };
        chain.block_in(&environment, &bonds).unwrap();
        if !late {
            chain.wait_until(turn_ms);
        }
        let (others, own) = if votes { (10_000 * IFR, IFR) } else { (0, 0) };
        assert_eq!(tally_of(&chain, &[("x1", YES)]), tally(others, 0, 0, 0));
        assert_eq!(tally_of(&chain, &[("v0", YES)]), tally(SEAT + others, 0, 0, 0));
        assert_eq!(tally_of(&chain, &[("v1", YES)]), tally(SEAT + own, 0, 0, 0));
        assert_eq!(tally_of(&chain, &[("v0", YES), ("x1", NO)]), tally(SEAT, others, 0, 0));
        // A later proposal counts it.
        next_epoch(&mut chain);
        assert_eq!(tally_of(&chain, &[("x1", YES), ("v0", NO)]), tally(10_000 * IFR, SEAT, 0, 0));
    }
}

/// Old stake votes although more was added, and what was added does not.
#[test]
fn stake_that_was_added_since_has_no_vote() {
    let mut chain = delegated();
    chain.ok("x1", bond("v0", 40_000 * IFR));
    let proposal = open(&mut chain, ProposalAction::Text);
    chain.ok("x2", bond("v0", 30_000 * IFR));
    chain.ok("x3", bond("v0", 1_000 * IFR));
    chain.ok(&operator_of("w0"), TransactionBody::Transfer { to: id("v0"), amount: Amount::from_ifr(99) });
    chain.ok("v0", bond("v0", 99 * IFR));
    next_epoch(&mut chain);
    chain.ok("x2", bond("v0", 2 * IFR));
    say(&mut chain, proposal, &[("x1", YES), ("x3", YES), ("v0", NO)]);
    assert_eq!(close(&mut chain, proposal).1, tally(10_000 * IFR, SEAT + 20_000 * IFR, 0, 0));
}

/// A node that registers once something is proposed has no say in it.
#[test]
fn stake_of_a_node_that_registered_since_has_no_vote() {
    let mut chain = chain();
    let proposal = open(&mut chain, ProposalAction::Text);
    chain.register("w0", worker_role("w0"), Amount::from_ifr(90_000));
    next_epoch(&mut chain);
    say(&mut chain, proposal, &[("w0", YES), ("v0", NO), ("v1", NO)]);
    assert_eq!(close(&mut chain, proposal).1, tally(0, 2 * SEAT, 0, 0));
    assert_eq!(tally_of(&chain, &[("w0", YES)]), tally(90_000 * IFR, 0, 0, 0));
}

/// What came and went is as if it had never been: nobody can take a validator's votes from it by
/// delegating to it.
#[test]
fn delegating_and_leaving_takes_nothing_from_others() {
    let mut chain = delegated();
    let proposal = open(&mut chain, ProposalAction::Text);
    chain.ok("x3", bond("v0", 25_000 * IFR));
    chain.ok("x3", unbond("v0", 25_000 * IFR));
    say(&mut chain, proposal, &[("v0", YES)]);
    assert_eq!(close(&mut chain, proposal).1, tally(SEAT + 30_000 * IFR, 0, 0, 0));
}

/// Likewise whoever delegates a little in every epoch: what was old stays old by it.
#[test]
fn stake_stays_old_although_others_keep_adding() {
    let mut chain = chain_with(Parameters { voting_ms: 600_000, ..feeless() });
    chain.ok("x1", bond("v0", 10_000 * IFR));
    // By then it is older than what memory of a few epochs rounds.
    for _ in 0..8 {
        next_epoch(&mut chain);
    }
    let proposal = open(&mut chain, ProposalAction::Text);
    say(&mut chain, proposal, &[("v0", YES)]);
    for _ in 0..25 {
        chain.ok("x3", bond("v0", IFR));
        next_epoch(&mut chain);
    }
    assert_eq!(close(&mut chain, proposal).1, tally(SEAT + 10_000 * IFR, 0, 0, 0));
}

/// Stake that leaves before the count is not counted.
#[test]
fn stake_that_left_has_no_vote() {
    let mut chain = delegated();
    let proposal = open(&mut chain, ProposalAction::Text);
    say(&mut chain, proposal, &[("v0", YES), ("x1", NO), ("x2", NO)]);
    chain.ok("x1", unbond("v0", 4_000 * IFR));
    chain.ok("x2", unbond("v0", 20_000 * IFR));
    assert_eq!(close(&mut chain, proposal).1, tally(SEAT, 6_000 * IFR, 0, 0));
}

// Counting over several blocks.

/// One vote per block.
fn slowly() -> Parameters {
    Parameters { queue_work_max: 1, unbond_ms: 1, ..feeless() }
}

fn is_uncounted(chain: &Chain, proposal: u64, name: &str) -> bool {
    chain.state.votes_on(proposal).any(|(voter, _)| voter == id(name))
}

#[test]
fn counting_takes_as_many_blocks_as_it_needs() {
    let mut chain = delegated_with(slowly());
    let votes = [("v0", YES), ("v1", NO), ("v2", YES), ("x1", NO), ("x2", ABSTAIN)];
    let proposal = open(&mut chain, ProposalAction::Text);
    say(&mut chain, proposal, &votes);
    let at_ms = closes_at_ms(&chain, proposal);
    chain.wait_until(at_ms);
    for left in (1..5).rev() {
        assert_eq!(chain.state.votes_on(proposal).count(), left);
        assert!(matches!(chain.state.proposal(proposal).unwrap().state, ProposalState::Counting { .. }));
        assert!(!chain.state.proposal(proposal).unwrap().deposit.is_zero());
        chain.fails("v3", vote(proposal, VETO), &Rejection::WrongState { what: "voting" });
        chain.fails("v0", vote(proposal, VETO), &Rejection::WrongState { what: "voting" });
        chain.blocks(1);
    }
    let expected = tally(2 * SEAT, SEAT + 10_000 * IFR, 20_000 * IFR, 0);
    assert_eq!(closings(&chain, proposal), [(ProposalOutcome::Passed, expected)]);
    assert_eq!(chain.state.votes_on(proposal).count(), 0);
    assert_eq!(tally_of(&delegated(), &votes), expected, "as in one block");
}

/// Whoever was counted and leaves, and comes back by another name, is counted once; and takes
/// nothing from those who delegate to the same validator.
#[test]
fn stake_that_moves_between_blocks_counts_once() {
    let votes = [("v0", YES), ("v1", NO), ("v2", YES), ("v3", NO), ("x1", NO), ("x2", ABSTAIN)];
    let expected = tally(2 * SEAT, 2 * SEAT + 10_000 * IFR, 20_000 * IFR, 0);
    for (mover, nano) in [("x1", 10_000 * IFR), ("x2", 20_000 * IFR)] {
        for to in ["v0", "v3"] {
            let mut chain = delegated_with(slowly());
            // Someone of the last to be counted takes it over.
            let other = (3..16).map(|index| format!("x{index}")).max_by_key(|name| id(name)).unwrap();
            chain.ok(&other, bond(to, IFR));
            let proposal = open(&mut chain, ProposalAction::Text);
            say(&mut chain, proposal, &votes);
            say(&mut chain, proposal, &[(&other, VETO)]);
            let at_ms = closes_at_ms(&chain, proposal);
            chain.wait_until(at_ms);
            while is_uncounted(&chain, proposal, mover) {
                chain.blocks(1);
            }
            chain.ok(mover, unbond("v0", nano));
            while chain.balance(mover) < PURSE.nano() {
                chain.blocks(1);
            }
            chain.ok(mover, TransactionBody::Transfer { to: id(&other), amount: Amount::from_nano(nano) });
            chain.ok(&other, bond(to, nano));
            while closings(&chain, proposal).is_empty() {
                chain.blocks(1);
            }
            assert_eq!(closings(&chain, proposal)[0].1, expected, "{mover} to {to}");
        }
    }
}

/// Stake that leaves before it is counted counts with its validator if that was met already, and
/// else not at all: never twice, and nobody else's counts less.
#[test]
fn stake_that_leaves_while_others_are_counted_counts_at_most_once() {
    let mut cases = BTreeSet::new();
    for (mover, other) in [("x2", "x3"), ("x3", "x2"), ("x2", "x4"), ("x4", "x2")] {
        for others in [vec![], vec![("v1", ABSTAIN)]] {
            let mut chain = chain_with(slowly());
            chain.ok(mover, bond("v0", 20_000 * IFR));
            chain.ok(other, bond("v0", 10_000 * IFR));
            next_epoch(&mut chain);
            next_epoch(&mut chain);
            let votes = [vec![("v0", YES), (mover, NO), (other, VETO)], others.clone()].concat();
            let proposal = open(&mut chain, ProposalAction::Text);
            say(&mut chain, proposal, &votes);
            let at_ms = closes_at_ms(&chain, proposal);
            chain.wait_until(at_ms);
            let first = votes.iter().find(|(name, _)| !is_uncounted(&chain, proposal, name)).unwrap().0;
            chain.ok(mover, unbond("v0", 20_000 * IFR));
            while closings(&chain, proposal).is_empty() {
                chain.blocks(1);
            }
            let (with_validator, alone) = match first {
                "v1" => (0, 0),
                name if name == mover => (0, 20_000 * IFR),
                _ => (20_000 * IFR, 0),
            };
            cases.insert((with_validator, alone));
            let abstain = if others.is_empty() { 0 } else { SEAT };
            let expected = tally(SEAT + with_validator, alone, abstain, 10_000 * IFR);
            assert_eq!(closings(&chain, proposal)[0].1, expected, "{first} first, {mover} leaves");
        }
    }
    assert_eq!(cases.len(), 3, "every case");
}

#[test]
fn validator_that_is_disqualified_while_it_is_counted_has_no_vote() {
    // The first to be counted, and one that was not yet.
    for (name, expected) in [("v1", tally(SEAT + 30_000 * IFR, SEAT, 0, 0)), ("v0", tally(0, 2 * SEAT, 0, 0))] {
        let mut chain = delegated_with(slowly());
        let proposal = open(&mut chain, ProposalAction::Text);
        say(&mut chain, proposal, &[("v0", YES), ("v1", NO), ("v2", NO)]);
        let at_ms = closes_at_ms(&chain, proposal);
        chain.wait_until(at_ms);
        assert_eq!(is_uncounted(&chain, proposal, name), name == "v0");
        disqualify(&mut chain, name);
        while closings(&chain, proposal).is_empty() {
            chain.blocks(1);
        }
        assert_eq!(closings(&chain, proposal)[0].1, expected);
    }
}

/// More votes than one block counts, by the constant.
#[test]
fn block_counts_so_many_votes_and_no_more() {
    let mut chain = chain();
    let proposal = open(&mut chain, ProposalAction::Text);
    for number in 0u32..257 {
        let voter = NodeId::from_bytes(*Digest::of("voter", &[&number.to_be_bytes()]).as_bytes());
        chain.state.votes.insert((proposal, voter), YES);
    }
    let at_ms = closes_at_ms(&chain, proposal);
    let mut exact = chain.clone();
    let last = exact.state.votes_on(proposal).last().unwrap().0;
    exact.state.votes.remove(&(proposal, last));
    exact.wait_until(at_ms);
    assert_eq!(closings(&exact, proposal).len(), 1);
    chain.wait_until(at_ms);
    assert_eq!((closings(&chain, proposal).len(), chain.state.votes_on(proposal).count()), (0, 1));
    chain.blocks(1);
    assert_eq!(closings(&chain, proposal).len(), 1);
}

/// Two proposals are counted side by side, each with its own votes.
#[test]
fn proposals_do_not_share_votes() {
    let mut chain = delegated_with(Parameters { queue_work_max: 2, ..slowly() });
    let (first, second) = (open(&mut chain, ProposalAction::Text), open(&mut chain, ProposalAction::Text));
    say(&mut chain, first, &[("v0", YES), ("v1", YES), ("x1", NO), ("v3", YES)]);
    say(&mut chain, second, &[("v0", NO), ("v2", NO), ("x2", YES)]);
    close(&mut chain, first);
    while closings(&chain, second).is_empty() {
        chain.blocks(1);
    }
    assert_eq!(closings(&chain, first)[0].1, tally(3 * SEAT + 20_000 * IFR, 10_000 * IFR, 0, 0));
    assert_eq!(closings(&chain, second)[0].1, tally(20_000 * IFR, 2 * SEAT + 10_000 * IFR, 0, 0));
}

/// Whatever is bonded and voted: no more votes than stake, and the same sums however many blocks
/// counting takes.
#[test]
fn sums_do_not_depend_on_blocks() {
    for world in 0u32..12 {
        let draw = |what: &str, of: u64, below: u64| {
            Digest::of("governance-test", &[&world.to_be_bytes(), what.as_bytes(), &of.to_be_bytes()]).draw(below)
        };
        let mut chain = chain();
        for index in 0..40 {
            let sender = format!("x{}", 1 + draw("sender", index, 15));
            let to = SEATS[usize::try_from(draw("to", index, 4)).unwrap()];
            let nano = IFR + draw("nano", index, 1_000 * IFR);
            chain.ok(&sender, bond(to, nano));
        }
        next_epoch(&mut chain);
        next_epoch(&mut chain);
        let proposal = open(&mut chain, ProposalAction::Text);
        let voters = (1..16).map(|index| format!("x{index}")).chain(SEATS.map(str::to_owned));
        for (index, voter) in voters.enumerate() {
            let index = u64::try_from(index).unwrap();
            let has_stake = !voter.starts_with('x') || chain.state.delegations_of(id(&voter)).next().is_some();
            if has_stake && draw("votes", index, 3) > 0 {
                let choice = [YES, NO, ABSTAIN, VETO][usize::try_from(draw("choice", index, 4)).unwrap()];
                say(&mut chain, proposal, &[(&voter, choice)]);
            }
        }
        let sums = [1, 2, 5, 4_096].map(|budget| {
            let mut chain = chain.clone();
            chain.state.meta_mut().parameters.queue_work_max = budget;
            close(&mut chain, proposal).1
        });
        assert_eq!(sums, [sums[0]; 4]);
        assert!(cast(&sums[0]) <= chain.state.meta().bonded.nano());
    }
}

// What it takes to pass: one nano-IFR less, exactly as much, one more.

/// The outcome when `richer` has bonded one nano-IFR more than the other validators.
fn outcome(
    parameters: &Parameters,
    richer: &str,
    action: &ProposalAction,
    votes: &[(&str, VoteChoice)],
) -> ProposalOutcome {
    let mut chain = chain_with(parameters.clone());
    if !richer.is_empty() {
        chain.ok(richer, bond(richer, 1));
    }
    fill_treasury(&mut chain, 1_000 * IFR);
    next_epoch(&mut chain);
    let proposal = open(&mut chain, action.clone());
    say(&mut chain, proposal, votes);
    close(&mut chain, proposal).0
}

#[test]
fn quorum_is_reached_exactly() {
    let parameters = Parameters { quorum: Ppm::new(250_000), ..feeless() };
    for choice in [YES, NO, ABSTAIN, VETO] {
        let reached = match choice {
            YES => ProposalOutcome::Passed,
            VETO => ProposalOutcome::Vetoed,
            NO | ABSTAIN => ProposalOutcome::Failed,
        };
        for (richer, expected) in [("v1", ProposalOutcome::NoQuorum), ("", reached), ("v0", reached)] {
            assert_eq!(outcome(&parameters, richer, &ProposalAction::Text, &[("v0", choice)]), expected, "{choice:?}");
        }
    }
}

#[test]
fn majority_is_more_than_half() {
    for (richer, expected) in
        [("v1", ProposalOutcome::Failed), ("", ProposalOutcome::Failed), ("v0", ProposalOutcome::Passed)]
    {
        let votes = [("v0", YES), ("v1", NO)];
        assert_eq!(outcome(&feeless(), richer, &ProposalAction::Text, &votes), expected);
        // Abstentions are neither.
        let votes = [("v0", YES), ("v1", NO), ("v2", ABSTAIN), ("v3", ABSTAIN)];
        assert_eq!(outcome(&feeless(), richer, &ProposalAction::Text, &votes), expected);
    }
    // A veto is a no, where it is none.
    let parameters = Parameters { veto_share: Ppm::new(500_000), ..feeless() };
    for (richer, expected) in [("v1", ProposalOutcome::Vetoed), ("v0", ProposalOutcome::Passed)] {
        assert_eq!(outcome(&parameters, richer, &ProposalAction::Text, &[("v0", YES), ("v1", VETO)]), expected);
    }
}

#[test]
fn veto_counts_among_all_votes() {
    let parameters = Parameters { veto_share: Ppm::new(250_000), ..feeless() };
    for (richer, expected) in
        [("v1", ProposalOutcome::Passed), ("", ProposalOutcome::Vetoed), ("v0", ProposalOutcome::Vetoed)]
    {
        for others in [[YES, YES, YES], [YES, YES, ABSTAIN]] {
            let votes = [("v0", VETO), ("v1", others[0]), ("v2", others[1]), ("v3", others[2])];
            assert_eq!(outcome(&parameters, richer, &ProposalAction::Text, &votes), expected);
        }
    }
}

/// SPEC G2: two thirds of all stake, whoever votes.
#[test]
fn critical_actions_take_a_share_of_all_stake() {
    let parameters = Parameters { supermajority: Ppm::new(750_000), ..feeless() };
    let critical =
        [spend("x5", 1), changes(&[("slash_missed_duty", 1)]), changes(&[("fee_base", 1), ("quorum", 500_000)])];
    for action in &critical {
        for (richer, expected) in
            [("v3", ProposalOutcome::Failed), ("", ProposalOutcome::Passed), ("v0", ProposalOutcome::Passed)]
        {
            for other in [None, Some(NO), Some(ABSTAIN)] {
                let mut votes = vec![("v0", YES), ("v1", YES), ("v2", YES)];
                votes.extend(other.map(|choice| ("v3", choice)));
                assert_eq!(outcome(&parameters, richer, action, &votes), expected, "{action:?} {other:?}");
            }
        }
    }
    // Two of three voters are enough for others, and not for these.
    let votes = [("v0", YES), ("v1", YES), ("v2", NO)];
    for action in &critical {
        assert_eq!(outcome(&parameters, "", action, &votes), ProposalOutcome::Failed);
    }
    for action in
        [ProposalAction::Text, changes(&[("fee_base", 1)]), ProposalAction::ApproveProfile { profile: model("a") }]
    {
        assert_eq!(outcome(&parameters, "", &action, &votes), ProposalOutcome::Passed);
    }
}

#[test]
fn every_kind_asks_for_its_own_majority() {
    let critical = [
        spend("x0", 1),
        removal("v0"),
        ProposalAction::Restitute { slash: 0 },
        ProposalAction::Upgrade { height: 1, version: 2 },
        changes(&[("timelock_ms", 20_000)]),
        changes(&[("no such parameter", 1)]),
    ];
    assert!(critical.iter().all(ProposalAction::needs_supermajority));
    let plain = [
        ProposalAction::Text,
        ProposalAction::DelistProfile { profile: profile() },
        ProposalAction::ApproveProfile { profile: model("a") },
        changes(&[("fee_base", 1), ("epoch_ms", 20_000)]),
    ];
    assert!(!plain.iter().any(ProposalAction::needs_supermajority));
}

/// The protocol's own shares, of sums that they divide and of the whole supply.
#[test]
fn shares_are_compared_without_rounding() {
    let parameters = Parameters::mainnet();
    let bonded = Amount::from_nano(1_000_000_000);
    let of = |tally: VoteTally, critical: bool| outcome_of(&tally, bonded, &parameters, critical);
    use ProposalOutcome::{Failed, NoQuorum, Passed, Vetoed};
    for (yes, expected) in [(333_999_999, NoQuorum), (334_000_000, Passed), (334_000_001, Passed)] {
        assert_eq!(of(tally(yes, 0, 0, 0), false), expected);
        assert_eq!(of(tally(yes - 1, 0, 1, 0), false), expected);
    }
    for (yes, expected) in [(299_999_999, Failed), (300_000_000, Failed), (300_000_001, Passed)] {
        assert_eq!(of(tally(yes, 300_000_000, 100_000_000, 0), false), expected);
        assert_eq!(of(tally(yes, 200_000_000, 0, 100_000_000), false), expected);
    }
    for (veto, expected) in [(333_999_999, Passed), (334_000_000, Vetoed), (334_000_001, Vetoed)] {
        assert_eq!(of(tally(1_000_000_000 - veto, 0, 0, veto), false), expected);
    }
    for (yes, expected) in [(666_999_999, Failed), (667_000_000, Passed), (667_000_001, Passed)] {
        assert_eq!(of(tally(yes, 0, 0, 0), true), expected);
        assert_eq!(of(tally(yes, 1_000_000_000 - yes, 0, 0), true), expected);
    }
    // Too few votes are no veto either, and nobody is no quorum of nothing.
    assert_eq!(of(tally(0, 0, 0, 333_999_999), false), NoQuorum);
    assert_eq!(outcome_of(&tally(0, 0, 0, 0), Amount::ZERO, &parameters, false), NoQuorum);
    // One nano-IFR of all that there is tells.
    let supply = inferium_types::Genesis::SUPPLY;
    let most = supply.nano() / 1_000 * 667;
    assert_eq!(outcome_of(&tally(most, 0, 0, 0), supply, &parameters, true), Passed);
    assert_eq!(outcome_of(&tally(most - 1, supply.nano() - most, 0, 0), supply, &parameters, true), Failed);
}

/// SPEC M2, reload: votes, proposals in every state and a count under way are entries like others.
#[test]
fn state_with_proposals_is_its_entries() {
    let mut chain = delegated_with(slowly());
    let numbers: Vec<u64> = (0..2).map(|_| open(&mut chain, ProposalAction::Text)).collect();
    for number in &numbers {
        say(&mut chain, *number, &[("v0", YES), ("v1", NO), ("x1", VETO)]);
    }
    let at_ms = closes_at_ms(&chain, numbers[0]);
    chain.wait_until(at_ms);
    assert!(chain.state.votes_on(numbers[1]).count() > 0);
    let reloaded = State::from_entries(chain.state.entries()).unwrap();
    assert_eq!((&reloaded, &reloaded.due), (&chain.state, &chain.state.due));
}
