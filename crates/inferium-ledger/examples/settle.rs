//! How fast the ledger takes segments from commitment to settlement, without consensus, disk or network:
//! `cargo run --release -p inferium-ledger --example settle -- [SEGMENTS]`.
//!
//! Prints seconds of execution per phase for segments of 1, 10 and 100 jobs. Transactions are signed and
//! verified beforehand, as a mempool does; the two signatures over a segment are verified in its block.

#![expect(
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a measurement, not the ledger: it times and prints"
)]

use inferium_ledger::{Ballot, BlockEnvironment, Member, SegmentState, State, execute};
use inferium_types::{
    AccountId, Amount, CapabilityReport, Digest, EngineClass, Event, Genesis, GenesisNode, GroupKey, JobTotals,
    LeaseId, ModelProfile, ModelTask, NodeRole, OfferTerms, Parameters, Price, SecretKey, SeedSignature,
    SegmentCommitment, SegmentTerms, TaskId, TaskKind, TaskTerms, Tier, Transaction, TransactionBody, VerdictVote,
    VerificationMode, VerifiedTransaction, VrfSecretKey,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

const PRICE: Price = Price { prompt_token: Amount::from_nano(1), completion_token: Amount::from_nano(1) };
/// Transactions of one block: below both limits of a block.
const BATCH: usize = 1_500;
/// Slots, and so leases, of one worker.
const LEASES_PER_WORKER: usize = 50;

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Chain {
    state: State,
    keys: BTreeMap<AccountId, SecretKey>,
    nonces: BTreeMap<AccountId, u64>,
    spent: Duration,
}

fn key(name: &str) -> Outcome<SecretKey> {
    Ok(SecretKey::from_bytes(*Digest::of("bench-key", &[name.as_bytes()]).as_bytes())?)
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

impl Chain {
    fn new(workers: usize) -> Outcome<Self> {
        let mut keys = BTreeMap::new();
        // What is measured is settlement; openings are a transaction for many segments.
        let parameters = Parameters { forced_share: inferium_types::Ppm::new(0), ..Parameters::devnet(4) };
        let (mut accounts, mut operators, mut validators) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..4 {
            let (node, operator) = (key(&format!("v{index}"))?, key(&format!("ov{index}"))?);
            operators.push((operator.public_key(), parameters.operator_bond_min));
            accounts.push((node.public_key(), Amount::from_ifr(10)));
            validators.push(GenesisNode {
                node: node.public_key(),
                operator: operator.public_key(),
                stake: parameters.validator_stake_min,
                url: "http://validator.example".into(),
            });
            keys.insert(node.public_key(), node);
        }
        for name in std::iter::once("g".to_owned()).chain((0..workers).map(|index| format!("w{index}"))) {
            for name in [format!("o{name}"), name] {
                let secret = key(&name)?;
                accounts.push((secret.public_key(), Amount::from_ifr(200_000)));
                keys.insert(secret.public_key(), secret);
            }
        }
        accounts.sort();
        operators.sort();
        validators.sort_by_key(|seat| seat.node);
        let genesis = Genesis {
            name: "bench".into(),
            timestamp_ms: 1_000_000,
            group: GroupKey::from_bytes([7; 96]),
            sharing: Vec::new(),
            parameters,
            accounts,
            operators,
            validators,
        };
        Ok(Self { state: State::genesis(&genesis), keys, nonces: BTreeMap::new(), spent: Duration::ZERO })
    }

    fn sign(&mut self, sender: AccountId, body: TransactionBody) -> Outcome<VerifiedTransaction> {
        let chain = self.state.meta().chain;
        let next = self.state.next_nonce(&sender);
        let nonce = self.nonces.entry(sender).or_insert(next);
        let transaction = Transaction { chain, sender, nonce: *nonce, body };
        *nonce += 1;
        let secret = self.keys.get(&sender).ok_or("no such key")?;
        Ok(transaction.sign(secret).verify(chain)?)
    }

    /// Executes one block, `wait_ms` after the last.
    fn block(&mut self, transactions: &[VerifiedTransaction], wait_ms: u64) -> Outcome<()> {
        let meta = self.state.meta();
        let environment = BlockEnvironment {
            height: meta.height + 1,
            view: meta.view + 1,
            timestamp_ms: meta.timestamp_ms + wait_ms,
            proposer: *self.keys.keys().next().ok_or("no keys")?,
            seeds: vec![SeedSignature { view: meta.view, signature: [u8::try_from(meta.view % 251)?; 48] }],
        };
        let started = Instant::now();
        let executed = execute(&self.state, &environment, transactions)?;
        self.spent += started.elapsed();
        if let Some(failed) = executed.events.iter().find(|event| matches!(event, Event::TransactionFailed { .. })) {
            return Err(format!("{failed:?}").into());
        }
        self.state = executed.state;
        Ok(())
    }

    fn blocks(&mut self, transactions: &[VerifiedTransaction]) -> Outcome<()> {
        transactions.chunks(BATCH).try_for_each(|batch| self.block(batch, 100))
    }

    fn send(&mut self, sender: AccountId, body: TransactionBody) -> Outcome<()> {
        let transaction = self.sign(sender, body)?;
        self.block(&[transaction], 100)
    }

    fn register(&mut self, name: &str, role: NodeRole, stake: Amount) -> Outcome<AccountId> {
        let (node, operator) = (key(name)?.public_key(), key(&format!("o{name}"))?);
        self.send(operator.public_key(), TransactionBody::RegisterOperator { bond: Amount::from_ifr(100) })?;
        let operator_signature = Transaction::sign_as_operator(self.state.meta().chain, &node, &role, &operator);
        let body = TransactionBody::RegisterNode { role, operator: operator.public_key(), operator_signature, stake };
        self.send(node, body)?;
        Ok(node)
    }

    /// Seconds of execution since the last call.
    fn lap(&mut self) -> f64 {
        std::mem::take(&mut self.spent).as_secs_f64()
    }
}

/// A chain with `count` leases of one gateway.
fn leased(count: usize) -> Outcome<(Chain, Vec<LeaseId>)> {
    let workers = count.div_ceil(LEASES_PER_WORKER);
    let mut chain = Chain::new(workers)?;
    let validators: Vec<AccountId> = chain.state.nodes().map(|(id, _)| *id).collect();
    for validator in validators {
        chain.send(validator, TransactionBody::DeclareProfile { profile: profile() })?;
    }
    let url = "http://gateway.example".to_owned();
    let gateway = chain.register("g", NodeRole::Gateway { url }, Amount::from_ifr(1_000))?;
    for index in 0..workers {
        let name = format!("w{index}");
        let vrf = VrfSecretKey::from_entropy(*Digest::of("bench-vrf", &[name.as_bytes()]).as_bytes())?;
        let worker = chain.register(&name, NodeRole::Worker { vrf: vrf.public_key() }, Amount::from_ifr(100_000))?;
        let slots = u32::try_from(LEASES_PER_WORKER)?;
        let terms = OfferTerms { slots, price: PRICE, context_tokens: 4_096, batches: true };
        chain.send(worker, TransactionBody::SetOffer { profile: profile().id(), terms })?;
    }
    assess(&mut chain)?;
    let terms = TaskTerms {
        kind: TaskKind::Inference,
        mode: VerificationMode::Exact,
        tier: Tier::Mid,
        profile: profile().id(),
        price_max: PRICE,
        jobs_max: 1_000,
        tokens_max: 1_000_000,
        slots: 1,
        context_tokens: 1_024,
        open_ms: 600_000,
        lease_ms: 3_600_000,
    };
    let mut tasks = Vec::new();
    for _ in 0..count {
        tasks.push(chain.sign(gateway, TransactionBody::OpenTask { terms })?);
    }
    chain.blocks(&tasks)?;
    for _ in 0..8 {
        chain.block(&[], 100)?;
    }
    let leases: Vec<LeaseId> = tasks.iter().map(|task| LeaseId::of_task(TaskId::new(task.id().digest()))).collect();
    let granted = leases.iter().filter(|id| chain.state.lease(id).is_some()).count();
    if granted != count {
        return Err(format!("{granted} of {count} leases were granted").into());
    }
    Ok((chain, leases))
}

/// Has every worker measured, so that it may serve tier Mid (SPEC N2), and waits until that is paid.
fn assess(chain: &mut Chain) -> Outcome<()> {
    let workers: Vec<AccountId> = chain.state.nodes().filter(|(_, node)| node.is_worker()).map(|(id, _)| *id).collect();
    let report = CapabilityReport {
        tier: Tier::Mid,
        cpu: "bench".into(),
        features: Vec::new(),
        cores: 1,
        memory_mib: 1_024,
        accelerators: Vec::new(),
    };
    let mut requests = Vec::new();
    for worker in &workers {
        let body = TransactionBody::OpenAssessment { profile: profile().id(), report: report.clone() };
        requests.push(chain.sign(*worker, body)?);
    }
    chain.blocks(&requests)?;
    let leases: Vec<LeaseId> = chain.state.leases().map(|(id, _)| *id).collect();
    let commits = commitments(chain, &leases, 100)?;
    chain.blocks(&commits)?;
    for _ in 0..3 {
        chain.block(&[], 100)?;
    }
    judge(chain)?;
    chain.block(&[], 30_000)?;
    while chain.state.segments().count() > 0 {
        chain.block(&[], 100)?;
    }
    let measured = chain.state.meta().tiers.iter().sum::<u32>();
    if usize::try_from(measured)? != workers.len() {
        return Err(format!("{measured} of {} workers were measured", workers.len()).into());
    }
    Ok(())
}

fn commitments(chain: &mut Chain, leases: &[LeaseId], jobs: u32) -> Outcome<Vec<VerifiedTransaction>> {
    let mut commits = Vec::new();
    for id in leases {
        let lease = *chain.state.lease(id).ok_or("no lease")?;
        let totals = JobTotals { jobs, prompt_tokens: u64::from(jobs) * 5, completion_tokens: u64::from(jobs) * 5 };
        let terms = SegmentTerms { lease: *id, index: lease.segments, totals, root: Digest::of("root", &[]) };
        let commitment = SegmentCommitment {
            terms,
            worker_signature: terms.sign_as_worker(chain.keys.get(&lease.worker).ok_or("no worker")?),
            gateway_signature: terms.sign_as_gateway(chain.keys.get(&lease.gateway).ok_or("no gateway")?),
        };
        commits.push(chain.sign(lease.worker, TransactionBody::CommitSegment { commitment })?);
    }
    Ok(commits)
}

/// What members owe now: all but the last of a committee commit, the last votes openly, and then the others show
/// their votes (SPEC V2).
fn verdicts(chain: &mut Chain) -> Outcome<Vec<VerifiedTransaction>> {
    let vote = VerdictVote::Valid { effort: Digest::ZERO };
    let salt = Digest::ZERO;
    let mut owed = Vec::new();
    for (id, entry) in chain.state.segments() {
        let (segment, SegmentState::Judging { members, seed, .. }) = (*id, &entry.state) else { continue };
        let blank = members.iter().filter(|member| !member.ballot.is_bound()).count();
        let mut seen = 0;
        for Member { validator, ballot } in members {
            let body = match ballot {
                Ballot::Given { .. } => continue,
                Ballot::Committed { .. } if blank > 0 => continue,
                Ballot::Committed { .. } => TransactionBody::SubmitVerdict { segment, vote, salt: Some(salt) },
                Ballot::Blank => {
                    seen += 1;
                    let commitment = vote.commitment(segment, seed, validator, &salt);
                    if seen == blank {
                        TransactionBody::SubmitVerdict { segment, vote, salt: None }
                    } else {
                        TransactionBody::CommitVerdict { segment, commitment }
                    }
                }
            };
            owed.push((*validator, body));
        }
    }
    owed.into_iter().map(|(member, body)| chain.sign(member, body)).collect()
}

/// All members vote and show it; how many transactions that takes.
fn judge(chain: &mut Chain) -> Outcome<usize> {
    let mut count = 0;
    for _ in 0..2 {
        let owed = verdicts(chain)?;
        chain.blocks(&owed)?;
        count += owed.len();
    }
    Ok(count)
}

/// Jobs that the chain has settled, by its workers' records.
fn settled(chain: &Chain) -> u64 {
    chain.keys.keys().map(|worker| chain.state.record(*worker, profile().id()).jobs()).sum()
}

/// One segment of `jobs` jobs in each lease, from commitment to settlement.
fn measure(chain: &mut Chain, leases: &[LeaseId], jobs: u32) -> Outcome<()> {
    let before = settled(chain);
    let commits = commitments(chain, leases, jobs)?;
    chain.lap();
    chain.blocks(&commits)?;
    let commit = chain.lap();
    for _ in 0..3 {
        chain.block(&[], 100)?;
    }
    let draw = chain.lap();
    let votes = judge(chain)?;
    let judge = chain.lap();
    chain.block(&[], 30_000)?;
    while chain.state.segments().count() > 0 {
        chain.block(&[], 100)?;
    }
    let settle = chain.lap();
    chain.state.audit()?;
    let found = settled(chain) - before;
    if found != u64::from(jobs) * u64::try_from(leases.len())? {
        return Err(format!("{found} jobs were settled").into());
    }
    let all = f64::from(jobs) * leases.len() as f64;
    println!(
        "{} segments of {jobs} jobs: commit {commit:.3} s, draw {draw:.3} s, {} verdicts {judge:.3} s, settle \
         {settle:.3} s; {:.0} jobs/s from ready segments, {:.0} jobs/s from commitment on",
        leases.len(),
        votes,
        all / settle,
        all / (commit + draw + judge + settle)
    );
    Ok(())
}

fn main() -> Outcome<()> {
    let count = std::env::args().nth(1).map_or(Ok(2_000), |text| text.parse())?;
    let (mut chain, leases) = leased(count)?;
    for jobs in [1, 10, 100] {
        measure(&mut chain, &leases, jobs)?;
    }
    Ok(())
}
