//! Proposals and votes (SPEC G).

use super::book::{Book, Page, near, purse_for, with};
use super::evidence::held;
use super::nodes::barred;
use crate::StateKey;
use crate::entries::{Fresh, Proposal, ProposalState};
use crate::tests::support::*;
use inferium_types::{
    Amount, Digest, ModelProfile, ParameterChange, ProfileId, ProposalAction, ProposalOutcome, ProposalTerms,
    TransactionBody, VoteChoice, VoteTally,
};

pub(super) fn write(book: &mut Book) {
    let chain = with(&Chain::ready(1), |state| {
        let meta = state.meta_mut();
        (meta.treasury, meta.epoch) = (Amount::from_nano(1_000_099), 40);
    });
    propose(book, &chain);
    vote(book, &chain);
    counting(book, &chain);
    execution(book, &chain);
}

fn terms(action: ProposalAction) -> ProposalTerms {
    ProposalTerms { title: "A title".into(), description: "Why.".into(), action }
}

fn put(action: ProposalAction) -> TransactionBody {
    TransactionBody::Propose { proposal: terms(action) }
}

fn change(changes: &[(&str, u64)]) -> ProposalAction {
    let changes = changes.iter().map(|(name, value)| ParameterChange { name: (*name).into(), value: *value });
    ProposalAction::ChangeParameters { changes: changes.collect() }
}

fn spend(nano: u64) -> ProposalAction {
    ProposalAction::SpendTreasury { to: id("x1"), amount: Amount::from_nano(nano) }
}

fn propose(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("propose");
    let body = put(ProposalAction::Text);
    let deposit = 1_000 * IFR;
    let exact = purse_for(chain, "x0", &body, deposit);
    page.valid("a text, with the deposit and nothing else", "G2", &exact, "x0", body.clone());
    page.valid("as much of the treasury as an epoch may take", "G1", chain, "x0", put(spend(10_000)));
    let together =
        change(&[("fee_share_worker", 900_000), ("fee_share_committee", 50_000), ("fee_share_validators", 50_000)]);
    page.valid("parameters that only fit together", "G3", chain, "x0", put(together));
    let next = chain.state.height() + 2;
    page.valid(
        "an upgrade from the next block on",
        "G1",
        chain,
        "x0",
        put(ProposalAction::Upgrade { height: next, version: 2 }),
    );
    let hold_ms = |ms| held(chain, &[], None, |hold| hold.releases_at_ms = chain.now_ms + BLOCK_MS + ms);
    let appeal = put(ProposalAction::Restitute { slash: 0 });
    page.valid("a slash held just longer than vote and timelock", "S2", &hold_ms(80_001), "x0", appeal.clone());
    let longest = ProposalTerms {
        title: "t".repeat(128),
        description: "d".repeat(8_192),
        action: ProposalAction::ApproveProfile { profile: ModelProfile { name: "n".repeat(128), ..model("new") } },
    };
    let longest = TransactionBody::Propose { proposal: longest };
    page.valid("the longest texts", "G1", chain, "x0", longest.clone());
    page.numbers("the longest texts", chain, "x0", &longest);
    let at_once = put(change(&[("committee_two_from", 5), ("committee_three_from", 5), ("quorum", 900_000)]));
    page.valid("a third member with the second, the highest quorum", "G3", chain, "x0", at_once.clone());
    page.numbers("a third member with the second", chain, "x0", &at_once);
    page.doors(chain, "x0", &body);
    let short = purse_for(chain, "x0", &body, deposit - 1);
    page.invalid("one nano-IFR short of the deposit", "G2", &short, "x0", body.clone(), "insufficient");
    page.invalid(
        "a slash held as long as vote and timelock",
        "S2",
        &hold_ms(80_000),
        "x0",
        appeal.clone(),
        "wrong_state",
    );
    page.invalid("a slash that is not held", "S2", chain, "x0", appeal, "unknown");
    texts(page, chain);
    parameters(page, chain);
    page.invalid("one nano-IFR more than an epoch may take", "G1", chain, "x0", put(spend(10_001)), "insufficient");
    page.invalid("a spend of nothing", "G1", chain, "x0", put(spend(0)), "out_of_bounds");
    let upgrade = |height, version| put(ProposalAction::Upgrade { height, version });
    page.invalid("an upgrade from this block on", "G1", chain, "x0", upgrade(next - 1, 2), "out_of_bounds");
    page.invalid("an upgrade to what is in force", "G1", chain, "x0", upgrade(next, 1), "out_of_bounds");
    let remove = |name: &str| put(ProposalAction::RemoveValidator { validator: id(name) });
    page.invalid("removing a worker", "G1", chain, "x0", remove("w0"), "unknown");
    page.invalid("removing nobody", "G1", chain, "x0", remove("x5"), "unknown");
    page.invalid("removing who is removed", "G1", &barred(chain, "v0"), "x0", remove("v0"), "disqualified");
    let delist = put(ProposalAction::DelistProfile { profile: ProfileId::new(Digest::ZERO) });
    page.invalid("delisting what nobody declared", "G1", chain, "x0", delist, "unknown");
}

fn texts(page: &mut Page<'_>, chain: &Chain) {
    let usual = terms(ProposalAction::Text);
    let nameless = ModelProfile { name: String::new(), ..model("new") };
    let all: Vec<(&str, u64)> = (0..33).map(|_| ("fee_base", 1)).collect();
    for (name, proposal) in [
        ("no title", ProposalTerms { title: String::new(), ..usual.clone() }),
        ("a title of spaces", ProposalTerms { title: "  ".into(), ..usual.clone() }),
        ("a title of one byte too many", ProposalTerms { title: "t".repeat(129), ..usual.clone() }),
        ("a description of one byte too many", ProposalTerms { description: "d".repeat(8_193), ..usual }),
        ("no changes", terms(change(&[]))),
        ("one change too many", terms(change(&all))),
        ("a profile without a name", terms(ProposalAction::ApproveProfile { profile: nameless })),
    ] {
        page.invalid(name, "G1", chain, "x0", TransactionBody::Propose { proposal }, "out_of_bounds");
    }
}

fn parameters(page: &mut Page<'_>, chain: &Chain) {
    let mut refuse = |name: &str, changes: &[(&str, u64)], error: &str| {
        page.invalid(name, "G3", chain, "x0", put(change(changes)), error);
    };
    refuse("a parameter that there is not", &[("fee_bass", 1)], "parameter");
    refuse("below its bounds", &[("quorum", 99_999)], "parameter");
    refuse("above its bounds", &[("quorum", 900_001)], "parameter");
    refuse("the greatest number of all", &[("stall_relays", u64::MAX)], "parameter");
    refuse("twice the same", &[("quorum", 400_000), ("quorum", 400_000)], "exists");
    refuse("one good and one bad: none", &[("fee_base", 1), ("quorum", 1)], "parameter");
    refuse("shares of a fee that are more than the fee", &[("fee_share_worker", 900_000)], "parameter");
    refuse("a tier High not above tier Mid", &[("tier_high_score", 100)], "parameter");
    refuse("a third member before the second", &[("committee_three_from", 0)], "parameter");
    refuse("a hold not longer than vote, timelock and challenge", &[("voting_ms", 560_000)], "parameter");
    refuse("a name of one byte too many", &[(&"n".repeat(129), 1)], "out_of_bounds");
    refuse("the longest name, of no parameter", &[(&"n".repeat(128), 1)], "parameter");
    let hold = [("voting_ms", 60_000), ("timelock_ms", 20_000), ("challenge_ms", 520_000)];
    refuse("a hold as long as vote, timelock and challenge", &hold, "parameter");
}

/// The chain with this proposal, of `x0`.
fn proposed(chain: &Chain, action: ProposalAction, state: ProposalState) -> Chain {
    with(chain, |old| {
        let deposit = if matches!(state, ProposalState::Voting { .. } | ProposalState::Counting { .. }) {
            Amount::from_ifr(1_000)
        } else {
            Amount::ZERO
        };
        let proposal = Proposal { terms: terms(action), proposer: id("x0"), deposit, snapshot_epoch: 39, state };
        old.set_proposal(0, Some(proposal));
        old.meta_mut().proposals = 1;
    })
}

fn vote(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("vote");
    let body = TransactionBody::Vote { proposal: 0, choice: VoteChoice::Yes };
    let closing = |at_ms| proposed(chain, ProposalAction::Text, ProposalState::Voting { closes_at_ms: at_ms });
    let open = closing(chain.now_ms + BLOCK_MS + 1);
    page.valid("in the last millisecond", "G2", &open, "v0", body.clone());
    let mut voted = open.clone();
    voted.state.votes.insert((0, id("w0")), VoteChoice::Veto);
    page.valid("the last vote counts", "G2", &voted, "w0", body.clone());
    page.doors(&open, "v0", &body);
    // The block ends the voting when it is done, so that the proposal is past its time within it.
    let tally = VoteTally::default();
    let ended = proposed(chain, ProposalAction::Text, ProposalState::Passed { tally, executes_at_ms: u64::MAX });
    page.invalid("after it passed", "G2", &ended, "v0", body.clone(), "wrong_state");
    let outcome = ProposalOutcome::Failed;
    let over = proposed(chain, ProposalAction::Text, ProposalState::Ended { outcome, tally, until_ms: u64::MAX });
    page.invalid("after it ended", "G2", &over, "v0", body.clone(), "wrong_state");
    let counting = ProposalState::Counting { after: None, tally, validators: Vec::new(), at_ms: u64::MAX };
    let counted = proposed(chain, ProposalAction::Text, counting);
    page.invalid("while votes are counted", "G2", &counted, "v0", body.clone(), "wrong_state");
    let unknown = TransactionBody::Vote { proposal: 1, choice: VoteChoice::No };
    page.invalid("on what was never proposed", "G2", &open, "v0", unknown, "unknown");
    page.invalid("a removed validator", "G2", &barred(&open, "v0"), "v0", body.clone(), "disqualified");
    page.invalid("a disqualified worker", "G2", &barred(&open, "w0"), "w0", body.clone(), "disqualified");
    page.invalid("without any stake", "G2", &open, "x0", body.clone(), "not_allowed");
    page.invalid("an operator: the stake is its node's", "G2", &open, &operator_of("w0"), body.clone(), "not_allowed");
    let poor = with(&open, |state| {
        let mut node = state.nodes.get(&id("w0")).unwrap().clone();
        node.stake = Amount::ZERO;
        state.set_node(id("w0"), node);
    });
    page.invalid("a node whose stake has left", "G2", &poor, "w0", body, "not_allowed");
}

fn counting(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("counting");
    let at_ms = chain.now_ms + 5_000;
    let about = [StateKey::Proposal(0)];
    let voted = |action, votes: &[(&str, VoteChoice)]| voted(chain, at_ms, action, votes);
    let (yes, no, abstain, veto) = (VoteChoice::Yes, VoteChoice::No, VoteChoice::Abstain, VoteChoice::Veto);
    let mut count = |name: &str, chain: &Chain| page.timed(name, "G2", chain, at_ms, &about);
    let text = || ProposalAction::Text;
    count("nobody voted: no quorum", &voted(text(), &[]));
    count("one of four: no quorum", &voted(text(), &[("v0", yes)]));
    count("two to one: passed", &voted(text(), &[("v0", yes), ("v1", yes), ("v2", no)]));
    count("one to one: failed", &voted(text(), &[("v0", yes), ("v1", no), ("v2", abstain)]));
    count("a worker decides", &voted(text(), &[("v0", yes), ("v1", no), ("w0", yes)]));
    count("vetoed: the deposit burns", &voted(text(), &[("v0", yes), ("v1", yes), ("v2", veto), ("v3", veto)]));
    let two_thirds = voted(spend(1), &[("v0", yes), ("v1", yes)]);
    count("two of four are no two thirds of all stake", &two_thirds);
    count("three of four are two thirds of all stake", &voted(spend(1), &[("v0", yes), ("v1", yes), ("v2", yes)]));
    thresholds(page, chain);
    let mut count = |name: &str, chain: &Chain| page.timed(name, "G2", chain, at_ms, &about);
    let many = with(&voted(text(), &[]), |state| {
        for index in 0..=255u8 {
            state.votes.insert((0, inferium_types::NodeId::from_bytes([index; 32])), no);
        }
        state.meta_mut().parameters.queue_work_max = 64;
        for name in ["v0", "w0"] {
            state.votes.insert((0, id(name)), yes);
        }
    });
    count("more votes than a block counts", &many);
    let young = with(&voted(text(), &[("v0", yes), ("v1", yes), ("v2", no)]), |state| {
        let node = state.nodes.get_mut(&id("v1")).unwrap();
        node.fresh = Fresh(vec![(39, 10), (40, u128::from(49_000 * IFR))]);
    });
    count("stake that came after the snapshot has no vote", &young);
    let delegated = with(&voted(text(), &[("v0", yes), ("v1", no), ("x0", no)]), |state| {
        let mut node = state.nodes.get(&id("v0")).unwrap().clone();
        node.delegated = crate::Pool { tokens: Amount::from_ifr(30_000), shares: 1_000 };
        state.set_node(id("v0"), node);
        let delegation = crate::Delegation { shares: 100, fresh: Fresh(Vec::new()) };
        state.delegations.insert((id("x0"), id("v0")), delegation);
        let rest = crate::Delegation { shares: 900, fresh: Fresh(Vec::new()) };
        state.delegations.insert((id("x1"), id("v0")), rest);
    });
    count("a delegator overrides its validator for its part", &delegated);
    let later = with(&delegated, |state| {
        let mut node = state.nodes.get(&id("v0")).unwrap().clone();
        node.fresh_shares = Fresh(vec![(39, 5), (40, 60)]);
        state.set_node(id("v0"), node);
        let delegation = crate::Delegation { shares: 100, fresh: Fresh(vec![(39, 5), (40, 60)]) };
        state.delegations.insert((id("x0"), id("v0")), delegation);
    });
    count("what was delegated since has no vote, of either", &later);
    let gone = barred(&voted(text(), &[("v0", yes), ("v1", yes), ("v2", no), ("v3", no)]), "v3");
    count("a removed validator's vote is nothing", &gone);
}

/// The chain with a proposal that closes then, and these votes.
fn voted(chain: &Chain, at_ms: u64, action: ProposalAction, votes: &[(&str, VoteChoice)]) -> Chain {
    let open = proposed(chain, action, ProposalState::Voting { closes_at_ms: at_ms });
    with(&open, |state| {
        for (name, choice) in votes {
            state.votes.insert((0, id(name)), *choice);
        }
    })
}

/// Each share at its limit, and a millionth beside it.
fn thresholds(page: &mut Page<'_>, chain: &Chain) {
    let at_ms = chain.now_ms + 5_000;
    let about = [StateKey::Proposal(0)];
    let voted = |action, votes: &[(&str, VoteChoice)]| voted(chain, at_ms, action, votes);
    let (yes, no, abstain, veto) = (VoteChoice::Yes, VoteChoice::No, VoteChoice::Abstain, VoteChoice::Veto);
    let mut count = |name: &str, chain: &Chain| page.timed(name, "G2", chain, at_ms, &about);
    let text = || ProposalAction::Text;
    let exactly = |name: &str, value: u64, chain: Chain| {
        with(&chain, |state| {
            let parameters = &state.meta().parameters;
            state.meta_mut().parameters = parameters.with(name, value).unwrap();
        })
    };
    // 200,000 IFR of four validators make all of the stake that is bonded.
    let round = |chain: Chain| with(&chain, |state| state.meta_mut().bonded = Amount::from_ifr(200_000));
    let half = || round(voted(text(), &[("v0", yes), ("v1", abstain)]));
    count("the quorum, exactly", &exactly("quorum", 500_000, half()));
    count("a millionth less than the quorum", &exactly("quorum", 500_001, half()));
    let quarter = || round(voted(text(), &[("v0", yes), ("v1", yes), ("v2", yes), ("v3", veto)]));
    count("the share of vetoes, exactly", &exactly("veto_share", 250_000, quarter()));
    count("a millionth less than the share of vetoes", &exactly("veto_share", 250_001, quarter()));
    let three = || round(voted(spend(1), &[("v0", yes), ("v1", yes), ("v2", yes), ("v3", no)]));
    count("the supermajority, exactly", &exactly("supermajority", 750_000, three()));
    count("a millionth less than the supermajority", &exactly("supermajority", 750_001, three()));
    count(
        "the share of yes must be exceeded",
        &exactly("pass_share", 750_000, round(voted(text(), &[("v0", yes), ("v1", yes), ("v2", yes), ("v3", no)]))),
    );
}

fn execution(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("execution");
    let at_ms = chain.now_ms + 5_000;
    let tally = VoteTally { yes: Amount::from_ifr(150_000), ..VoteTally::default() };
    let passed = |action| proposed(chain, action, ProposalState::Passed { tally, executes_at_ms: at_ms });
    let mut execute = |name: &str, rule: &str, chain: &Chain| {
        let page: &mut Page<'_> = page;
        page.timed(name, rule, chain, at_ms, &[StateKey::Proposal(0)]);
    };
    let changed = change(&[("fee_base", 5), ("emission_halving_ms", 90 * 24 * 3_600_000)]);
    execute("parameters; a new pace is for what the schedule has left", "M6", &passed(changed));
    let misfit = with(&passed(change(&[("tier_high_score", 5_000)])), |state| {
        state.meta_mut().parameters.tier_mid_score = 5_000;
    });
    execute("parameters that do not fit any more are void", "G3", &misfit);
    execute("a spend", "G1", &passed(spend(10_000)));
    let spent =
        |epoch| with(&passed(spend(10_000)), |state| state.meta_mut().spent = (epoch, Amount::from_nano(5_000)));
    execute("a spend waits when the epoch's are used up", "G1", &spent(40));
    execute("a spend of another epoch is in nobody's way", "G1", &spent(39));
    let fitting = |amount| {
        with(&passed(spend(amount)), |state| {
            state.meta_mut().treasury = Amount::from_nano(995_000);
            state.meta_mut().spent = (40, Amount::from_nano(5_000));
        })
    };
    execute("what the epoch's spends have left, to the last nano-IFR", "G1", &fitting(5_000));
    execute("one nano-IFR more than they have left waits", "G1", &fitting(5_001));
    let late = with(&spent(40), |state| state.meta_mut().parameters.epoch_ms = 10_000_000);
    execute("it waits for the end of the epoch", "G1", &late);
    execute("a spend that the treasury has no more is void", "G1", &passed(spend(10_001)));
    execute(
        "a profile is approved that nobody declared",
        "G1",
        &passed(ProposalAction::ApproveProfile { profile: model("new") }),
    );
    let listing = with(&passed(ProposalAction::ApproveProfile { profile: model("model") }), |state| {
        state.profiles.get_mut(&profile()).unwrap().listing = crate::Listing::Paused;
    });
    execute("a paused profile is approved again", "S5", &listing);
    execute("a profile is delisted", "G1", &passed(ProposalAction::DelistProfile { profile: profile() }));
    execute("an upgrade", "G1", &passed(ProposalAction::Upgrade { height: 1_000, version: 2 }));
    execute(
        "an upgrade whose height has passed is void",
        "G1",
        &passed(ProposalAction::Upgrade { height: 2, version: 2 }),
    );
    let remove = passed(ProposalAction::RemoveValidator { validator: id("v0") });
    execute("a validator is removed, and its stake unbonds", "G1", &remove);
    let second = with(&remove, |state| state.meta_mut().removed_epoch = Some(40));
    execute("a second removal waits for the next epoch", "G1", &second);
    let appeal = passed(ProposalAction::Restitute { slash: 0 });
    let slashed = held(&barred(&appeal, "w0"), &["v1"], Some("g0"), |hold| hold.disqualified = true);
    let lifted = with(&slashed, |state| {
        state.operators.get_mut(&id(&operator_of("w0"))).unwrap().barred = true;
        state.nodes.get_mut(&id("w0")).unwrap().active_from_epoch = 50;
    });
    execute("a slash is overturned: stake, key and operator are free", "S2", &lifted);
    execute("a slash that is released is not overturned: void", "S2", &appeal);
    let over = |until_ms| {
        let outcome = ProposalOutcome::Failed;
        proposed(chain, ProposalAction::Text, ProposalState::Ended { outcome, tally, until_ms })
    };
    execute("an ended proposal is forgotten", "G2", &near(&over(at_ms), at_ms));
}
