//! A chain of blocks over the ledger alone: keys by name, time and views by count, every general
//! claim checked after every block.

use crate::entries::{Capability, Record};
use crate::{Ballot, BlockEnvironment, Executed, InvalidBlock, Phase, Rejection, State, assemble, execute};
use inferium_types::{
    AccountId, Amount, CapabilityReport, Digest, EngineClass, Event, Genesis, GenesisNode, GroupKey, JobFault,
    JobTotals, LeaseId, ModelProfile, ModelTask, NodeId, NodeRole, OfferTerms, Parameters, Ppm, Price, ProfileId,
    ProposalAction, ProposalOutcome, ProposalTerms, SecretKey, SeedSignature, SegmentCommitment, SegmentId,
    SegmentTerms, TaskId, TaskKind, TaskTerms, Tier, Transaction, TransactionBody, VerdictVote, VerificationMode,
    VerifiedTransaction, VoteChoice, VrfSecretKey,
};
use std::collections::BTreeMap;

mod taking_back;
mod whole;

pub(super) use whole::{assert_looked_at_whole_by_two, assert_wrong_result_is_slashed, is_paid};

/// Time of the genesis.
pub(super) const START_MS: u64 = 1_000_000;
/// Time between blocks.
pub(super) const BLOCK_MS: u64 = 1_000;

/// What everyone starts with, operators' bonds and stakes aside.
pub(super) const PURSE: Amount = Amount::from_ifr(100_000);

pub(super) const PRICE: Price =
    Price { prompt_token: Amount::from_nano(1_000), completion_token: Amount::from_nano(2_000) };

/// The key called `name`.
pub(super) fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(*Digest::of("test-key", &[name.as_bytes()]).as_bytes()).unwrap()
}

/// The account or node called `name`.
pub(super) fn id(name: &str) -> NodeId {
    key(name).public_key()
}

/// Whoever answers for the node called `name`.
pub(super) fn operator_of(name: &str) -> String {
    format!("operator of {name}")
}

pub(super) fn vrf(name: &str) -> VrfSecretKey {
    VrfSecretKey::from_entropy(*Digest::of("test-vrf", &[name.as_bytes()]).as_bytes()).unwrap()
}

pub(super) fn worker_role(name: &str) -> NodeRole {
    NodeRole::Worker { vrf: vrf(name).public_key() }
}

pub(super) fn gateway_role() -> NodeRole {
    NodeRole::Gateway { url: "http://gateway.example".into() }
}

pub(super) fn validator_role() -> NodeRole {
    NodeRole::Validator { url: "http://validator.example".into() }
}

pub(super) fn model(name: &str) -> ModelProfile {
    ModelProfile {
        name: name.into(),
        task: ModelTask::Chat,
        weights_root: Digest::of("weights", &[name.as_bytes()]),
        tokenizer_hash: Digest::ZERO,
        template_hash: Digest::ZERO,
        engine: EngineClass::Canonical { build: Digest::ZERO, tier: "scalar".into() },
        sampler_version: 1,
        eos_tokens: vec![2],
    }
}

pub(super) fn profile() -> ProfileId {
    model("model").id()
}

/// A task of 100 jobs and 100,000 tokens on one slot for ten minutes.
pub(super) fn task_terms() -> TaskTerms {
    TaskTerms {
        kind: TaskKind::Inference,
        mode: VerificationMode::Exact,
        tier: Tier::Mid,
        profile: profile(),
        price_max: PRICE,
        jobs_max: 100,
        tokens_max: 100_000,
        slots: 1,
        context_tokens: 1_024,
        open_ms: 60_000,
        lease_ms: 600_000,
    }
}

/// A record that was brought up to date at no time: far in the past it would be gone.
pub(super) const fn record_of(jobs: u64, tokens: u64, failures: u64) -> Record {
    Record {
        jobs_micro: jobs * 1_000_000,
        tokens_micro: tokens * 1_000_000,
        failures_micro: failures * 1_000_000,
        updated_ms: u64::MAX,
    }
}

/// What a worker says of its machine: it wants `tier` at most.
pub(super) fn report(tier: Tier) -> CapabilityReport {
    CapabilityReport {
        tier,
        cpu: "test".into(),
        features: vec!["avx2".into()],
        cores: 2,
        memory_mib: 8_192,
        accelerators: Vec::new(),
    }
}

pub(super) fn offer(slots: u32) -> TransactionBody {
    TransactionBody::SetOffer {
        profile: profile(),
        terms: OfferTerms { slots, price: PRICE, context_tokens: 4_096, batches: true },
    }
}

/// Stake for a node, own or delegated; nano-IFR.
pub(super) fn bond(node: &str, nano: u64) -> TransactionBody {
    TransactionBody::Bond { node: id(node), amount: Amount::from_nano(nano) }
}

/// Takes stake back; nano-IFR.
pub(super) fn unbond(node: &str, nano: u64) -> TransactionBody {
    TransactionBody::Unbond { node: id(node), amount: Amount::from_nano(nano) }
}

/// One IFR in nano-IFR.
pub(super) const IFR: u64 = inferium_types::NANO_PER_IFR;

/// A devnet on which no worker is ordered to plant anything: what does not test that needs no openings.
pub(super) fn devnet(validators: u32) -> Parameters {
    Parameters { forced_share: Ppm::new(0), ..Parameters::devnet(validators) }
}

/// A devnet on which transactions cost nothing, so that balances change by what is tested only.
pub(super) fn feeless(validators: u32) -> Parameters {
    Parameters { fee_base: Amount::ZERO, fee_per_byte: Amount::ZERO, ..devnet(validators) }
}

pub(super) fn seed(view: u64) -> SeedSignature {
    seed_of(view, "beacon")
}

/// One of many possible seeds of a view.
pub(super) fn seed_of(view: u64, world: &str) -> SeedSignature {
    let mut signature = [0u8; 48];
    let digest = Digest::of("test-seed", &[world.as_bytes(), &view.to_be_bytes()]);
    signature[..32].copy_from_slice(digest.as_bytes());
    SeedSignature { view, signature }
}

pub(super) fn valid() -> VerdictVote {
    VerdictVote::Valid { effort: Digest::ZERO }
}

/// An approval by a member that has not replayed.
pub(super) fn unseen() -> VerdictVote {
    VerdictVote::Valid { effort: Digest::sha256(b"not the replay's") }
}

pub(super) fn invalid() -> VerdictVote {
    VerdictVote::Invalid { job: 0, fault: JobFault::Token }
}

/// An open vote: every other seat must be bound.
pub(super) fn verdict(segment: SegmentId, vote: VerdictVote) -> TransactionBody {
    TransactionBody::SubmitVerdict { segment, vote, salt: None }
}

/// Salt of all that the member called `name` commits to.
pub(super) fn salt(name: &str) -> Digest {
    Digest::of("test-salt", &[name.as_bytes()])
}

/// Shows what a member committed to.
pub(super) fn reveal(segment: SegmentId, name: &str, vote: VerdictVote) -> TransactionBody {
    TransactionBody::SubmitVerdict { segment, vote, salt: Some(salt(name)) }
}

/// The balance that a fresh account of this name has in [`Chain::new`].
pub(super) fn totals(jobs: u32, prompt_tokens: u64, completion_tokens: u64) -> JobTotals {
    JobTotals { jobs, prompt_tokens, completion_tokens }
}

#[derive(Clone)]
pub(super) struct Chain {
    pub(super) state: State,
    /// Events of the last block.
    pub(super) events: Vec<Event>,
    /// Events of all blocks.
    pub(super) history: Vec<Event>,
    pub(super) now_ms: u64,
    pub(super) view: u64,
    pub(super) world: String,
    /// False withholds the seeds of past views.
    pub(super) carries_seeds: bool,
    /// What is leased.
    pub(super) model: ModelProfile,
    /// What members committed to and have not shown yet.
    hidden: BTreeMap<(SegmentId, String), VerdictVote>,
    names: BTreeMap<NodeId, String>,
}

impl Chain {
    /// Four validators; money for everyone.
    pub(super) fn new() -> Self {
        Self::with(4, devnet(4))
    }

    pub(super) fn with(validators: u32, parameters: Parameters) -> Self {
        let operators: Vec<String> = (0..validators).map(|index| operator_of(&format!("v{index}"))).collect();
        Self::seated(&operators, parameters)
    }

    /// With a validator for each of these operators, who may answer for several.
    pub(super) fn seated(seats_of: &[String], parameters: Parameters) -> Self {
        let mut names = BTreeMap::new();
        let mut seats = Vec::new();
        let mut operators = Vec::new();
        for (index, operator) in seats_of.iter().enumerate() {
            let name = format!("v{index}");
            names.insert(id(&name), name.clone());
            operators.push((id(operator), parameters.operator_bond_min));
            seats.push(GenesisNode {
                node: id(&name),
                operator: id(operator),
                stake: parameters.validator_stake_min,
                url: "http://validator.example".into(),
            });
        }
        seats.sort_by_key(|seat| seat.node);
        operators.sort();
        operators.dedup();
        let mut accounts = Vec::new();
        for index in 0..16 {
            for name in [format!("w{index}"), format!("g{index}"), format!("x{index}")] {
                accounts.push((id(&name), PURSE));
                accounts.push((id(&operator_of(&name)), PURSE));
                names.insert(id(&name), name);
            }
        }
        for index in 0..seats_of.len() {
            accounts.push((id(&format!("v{index}")), Amount::from_ifr(10)));
        }
        accounts.sort();
        let genesis = Genesis {
            name: "test".into(),
            timestamp_ms: START_MS,
            group: GroupKey::from_bytes([7; 96]),
            sharing: Vec::new(),
            parameters,
            accounts,
            operators,
            validators: seats,
        };
        let state = State::genesis(&genesis);
        state.audit().unwrap();
        Self {
            state,
            events: Vec::new(),
            history: Vec::new(),
            now_ms: START_MS,
            view: 0,
            world: "beacon".into(),
            carries_seeds: true,
            model: model("model"),
            hidden: BTreeMap::new(),
            names,
        }
    }

    /// With a profile that all validators replay, gateway `g0`, and workers `w0`..; the workers
    /// offer nothing yet.
    pub(super) fn ready(workers: u32) -> Self {
        Self::new().furnished(workers)
    }

    pub(super) fn furnished(mut self, workers: u32) -> Self {
        self.declare_all();
        for index in 0..workers {
            let name = format!("w{index}");
            self.register(&name, worker_role(&name), Amount::from_ifr(1_000));
        }
        self.register("g0", gateway_role(), Amount::from_ifr(1_000));
        self
    }

    pub(super) fn declare_all(&mut self) {
        let validators: Vec<NodeId> =
            self.state.nodes().filter(|(_, node)| node.is_validator()).map(|(id, _)| *id).collect();
        for validator in validators {
            let name = self.name(&validator);
            self.ok(&name, TransactionBody::DeclareProfile { profile: self.model.clone() });
        }
    }

    pub(super) fn profile(&self) -> ProfileId {
        self.model.id()
    }

    /// The usual task, of the profile that is leased.
    pub(super) fn terms(&self) -> TaskTerms {
        TaskTerms { profile: self.profile(), mode: self.model.engine.mode(), ..task_terms() }
    }

    pub(super) fn parameters(&self) -> &Parameters {
        &self.state.meta().parameters
    }

    pub(super) fn name(&self, node: &NodeId) -> String {
        self.names.get(node).cloned().unwrap()
    }

    /// A name for messages.
    pub(super) fn name_or_key(&self, account: &NodeId) -> String {
        self.names.get(account).cloned().unwrap_or_else(|| account.to_string())
    }

    pub(super) fn balance(&self, name: &str) -> u64 {
        self.state.account(&id(name)).balance.nano()
    }

    pub(super) fn stake(&self, name: &str) -> u64 {
        self.state.node(&id(name)).unwrap().stake.nano()
    }

    // Transactions.

    /// A transaction with the sender's next nonce.
    pub(super) fn tx(&self, sender: &str, body: TransactionBody) -> VerifiedTransaction {
        self.tx_after(sender, 0, body)
    }

    /// A transaction that follows `ahead` others of its sender.
    pub(super) fn tx_after(&self, sender: &str, ahead: u64, body: TransactionBody) -> VerifiedTransaction {
        let secret = key(sender);
        let account: AccountId = secret.public_key();
        let chain = self.state.meta().chain;
        let nonce = self.state.next_nonce(&account) + ahead;
        Transaction { chain, sender: account, nonce, body }.sign(&secret).verify(chain).unwrap()
    }

    pub(super) fn registration(&self, name: &str, operator: &str, role: NodeRole, stake: Amount) -> TransactionBody {
        let chain = self.state.meta().chain;
        let operator_signature = Transaction::sign_as_operator(chain, &id(name), &role, &key(operator));
        TransactionBody::RegisterNode { role, operator: id(operator), operator_signature, stake }
    }

    pub(super) fn register(&mut self, name: &str, role: NodeRole, stake: Amount) {
        let operator = operator_of(name);
        if self.state.operator(&id(&operator)).is_none() {
            let bond = self.parameters().operator_bond_min;
            self.ok(&operator, TransactionBody::RegisterOperator { bond });
        }
        let is_worker = matches!(role, NodeRole::Worker { .. });
        let body = self.registration(name, &operator, role, stake);
        self.ok(name, body);
        if is_worker {
            self.set_measured(name, Tier::Mid, 1_000);
        }
    }

    /// As if the worker had been measured; it is never called again.
    pub(super) fn set_measured(&mut self, name: &str, tier: Tier, score: u64) {
        let capability = Capability {
            report: report(tier),
            profile: self.profile(),
            lease: None,
            score,
            tier: Some(tier),
            measured_at_ms: self.now_ms,
            call_due_ms: None,
            draw_at_ms: u64::MAX,
        };
        self.state.set_capability(id(name), capability);
    }

    /// Jobs, tokens and failures on record.
    pub(super) fn record(&self, worker: &str) -> (u64, u64, u64) {
        let record = self.state.record(id(worker), self.profile());
        (record.jobs(), record.tokens(), record.failures())
    }

    // Blocks.

    pub(super) fn environment(&self) -> BlockEnvironment {
        let seeds = if self.carries_seeds {
            (self.state.meta().view..=self.view).map(|view| seed_of(view, &self.world)).collect()
        } else {
            Vec::new()
        };
        BlockEnvironment {
            height: self.state.height() + 1,
            view: self.view + 1,
            timestamp_ms: self.now_ms + BLOCK_MS,
            proposer: id("v0"),
            seeds,
        }
    }

    /// Executes the next block, a second later.
    pub(super) fn block(&mut self, transactions: &[VerifiedTransaction]) -> Vec<Event> {
        let environment = self.environment();
        self.block_in(&environment, transactions).unwrap()
    }

    pub(super) fn block_in(
        &mut self,
        environment: &BlockEnvironment,
        transactions: &[VerifiedTransaction],
    ) -> Result<Vec<Event>, InvalidBlock> {
        let executed = execute(&self.state, environment, transactions)?;
        check_block(&self.state, environment, transactions, &executed);
        self.state = executed.state;
        self.view = environment.view;
        self.now_ms = environment.timestamp_ms;
        self.history.extend(executed.events.iter().cloned());
        self.events.clone_from(&executed.events);
        Ok(executed.events)
    }

    /// Like [`Chain::block_in`], and checks that money adds up, but no more: for very many blocks.
    pub(super) fn quick_block(&mut self, environment: &BlockEnvironment, transactions: &[VerifiedTransaction]) {
        let executed = execute(&self.state, environment, transactions).unwrap();
        executed.state.audit().unwrap();
        self.state = executed.state;
        self.view = environment.view;
        self.now_ms = environment.timestamp_ms;
        self.history.extend(executed.events);
    }

    pub(super) fn blocks(&mut self, count: u64) {
        for _ in 0..count {
            self.block(&[]);
        }
    }

    /// Empty blocks up to one at exactly this time, without a pause (SPEC C3); the last one's events.
    pub(super) fn wait_until(&mut self, timestamp_ms: u64) -> Vec<Event> {
        let step = self.parameters().pause_ms;
        while self.now_ms + step < timestamp_ms {
            self.block_at(self.now_ms + step);
        }
        self.block_at(timestamp_ms)
    }

    /// An empty block at exactly this time.
    pub(super) fn block_at(&mut self, timestamp_ms: u64) -> Vec<Event> {
        let mut environment = self.environment();
        environment.timestamp_ms = timestamp_ms;
        self.block_in(&environment, &[]).unwrap()
    }

    /// A block in which this transaction has its effect.
    pub(super) fn ok(&mut self, sender: &str, body: TransactionBody) -> Vec<Event> {
        let transaction = self.tx(sender, body);
        let events = self.block(&[transaction]);
        let failed = events.iter().find(|event| matches!(event, Event::TransactionFailed { .. }));
        assert_eq!(failed, None, "expected success");
        events
    }

    /// Checks that the transaction is refused for this reason, and that it changes nothing but,
    /// if it is no duty, its fee and nonce (SPEC M3). Leaves the chain where it was.
    pub(super) fn fails(&self, sender: &str, body: TransactionBody, expected: &Rejection) {
        let environment = self.environment();
        let is_duty = crate::money::is_duty(&body);
        let transaction = self.tx(sender, body);
        let without = execute(&self.state, &environment, &[]).unwrap();
        if is_duty {
            let refused = execute(&self.state, &environment, std::slice::from_ref(&transaction)).map(|_| ());
            assert_eq!(refused, Err(InvalidBlock::Transaction { index: 0, rejection: expected.clone() }));
            let assembled = assemble(&self.state, &environment, vec![transaction.clone()]).unwrap();
            assert_eq!(assembled.rejected, vec![(transaction.id(), expected.clone())]);
            assert!(assembled.transactions.is_empty());
            assert_eq!(assembled.executed.state, without.state);
            assert_eq!(assembled.executed.events, without.events);
            return;
        }
        let with = execute(&self.state, &environment, std::slice::from_ref(&transaction)).unwrap();
        check_block(&self.state, &environment, std::slice::from_ref(&transaction), &with);
        let reasons: Vec<&String> = with
            .events
            .iter()
            .filter_map(|event| match event {
                Event::TransactionFailed { transaction: of, reason } if *of == transaction.id() => Some(reason),
                _ => None,
            })
            .collect();
        assert_eq!(reasons, [&expected.to_string()]);
        let fee = fee_of(self.parameters(), &transaction);
        let mut paid = without.state;
        let account = paid.accounts.get_mut(&id(sender)).unwrap();
        account.balance = account.balance.sub(fee).unwrap();
        account.nonce += 1;
        let pool = paid.meta().validator_pool.add(fee).unwrap();
        paid.meta_mut().validator_pool = pool;
        assert_eq!(State::changes(&paid, &with.state), [], "only fee and nonce change");
    }

    // Flows.

    /// Proposes it, and has every validator that may vote say yes; runs until it has executed.
    pub(super) fn enact(&mut self, action: ProposalAction) -> ProposalOutcome {
        let number = self.state.meta().proposals;
        let proposal = ProposalTerms { title: "A title".into(), description: "Why.".into(), action };
        self.ok("x15", TransactionBody::Propose { proposal });
        let validators: Vec<String> = self
            .state
            .nodes()
            .filter(|(_, node)| node.is_validator() && !node.disqualified && !node.stake.is_zero())
            .map(|(id, _)| self.name(id))
            .collect();
        for name in validators {
            self.ok(&name, TransactionBody::Vote { proposal: number, choice: VoteChoice::Yes });
        }
        loop {
            match self.state.proposal(number).unwrap().state {
                crate::ProposalState::Voting { closes_at_ms } => self.wait_until(closes_at_ms),
                crate::ProposalState::Counting { .. } => self.block(&[]),
                crate::ProposalState::Passed { executes_at_ms, .. } => self.wait_until(executes_at_ms),
                crate::ProposalState::Ended { outcome, .. } => return outcome,
            };
        }
    }

    /// The first block of the next epoch; its events.
    pub(super) fn next_epoch(&mut self) -> Vec<Event> {
        let meta = self.state.meta();
        self.wait_until(meta.epoch_started_ms + meta.parameters.epoch_ms)
    }

    /// Opens the task and returns the lease it becomes, whether or not it has a worker yet.
    pub(super) fn open(&mut self, gateway: &str, terms: TaskTerms) -> (TaskId, LeaseId) {
        let transaction = self.tx(gateway, TransactionBody::OpenTask { terms });
        let task = TaskId::new(transaction.id().digest());
        let events = self.block(&[transaction]);
        assert!(!events.iter().any(|event| matches!(event, Event::TransactionFailed { .. })), "{events:?}");
        (task, LeaseId::of_task(task))
    }

    /// `w0` offers a slot, `g0` opens the usual task, and the lease is granted.
    pub(super) fn lease(&mut self) -> LeaseId {
        self.lease_of(self.terms())
    }

    pub(super) fn lease_of(&mut self, terms: TaskTerms) -> LeaseId {
        if self.state.offer(self.profile(), id("w0")).is_none() {
            let TransactionBody::SetOffer { terms, .. } = offer(8) else { panic!("an offer") };
            self.ok("w0", TransactionBody::SetOffer { profile: self.profile(), terms });
        }
        let (_, lease) = self.open("g0", terms);
        assert!(self.state.lease(&lease).is_some());
        lease
    }

    /// The next segment of a lease, signed by both sides.
    pub(super) fn segment(&self, lease: LeaseId, totals: JobTotals) -> SegmentCommitment {
        let index = self.state.lease(&lease).map_or(0, |lease| lease.segments);
        self.sign(SegmentTerms { lease, index, totals, root: Digest::of("root", &[&index.to_be_bytes()]) })
    }

    pub(super) fn sign(&self, terms: SegmentTerms) -> SegmentCommitment {
        let (worker, gateway) = self
            .state
            .lease(&terms.lease)
            .map_or(("w0".into(), "g0".into()), |lease| (self.name(&lease.worker), self.name(&lease.gateway)));
        SegmentCommitment {
            terms,
            worker_signature: terms.sign_as_worker(&key(&worker)),
            gateway_signature: terms.sign_as_gateway(&key(&gateway)),
        }
    }

    /// Commits the next segment of a lease.
    pub(super) fn commit(&mut self, lease: LeaseId, totals: JobTotals) -> SegmentId {
        let commitment = self.segment(lease, totals);
        let worker = self.name(&self.state.lease(&lease).unwrap().worker);
        self.ok(&worker, TransactionBody::CommitSegment { commitment });
        commitment.terms.id()
    }

    /// Runs blocks until the segment's committee is drawn; its members' names.
    pub(super) fn draw(&mut self, segment: SegmentId) -> Vec<String> {
        for _ in 0..4 {
            let members = self.committee(segment);
            if !members.is_empty() {
                return members;
            }
            self.block(&[]);
        }
        panic!("no committee was drawn");
    }

    /// Names of the members of a segment's committee.
    pub(super) fn committee(&self, segment: SegmentId) -> Vec<String> {
        match &self.state.segment(&segment).unwrap().state {
            crate::SegmentState::Judging { members, .. } => {
                members.iter().map(|member| self.name(&member.validator)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Binds the member called `name` to its vote.
    pub(super) fn commitment(&self, segment: SegmentId, name: &str, vote: VerdictVote) -> TransactionBody {
        let crate::SegmentState::Judging { seed, .. } = self.state.segment(&segment).unwrap().state else {
            panic!("judging")
        };
        let commitment = vote.commitment(segment, &seed, &id(name), &salt(name));
        TransactionBody::CommitVerdict { segment, commitment }
    }

    /// These members are bound to these votes, in one block: the last of all seats votes openly, the
    /// others commit.
    pub(super) fn bind(&mut self, segment: SegmentId, votes: &[(&str, VerdictVote)]) -> Vec<Event> {
        let blank = self.silent_members(segment).len();
        let mut transactions = Vec::new();
        for (index, (name, vote)) in votes.iter().enumerate() {
            let body = if index + 1 == blank {
                verdict(segment, *vote)
            } else {
                self.hidden.insert((segment, (*name).to_owned()), *vote);
                self.commitment(segment, name, *vote)
            };
            transactions.push(self.tx(name, body));
        }
        self.block(&transactions)
    }

    /// Transactions that show what is hidden, once that is possible.
    pub(super) fn reveals(&mut self, segment: SegmentId) -> Vec<VerifiedTransaction> {
        if self.phase(segment) != Some(Phase::Revealing) {
            return Vec::new();
        }
        let names = self.hidden_members(segment);
        let show = |name: &String| {
            let vote = self.hidden.get(&(segment, name.clone()))?;
            Some(self.tx(name, reveal(segment, name, *vote)))
        };
        names.iter().filter_map(show).collect()
    }

    /// Whoever committed shows its vote, if that is possible.
    pub(super) fn reveal(&mut self, segment: SegmentId) -> Vec<Event> {
        let transactions = self.reveals(segment);
        if transactions.is_empty() { Vec::new() } else { self.block(&transactions) }
    }

    /// As members vote: they are bound, and when all are they show their votes.
    pub(super) fn cast(&mut self, segment: SegmentId, votes: &[(&str, VerdictVote)]) -> Vec<Event> {
        let mut events = self.bind(segment, votes);
        events.extend(self.reveal(segment));
        events
    }

    /// All these members vote the same.
    pub(super) fn vote(&mut self, segment: SegmentId, members: &[String], vote: VerdictVote) -> Vec<Event> {
        let votes: Vec<(&str, VerdictVote)> = members.iter().map(|member| (member.as_str(), vote)).collect();
        self.cast(segment, &votes)
    }

    /// Everyone who has said nothing yet votes this, until the segment is decided.
    pub(super) fn vote_rest(&mut self, segment: SegmentId, vote: VerdictVote) {
        self.dissent(segment, "nobody", vote, vote);
    }

    /// `name` votes otherwise than all others, until the segment is decided.
    pub(super) fn dissent(&mut self, segment: SegmentId, name: &str, vote: VerdictVote, others: VerdictVote) {
        loop {
            let silent = self.silent_members(segment);
            if silent.is_empty() {
                return;
            }
            let votes: Vec<(&str, VerdictVote)> =
                silent.iter().map(|of| (of.as_str(), if of == name { vote } else { others })).collect();
            self.cast(segment, &votes);
        }
    }

    /// All these vote, and what is missing is the first one's transaction that shows its vote: it is
    /// not sent yet.
    pub(super) fn last_reveal(
        &mut self,
        segment: SegmentId,
        votes: &[(&str, VerdictVote)],
    ) -> (String, TransactionBody) {
        let (name, vote) = votes[0];
        if votes.len() == 1 {
            return (name.to_owned(), verdict(segment, vote));
        }
        self.bind(segment, votes);
        let mut transactions = self.reveals(segment);
        transactions.retain(|transaction| transaction.transaction().sender != id(name));
        if !transactions.is_empty() {
            self.block(&transactions);
        }
        (name.to_owned(), reveal(segment, name, vote))
    }

    /// What members may do now; `None` while there is no committee.
    pub(super) fn phase(&self, segment: SegmentId) -> Option<Phase> {
        match self.state.segment(&segment)?.state {
            crate::SegmentState::Judging { phase, .. } => Some(phase),
            _ => None,
        }
    }

    /// Commits, draws and approves a segment.
    pub(super) fn approve(&mut self, lease: LeaseId, totals: JobTotals) -> SegmentId {
        let segment = self.commit(lease, totals);
        let members = self.draw(segment);
        self.vote(segment, &members, valid());
        segment
    }

    /// Commits and convicts a segment: everyone who is asked votes it down.
    pub(super) fn convict(&mut self, lease: LeaseId, totals: JobTotals) -> SegmentId {
        let segment = self.commit(lease, totals);
        self.draw(segment);
        self.vote_rest(segment, invalid());
        segment
    }

    /// Members that have said nothing; none once the segment is decided.
    pub(super) fn silent_members(&self, segment: SegmentId) -> Vec<String> {
        self.members_with(segment, |ballot| matches!(ballot, Ballot::Blank))
    }

    /// Members that committed and have not shown their votes.
    pub(super) fn hidden_members(&self, segment: SegmentId) -> Vec<String> {
        self.members_with(segment, |ballot| matches!(ballot, Ballot::Committed { .. }))
    }

    fn members_with(&self, segment: SegmentId, wanted: fn(&Ballot) -> bool) -> Vec<String> {
        match self.state.segment(&segment).map(|segment| &segment.state) {
            Some(crate::SegmentState::Judging { members, .. }) => members
                .iter()
                .filter(|member| wanted(&member.ballot))
                .map(|member| self.name(&member.validator))
                .collect(),
            _ => Vec::new(),
        }
    }
}

pub(super) fn fee_of(parameters: &Parameters, transaction: &VerifiedTransaction) -> Amount {
    let size = u64::try_from(transaction.size()).unwrap();
    Amount::from_nano(parameters.fee_base.nano() + parameters.fee_per_byte.nano() * size)
}

/// What holds of every block: money adds up, executing again and assembling give the same, the
/// changes lead from the parent's entries to the child's, and the entries rebuild the state.
fn check_block(
    parent: &State,
    environment: &BlockEnvironment,
    transactions: &[VerifiedTransaction],
    executed: &Executed,
) {
    executed.state.audit().unwrap();
    let again = execute(parent, environment, transactions).unwrap();
    assert_eq!(again.state, executed.state);
    assert_eq!(again.events, executed.events);
    let assembled = assemble(parent, environment, transactions.to_vec()).unwrap();
    assert_eq!(assembled.transactions, transactions);
    assert_eq!(assembled.rejected, []);
    assert_eq!(assembled.executed.state, executed.state);
    assert_eq!(assembled.executed.events, executed.events);

    taking_back::check(parent, environment, transactions);

    let mut entries: BTreeMap<Vec<u8>, Vec<u8>> = parent.entries().into_iter().collect();
    for (key, value) in State::changes(parent, &executed.state) {
        match value {
            Some(value) => entries.insert(key, value),
            None => entries.remove(&key),
        };
    }
    assert_eq!(entries, executed.state.entries().into_iter().collect::<BTreeMap<_, _>>());
    assert_eq!(State::from_entries(entries).unwrap(), executed.state);
}
