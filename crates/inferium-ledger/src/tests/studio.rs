//! A chain on which agents are published, hosted and run: `w0` and `w1` host, `x0` creates, `g0` asks.

use super::support::*;
use crate::{Run, SegmentState};
use inferium_types::{
    AccountId, AgentId, AgentLimits, AgentSpend, AgentTerms, Amount, Digest, Event, JobLeaf, JobTotals, LeaseId,
    MerklePath, ModelProfile, OfferTerms, Parameters, Price, ProfileId, Recipients, RunCall, RunTerms, SegmentId,
    SegmentTerms, SpendOrder, SpendingPolicy, TaskId, TransactionBody, merkle_path, merkle_root, step_request,
    step_result,
};

/// Price of a run; nano-IFR. Odd, so that parts of it round.
pub(super) const RUN_PRICE: u64 = 1_000_003;
/// What hosts ask for at least.
pub(super) const HOST_PRICE: u64 = 1_000_000;
/// What one day is; milliseconds.
pub(super) const DAY_MS: u64 = 86_400_000;

pub(super) fn host_profile() -> ProfileId {
    ModelProfile::host().id()
}

pub(super) const fn nano(nano: u64) -> Amount {
    Amount::from_nano(nano)
}

/// May pay `x1` and `x2` 100 in each run and 250 a day.
pub(super) fn policy() -> SpendingPolicy {
    SpendingPolicy {
        per_run: nano(100),
        per_day: nano(250),
        recipients: listed(&["x1", "x2"]),
        expires_at_ms: u64::MAX,
    }
}

pub(super) fn listed(names: &[&str]) -> Recipients {
    let mut accounts: Vec<AccountId> = names.iter().map(|name| id(name)).collect();
    accounts.sort();
    Recipients::Listed(accounts)
}

pub(super) fn agent_terms() -> AgentTerms {
    AgentTerms {
        manifest: Digest::sha256(b"a manifest"),
        model: profile(),
        price: nano(RUN_PRICE),
        limits: AgentLimits { steps: 8, tokens: 40_000, tool_calls: 16, run_ms: 300_000 },
        policy: policy(),
    }
}

pub(super) fn publish(name: &str, terms: AgentTerms) -> TransactionBody {
    TransactionBody::PublishAgent { name: name.to_owned(), terms }
}

pub(super) fn agent(creator: &str, name: &str) -> AgentId {
    AgentId::of_creator(&id(creator), name)
}

/// The agent of most tests.
pub(super) fn helper() -> AgentId {
    agent("x0", "helper")
}

/// A run of an agent whose terms are [`agent_terms`], but for the policy.
pub(super) fn run_terms(agent: AgentId) -> RunTerms {
    let version = agent_terms().version_digest();
    RunTerms { agent, version, input: Digest::sha256(b"an input"), open_ms: 60_000 }
}

pub(super) fn hosting(slots: u32, price: u64) -> TransactionBody {
    let price = Price { prompt_token: Amount::ZERO, completion_token: nano(price) };
    TransactionBody::SetOffer {
        profile: host_profile(),
        terms: OfferTerms { slots, price, context_tokens: 0, batches: false },
    }
}

/// Hosts, but no agent yet; transactions cost nothing.
pub(super) fn hosts() -> Chain {
    hosts_of(4, feeless(4))
}

pub(super) fn hosts_of(validators: u32, parameters: Parameters) -> Chain {
    let mut chain = Chain::with(validators, parameters).furnished(2);
    for index in 0..validators {
        chain.ok(&format!("v{index}"), TransactionBody::DeclareProfile { profile: ModelProfile::host() });
    }
    chain.ok("w0", hosting(4, HOST_PRICE));
    chain
}

/// With [`helper`], which has `1_000` to spend.
pub(super) fn studio() -> Chain {
    let mut chain = hosts();
    chain.ok("x0", publish("helper", agent_terms()));
    chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: nano(1_000) });
    chain
}

/// What an agent has to spend; nano-IFR.
pub(super) fn funds(chain: &Chain, agent: AgentId) -> u64 {
    chain.state.account(&agent.account()).balance.nano()
}

/// Opens a run; it is granted at once when somebody hosts.
pub(super) fn open_run(chain: &mut Chain, gateway: &str, terms: RunTerms) -> LeaseId {
    let transaction = chain.tx(gateway, TransactionBody::OpenRun { terms });
    let run = LeaseId::of_task(TaskId::new(transaction.id().digest()));
    let events = chain.block(&[transaction]);
    assert!(!events.iter().any(|event| matches!(event, Event::TransactionFailed { .. })), "{events:?}");
    run
}

/// The run, which is not over.
pub(super) fn run_of(chain: &Chain, run: LeaseId) -> &Run {
    chain.state.run(&run).unwrap()
}

/// A step with these calls.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) leaf: JobLeaf,
    pub(super) calls: Vec<RunCall>,
}

/// Step `index` of a run, which orders these spends after calls of a model and a tool.
pub(super) fn step(run: LeaseId, index: u32, orders: &[SpendOrder], is_answer: bool) -> Step {
    let salted = |what: &str| Digest::of("test-call", &[what.as_bytes(), &index.to_be_bytes()]);
    let mut calls = vec![
        RunCall::Model { leaf: salted("model") },
        RunCall::Tool { request: salted("request"), response: salted("response") },
    ];
    calls.extend(orders.iter().map(|order| RunCall::Spend { order: *order }));
    let request = step_request(run, index, &salted("before"), &Digest::sha256(b"an input"));
    let result = step_result(&request, salted("output"), &calls, is_answer);
    Step { leaf: JobLeaf { request, result }, calls }
}

/// A segment of a run with the steps in it.
#[derive(Clone)]
pub(super) struct Steps {
    pub(super) run: LeaseId,
    pub(super) index: u32,
    pub(super) steps: Vec<Step>,
}

impl Steps {
    pub(super) fn root(&self) -> Digest {
        merkle_root(&self.leaves())
    }

    fn leaves(&self) -> Vec<Digest> {
        self.steps.iter().map(|step| step.leaf.hash()).collect()
    }

    pub(super) fn terms(&self) -> SegmentTerms {
        let leaves: Vec<JobLeaf> = self.steps.iter().map(|step| step.leaf.clone()).collect();
        let totals = JobTotals::of(&leaves).unwrap();
        SegmentTerms { lease: self.run, index: self.index, totals, root: self.root() }
    }

    /// Cites the order at call `call` of step `step`.
    pub(super) fn cite(&self, step: usize, call: usize) -> AgentSpend {
        let of = &self.steps[step];
        let RunCall::Spend { order } = of.calls[call] else { panic!("an order") };
        let calls: Vec<Digest> = of.calls.iter().map(RunCall::hash).collect();
        AgentSpend {
            run: self.run,
            segment: self.index,
            step: of.leaf.clone(),
            step_path: merkle_path(&self.leaves(), step).unwrap(),
            order,
            call_path: merkle_path(&calls, call).unwrap(),
        }
    }
}

pub(super) fn spend(spend: AgentSpend) -> TransactionBody {
    TransactionBody::SpendAsAgent { spend: Box::new(spend) }
}

pub(super) fn pay(to: &str, amount: u64) -> SpendOrder {
    SpendOrder::Pay { to: id(to), amount: nano(amount) }
}

/// A path of one leaf.
pub(super) const fn alone() -> MerklePath {
    MerklePath { index: 0, count: 1, siblings: Vec::new() }
}

/// Commits the next segment of a run: one step for each list of orders; the last one gives the answer if there is one.
pub(super) fn commit_steps(chain: &mut Chain, run: LeaseId, orders: &[&[SpendOrder]], answers: bool) -> Steps {
    let lease = chain.state.lease(&run).unwrap();
    let (index, first, worker) = (lease.segments, lease.jobs, chain.name(&lease.worker));
    let count = orders.len();
    let steps = orders
        .iter()
        .enumerate()
        .map(|(at, orders)| step(run, first + u32::try_from(at).unwrap(), orders, answers && at + 1 == count));
    let steps = Steps { run, index, steps: steps.collect() };
    let commitment = chain.sign(steps.terms());
    chain.ok(&worker, TransactionBody::CommitSegment { commitment });
    steps
}

/// Draws and approves a segment of a run.
pub(super) fn approve_steps(chain: &mut Chain, steps: &Steps) -> SegmentId {
    let segment = SegmentId::of_lease(steps.run, steps.index);
    let members = chain.draw(segment);
    chain.vote(segment, &members, valid());
    segment
}

/// Runs blocks until a final segment is settled.
pub(super) fn settle(chain: &mut Chain, segment: SegmentId) {
    let SegmentState::Final { settles_at_ms, .. } = chain.state.segment(&segment).unwrap().state else {
        panic!("final")
    };
    chain.wait_until(settles_at_ms);
    assert!(chain.state.segment(&segment).is_none(), "settled");
}

/// Steps that were committed, approved and settled.
pub(super) fn settled(chain: &mut Chain, run: LeaseId, orders: &[&[SpendOrder]], answers: bool) -> Steps {
    let steps = commit_steps(chain, run, orders, answers);
    let segment = approve_steps(chain, &steps);
    settle(chain, segment);
    steps
}

/// A run of [`helper`] by `g0`, with one settled step that ordered this.
pub(super) fn ordered(chain: &mut Chain, orders: &[SpendOrder]) -> (LeaseId, Steps) {
    let version = chain.state.agent(&helper()).unwrap().terms.version_digest();
    let run = open_run(chain, "g0", RunTerms { version, ..run_terms(helper()) });
    let steps = settled(chain, run, &[orders], false);
    (run, steps)
}

/// Ends a run's lease and lets its time to spend go by.
pub(super) fn finish_run(chain: &mut Chain, run: LeaseId) {
    if chain.state.lease(&run).is_some_and(|lease| lease.state == crate::LeaseState::Active) {
        chain.ok("g0", TransactionBody::CloseLease { lease: run });
    }
    let drained_ms = chain.now_ms + chain.parameters().lease_drain_ms + BLOCK_MS;
    chain.wait_until(drained_ms);
    if let Some(ends_at_ms) = chain.state.run(&run).and_then(|run| run.ends_at_ms) {
        chain.wait_until(ends_at_ms);
    }
    assert!(chain.state.run(&run).is_none(), "the run is over");
}
