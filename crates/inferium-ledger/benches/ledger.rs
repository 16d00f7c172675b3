//! How fast the ledger applies transactions and matches tasks, on one core: `cargo bench -p inferium-ledger`.
//!
//! Transactions are signed and verified beforehand, as a mempool does; states are built from entries. Every figure is the
//! median of several runs. The one line that is only `N tx/s` is the mix of all kinds with 1,000 open tasks.

#![expect(
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a measurement, not the ledger: it times and prints"
)]

use inferium_ledger::{
    Ballot, BlockEnvironment, Capability, Executed, Lease, LeaseState, Listing, Member, Meta, Node, Offer, Operator,
    Phase, Profile, Proposal, ProposalState, Segment, SegmentState, Stage, State, StateKey, Task, execute, state_key,
};
use inferium_types::{
    AccountId, Amount, CapabilityReport, Digest, EngineClass, Event, Genesis, GroupKey, JobTotals, LeaseId,
    ModelProfile, ModelTask, NodeId, NodeRole, OfferTerms, Parameters, Ppm, Price, ProposalAction, ProposalTerms,
    SecretKey, SegmentId, SegmentTerms, TaskId, TaskKind, TaskTerms, Tier, Transaction, TransactionBody, VerdictVote,
    VerificationMode, VerifiedTransaction, VoteChoice, VrfPublicKey, encode,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

/// Transactions of one block: below both limits of a block.
const BATCH: usize = 1_500;
/// Workers, each with an account of its own, that send the transactions.
const SENDERS: usize = 1_000;
/// Transactions of each kind that are measured.
const COUNT: usize = 6_000;
/// Runs of which a figure is the median.
const RUNS: usize = 5;
/// Far beyond the run; milliseconds.
const LATER: u64 = 10_000_000_000;

type Outcome<T> = Result<T, Box<dyn Error>>;
type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(name: &str) -> Outcome<SecretKey> {
    Ok(SecretKey::from_bytes(*Digest::of("bench-key", &[name.as_bytes()]).as_bytes())?)
}

/// A name that nobody has the key of.
fn nobody(index: usize) -> NodeId {
    NodeId::from_bytes(*Digest::of("bench-nobody", &[&index.to_be_bytes()]).as_bytes())
}

fn profile() -> ModelProfile {
    ModelProfile {
        name: "bench".into(),
        task: ModelTask::Chat,
        weights_root: Digest::ZERO,
        tokenizer_hash: Digest::ZERO,
        template_hash: Digest::ZERO,
        engine: EngineClass::Canonical { build: Digest::ZERO, tier: "all".into() },
        sampler_version: 1,
        eos_tokens: vec![2],
    }
}

const fn price(nano: u64) -> Price {
    Price { prompt_token: Amount::from_nano(nano), completion_token: Amount::from_nano(nano) }
}

fn terms(nano: u64) -> TaskTerms {
    TaskTerms {
        kind: TaskKind::Inference,
        mode: VerificationMode::Exact,
        tier: Tier::Mid,
        profile: profile().id(),
        price_max: price(nano),
        jobs_max: 100,
        tokens_max: 100_000,
        slots: 1,
        context_tokens: 1_024,
        open_ms: 600_000,
        lease_ms: 3_600_000,
    }
}

fn capability() -> Capability {
    Capability {
        report: CapabilityReport {
            tier: Tier::Mid,
            cpu: "bench".into(),
            features: Vec::new(),
            cores: 2,
            memory_mib: 8_192,
            accelerators: Vec::new(),
        },
        profile: profile().id(),
        lease: None,
        score: 1_000,
        tier: Some(Tier::Mid),
        measured_at_ms: 0,
        call_due_ms: None,
        draw_at_ms: u64::MAX,
    }
}

/// A state in the making: entries, as a store would give them.
struct Draft {
    meta: Meta,
    entries: Entries,
}

fn put<T: borsh::BorshSerialize>(entries: &mut Entries, id: StateKey, value: &T) {
    entries.insert(state_key(&id), encode(value));
}

impl Draft {
    fn new() -> Self {
        let genesis = Genesis {
            name: "bench".into(),
            timestamp_ms: 1_000_000,
            group: GroupKey::from_bytes([7; 96]),
            sharing: Vec::new(),
            parameters: Parameters { forced_share: Ppm::new(0), ..Parameters::mainnet() },
            accounts: Vec::new(),
            operators: Vec::new(),
            validators: Vec::new(),
        };
        let state = State::genesis(&genesis);
        Self { meta: state.meta().clone(), entries: state.entries().into_iter().collect() }
    }

    fn put<T: borsh::BorshSerialize>(&mut self, id: StateKey, value: &T) {
        put(&mut self.entries, id, value);
    }

    /// A node with an operator of its own, and money.
    fn node(&mut self, id: NodeId, role: NodeRole, index: usize) {
        let operator = nobody(1_000_000 + index);
        self.put(StateKey::Operator(operator), &Operator { bond: Amount::from_ifr(100), barred: false });
        self.put(StateKey::Node(id), &Node::new(role, operator, Amount::from_ifr(100_000)));
        let account = inferium_ledger::Account { balance: Amount::from_ifr(10_000), nonce: 0 };
        self.put(StateKey::Account(id), &account);
    }

    /// A measured worker with an offer at this price.
    fn worker(&mut self, id: NodeId, index: usize, slots: u32, nano: u64) {
        self.node(id, NodeRole::Worker { vrf: VrfPublicKey::from_bytes([0; 96]) }, index);
        self.put(StateKey::Capability(id), &capability());
        self.meta.tiers[1] += 1;
        self.meta.speeds[9] += 1;
        let terms = OfferTerms { slots, price: price(nano), context_tokens: 4_096, batches: true };
        self.put(StateKey::Offer((profile().id(), id)), &Offer { terms, slots_used: 0, waits_from: 0 });
    }

    fn validators(&mut self, ids: &[NodeId]) {
        for (index, id) in ids.iter().enumerate() {
            self.node(*id, NodeRole::Validator { url: "http://validator.example".into() }, 900_000 + index);
        }
        let mut validators = ids.to_vec();
        validators.sort_unstable();
        let slashed = (0, Amount::ZERO);
        let entry = Profile {
            profile: profile(),
            validators,
            listing: Listing::Declared,
            slashed,
            draws: [0; 3],
            openings_spent: 0,
        };
        self.put(StateKey::Profile(profile().id()), &entry);
    }

    /// The state, with so many open tasks that pay `nano` each; they come one by one, as from a store.
    fn state(mut self, tasks: usize, gateway: NodeId, nano: impl Fn(usize) -> u64) -> Outcome<State> {
        let meta = self.meta.clone();
        self.put(StateKey::Meta, &meta);
        let tasks = (0..tasks).map(|index| {
            let id = TaskId::new(Digest::of("bench-task", &[&index.to_be_bytes()]));
            let opened = (0, u32::try_from(index).unwrap_or(u32::MAX));
            let (terms, escrow) = (terms(nano(index)), Amount::ZERO);
            let task = Task { requester: gateway, terms, escrow, opened, expires_at_ms: LATER };
            (state_key(&StateKey::Task(id)), encode(&task))
        });
        Ok(State::from_entries(self.entries.into_iter().chain(tasks))?)
    }
}

fn lease_of(index: usize) -> LeaseId {
    LeaseId::new(Digest::of("bench-lease", &[&index.to_be_bytes()]))
}

/// The keys that send.
struct Cast {
    workers: Vec<SecretKey>,
    gateway: SecretKey,
    validators: Vec<SecretKey>,
}

impl Cast {
    fn new() -> Outcome<Self> {
        let some = |prefix: &str, count: usize| -> Outcome<Vec<SecretKey>> {
            (0..count).map(|index| key(&format!("{prefix}{index}"))).collect()
        };
        Ok(Self { workers: some("w", SENDERS)?, gateway: key("g")?, validators: some("v", 4)? })
    }

    /// Everyone, one open proposal, leases, judged segments, and `tasks` open tasks that no offer is cheap enough for.
    fn state(&self, tasks: usize) -> Outcome<State> {
        let mut draft = Draft::new();
        let gateway = self.gateway.public_key();
        let validators: Vec<NodeId> = self.validators.iter().map(SecretKey::public_key).collect();
        draft.validators(&validators);
        for (index, worker) in self.workers.iter().enumerate() {
            draft.worker(worker.public_key(), index, 16, 2);
        }
        draft.node(gateway, NodeRole::Gateway { url: "http://gateway.example".into() }, 800_000);
        for index in 0..COUNT {
            let id = lease_of(index);
            let worker = self.workers[index % SENDERS].public_key();
            let member = validators[index % validators.len()];
            draft.put(StateKey::Lease(id), &lease(worker, gateway));
            let segment = segment(id, worker, gateway, member);
            draft.put(StateKey::Segment(segment.terms.id()), &segment);
        }
        let terms = ProposalTerms {
            title: "A title".into(),
            description: String::new(),
            action: ProposalAction::DelistProfile { profile: profile().id() },
        };
        let state = ProposalState::Voting { closes_at_ms: LATER };
        let deposit = Amount::ZERO;
        draft.put(StateKey::Proposal(0), &Proposal { terms, proposer: gateway, deposit, snapshot_epoch: 0, state });
        draft.meta.proposals = 1;
        draft.state(tasks, gateway, |_| 1)
    }

    /// The sender and body of transaction `index` of a kind.
    fn body(&self, kind: &str, index: usize) -> Outcome<(&SecretKey, TransactionBody)> {
        let worker = &self.workers[index % SENDERS];
        let node = worker.public_key();
        let amount = Amount::from_nano(1_000_000);
        Ok(match kind {
            "transfer" => (worker, TransactionBody::Transfer { to: nobody(index), amount }),
            "offer" => {
                let terms = OfferTerms { slots: 16, price: price(2), context_tokens: 4_096, batches: true };
                (worker, TransactionBody::SetOffer { profile: profile().id(), terms })
            }
            "open task" => (&self.gateway, TransactionBody::OpenTask { terms: terms(1) }),
            "close lease" => (&self.gateway, TransactionBody::CloseLease { lease: lease_of(index) }),
            "bond" => (worker, TransactionBody::Bond { node, amount }),
            "vote" => (worker, TransactionBody::Vote { proposal: 0, choice: VoteChoice::Yes }),
            "verdict" => {
                let segment = SegmentId::of_lease(lease_of(index), 0);
                let vote = VerdictVote::Valid { effort: Digest::ZERO };
                (
                    &self.validators[index % self.validators.len()],
                    TransactionBody::SubmitVerdict { segment, vote, salt: None },
                )
            }
            _ => return Err(format!("unknown kind {kind}").into()),
        })
    }

    /// Signed and verified; kinds take turns.
    fn transactions(&self, kinds: &[&str], count: usize) -> Outcome<Vec<VerifiedTransaction>> {
        let chain = Draft::new().meta.chain;
        let mut nonces: BTreeMap<AccountId, u64> = BTreeMap::new();
        let mut ready = Vec::new();
        for index in 0..count {
            // Each kind counts on its own: a lease is closed once.
            for kind in kinds {
                let (secret, body) = self.body(kind, index)?;
                let sender = secret.public_key();
                let nonce = nonces.entry(sender).or_default();
                ready.push(Transaction { chain, sender, nonce: *nonce, body }.sign(secret).verify(chain)?);
                *nonce += 1;
            }
        }
        Ok(ready)
    }
}

fn lease(worker: NodeId, gateway: NodeId) -> Lease {
    Lease {
        task: TaskId::new(Digest::ZERO),
        worker,
        gateway,
        terms: terms(2),
        price: price(2),
        beacon: Digest::ZERO,
        escrow: Amount::ZERO,
        reserved: Amount::ZERO,
        jobs: 10,
        tokens: 1_000,
        segments: 1,
        segments_pending: 1,
        spoiled: false,
        granted_height: 0,
        granted_ms: 0,
        segment_height: 0,
        expires_at_ms: LATER,
        state: LeaseState::Active,
    }
}

fn segment(lease: LeaseId, worker: NodeId, gateway: NodeId, member: NodeId) -> Segment {
    let totals = JobTotals { jobs: 10, prompt_tokens: 500, completion_tokens: 500 };
    Segment {
        terms: SegmentTerms { lease, index: 0, totals, root: Digest::ZERO },
        worker,
        gateway,
        profile: profile().id(),
        price: price(2),
        fee: Amount::from_nano(2_000),
        kind: TaskKind::Inference,
        replay_tokens: 0,
        elapsed_ms: 1_000,
        dispute: None,
        disputed: false,
        opening: inferium_ledger::Opening::NotOwed,
        state: SegmentState::Judging {
            members: vec![Member { validator: member, ballot: Ballot::Blank }],
            stage: Stage::Committee,
            phase: Phase::Committing,
            seed: Digest::ZERO,
            replay: Ppm::ONE,
            due_at_ms: LATER,
            due_at_height: 0,
        },
    }
}

fn next(state: &State, transactions: &[VerifiedTransaction]) -> Outcome<Executed> {
    let meta = state.meta();
    let environment = BlockEnvironment {
        height: meta.height + 1,
        view: meta.view + 1,
        timestamp_ms: meta.timestamp_ms + 100,
        proposer: nobody(0),
        seeds: Vec::new(),
    };
    Ok(execute(state, &environment, transactions)?)
}

/// Milliseconds to execute the transactions in full blocks. Each must have its effect.
fn run(state: &State, transactions: &[VerifiedTransaction]) -> Outcome<f64> {
    let mut full = state.clone();
    let start = Instant::now();
    for batch in transactions.chunks(BATCH) {
        let executed = next(&full, batch)?;
        if let Some(event) = executed.events.iter().find(|event| matches!(event, Event::TransactionFailed { .. })) {
            return Err(format!("{event:?}").into());
        }
        full = executed.state;
    }
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Milliseconds of so many empty blocks.
fn run_empty(state: &State, blocks: usize) -> Outcome<f64> {
    let mut empty = state.clone();
    let start = Instant::now();
    for _ in 0..blocks {
        empty = next(&empty, &[])?.state;
    }
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn median(mut once: impl FnMut() -> Outcome<f64>) -> Outcome<f64> {
    let mut runs = (0..RUNS).map(|_| once()).collect::<Outcome<Vec<f64>>>()?;
    runs.sort_by(f64::total_cmp);
    Ok(runs[RUNS / 2])
}

/// A number with its thousands apart.
fn spaced(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// How the offers of a matching differ.
#[derive(Clone, Copy, PartialEq)]
enum Offers {
    Equal,
    /// In price, and half of them are too dear for half of the tasks.
    Varied,
}

/// One block that matches `tasks` with as many offers as there are workers.
fn matching(workers: usize, tasks: usize, budget: u32, offers: Offers) -> Outcome<()> {
    let mut draft = Draft::new();
    let gateway = nobody(0);
    draft.validators(&[nobody(1), nobody(2), nobody(3)]);
    for index in 0..workers {
        let nano = if offers == Offers::Equal { 1 } else { 1 + index as u64 };
        draft.worker(nobody(10 + index), index, 1, nano);
    }
    draft.node(gateway, NodeRole::Gateway { url: "http://gateway.example".into() }, 800_000);
    let half = if offers == Offers::Equal { 1_000_000 } else { workers as u64 / 2 };
    draft.meta.parameters.queue_work_max = budget;
    let state = draft.state(tasks, gateway, |index| if index % 2 == 0 { half } else { 1_000_000 })?;
    let mut granted = 0;
    let spent = median(|| {
        let start = Instant::now();
        let executed = next(&state, &[])?;
        let spent = start.elapsed().as_secs_f64() * 1e3;
        granted = executed.events.iter().filter(|event| matches!(event, Event::LeaseGranted { .. })).count();
        Ok(spent)
    })?;
    let (workers, tasks, granted) = (spaced(workers), spaced(tasks), spaced(granted));
    let offers = if offers == Offers::Equal { "equal offers" } else { "offers of different prices" };
    println!("matching {tasks} tasks with {workers} workers in one block, {offers}: {spent:.1} ms, {granted} leases");
    Ok(())
}

fn main() -> Outcome<()> {
    const KINDS: [&str; 7] = ["transfer", "offer", "open task", "close lease", "bond", "vote", "verdict"];
    let cast = Cast::new()?;
    let mixed = cast.transactions(&KINDS, COUNT)?;
    let mut each = Vec::new();
    for kind in KINDS {
        each.push((kind, cast.transactions(&[kind], COUNT)?));
    }
    let mut costs = Vec::new();
    for open in [1_000, 10_000, 100_000, 1_000_000] {
        let state = cast.state(open)?;
        let cost_us = median(|| run(&state, &mixed))? * 1e3 / mixed.len() as f64;
        let blocks = COUNT / BATCH;
        let empty = median(|| run_empty(&state, blocks))?;
        println!("mixed, {} open tasks: {} tx/s", spaced(open), spaced((1e6 / cost_us) as usize));
        println!("  an empty block: {:.2} ms", empty / blocks as f64);
        for (kind, transactions) in &each {
            let spent = median(|| run(&state, transactions))?;
            println!(
                "  {kind}, without the block: {:.2} us",
                (spent - empty).max(0.0) * 1e3 / transactions.len() as f64
            );
        }
        costs.push(cost_us);
    }
    println!(
        "cost of a transaction with 1,000,000 open tasks against 1,000: x{:.2}",
        costs[costs.len() - 1] / costs[0]
    );
    for (workers, tasks) in [(100, 100), (1_000, 1_000), (10_000, 100)] {
        matching(workers, tasks, 100_000, Offers::Equal)?;
    }
    matching(10_000, 10_000, 100_000, Offers::Varied)?;
    matching(10_000, 10_000, 100_000, Offers::Equal)?;
    println!("{:.0} tx/s", 1e6 / costs[0]);
    Ok(())
}
