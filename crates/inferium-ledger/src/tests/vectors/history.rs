//! Stake and slashes with a past: what came lately (SPEC G2), what was forgotten (S), what else is
//! held (S2).

use super::book::{Book, Page, near, with};
use super::evidence::held;
use super::nodes::barred;
use crate::StateKey;
use crate::entries::{Conduct, Delegation, Fresh, Pool, Proposal, ProposalState};
use crate::tests::support::*;
use inferium_types::{Amount, Ppm, ProposalAction, ProposalTerms, SlashRule, Suspicion, VoteTally};

pub(super) fn write(book: &mut Book) {
    let chain = with(&Chain::ready(2), |state| state.meta_mut().epoch = 40);
    fresh_stake(book, &chain);
    restitution(book, &chain);
}

/// The chain with an open vote about the stake of this epoch.
fn voted(chain: &Chain, snapshot_epoch: u64) -> Chain {
    with(chain, |state| {
        let terms = ProposalTerms { title: "A title".into(), description: String::new(), action: ProposalAction::Text };
        let state_of = ProposalState::Voting { closes_at_ms: u64::MAX };
        let proposal = Proposal { terms, proposer: id("x5"), deposit: Amount::ZERO, snapshot_epoch, state: state_of };
        state.set_proposal(2, Some(proposal));
        state.meta_mut().proposals = 3;
    })
}

fn added(chain: &Chain, epochs: &[(u64, u128)]) -> Chain {
    with(chain, |state| state.nodes.get_mut(&id("w0")).unwrap().fresh = Fresh(epochs.to_vec()))
}

/// `x0` and `x1` delegated to `v0`, lately.
fn shared(chain: &Chain, x0: &[(u64, u128)], x1: &[(u64, u128)], sum: &[(u64, u128)]) -> Chain {
    with(chain, |state| {
        let mut node = state.nodes.get(&id("v0")).unwrap().clone();
        node.delegated = Pool { tokens: Amount::from_nano(4 * IFR), shares: u128::from(4 * IFR) };
        node.fresh_shares = Fresh(sum.to_vec());
        state.set_node(id("v0"), node);
        for (name, fresh) in [("x0", x0), ("x1", x1)] {
            let delegation = Delegation { shares: u128::from(2 * IFR), fresh: Fresh(fresh.to_vec()) };
            state.delegations.insert((id(name), id("v0")), delegation);
        }
    })
}

fn fresh_stake(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("fresh_stake");
    let mut try_ = |name: &str, chain: &Chain, sender: &str, body: inferium_types::TransactionBody| {
        let page: &mut Page<'_> = page;
        page.valid(name, "G2", chain, sender, body.clone());
        page.numbers(name, chain, sender, &body);
    };
    let one = bond("w0", 1);
    try_("in the same epoch again", &added(chain, &[(40, 10)]), "w0", one.clone());
    try_("what no vote asks about is forgotten", &added(chain, &[(38, 4), (39, 5)]), "w0", one.clone());
    let asked = voted(chain, 37);
    try_("an open vote remembers older ones", &added(&asked, &[(37, 3), (38, 4), (39, 5)]), "w0", one.clone());
    let eight: Vec<(u64, u128)> = (0..8).map(|index| (31 + index, 1 << index)).collect();
    try_("a ninth epoch is rounded to a grid", &added(&voted(chain, 20), &eight), "w0", one.clone());
    let old: Vec<(u64, u128)> = (0..8).map(|index| (12 + 3 * index, 1 << index)).collect();
    try_("a wider window has a wider grid", &added(&voted(chain, 3), &old), "w0", one.clone());
    try_("an eighth epoch is not rounded", &added(&voted(chain, 20), &eight[1..]), "w0", one);
    let rich = with(&added(&asked, &[(38, 7), (39, 5), (40, 2)]), |state| {
        let mut node = state.nodes.get(&id("w0")).unwrap().clone();
        node.stake = Amount::from_nano(1_000 * IFR + 100);
        state.set_node(id("w0"), node);
    });
    try_("what leaves is the youngest, and a part of the next", &rich, "w0", unbond("w0", 3));
    try_("what leaves ends with an epoch", &rich, "w0", unbond("w0", 7));
    try_("more leaves than came lately", &rich, "w0", unbond("w0", 20));
    let both = shared(&asked, &[(38, 5), (40, 9)], &[(39, 6)], &[(38, 5), (39, 6), (40, 9)]);
    try_("of two delegators one leaves: the sum loses what it lost", &both, "x0", unbond("v0", 11));
    let rounded = shared(&asked, &[(38, 5), (39, 9)], &[(40, 6)], &[(40, 20)]);
    try_("of a sum that is rounded, from where it was rounded to", &rounded, "x0", unbond("v0", 11));
    try_("a delegation that leaves whole", &both, "x1", unbond("v0", 2 * IFR));
    try_("a delegation lately, and again", &both, "x1", bond("v0", IFR));
}

fn restitution(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("restitution");
    let at_ms = chain.now_ms + 5_000;
    let passed = with(chain, |state| {
        let action = ProposalAction::Restitute { slash: 0 };
        let terms = ProposalTerms { title: "A title".into(), description: String::new(), action };
        let tally = VoteTally { yes: Amount::from_ifr(150_000), ..VoteTally::default() };
        let passed = ProposalState::Passed { tally, executes_at_ms: at_ms };
        let proposal = Proposal { terms, proposer: id("x0"), deposit: Amount::ZERO, snapshot_epoch: 39, state: passed };
        state.set_proposal(0, Some(proposal));
        state.meta_mut().proposals = 1;
        state.operators.get_mut(&id(&operator_of("w0"))).unwrap().barred = true;
    });
    let slashed = held(&barred(&passed, "w0"), &["v1"], Some("g0"), |hold| {
        hold.disqualified = true;
        hold.rule = SlashRule::ConflictingResults;
    });
    let mut overturn = |name: &str, chain: &Chain| {
        let page: &mut Page<'_> = page;
        let about = [StateKey::Proposal(0), StateKey::Hold(0), StateKey::Node(id("w0"))];
        page.timed(name, "S2", &near(chain, at_ms), at_ms, &about);
    };
    overturn("key and operator are free again", &slashed);
    let pools = with(&slashed, |state| {
        let mut node = state.nodes.get(&id("w0")).unwrap().clone();
        node.unbonding = Pool { tokens: Amount::from_nano(9), shares: 9 };
        state.set_node(id("w0"), node);
    });
    overturn("stake on its way out gets its part back", &pools);
    let another = |node: &str, bars: bool| {
        with(&slashed, |state| {
            let mut hold = state.holds.get(&0).unwrap().clone();
            (hold.disqualified, hold.node) = (bars, id(node));
            state.set_hold(1, Some(hold));
            state.meta_mut().slashes = 2;
        })
    };
    overturn("another slash that bars it is held: it stays barred", &another("w0", true));
    overturn("another slash that does not bar it is held: it is free", &another("w0", false));
    overturn("a slash of another node is no matter", &another("w1", true));
    let fellow = with(&slashed, |state| {
        let operator = state.node(&id("w0")).unwrap().operator;
        let node = state.nodes.get_mut(&id("w1")).unwrap();
        (node.operator, node.disqualified) = (operator, true);
    });
    overturn("another node of the operator is barred: the operator stays so", &fellow);
    let removed = with(&slashed, |state| state.nodes.get_mut(&id("w0")).unwrap().removed = true);
    overturn("what a vote took, an appeal does not give back", &removed);
    let mild = with(&slashed, |state| {
        let mut hold = state.holds.get(&0).unwrap().clone();
        hold.disqualified = false;
        state.set_hold(0, Some(hold));
    });
    overturn("a slash that barred nobody lifts nothing", &mild);
    for (name, chain) in jailed(&mild) {
        overturn(name, &chain);
    }
    let delegated = with(&slashed, |state| {
        let mut hold = state.holds.get(&0).unwrap().clone();
        (hold.node, hold.delegated) = (id("v0"), Amount::from_nano(77));
        state.set_hold(0, Some(hold));
        let mut node = state.nodes.get(&id("v0")).unwrap().clone();
        (node.delegated, node.holds) = (Pool { tokens: Amount::from_nano(5), shares: 5 }, 1);
        node.commission = Ppm::new(1);
        state.set_node(id("v0"), node);
    });
    overturn("delegators get back what was theirs", &delegated);
    forgotten(page, &slashed, at_ms);
}

/// What statistics barred from a profile (SPEC V7), and an appeal frees.
fn forgotten(page: &mut Page<'_>, slashed: &Chain, at_ms: u64) {
    let conduct = StateKey::Conduct((id("w0"), profile()));
    let about = [StateKey::Proposal(0), StateKey::Hold(0), StateKey::Node(id("w0")), conduct];
    for (name, slash) in
        [("what statistics barred is free, and tested anew", 0), ("another slash by them is no matter", 1)]
    {
        let convicted = with(slashed, |state| {
            let conduct = Conduct { suspicion: Suspicion::Convicted, slash: Some(slash), ..Conduct::default() };
            state.conducts.insert((id("w0"), profile()), conduct);
        });
        page.timed(name, "V7", &near(&convicted, at_ms), at_ms, &about);
    }
}

/// The chain with other slashes of `w0`, which jailed it or did not (SPEC S2).
fn jailed(mild: &Chain) -> [(&'static str, Chain); 4] {
    let jailing = |rules: &[SlashRule], faults_ms: &[u64]| {
        with(mild, |state| {
            let hold = crate::Hold { taken_at_ms: 777, ..state.holds.get(&0).unwrap().clone() };
            for (number, rule) in (0u64..).zip(rules) {
                state.set_hold(number, Some(crate::Hold { rule: *rule, ..hold.clone() }));
            }
            state.meta_mut().slashes = u64::try_from(rules.len()).unwrap();
            let node = state.nodes.get_mut(&id("w0")).unwrap();
            (node.faults_ms, node.active_from_epoch) = (faults_ms.to_vec(), 1_000);
            node.holds = u32::try_from(rules.len()).unwrap();
        })
    };
    let wrong = SlashRule::WrongResult;
    [
        ("what jailed it alone is lifted, and its fault forgotten", jailing(&[wrong], &[776, 777, 778])),
        ("a second wrong result keeps it jailed", jailing(&[wrong, wrong], &[777, 777])),
        ("another slash does not", jailing(&[wrong, SlashRule::DeadlineMissed], &[777])),
        (
            "a missed deadline jailed nobody, and was no fault",
            jailing(&[SlashRule::DeadlineMissed, wrong], &[776, 778]),
        ),
    ]
}
