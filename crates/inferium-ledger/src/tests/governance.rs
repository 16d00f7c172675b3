//! Proposals, votes, and what happens by itself once something has passed: SPEC G.

mod voting;

use super::support::*;
use crate::governance::outcome_of;
use crate::{Hold, InvalidBlock, Listing, ProposalState, Rejection, State, execute};
use inferium_types::{
    Amount, Digest, Event, InvalidParameter, NodeId, ParameterChange, Parameters, Ppm, ProfileId, ProposalAction,
    ProposalOutcome, ProposalTerms, SlashRule, TransactionBody, VerifiedTransaction, VoteChoice, VoteTally, limits,
};
use std::collections::BTreeSet;

const YES: VoteChoice = VoteChoice::Yes;
const NO: VoteChoice = VoteChoice::No;
const ABSTAIN: VoteChoice = VoteChoice::Abstain;
const VETO: VoteChoice = VoteChoice::Veto;

/// A validator's stake in nano-IFR.
const SEAT: u64 = 50_000 * IFR;
const IFR: u64 = inferium_types::NANO_PER_IFR;
const SEATS: [&str; 4] = ["v0", "v1", "v2", "v3"];

/// Without fees nothing is earned in common either, so that stake is exactly what was bonded.
fn feeless() -> Parameters {
    Parameters { fee_base: Amount::ZERO, fee_per_byte: Amount::ZERO, ..devnet(4) }
}

/// Four validators of equal stake in the third epoch, two seconds after it began.
fn chain() -> Chain {
    chain_with(feeless())
}

fn chain_with(parameters: Parameters) -> Chain {
    let epoch_ms = parameters.epoch_ms;
    let mut chain = Chain::with(4, parameters);
    chain.wait_until(START_MS + 2 * epoch_ms + 2_000);
    assert_eq!(chain.state.meta().epoch, 2);
    chain
}

/// The chain in the first block of the next epoch.
fn next_epoch(chain: &mut Chain) {
    let meta = chain.state.meta();
    chain.wait_until(meta.epoch_started_ms + meta.parameters.epoch_ms);
}

fn terms(action: ProposalAction) -> ProposalTerms {
    ProposalTerms { title: "A title".into(), description: "Why.".into(), action }
}

fn propose(action: ProposalAction) -> TransactionBody {
    TransactionBody::Propose { proposal: terms(action) }
}

fn vote(proposal: u64, choice: VoteChoice) -> TransactionBody {
    TransactionBody::Vote { proposal, choice }
}

fn bond(node: &str, nano: u64) -> TransactionBody {
    TransactionBody::Bond { node: id(node), amount: Amount::from_nano(nano) }
}

fn unbond(node: &str, nano: u64) -> TransactionBody {
    TransactionBody::Unbond { node: id(node), amount: Amount::from_nano(nano) }
}

fn changes(changes: &[(&str, u64)]) -> ProposalAction {
    let changes = changes.iter().map(|(name, value)| ParameterChange { name: (*name).into(), value: *value });
    ProposalAction::ChangeParameters { changes: changes.collect() }
}

fn spend(to: &str, nano: u64) -> ProposalAction {
    ProposalAction::SpendTreasury { to: id(to), amount: Amount::from_nano(nano) }
}

fn removal(validator: &str) -> ProposalAction {
    ProposalAction::RemoveValidator { validator: id(validator) }
}

/// `x0` proposes it.
fn open(chain: &mut Chain, action: ProposalAction) -> u64 {
    let number = chain.state.meta().proposals;
    chain.ok("x0", propose(action));
    number
}

/// All these vote in one block.
fn say(chain: &mut Chain, proposal: u64, votes: &[(&str, VoteChoice)]) {
    let votes: Vec<VerifiedTransaction> =
        votes.iter().map(|(name, choice)| chain.tx(name, vote(proposal, *choice))).collect();
    let events = chain.block(&votes);
    assert!(!events.iter().any(|event| matches!(event, Event::TransactionFailed { .. })), "{events:?}");
}

fn closes_at_ms(chain: &Chain, proposal: u64) -> u64 {
    match chain.state.proposal(proposal).unwrap().state {
        ProposalState::Voting { closes_at_ms } => closes_at_ms,
        ref other => panic!("{other:?}"),
    }
}

fn executes_at_ms(chain: &Chain, proposal: u64) -> u64 {
    match chain.state.proposal(proposal).unwrap().state {
        ProposalState::Passed { executes_at_ms, .. } => executes_at_ms,
        ref other => panic!("{other:?}"),
    }
}

/// How a proposal went on, in order.
fn closings(chain: &Chain, number: u64) -> Vec<(ProposalOutcome, VoteTally)> {
    let closings = chain.history.iter().filter_map(|event| match event {
        Event::ProposalClosed { proposal, outcome, tally } if *proposal == number => Some((*outcome, *tally)),
        _ => None,
    });
    closings.collect()
}

/// Ends the voting and counts.
fn close(chain: &mut Chain, proposal: u64) -> (ProposalOutcome, VoteTally) {
    let at_ms = closes_at_ms(chain, proposal);
    chain.wait_until(at_ms);
    while closings(chain, proposal).is_empty() {
        chain.blocks(1);
    }
    closings(chain, proposal)[0]
}

/// Lets a passed proposal execute itself.
fn settle(chain: &mut Chain, proposal: u64) -> ProposalOutcome {
    let at_ms = executes_at_ms(chain, proposal);
    chain.wait_until(at_ms);
    closings(chain, proposal)[1].0
}

/// Opens, passes and executes it; all validators say yes.
fn enact(chain: &mut Chain, action: ProposalAction) -> ProposalOutcome {
    let proposal = open(chain, action);
    let voters: Vec<&str> =
        SEATS.into_iter().filter(|name| !chain.state.node(&id(name)).unwrap().disqualified).collect();
    let votes: Vec<(&str, VoteChoice)> = voters.into_iter().map(|name| (name, YES)).collect();
    say(chain, proposal, &votes);
    assert_eq!(close(chain, proposal).0, ProposalOutcome::Passed);
    settle(chain, proposal)
}

fn tally(yes: u64, no: u64, abstain: u64, veto: u64) -> VoteTally {
    let [yes, no, abstain, veto] = [yes, no, abstain, veto].map(Amount::from_nano);
    VoteTally { yes, no, abstain, veto }
}

fn cast(tally: &VoteTally) -> u64 {
    tally.yes.nano() + tally.no.nano() + tally.abstain.nano() + tally.veto.nano()
}

/// Moves money from the reward pool, so that there is something to spend.
fn fill_treasury(chain: &mut Chain, nano: u64) {
    let meta = chain.state.meta_mut();
    meta.reward_pool = meta.reward_pool.sub(Amount::from_nano(nano)).unwrap();
    meta.treasury = meta.treasury.add(Amount::from_nano(nano)).unwrap();
}

/// Takes a tenth of a node's stake into a hold; the number of the slash.
fn slash(chain: &mut Chain, name: &str, releases_at_ms: u64) -> u64 {
    let mut node = chain.state.node(&id(name)).unwrap().clone();
    let own = node.stake.split(10);
    node.stake = node.stake.sub(own).unwrap();
    node.holds += 1;
    chain.state.set_node(id(name), node);
    let number = chain.state.meta().slashes;
    chain.state.meta_mut().slashes += 1;
    let hold = Hold {
        node: id(name),
        rule: SlashRule::WrongRejection,
        segment: None,
        job: None,
        own,
        delegated: Amount::ZERO,
        unbonding: Amount::ZERO,
        disqualified: false,
        provers: Vec::new(),
        harmed: None,
        harm: Amount::ZERO,
        taken_at_ms: 0,
        releases_at_ms,
    };
    chain.state.set_hold(number, Some(hold));
    number
}

// The course of a proposal.

#[test]
fn proposal_locks_its_deposit_until_it_is_decided() {
    let mut chain = chain();
    let deposit = chain.parameters().proposal_deposit.nano();
    let before = chain.balance("x0");
    let proposal = open(&mut chain, ProposalAction::Text);
    let closes_at_ms = chain.now_ms + chain.parameters().voting_ms;
    assert_eq!(chain.events, [Event::ProposalOpened { proposal, proposer: id("x0"), closes_at_ms }]);
    assert_eq!(chain.balance("x0"), before - deposit);
    say(&mut chain, proposal, &[("v0", YES), ("v1", YES)]);
    let voted = |name| Event::Voted { proposal, voter: id(name), choice: YES };
    assert_eq!(chain.events, [voted("v0"), voted("v1")]);

    chain.wait_until(closes_at_ms - 1);
    assert_eq!(chain.balance("x0"), before - deposit);
    assert_eq!(chain.state.votes_on(proposal).count(), 2);
    let events = chain.wait_until(closes_at_ms);
    let votes = tally(2 * SEAT, 0, 0, 0);
    assert_eq!(events, [Event::ProposalClosed { proposal, outcome: ProposalOutcome::Passed, tally: votes }]);
    assert_eq!(chain.balance("x0"), before);
    assert_eq!(chain.state.votes_on(proposal).count(), 0);

    let executes_at_ms = executes_at_ms(&chain, proposal);
    assert_eq!(executes_at_ms, closes_at_ms + chain.parameters().timelock_ms);
    chain.wait_until(executes_at_ms);
    assert_eq!(closings(&chain, proposal)[1], (ProposalOutcome::Executed, votes));
    // Readers find it for a while.
    let until_ms = executes_at_ms + chain.parameters().voting_ms;
    chain.wait_until(until_ms - 1);
    assert!(matches!(chain.state.proposal(proposal).unwrap().state, ProposalState::Ended { .. }));
    assert_eq!(chain.state.proposals().count(), 1);
    chain.wait_until(until_ms);
    assert_eq!(chain.state.proposal(proposal), None);
}

#[test]
fn deposit_comes_back_unless_there_is_a_veto() {
    for (votes, outcome) in [
        (vec![("v0", NO), ("v1", NO)], ProposalOutcome::Failed),
        (vec![("v0", YES)], ProposalOutcome::NoQuorum),
        (vec![], ProposalOutcome::NoQuorum),
        (vec![("v0", VETO), ("v1", YES)], ProposalOutcome::Vetoed),
    ] {
        let mut chain = chain();
        let (before, deposit) = (chain.balance("x0"), chain.parameters().proposal_deposit.nano());
        let proposal = open(&mut chain, ProposalAction::Text);
        say(&mut chain, proposal, &votes);
        assert_eq!(close(&mut chain, proposal).0, outcome);
        let lost = if outcome == ProposalOutcome::Vetoed { deposit } else { 0 };
        assert_eq!(chain.balance("x0"), before - lost, "{outcome:?}");
        assert_eq!(chain.state.meta().burned.nano(), lost);
        assert!(chain.state.proposal(proposal).unwrap().deposit.is_zero());
        // Nothing more comes of it.
        chain.blocks(100);
        assert_eq!(closings(&chain, proposal).len(), 1);
        assert_eq!(chain.state.proposal(proposal), None);
    }
}

#[test]
fn deposit_has_to_be_there_to_the_last_nano() {
    let mut chain = chain();
    let deposit = chain.parameters().proposal_deposit;
    let rest = |left: u64| TransactionBody::Transfer { to: id("x1"), amount: Amount::from_nano(left) };
    let available = Amount::from_nano(deposit.nano() - 1);
    chain.ok("x0", rest(PURSE.nano() - available.nano()));
    chain.fails("x0", propose(ProposalAction::Text), &Rejection::Insufficient { needed: deposit, available });
    chain.ok("x1", TransactionBody::Transfer { to: id("x0"), amount: Amount::from_nano(1) });
    chain.ok("x0", propose(ProposalAction::Text));
    assert_eq!(chain.balance("x0"), 0);
}

/// SPEC G2: what passed is public for a while before it happens.
#[test]
fn timelock_runs_to_the_millisecond() {
    let mut chain = chain();
    let proposal = open(&mut chain, changes(&[("lease_drain_ms", 11_000)]));
    say(&mut chain, proposal, &[("v0", YES), ("v1", YES)]);
    close(&mut chain, proposal);
    let at_ms = executes_at_ms(&chain, proposal);
    chain.wait_until(at_ms - 1);
    assert_eq!(chain.parameters().lease_drain_ms, 10_000);
    chain.wait_until(at_ms);
    assert_eq!(chain.parameters().lease_drain_ms, 11_000);
}

// Kinds.

#[test]
fn parameters_change_all_at_once() {
    let mut chain = chain();
    let action = changes(&[("fee_base", 5), ("fee_share_worker", 850_000), ("fee_share_committee", 100_000)]);
    let expected = Parameters {
        fee_base: Amount::from_nano(5),
        fee_share_worker: Ppm::new(850_000),
        fee_share_committee: Ppm::new(100_000),
        ..feeless()
    };
    assert_eq!(enact(&mut chain, action), ProposalOutcome::Executed);
    assert_eq!(chain.parameters(), &expected);
}

/// SPEC G3: a proposal outside the bounds can't be submitted.
#[test]
fn parameters_are_proposed_within_their_bounds_only() {
    let mut chain = chain();
    let bounds = |name, min, max, found| InvalidParameter::OutOfBounds { name, min, max, found };
    let together = |why| InvalidParameter::Together { why };
    for (action, invalid) in [
        (changes(&[("quorum", 99_999)]), bounds("quorum", 100_000, 900_000, 99_999)),
        (changes(&[("quorum", 900_001)]), bounds("quorum", 100_000, 900_000, 900_001)),
        (changes(&[("fee_base", 0), ("draw_delay_views", 1)]), bounds("draw_delay_views", 2, 16, 1)),
        (changes(&[("supply", 1)]), InvalidParameter::Unknown { name: "supply".into() }),
        (changes(&[("fee_share_worker", 850_000)]), together("the shares of a fee are more than the fee")),
        (
            changes(&[("slash_hold_ms", 100_000)]),
            together("slashed stake must be held for longer than a vote, its timelock and a challenge"),
        ),
    ] {
        chain.fails("x0", propose(action), &Rejection::Parameter(invalid));
    }
    let twice = changes(&[("fee_base", 1), ("fee_per_byte", 1), ("fee_base", 1)]);
    chain.fails("x0", propose(twice), &Rejection::Exists { what: "parameter change" });
    let name = "a".repeat(limits::NAME_SIZE_MAX + 1);
    chain.fails("x0", propose(changes(&[(&name, 1)])), &Rejection::OutOfBounds { field: "parameter name" });
    let name = "a".repeat(limits::NAME_SIZE_MAX);
    let unknown = Rejection::Parameter(InvalidParameter::Unknown { name: name.clone() });
    chain.fails("x0", propose(changes(&[(&name, 1)])), &unknown);
    for (name, value) in [("quorum", 100_000), ("quorum", 900_000), ("draw_delay_views", 2), ("slash_hold_ms", 100_001)]
    {
        chain.clone().ok("x0", propose(changes(&[(name, value)])));
    }
    // Neither fits alone.
    chain.ok("x0", propose(changes(&[("fee_share_worker", 850_000), ("fee_share_committee", 50_000)])));
}

/// What fitted when it was proposed need not fit what others changed since: then nothing changes.
#[test]
fn parameters_that_no_longer_fit_are_void() {
    let mut chain = chain();
    let first = open(&mut chain, changes(&[("fee_share_worker", 840_000)]));
    let second = open(&mut chain, changes(&[("fee_base", 7), ("fee_share_committee", 160_000)]));
    for proposal in [first, second] {
        say(&mut chain, proposal, &[("v0", YES), ("v1", YES), ("v2", NO)]);
    }
    assert_eq!(close(&mut chain, first).0, ProposalOutcome::Passed);
    assert_eq!(close(&mut chain, second).0, ProposalOutcome::Passed);
    assert_eq!(settle(&mut chain, first), ProposalOutcome::Executed);
    assert_eq!(settle(&mut chain, second), ProposalOutcome::Void);
    assert_eq!(chain.parameters(), &Parameters { fee_share_worker: Ppm::new(840_000), ..feeless() });
}

/// SPEC M6: a new pace goes on from where the schedule is; nothing is set free by the change.
#[test]
fn new_halving_time_is_for_what_the_schedule_has_left() {
    let mut chain = chain();
    let (pool, began_ms) = chain.state.meta().emission_from;
    let halving_ms = chain.parameters().emission_halving_ms;
    let year_ms = 365 * 24 * 3_600_000;
    assert_eq!(enact(&mut chain, changes(&[("emission_halving_ms", year_ms)])), ProposalOutcome::Executed);
    let meta = chain.state.meta();
    let left = crate::emission::decayed(pool.nano(), meta.epoch_started_ms - began_ms, halving_ms);
    assert!(left < pool.nano());
    assert_eq!(meta.emission_from, (Amount::from_nano(left), meta.epoch_started_ms));
    // Any other change leaves it alone.
    assert_eq!(enact(&mut chain, changes(&[("fee_base", 1)])), ProposalOutcome::Executed);
    assert_eq!(chain.state.meta().emission_from.0.nano(), left);
}

#[test]
fn treasury_pays_what_was_voted() {
    let mut chain = chain();
    fill_treasury(&mut chain, 1_000 * IFR);
    let before = chain.balance("x5");
    assert_eq!(enact(&mut chain, spend("x5", 10 * IFR)), ProposalOutcome::Executed);
    assert_eq!(chain.balance("x5"), before + 10 * IFR);
    assert_eq!(chain.state.meta().treasury.nano(), 990 * IFR);
    assert_eq!(chain.state.meta().spent, (chain.state.meta().epoch, Amount::from_ifr(10)));
}

#[test]
fn treasury_spend_is_at_most_its_share() {
    let mut chain = chain();
    fill_treasury(&mut chain, 1_000 * IFR);
    let (needed, available) = (Amount::from_nano(10 * IFR + 1), Amount::from_ifr(10));
    chain.fails("x0", propose(spend("x5", 10 * IFR + 1)), &Rejection::Insufficient { needed, available });
    chain.fails("x0", propose(spend("x5", 0)), &Rejection::OutOfBounds { field: "amount" });
    chain.clone().ok("x0", propose(spend("x5", 10 * IFR)));
    chain.ok("x0", propose(spend("x5", 10 * IFR - 1)));
}

/// SPEC G1: all spends of an epoch together; what does not fit waits for the next one.
#[test]
fn spends_of_one_epoch_share_its_limit() {
    let mut chain = chain();
    fill_treasury(&mut chain, 1_000 * IFR);
    let before = chain.balance("x5");
    let spends: Vec<u64> =
        [6 * IFR, 6 * IFR, 4 * IFR, 1].into_iter().map(|nano| open(&mut chain, spend("x5", nano))).collect();
    for proposal in &spends {
        let votes: Vec<(&str, VoteChoice)> = SEATS.into_iter().map(|name| (name, YES)).collect();
        say(&mut chain, *proposal, &votes);
    }
    // All are due in one block.
    let last = closes_at_ms(&chain, spends[3]);
    chain.wait_until(last);
    next_epoch(&mut chain);
    let at_ms = chain.now_ms + 1_000;
    for proposal in &spends {
        let mut entry = chain.state.proposal(*proposal).unwrap().clone();
        let ProposalState::Passed { executes_at_ms, .. } = &mut entry.state else { panic!("not passed") };
        *executes_at_ms = at_ms;
        chain.state.set_proposal(*proposal, Some(entry));
    }
    chain.wait_until(at_ms);
    let is_over = |chain: &Chain, index: usize| closings(chain, spends[index]).len() == 2;
    assert_eq!([0, 1, 2, 3].map(|index| is_over(&chain, index)), [true, false, true, false]);
    assert_eq!(chain.balance("x5"), before + 10 * IFR, "exactly a hundredth");
    let meta = chain.state.meta();
    let next_ms = meta.epoch_started_ms + meta.parameters.epoch_ms;
    assert_eq!(executes_at_ms(&chain, spends[1]), next_ms);
    chain.wait_until(next_ms - 1);
    assert_eq!(chain.balance("x5"), before + 10 * IFR);
    chain.wait_until(next_ms);
    assert_eq!([1, 3].map(|index| is_over(&chain, index)), [true, true]);
    assert_eq!(chain.balance("x5"), before + 16 * IFR + 1);
    for proposal in spends {
        assert_eq!(closings(&chain, proposal)[1].0, ProposalOutcome::Executed);
    }
}

/// A spend that the treasury of then does not allow is not paid in part, nor waits.
#[test]
fn spend_of_a_smaller_treasury_is_void() {
    for (left, outcome) in [(1_000 * IFR - 1, ProposalOutcome::Void), (1_000 * IFR, ProposalOutcome::Executed)] {
        let mut chain = chain();
        fill_treasury(&mut chain, 2_000 * IFR);
        let before = chain.balance("x5");
        let proposal = open(&mut chain, spend("x5", 10 * IFR));
        say(&mut chain, proposal, &[("v0", YES), ("v1", YES), ("v2", YES)]);
        close(&mut chain, proposal);
        let meta = chain.state.meta_mut();
        meta.reward_pool = meta.reward_pool.add(Amount::from_nano(2_000 * IFR - left)).unwrap();
        meta.treasury = Amount::from_nano(left);
        assert_eq!(settle(&mut chain, proposal), outcome);
        let paid = if outcome == ProposalOutcome::Executed { 10 * IFR } else { 0 };
        assert_eq!(chain.balance("x5"), before + paid);
    }
}

#[test]
fn profile_is_approved_and_delisted() {
    let mut chain = chain();
    let approve = || ProposalAction::ApproveProfile { profile: model("new") };
    let delist = |profile: ProfileId| ProposalAction::DelistProfile { profile };
    let new = model("new").id();
    let unknown = Rejection::Unknown { what: "profile" };
    chain.fails("x0", propose(delist(new)), &unknown);
    assert_eq!(enact(&mut chain, approve()), ProposalOutcome::Executed);
    let entry = chain.state.profile(&new).unwrap();
    assert_eq!((entry.listing, &entry.profile, entry.validators.len()), (Listing::Approved, &model("new"), 0));
    assert_eq!(enact(&mut chain, delist(new)), ProposalOutcome::Executed);
    assert_eq!(chain.state.profile(&new).unwrap().listing, Listing::Delisted);
    // One that is known keeps who declared it; SPEC S5: a vote ends its pause.
    chain.declare_all();
    for listing in [Listing::Declared, Listing::Paused, Listing::Delisted] {
        let mut entry = chain.state.profile(&profile()).unwrap().clone();
        entry.listing = listing;
        chain.state.profiles.insert(profile(), entry);
        let action = ProposalAction::ApproveProfile { profile: model("model") };
        assert_eq!(enact(&mut chain, action), ProposalOutcome::Executed);
        let entry = chain.state.profile(&profile()).unwrap();
        assert_eq!((entry.listing, entry.validators.len()), (Listing::Approved, 4));
    }
    assert_eq!(enact(&mut chain, delist(profile())), ProposalOutcome::Executed);
    assert_eq!(chain.state.profile(&profile()).unwrap().listing, Listing::Delisted);
}

/// SPEC S2: an appeal gives back what was taken, as long as it is held.
#[test]
fn restitution_gives_a_slash_back() {
    let mut chain = chain();
    chain.fails("x0", propose(ProposalAction::Restitute { slash: 0 }), &Rejection::Unknown { what: "held slash" });
    let releases_at_ms = chain.now_ms + 600_000;
    let slash = slash(&mut chain, "v3", releases_at_ms);
    assert_eq!(chain.stake("v3"), SEAT / 10 * 9);
    assert_eq!(enact(&mut chain, ProposalAction::Restitute { slash }), ProposalOutcome::Executed);
    assert_eq!(chain.stake("v3"), SEAT);
    assert_eq!(chain.state.holds().count(), 0);
    let amount = Amount::from_nano(SEAT / 10);
    assert!(chain.events.contains(&Event::SlashOverturned { slash, node: id("v3"), amount }));
}

#[test]
fn restitution_is_proposed_while_there_is_time_for_it() {
    let mut chain = chain();
    let parameters = chain.parameters();
    let decided_ms = chain.now_ms + BLOCK_MS + parameters.voting_ms + parameters.timelock_ms;
    let late = slash(&mut chain, "v3", decided_ms);
    let wrong = Rejection::WrongState { what: "overturning a slash that is final before the vote" };
    chain.fails("x0", propose(ProposalAction::Restitute { slash: late }), &wrong);
    let in_time = slash(&mut chain, "v3", decided_ms + 1);
    assert_eq!(enact(&mut chain, ProposalAction::Restitute { slash: in_time }), ProposalOutcome::Executed);
}

#[test]
fn restitution_after_the_hold_is_void() {
    let mut chain = chain();
    let releases_at_ms = chain.now_ms + 600_000;
    let slash = slash(&mut chain, "v3", releases_at_ms);
    let proposals =
        [open(&mut chain, ProposalAction::Restitute { slash }), open(&mut chain, ProposalAction::Restitute { slash })];
    for proposal in proposals {
        say(&mut chain, proposal, &[("v0", YES), ("v1", YES), ("v2", YES)]);
    }
    for proposal in proposals {
        assert_eq!(close(&mut chain, proposal).0, ProposalOutcome::Passed);
    }
    assert_eq!(settle(&mut chain, proposals[0]), ProposalOutcome::Executed);
    assert_eq!(settle(&mut chain, proposals[1]), ProposalOutcome::Void);
    assert_eq!(chain.stake("v3"), SEAT, "given back once");
}

/// SPEC G1: a vote takes duties, not money.
#[test]
fn removed_validator_unbonds() {
    let mut chain = chain();
    for nobody in ["x0", "w0"] {
        chain.fails("x0", propose(removal(nobody)), &Rejection::Unknown { what: "validator" });
    }
    chain.register("w0", worker_role("w0"), Amount::from_ifr(1_000));
    chain.fails("x0", propose(removal("w0")), &Rejection::Unknown { what: "validator" });
    assert_eq!(enact(&mut chain, removal("v3")), ProposalOutcome::Executed);
    let node = chain.state.node(&id("v3")).unwrap();
    assert_eq!((node.stake.nano(), node.unbonding.tokens.nano(), node.disqualified), (0, SEAT, true));
    chain.fails("x0", propose(removal("v3")), &Rejection::Disqualified);
    let operator = operator_of("v3");
    let before = chain.balance(&operator);
    let unbond_ms = chain.parameters().unbond_ms;
    chain.wait_until(chain.now_ms + unbond_ms);
    assert_eq!(chain.balance(&operator), before + SEAT);
}

/// SPEC G1: at most one per epoch.
#[test]
fn second_removal_waits_for_the_next_epoch() {
    let mut chain = Chain::with(7, feeless());
    chain.wait_until(START_MS + 42_000);
    let removals = ["v4", "v5", "v6"].map(|name| open(&mut chain, removal(name)));
    let votes = ["v0", "v1", "v2", "v3", "v4"].map(|name| (name, YES));
    for proposal in removals {
        say(&mut chain, proposal, &votes);
    }
    for proposal in removals {
        assert_eq!(close(&mut chain, proposal).0, ProposalOutcome::Passed);
    }
    let gone = |chain: &Chain| ["v4", "v5", "v6"].map(|name| chain.state.node(&id(name)).unwrap().disqualified);
    let (first, mut epochs) = (chain.state.meta().epoch, BTreeSet::new());
    while gone(&chain) != [true; 3] {
        let before = gone(&chain);
        chain.blocks(1);
        let removed = gone(&chain).iter().filter(|is_gone| **is_gone).count();
        if before.iter().filter(|is_gone| **is_gone).count() < removed {
            assert!(epochs.insert(chain.state.meta().epoch), "one in an epoch");
        }
        assert!(chain.state.meta().epoch < first + 5, "it waits no longer than it must");
    }
    assert_eq!(epochs.len(), 3);
    for proposal in removals {
        assert_eq!(closings(&chain, proposal)[1].0, ProposalOutcome::Executed);
    }
    assert_eq!(chain.state.meta().removed_epoch, Some(chain.state.meta().epoch));
}

/// A removal of someone who is gone by then does not use up the epoch's.
#[test]
fn removal_of_a_disqualified_validator_is_void() {
    let mut chain = chain();
    let proposal = open(&mut chain, removal("v3"));
    say(&mut chain, proposal, &[("v0", YES), ("v1", YES), ("v2", YES)]);
    close(&mut chain, proposal);
    disqualify(&mut chain, "v3");
    assert_eq!(settle(&mut chain, proposal), ProposalOutcome::Void);
    assert_eq!(chain.stake("v3"), SEAT);
    assert_eq!(chain.state.meta().removed_epoch, None);
}

fn disqualify(chain: &mut Chain, name: &str) {
    let mut node = chain.state.node(&id(name)).unwrap().clone();
    node.disqualified = true;
    chain.state.set_node(id(name), node);
}

#[test]
fn upgrade_stops_software_that_does_not_know_it() {
    let mut chain = chain();
    let upgrade = |height, version| ProposalAction::Upgrade { height, version };
    let (next, protocol) = (chain.state.height() + 1, chain.state.meta().protocol);
    chain.fails("x0", propose(upgrade(next, protocol + 1)), &Rejection::OutOfBounds { field: "height" });
    chain.fails("x0", propose(upgrade(next + 1_000, protocol)), &Rejection::OutOfBounds { field: "version" });
    chain.clone().ok("x0", propose(upgrade(next + 1, protocol + 1)));
    let height = next + 20;
    assert_eq!(enact(&mut chain, upgrade(height, protocol + 1)), ProposalOutcome::Executed);
    assert_eq!(chain.state.meta().upgrade, Some((height, protocol + 1)));
    while chain.state.height() + 1 < height {
        chain.blocks(1);
    }
    let refused = execute(&chain.state, &chain.environment(), &[]).map(|_| ());
    assert_eq!(refused, Err(InvalidBlock::Upgrade { needed: protocol + 1, known: crate::PROTOCOL_VERSION }));
}

#[test]
fn upgrade_whose_height_has_passed_is_void() {
    let mut chain = chain();
    let version = chain.state.meta().protocol + 1;
    let height = chain.state.height() + 5;
    let proposal = open(&mut chain, ProposalAction::Upgrade { height, version });
    say(&mut chain, proposal, &[("v0", YES), ("v1", YES), ("v2", YES)]);
    close(&mut chain, proposal);
    chain.blocks(5);
    assert_eq!(settle(&mut chain, proposal), ProposalOutcome::Void);
    assert_eq!(chain.state.meta().upgrade, None);
}

#[test]
fn proposal_is_short() {
    let chain = chain();
    let malformed = Rejection::OutOfBounds { field: "proposal" };
    let body = |title: String, description: String| TransactionBody::Propose {
        proposal: ProposalTerms { title, description, action: ProposalAction::Text },
    };
    let (name, text) = (limits::NAME_SIZE_MAX, limits::PROPOSAL_TEXT_SIZE_MAX);
    chain.fails("x0", body(" ".into(), String::new()), &malformed);
    chain.fails("x0", body("a".repeat(name + 1), String::new()), &malformed);
    chain.fails("x0", body("a".into(), "a".repeat(text + 1)), &malformed);
    chain.clone().ok("x0", body("a".repeat(name), "a".repeat(text)));
    chain.fails("x0", propose(changes(&[])), &malformed);
    let mut profile = model("new");
    profile.name = String::new();
    chain.fails("x0", propose(ProposalAction::ApproveProfile { profile }), &malformed);
}
