//! Matching by trees of sums agrees with a look at every worker: SPEC T5, N3, N6, C9.

use super::support::*;
use crate::market::{Market, TIERS, offers_of, tier_index};
use crate::state::Needs;
use crate::{Offer, Record, State, Task};
use inferium_types::{
    AccountId, Amount, Digest, Event, LeaseId, NodeId, OfferTerms, Price, TaskKind, TaskTerms, Tier, TransactionBody,
};
use std::collections::{BTreeMap, BTreeSet};

const WORKERS: u32 = 12;

/// Numbers that follow from a name.
struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    fn throw(&mut self, bound: u64) -> u64 {
        self.thrown += 1;
        Digest::of("test-dice", &[&self.seed.to_be_bytes(), &self.thrown.to_be_bytes()]).draw(bound)
    }

    fn price(&mut self) -> Price {
        let [prompt_token, completion_token] = [0; 2].map(|_| Amount::from_nano(1 + self.throw(3)));
        Price { prompt_token, completion_token }
    }

    fn tier(&mut self) -> Tier {
        TIERS[usize::try_from(self.throw(3)).unwrap()]
    }

    /// Workers of all tiers, prices, contexts, records and operators, some of them busy, barred or unmeasured.
    fn market(&mut self, chain: &Chain) -> State {
        let mut chain = chain.clone();
        let draws = [0u64; 3].map(|_| 100 + self.throw(100));
        chain.state.profiles.get_mut(&profile()).unwrap().draws = draws;
        for index in 0..WORKERS {
            let name = format!("w{index}");
            let worker = id(&name);
            let (tier, score) = (self.tier(), 1 << self.throw(16));
            chain.set_measured(&name, tier, score);
            if self.throw(10) == 0 {
                chain.state.capabilities.get_mut(&worker).unwrap().tier = None;
            }
            let operators = [operator_of(&name), operator_of("w0"), operator_of("g0")];
            let mut node = chain.state.nodes.get(&worker).unwrap().clone();
            node.operator = id(&operators[usize::try_from(self.throw(3)).unwrap()]);
            node.disqualified = self.throw(10) == 0;
            // Room for a few of the runs that tasks may be.
            let limit = node.stake.share(chain.state.meta().parameters.unsettled_max);
            let room = Digest::of("test-room", &[&self.seed.to_be_bytes(), &index.to_be_bytes()]).draw(12);
            let room = Amount::from_nano(room);
            node.unsettled = limit.sub(room).unwrap();
            chain.state.nodes.insert(worker, node);
            let record = record_of(self.throw(1_000), 1_000, self.throw(50));
            chain.state.records.insert((worker, profile()), record);
            let context_tokens = 1_024 << self.throw(2);
            let (slots, batches) = (1 + u32::try_from(self.throw(6)).unwrap(), self.throw(4) > 0);
            let terms = OfferTerms { slots, price: self.price(), context_tokens, batches };
            let waits_from = draws[tier_index(tier)] - self.throw(60);
            let offer = Offer { terms, slots_used: u32::try_from(self.throw(3)).unwrap().min(terms.slots), waits_from };
            chain.state.offers.insert((profile(), worker), offer);
        }
        chain.state
    }

    fn task(&mut self, state: &State) -> Task {
        let requester = [id("g0"), id("w0")][usize::try_from(self.throw(2)).unwrap()];
        let context_tokens = 1_024 << self.throw(2);
        let terms = TaskTerms { tier: self.tier(), price_max: self.price(), context_tokens, ..task_terms() };
        let kind = if self.throw(4) == 0 { TaskKind::Batch } else { TaskKind::Inference };
        let terms = TaskTerms { kind, slots: 1 + u32::try_from(self.throw(2)).unwrap(), ..terms };
        let meta = state.meta();
        let waited_ms = self.throw(2) * meta.parameters.starving_ms;
        let expires_at_ms = meta.timestamp_ms + terms.open_ms - waited_ms.min(meta.timestamp_ms);
        Task { requester, terms, escrow: Amount::ZERO, opened: (0, 0), expires_at_ms }
    }

    /// What the task needs; some are as if they were runs.
    fn needs(&mut self, task: &Task) -> Needs {
        let cover = if self.throw(3) == 0 { self.throw(5) } else { 0 };
        Needs::of(&task.terms, Amount::from_nano(cover))
    }
}

fn needs_of(task: &Task) -> Needs {
    Needs::of(&task.terms, Amount::ZERO)
}

/// Who may serve the task: asked of each worker, in the order of the market.
fn eligible(state: &State, task: &Task, needs: &Needs) -> Vec<(usize, NodeId)> {
    let mut eligible: Vec<_> = offers_of(state, profile())
        .filter(|(worker, offer)| state.obstacles(task, needs, *worker, *offer).next().is_none())
        .map(|(worker, Offer { terms, .. })| {
            let tier = tier_index(state.capability(&worker).unwrap().tier.unwrap());
            (tier, terms.context_tokens, terms.price.completion_token, terms.price.prompt_token, worker)
        })
        .collect();
    eligible.sort_unstable();
    eligible.into_iter().map(|(tier, .., worker)| (tier, worker)).collect()
}

/// The draw of SPEC T5, one worker after the other.
fn chosen(state: &State, eligible: &[(usize, NodeId)], draw: &Digest) -> Option<NodeId> {
    let mut overdue: Option<(u64, NodeId)> = None;
    for (tier, worker) in eligible {
        let from = state.offer(profile(), *worker).unwrap().waits_from;
        let waited = state.profile(&profile()).unwrap().draws[*tier].saturating_sub(from);
        if overdue.is_none_or(|(longest, _)| waited > longest) {
            overdue = Some((waited, *worker));
        }
    }
    if let Some((_, worker)) = overdue.filter(|(waited, _)| *waited >= 3 * u64::try_from(eligible.len()).unwrap()) {
        return Some(worker);
    }
    let is_uniform = Digest::of("inferium/match-lane/1", &[draw.as_bytes()]).draw(100) < 5;
    let weights: Vec<(NodeId, u64)> = eligible
        .iter()
        .map(|(_, worker)| (*worker, if is_uniform { 1 } else { state.priority(*worker, profile()) }))
        .collect();
    let mut left = draw.draw(weights.iter().map(|(_, weight)| weight).sum());
    for (worker, weight) in weights {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return Some(worker),
        }
    }
    None
}

/// What a draw writes.
fn serve(state: &mut State, task: &Task, needs: &Needs, worker: NodeId) {
    let node = state.nodes.get_mut(&worker).unwrap();
    node.unsettled = node.unsettled.add(needs.cover).unwrap();
    let draws = &mut state.profiles.get_mut(&profile()).unwrap().draws.clone();
    for tier in TIERS.into_iter().filter(|tier| state.serves(*tier, task)) {
        draws[tier_index(tier)] += 1;
    }
    state.profiles.get_mut(&profile()).unwrap().draws = *draws;
    let tier = tier_index(state.capability(&worker).unwrap().tier.unwrap());
    let offer = state.offers.get_mut(&(profile(), worker)).unwrap();
    offer.slots_used += task.terms.slots;
    offer.waits_from = draws[tier];
}

/// SPEC T5, N3, N6: with whatever differs, and as slots fill.
#[test]
fn tree_draws_whom_a_look_at_every_worker_would() {
    let (mut granted, mut overdue, mut vain, mut several) = (0, 0, 0, 0);
    let chain = Chain::ready(WORKERS);
    for seed in 0..300 {
        let mut dice = Dice { seed, thrown: 0 };
        let mut state = dice.market(&chain);
        let mut market = Market::of(&state, profile());
        for index in 0u32..20 {
            let task = dice.task(&state);
            let needs = dice.needs(&task);
            let draw = Digest::of("test-draw", &[&seed.to_be_bytes(), &index.to_be_bytes()]);
            let eligible = eligible(&state, &task, &needs);
            let expected = chosen(&state, &eligible, &draw);
            let mut is_drawn = false;
            let place = market.choose(&state, &task, &needs, || {
                is_drawn = true;
                draw
            });
            let Some(place) = place else {
                assert_eq!(expected, None, "seed {seed}, task {index}");
                vain += 1;
                continue;
            };
            let (worker, price) = market.serve(&state, &task, &needs, place).unwrap();
            assert_eq!(Some(worker), expected, "seed {seed}, task {index}");
            assert_eq!(price, state.offer(profile(), worker).unwrap().terms.price);
            serve(&mut state, &task, &needs, worker);
            assert_eq!(market.draws(), state.profile(&profile()).unwrap().draws);
            granted += 1;
            overdue += u32::from(!is_drawn);
            several += u32::from(eligible.len() > 2);
        }
        for (worker, taken, waits_from) in market.served() {
            let offer = state.offer(profile(), worker).unwrap();
            assert!(taken <= offer.slots_used && waits_from == offer.waits_from);
        }
    }
    assert!(granted > 500 && overdue > 50 && vain > 500 && several > 50, "{granted} {overdue} {vain} {several}");
}

/// SPEC T5: also where not all tasks are for everyone.
#[test]
fn no_one_is_passed_over_for_long_in_a_mixed_market() {
    let chain = Chain::ready(WORKERS);
    let (mut overdue, mut longest) = (0, 0);
    for seed in 0..40 {
        let mut dice = Dice { seed, thrown: 0 };
        let mut state = dice.market(&chain);
        let draws = state.profile(&profile()).unwrap().draws;
        for (worker, mut offer) in offers_of(&state.clone(), profile()) {
            let tier = state.capability(&worker).unwrap().tier;
            offer.waits_from = tier.map_or(0, |tier| draws[tier_index(tier)]);
            offer.terms.slots = 4_096;
            state.offers.insert((profile(), worker), offer);
        }
        let mut market = Market::of(&state, profile());
        let mut passed_over: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut ever: BTreeSet<NodeId> = BTreeSet::new();
        for index in 0u32..400 {
            let task = dice.task(&state);
            let needs = needs_of(&task);
            let eligible = eligible(&state, &task, &needs);
            let draw = Digest::of("test-draw", &[&seed.to_be_bytes(), &index.to_be_bytes()]);
            let mut is_drawn = false;
            let place = market.choose(&state, &task, &needs, || {
                is_drawn = true;
                draw
            });
            let Some(place) = place else { continue };
            overdue += u32::from(!is_drawn);
            let (worker, _) = market.serve(&state, &task, &needs, place).unwrap();
            ever.extend(eligible.iter().map(|(_, worker)| *worker));
            for (_, other) in eligible {
                let count = passed_over.entry(other).or_default();
                *count = if other == worker { 0 } else { *count + 1 };
                assert!(*count <= 4 * ever.len(), "seed {seed}: {count} of {}", ever.len());
                longest = longest.max(*count * 100 / ever.len());
            }
        }
    }
    assert!(longest > 150 && overdue > 100, "the bound was tried: {longest} %, {overdue}");
}

/// SPEC T5: weights are what is drawn by, among many as among two.
#[test]
fn workers_are_drawn_by_their_weights() {
    let mut chain = Chain::ready(WORKERS);
    for index in 0..WORKERS {
        let record = record_of(u64::from(index) * 20, 1_000, u64::from(WORKERS - index));
        chain.state.records.insert((id(&format!("w{index}")), profile()), record);
        chain.ok(&format!("w{index}"), offer(1));
    }
    let (task, _) = chain.open("g0", TaskTerms { context_tokens: 1 << 30, ..task_terms() });
    let mut task = *chain.state.task(&task).unwrap();
    task.terms = task_terms();
    let market = Market::of(&chain.state, profile());
    let workers: Vec<NodeId> = (0..WORKERS).map(|index| id(&format!("w{index}"))).collect();
    let weights: Vec<u64> = workers.iter().map(|worker| chain.state.priority(*worker, profile())).collect();
    let total: u64 = weights.iter().sum();
    const DRAWS: u64 = 40_000;
    let mut drawn: BTreeMap<NodeId, u64> = BTreeMap::new();
    for index in 0..DRAWS {
        let draw = Digest::of("test-draw", &[&index.to_be_bytes()]);
        let mut market = market.clone();
        let needs = needs_of(&task);
        let place = market.choose(&chain.state, &task, &needs, || draw).unwrap();
        *drawn.entry(market.serve(&chain.state, &task, &needs, place).unwrap().0).or_default() += 1;
    }
    assert!(weights.iter().max().unwrap() > &(weights.iter().min().unwrap() * 4), "{weights:?}");
    for (worker, weight) in workers.iter().zip(weights) {
        let expected = DRAWS * 95 * weight / (100 * total) + DRAWS * 5 / (100 * u64::from(WORKERS));
        let found = drawn[worker];
        // Five standard deviations.
        assert!(found.abs_diff(expected) < 5 * expected.isqrt(), "{found}, {expected} expected");
    }
}

fn passed_over(chain: &Chain, worker: &str) -> u64 {
    chain.state.passed_over(id(worker), profile())
}

/// Whoever gets the task; nobody else may.
fn lease_to(chain: &mut Chain, worker: &str) -> LeaseId {
    let (_, lease) = chain.open("g0", TaskTerms { tokens_max: 1, ..task_terms() });
    assert_eq!(chain.name(&chain.state.lease(&lease).unwrap().worker), worker);
    lease
}

/// SPEC T5: only draws that a worker could have won pass it over.
#[test]
fn only_who_could_have_served_is_passed_over() {
    let mut chain = Chain::ready(3);
    chain.set_measured("w2", Tier::High, 1_000);
    chain.ok("w0", offer(1));
    let busy = lease_to(&mut chain, "w0");
    chain.ok("w1", offer(10));
    chain.ok("w2", offer(10));
    for count in 1..=4 {
        lease_to(&mut chain, "w1");
        assert_eq!(passed_over(&chain, "w2"), 0, "tasks of a lower tier");
        assert_eq!(passed_over(&chain, "w0"), 0, "a full one, {count}");
        assert_eq!(passed_over(&chain, "w1"), 0, "it was served");
    }
    chain.ok("g0", TransactionBody::CloseLease { lease: busy });
    assert_eq!(passed_over(&chain, "w0"), 0, "it waits from when it was free again");
    chain.state.offers.get_mut(&(profile(), id("w0"))).unwrap().terms.price.prompt_token = Amount::from_nano(1 << 40);
    lease_to(&mut chain, "w1");
    assert_eq!(passed_over(&chain, "w0"), 1);
    chain.set_measured("w0", Tier::High, 1_000);
    assert_eq!(passed_over(&chain, "w0"), 0, "it waits anew in another tier");
    assert_eq!(chain.state.profile(&profile()).unwrap().draws, [0, 6, 0]);
}

/// SPEC T5: who fills its offer up and then offers more waits from then on.
#[test]
fn full_offer_that_grows_waits_anew() {
    let mut chain = Chain::ready(2);
    chain.ok("w0", offer(1));
    lease_to(&mut chain, "w0");
    chain.ok("w1", offer(9));
    for _ in 0..3 {
        lease_to(&mut chain, "w1");
    }
    chain.ok("w0", offer(2));
    assert_eq!((passed_over(&chain, "w0"), passed_over(&chain, "w1")), (0, 0));
    let dear = OfferTerms { price: Price { prompt_token: Amount::from_nano(1 << 40), ..PRICE }, ..offer_terms(2) };
    chain.ok("w0", TransactionBody::SetOffer { profile: profile(), terms: dear });
    lease_to(&mut chain, "w1");
    chain.ok("w0", offer(2));
    assert_eq!(passed_over(&chain, "w0"), 1, "other terms keep its place");
}

fn offer_terms(slots: u32) -> OfferTerms {
    OfferTerms { slots, price: PRICE, context_tokens: 4_096, batches: true }
}

/// A node that reloads its state before every block, and one that never does, draw the same.
#[test]
fn matching_is_the_same_after_every_restart() {
    const POOR: Record = record_of(10, 1_000, 20);
    let mut running = Chain::ready(6);
    for index in 0..6 {
        running.state.records.insert((id(&format!("w{index}")), profile()), POOR);
        running.ok(&format!("w{index}"), offer(1 + index % 3));
    }
    let mut restarted = running.clone();
    let mut workers: BTreeMap<AccountId, u32> = BTreeMap::new();
    for round in 0u64..60 {
        let mut transactions = Vec::new();
        for ahead in 0..3 {
            let slots = if ahead == 0 { 2 } else { 1 };
            let terms = TaskTerms { tokens_max: 1, slots, ..task_terms() };
            transactions.push(running.tx_after("g0", ahead, TransactionBody::OpenTask { terms }));
        }
        let old = running.state.leases().filter(|(_, lease)| lease.granted_height + 2 < running.state.height());
        let old: Vec<LeaseId> =
            old.filter(|(_, lease)| lease.state == crate::LeaseState::Active).map(|(id, _)| *id).collect();
        for (ahead, lease) in (3..).zip(old) {
            transactions.push(running.tx_after("g0", ahead, TransactionBody::CloseLease { lease }));
        }
        restarted.state = State::from_entries(restarted.state.entries()).unwrap();
        let events = running.block(&transactions);
        assert_eq!(restarted.block(&transactions), events, "round {round}");
        assert_eq!(restarted.state, running.state, "round {round}");
        for event in events {
            if let Event::LeaseGranted { worker, .. } = event {
                *workers.entry(worker).or_default() += 1;
            }
        }
    }
    assert!(workers.len() == 6 && workers.values().sum::<u32>() > 60, "{workers:?}");
}
