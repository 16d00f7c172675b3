//! A host, and its gateway, that try everything with an agent's account: random orders, replays, citations of what was not
//! ordered, is not settled or is another run's, sums in parts, hires, changes of the policy in between (SPEC A3).
//!
//! The oracle keeps its own books from what the creator published and what steps ordered, and never asks the ledger what
//! it allows: it only sees what was paid.

use super::studio::*;
use super::support::*;
use inferium_types::{
    AccountId, AgentSpend, AgentTerms, Digest, Event, LeaseId, Recipients, RunCall, SpendOrder, SpendingPolicy,
    TransactionBody, VerdictVote, VerifiedTransaction,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What the agent has to spend; nano-IFR.
const GIVEN: u64 = 5_000_000;

/// One thing that the host tries; numbers choose what.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    kind: u8,
    run: u8,
    step: u8,
    call: u8,
    much: u8,
}

/// What has been seen of the agent, by the books of nobody but the test.
#[derive(Default)]
struct Books {
    /// Each policy that was published, and from when to when it could be in force; milliseconds.
    policies: Vec<(SpendingPolicy, u64, u64)>,
    /// When each run was opened.
    opened_ms: BTreeMap<LeaseId, u64>,
    /// Orders of settled steps.
    ordered: BTreeMap<(LeaseId, (u32, u64, u64)), SpendOrder>,
    cited: BTreeSet<(LeaseId, (u32, u64, u64))>,
    of_run: BTreeMap<LeaseId, u64>,
    of_day: BTreeMap<u64, u64>,
    /// Runs of which a segment was rejected.
    over: BTreeSet<LeaseId>,
    /// What each hired run locked.
    hired: BTreeMap<LeaseId, u64>,
    paid: usize,
}

impl Books {
    /// True when some policy that could be in force at one time allows a spend at another that brings the sums to this.
    fn allows(&self, (at_ms, now_ms): (u64, u64), to: &AccountId, of_run: u64, of_day: u64) -> bool {
        self.policies.iter().any(|(policy, from_ms, until_ms)| {
            let recipient = match &policy.recipients {
                Recipients::Nobody => false,
                Recipients::Listed(accounts) => accounts.contains(to),
                Recipients::Anybody => true,
            };
            let in_time = *from_ms <= at_ms && at_ms < *until_ms && now_ms < policy.expires_at_ms;
            recipient && in_time && of_run <= policy.per_run.nano() && of_day <= policy.per_day.nano()
        })
    }

    /// Checks a payment that the chain tells of.
    fn check(&mut self, event: &Event, now_ms: u64) {
        let Event::AgentSpent { run, agent, citation, to, amount, hired } = event else { return };
        assert_eq!(*agent, helper());
        assert!(!self.over.contains(run), "nothing is spent of a run that is over");
        self.hired.extend(hired.map(|hired| (hired, amount.nano())));
        let order = self.ordered.get(&(*run, *citation)).expect("only settled orders are spent");
        assert_eq!(order.recipient(), *to, "whom the step ordered to pay");
        if let SpendOrder::Pay { amount: ordered, .. } = order {
            assert_eq!(ordered, amount, "what the step ordered to pay");
        }
        assert!(self.cited.insert((*run, *citation)), "each order is spent once");
        let of_run = self.of_run.entry(*run).or_default();
        *of_run += amount.nano();
        let of_day = self.of_day.entry(now_ms / DAY_MS).or_default();
        *of_day += amount.nano();
        let (of_run, of_day) = (*of_run, *of_day);
        assert!(self.allows((now_ms, now_ms), to, of_run, of_day), "a policy in force now allows it");
        // Pinned is all of it: also when it ends.
        let opened_ms = self.opened_ms[run];
        assert!(self.allows((opened_ms, now_ms), to, of_run, of_day), "so does one that the run could pin");
        self.paid += 1;
    }

    /// What these events took from the account, and what came back to it of runs that it hired.
    fn flows(&self, events: &[Event]) -> (u64, u64) {
        let (mut out, mut back) = (0, 0);
        for event in events {
            match event {
                Event::AgentSpent { amount, .. } => out += amount.nano(),
                Event::TaskExpired { task, .. } => back += self.hired.get(&LeaseId::of_task(*task)).unwrap_or(&0),
                Event::LeaseClosed { lease, refund, .. } if self.hired.contains_key(lease) => back += refund.nano(),
                Event::RunPaid { to_payer, payer, .. } if *payer == helper().account() => back += to_payer.nano(),
                _ => {}
            }
        }
        (out, back)
    }
}

struct Greed {
    chain: Chain,
    books: Books,
    runs: Vec<LeaseId>,
    settled: Vec<Steps>,
    /// All that was ever sent, to be sent again.
    sent: Vec<AgentSpend>,
}

/// The policies that the creator changes between; each allows something that another does not.
fn policies() -> [SpendingPolicy; 4] {
    let clerk = agent("x4", "clerk").account();
    let mut both = vec![id("x1"), clerk];
    both.sort();
    [
        policy(),
        SpendingPolicy { per_run: nano(60), per_day: nano(90), recipients: listed(&["x1"]), expires_at_ms: u64::MAX },
        SpendingPolicy {
            per_run: nano(2_000_000),
            per_day: nano(3_000_000),
            recipients: Recipients::Listed(both),
            expires_at_ms: u64::MAX,
        },
        SpendingPolicy {
            per_run: nano(30),
            per_day: nano(500),
            recipients: Recipients::Anybody,
            expires_at_ms: 900_000_000,
        },
    ]
}

impl Greed {
    fn new(policy: usize) -> Self {
        let parameters = inferium_types::Parameters { run_spend_ms: 2 * DAY_MS, ..feeless(4) };
        let mut chain = hosts_of(4, parameters);
        chain.ok("w0", hosting(4_096, HOST_PRICE));
        let first = policies()[policy].clone();
        chain.ok("x0", publish("helper", AgentTerms { policy: first.clone(), ..agent_terms() }));
        chain.ok("x4", publish("clerk", AgentTerms { policy: SpendingPolicy::NOTHING, ..agent_terms() }));
        chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: nano(GIVEN) });
        let books = Books { policies: vec![(first, 0, u64::MAX)], ..Books::default() };
        Self { chain, books, runs: Vec::new(), settled: Vec::new(), sent: Vec::new() }
    }

    fn order(attempt: Attempt) -> SpendOrder {
        let much = u64::from(attempt.much % 70);
        match attempt.call % 6 {
            0 | 1 => pay("x1", much),
            2 => pay("x2", much),
            3 => pay("x3", much),
            4 => SpendOrder::Pay { to: helper().account(), amount: nano(much) },
            _ => SpendOrder::Hire { run: run_terms(agent("x4", "clerk")) },
        }
    }

    /// A run with settled steps, as an honest committee sees them.
    fn run(&mut self, attempt: Attempt) {
        let run = open_run(&mut self.chain, "g0", run_terms(helper()));
        self.books.opened_ms.insert(run, self.chain.now_ms);
        let orders: Vec<SpendOrder> = (0..3u8)
            .map(|at| {
                Self::order(Attempt { call: attempt.call.wrapping_add(at), much: attempt.much ^ (at * 37), ..attempt })
            })
            .collect();
        let steps = settled(&mut self.chain, run, &[&orders[..2], &orders[2..]], false);
        for (at, step) in steps.steps.iter().enumerate() {
            for (call, of) in step.calls.iter().enumerate() {
                if let RunCall::Spend { order } = of {
                    let citation = (steps.index, u64::try_from(at).unwrap(), u64::try_from(call).unwrap());
                    self.books.ordered.insert((run, citation), *order);
                }
            }
        }
        self.runs.push(run);
        self.settled.push(steps);
    }

    /// What was ordered, or something like it.
    fn spend(&self, attempt: Attempt) -> Option<AgentSpend> {
        let nth = |count: usize, by: u8| (count > 0).then(|| usize::from(by) % count);
        // Mostly of late runs: the caps of old ones are used up.
        let back = nth(self.settled.len(), attempt.run % 8)?;
        let steps = &self.settled[self.settled.len() - 1 - back];
        let step = nth(steps.steps.len(), attempt.step)?;
        let orders: Vec<usize> = (2..steps.steps[step].calls.len()).collect();
        let mut spend = steps.cite(step, orders[nth(orders.len(), attempt.call)?]);
        match attempt.kind % 24 {
            0 => spend.order = Self::order(attempt),
            1 => spend.run = self.runs[nth(self.runs.len(), attempt.much)?],
            2 => spend.call_path.index = u64::from(attempt.much % 8),
            3 => spend.step_path.index = u64::from(attempt.much % 4),
            4 => spend.segment = u32::from(attempt.much % 3),
            5 => spend.step.result.evidence_root = RunCall::Spend { order: spend.order }.hash(),
            6 => spend.call_path.siblings.reverse(),
            7 => spend = self.sent[nth(self.sent.len(), attempt.much)?].clone(),
            8 => {
                // A step that was never committed, with whatever order.
                let made_up = step_of(spend.run, Self::order(attempt));
                spend = AgentSpend { segment: spend.segment, ..made_up };
            }
            _ => {}
        }
        Some(spend)
    }

    fn change(&mut self, attempt: Attempt) {
        let next = policies()[usize::from(attempt.much) % 4].clone();
        let terms = AgentTerms { policy: next.clone(), ..agent_terms() };
        let events = self.block("x0", TransactionBody::UpdateAgent { agent: helper(), terms });
        if events.iter().any(|event| matches!(event, Event::AgentUpdated { .. })) {
            let (now_ms, epoch_ms) = (self.chain.now_ms, self.chain.parameters().epoch_ms);
            // At once only what both allow; the rest an epoch later. Whatever waited before is off.
            let before: Vec<SpendingPolicy> = self.in_force(now_ms);
            for (_, from_ms, until_ms) in &mut self.books.policies {
                *until_ms = (*until_ms).min(now_ms).max(*from_ms);
            }
            for old in before {
                self.books.policies.push((old.meet(&next), now_ms, u64::MAX));
            }
            self.books.policies.push((next, now_ms + epoch_ms, u64::MAX));
        }
    }

    fn in_force(&self, at_ms: u64) -> Vec<SpendingPolicy> {
        let in_force =
            self.books.policies.iter().filter(|(_, from_ms, until_ms)| *from_ms <= at_ms && at_ms < *until_ms);
        in_force.map(|(policy, ..)| policy.clone()).collect()
    }

    fn block(&mut self, sender: &str, body: TransactionBody) -> Vec<Event> {
        let transaction: VerifiedTransaction = self.chain.tx(sender, body);
        let before = funds(&self.chain, helper());
        let events = self.chain.block(&[transaction]);
        let now_ms = self.chain.now_ms;
        for event in &events {
            self.books.check(event, now_ms);
        }
        // To the nano-IFR: nothing leaves the account but spends that the chain tells of, or comes but what it gives back.
        let (out, back) = self.books.flows(&events);
        assert_eq!(funds(&self.chain, helper()) + out, before + back);
        events
    }

    /// A step whose evidence the host keeps back: its run is over.
    fn withhold(&mut self, attempt: Attempt) {
        let Some(run) = self.runs.last().copied() else { return };
        if self.chain.state.lease(&run).is_none_or(|lease| lease.state != crate::LeaseState::Active) {
            return;
        }
        let segment = commit_steps(&mut self.chain, run, &[&[Self::order(attempt)]], false).terms().id();
        self.chain.draw(segment);
        self.chain.vote_rest(segment, VerdictVote::Unavailable);
        self.books.over.insert(run);
    }

    /// What the account has is what it was given, less what the chain told of all along.
    fn balances(&self) -> bool {
        let (out, back) = self.books.flows(&self.chain.history);
        funds(&self.chain, helper()) + out == GIVEN + back
    }

    fn try_it(&mut self, attempt: Attempt) {
        match attempt.kind {
            0..20 => self.run(attempt),
            20..28 => self.change(attempt),
            28..34 => {
                self.chain.wait_until(self.chain.now_ms + 1_000 * (1 + u64::from(attempt.much)));
            }
            34..38 => {
                let midnight_ms = DAY_MS * (self.chain.now_ms / DAY_MS + 1);
                if midnight_ms - BLOCK_MS > self.chain.now_ms {
                    self.chain.block_at(midnight_ms - BLOCK_MS);
                }
            }
            38..44 => self.withhold(attempt),
            _ => {
                let Some(cited) = self.spend(attempt) else { return };
                self.sent.push(cited.clone());
                let sender = ["w0", "g0", "w0", "x1"][usize::from(attempt.step) % 4];
                self.block(sender, spend(cited));
            }
        }
    }
}

/// A step that nobody committed, which orders this.
fn step_of(run: LeaseId, order: SpendOrder) -> AgentSpend {
    Steps { run, index: 0, steps: vec![step(run, 0, &[order], false)] }.cite(0, 2)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a host tries, each order is paid once, as it was ordered, within the policies, and nothing else leaves the
    /// account.
    #[test]
    fn host_never_gets_more_than_the_policy_allows(
        attempts in prop::collection::vec(any::<(u8, u8, u8, u8, u8)>(), 40..80),
    ) {
        let mut greed = Greed::new(attempts.len() % 4);
        greed.run(Attempt { kind: 0, run: 0, step: 0, call: 0, much: 33 });
        for (kind, run, step, call, much) in attempts {
            greed.try_it(Attempt { kind, run, step, call, much });
        }
        let sums = greed.books.of_run.values().sum::<u64>();
        prop_assert_eq!(sums, greed.books.of_day.values().sum::<u64>());
        prop_assert!(greed.balances());
    }
}

/// The test of the test: among what hosts try there is much that is paid, hires among it, and much that is not.
#[test]
fn much_of_what_is_tried_is_paid_and_much_is_not() {
    let mut greed = Greed::new(2);
    greed.run(Attempt { kind: 0, run: 0, step: 0, call: 5, much: 33 });
    let mut tried = 0;
    for round in 0..600u32 {
        let dice = Digest::of("test-greed", &[&round.to_be_bytes()]);
        let [kind, run, step, call, much, ..] = *dice.as_bytes();
        tried += u32::from(kind >= 44);
        greed.try_it(Attempt { kind, run, step, call, much });
    }
    let hires = greed.chain.history.iter().filter(|event| matches!(event, Event::AgentSpent { hired: Some(_), .. }));
    let (paid, hires, over) = (greed.books.paid, hires.count(), greed.books.over.len());
    assert!(
        paid >= 15 && hires >= 1 && over >= 2 && tried >= 400,
        "{paid} paid, {hires} hires, {over} over, of {tried}"
    );
    assert!(greed.balances());
}
