//! The real ledger in simulated time: keys by name, a queue of transactions, one block per step.

use inferium_ledger::{BlockEnvironment, Rejection, SegmentState, State, assemble};
use inferium_types::{
    AccountId, Amount, Digest, EngineClass, Event, Genesis, GenesisNode, GroupKey, ModelProfile, ModelTask, NodeId,
    Parameters, SecretKey, SeedSignature, SegmentId, Transaction, TransactionBody, VerdictVote,
};
use std::collections::BTreeMap;
use std::error::Error;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Time between blocks.
pub(crate) const BLOCK_MS: u64 = 5_000;
/// Transactions of one block: below both limits of a block.
const BATCH: usize = 1_200;

/// Numbers that look random and follow from the seed (`SplitMix64`).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        word % bound.max(1)
    }

    /// True in this many of a million cases.
    pub(crate) fn chance(&mut self, ppm: u64) -> bool {
        self.below(1_000_000) < ppm
    }
}

/// The chain.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) profile: ModelProfile,
    /// Transactions that were included, and those without effect by reason.
    pub(crate) included: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    keys: BTreeMap<AccountId, SecretKey>,
    queue: Vec<(AccountId, TransactionBody)>,
    /// What members committed to and have not shown (SPEC V2).
    hidden: BTreeMap<(SegmentId, NodeId), VerdictVote>,
    seed: u64,
}

/// What the chain begins with.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    pub(crate) keys: BTreeMap<AccountId, SecretKey>,
    pub(crate) accounts: BTreeMap<AccountId, Amount>,
    pub(crate) operators: BTreeMap<AccountId, Amount>,
    pub(crate) seats: BTreeMap<NodeId, (AccountId, Amount)>,
}

impl Beginning {
    /// The account called `name`, with `purse` to spend.
    pub(crate) fn account(&mut self, name: &str, purse: Amount) -> Outcome<AccountId> {
        let secret = SecretKey::from_bytes(*Digest::of("economy-key", &[name.as_bytes()]).as_bytes())?;
        let id = secret.public_key();
        self.keys.insert(id, secret);
        self.accounts.insert(id, purse);
        Ok(id)
    }
}

impl World {
    pub(crate) fn new(beginning: Beginning, seed: u64) -> Self {
        let profile = ModelProfile {
            name: "economy".into(),
            task: ModelTask::Chat,
            weights_root: Digest::ZERO,
            tokenizer_hash: Digest::ZERO,
            template_hash: Digest::ZERO,
            engine: EngineClass::Canonical { build: Digest::ZERO, tier: "all".into() },
            sampler_version: 1,
            eos_tokens: vec![2],
        };
        let validators = beginning.seats.into_iter().map(|(node, (operator, stake))| GenesisNode {
            node,
            operator,
            stake,
            url: "http://validator.example".into(),
        });
        let genesis = Genesis {
            name: "economy".into(),
            timestamp_ms: 1_000_000,
            group: GroupKey::from_bytes([7; 96]),
            sharing: Vec::new(),
            parameters: Parameters::mainnet(),
            accounts: beginning.accounts.into_iter().collect(),
            operators: beginning.operators.into_iter().collect(),
            validators: validators.collect(),
        };
        Self {
            state: State::genesis(&genesis),
            profile,
            included: 0,
            failures: BTreeMap::new(),
            keys: beginning.keys,
            queue: Vec::new(),
            hidden: BTreeMap::new(),
            seed,
        }
    }

    pub(crate) fn key(&self, id: &AccountId) -> Outcome<&SecretKey> {
        self.keys.get(id).ok_or_else(|| "no such key".into())
    }

    pub(crate) fn height(&self) -> u64 {
        self.state.height()
    }

    /// Puts a transaction into the next block that has room.
    pub(crate) fn send(&mut self, sender: AccountId, body: TransactionBody) {
        self.queue.push((sender, body));
    }

    /// Votes as the rules allow (SPEC V2): openly when every other seat is bound, else by a commitment.
    pub(crate) fn vote(&mut self, member: NodeId, segment: SegmentId, vote: VerdictVote) {
        let Some(SegmentState::Judging { members, seed, .. }) = self.state.segment(&segment).map(|entry| &entry.state)
        else {
            return;
        };
        if members.iter().all(|other| other.validator == member || other.ballot.is_bound()) {
            self.send(member, TransactionBody::SubmitVerdict { segment, vote, salt: None });
        } else {
            let commitment = vote.commitment(segment, seed, &member, &salt_of(&member));
            self.hidden.insert((segment, member), vote);
            self.send(member, TransactionBody::CommitVerdict { segment, commitment });
        }
    }

    /// Members that committed and have not shown their votes.
    pub(crate) fn hidden_members(&self, segment: SegmentId) -> Vec<NodeId> {
        self.hidden.keys().filter(|(of, _)| *of == segment).map(|(_, member)| *member).collect()
    }

    /// Shows what the member committed to.
    pub(crate) fn reveal(&mut self, segment: SegmentId, member: NodeId) {
        if let Some(vote) = self.hidden.remove(&(segment, member)) {
            let salt = Some(salt_of(&member));
            self.send(member, TransactionBody::SubmitVerdict { segment, vote, salt });
        }
    }

    /// Forgets what nobody waits for any more.
    pub(crate) fn forget_hidden(&mut self, segment: SegmentId) {
        self.hidden.retain(|(of, _), _| *of != segment);
    }

    /// Executes the next block, `wait_ms` after the last; its events.
    pub(crate) fn step(&mut self, wait_ms: u64) -> Outcome<Vec<Event>> {
        let meta = self.state.meta();
        let chain = meta.chain;
        let view = meta.view;
        let environment = BlockEnvironment {
            height: meta.height + 1,
            view: view + 1,
            timestamp_ms: meta.timestamp_ms + wait_ms,
            proposer: NodeId::from_bytes([0; 32]),
            seeds: vec![self.seed_of(view)],
        };
        let rest = self.queue.split_off(self.queue.len().min(BATCH));
        let mut batch = std::mem::replace(&mut self.queue, rest);
        batch.retain(|(sender, body)| self.is_timely(*sender, body));
        let mut nonces: BTreeMap<AccountId, u64> = BTreeMap::new();
        let (mut candidates, mut bodies) = (Vec::new(), BTreeMap::new());
        for (sender, body) in batch {
            let next = self.state.next_nonce(&sender);
            let nonce = nonces.entry(sender).or_insert(next);
            let transaction = Transaction { chain, sender, nonce: *nonce, body: body.clone() };
            *nonce += 1;
            let verified = transaction.sign(self.key(&sender)?).verify(chain)?;
            bodies.insert(verified.id(), (sender, body));
            candidates.push(verified);
        }
        let assembled = assemble(&self.state, &environment, candidates)?;
        // One that was refused leaves a gap in its sender's nonces: what followed is signed again.
        let again: Vec<_> = assembled
            .rejected
            .iter()
            .filter(|(_, why)| matches!(why, Rejection::NonceTooHigh { .. }))
            .filter_map(|(id, _)| bodies.remove(id))
            .collect();
        self.queue.splice(0..0, again);
        self.included += u64::try_from(assembled.transactions.len())?;
        self.state = assembled.executed.state;
        for event in &assembled.executed.events {
            if let Event::TransactionFailed { reason, .. } = event {
                *self.failures.entry(reason.clone()).or_default() += 1;
            }
        }
        Ok(assembled.executed.events)
    }

    /// False for a verdict that nobody waits for any more.
    fn is_timely(&self, sender: AccountId, body: &TransactionBody) -> bool {
        let (TransactionBody::SubmitVerdict { segment, .. } | TransactionBody::CommitVerdict { segment, .. }) = body
        else {
            return true;
        };
        self.state.segment(segment).is_some_and(|segment| match &segment.state {
            SegmentState::Judging { members, .. } => {
                members.iter().any(|member| member.validator == sender && member.ballot.vote().is_none())
            }
            SegmentState::AwaitingSeed { .. } | SegmentState::Final { .. } => false,
        })
    }

    fn seed_of(&self, view: u64) -> SeedSignature {
        let mut signature = [0u8; 48];
        let digest = Digest::of("economy-seed", &[&self.seed.to_be_bytes(), &view.to_be_bytes()]);
        signature[..32].copy_from_slice(digest.as_bytes());
        SeedSignature { view, signature }
    }
}

/// Nobody guesses it here: agents look at no salts.
fn salt_of(member: &NodeId) -> Digest {
    Digest::of("economy-salt", &[member.as_bytes()])
}
