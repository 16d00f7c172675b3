//! A network of validators for the simulator, with money moving all the time.

use commonware_cryptography::ed25519;
use commonware_glue::simulate::{
    engine::{EngineDefinition, InitContext},
    processed::ProcessedHeight,
    reporter::MonitorReporter,
};
use commonware_runtime::{Clock as _, Handle, Quota, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::{TestRng, channel::oneshot};
use inferium_chain::{
    Index, Pace, deal,
    simulation::{self, Seat, Simulated},
};
use inferium_types::{
    AccountId, Amount, ChainId, Genesis, GenesisNode, NodeId, Parameters, SecretKey, Transaction, TransactionBody,
};
use std::{sync::Arc, time::Duration};

/// How often each validator's client sends a transfer.
const TRANSFER_INTERVAL: Duration = Duration::from_millis(300);
/// Blocks that the simulated index keeps.
const RETENTION: u64 = 100_000;

/// A network: genesis, keys, and what of each validator outlives a crash besides its storage.
#[derive(Clone, Debug)]
pub struct Network {
    genesis: Arc<Genesis>,
    keys: Vec<SecretKey>,
    shares: Vec<Vec<u8>>,
    participants: Vec<ed25519::PublicKey>,
    indices: Vec<Index>,
    pace: Pace,
}

fn key(number: u8) -> SecretKey {
    // Any 32 bytes are a key.
    #[expect(clippy::expect_used, reason = "any 32 bytes are an ed25519 seed")]
    SecretKey::from_bytes([number; 32]).expect("32 bytes")
}

impl Network {
    /// A network of so many validators, each with a client that owns money.
    ///
    /// # Panics
    /// With no validators: there is nothing to simulate.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a scenario that can't be set up is a bug of the scenario")]
    pub fn new(validators: u8) -> Self {
        let mut keys: Vec<SecretKey> = (1..=validators).map(key).collect();
        keys.sort_by_key(SecretKey::public_key);
        let nodes: Vec<NodeId> = keys.iter().map(SecretKey::public_key).collect();
        let dealing = deal(TestRng::new(1), &nodes).expect("at least one validator");
        let mut clients: Vec<NodeId> = (0..validators).map(|number| client(number).public_key()).collect();
        clients.sort_unstable();
        let genesis = Arc::new(Genesis {
            name: "simulation".into(),
            timestamp_ms: 0,
            group: dealing.group,
            sharing: dealing.sharing,
            parameters: Parameters::devnet(validators.into()),
            accounts: clients.into_iter().map(|client| (client, Amount::from_ifr(1_000))).collect(),
            operators: vec![(key(200).public_key(), Amount::from_ifr(1_000))],
            validators: nodes
                .iter()
                .map(|node| GenesisNode {
                    node: *node,
                    operator: key(200).public_key(),
                    stake: Amount::from_ifr(50_000),
                    url: "http://localhost".into(),
                })
                .collect(),
        });
        let participants = simulation::participants(&genesis);
        let indices = keys.iter().map(|_| Index::in_memory(RETENTION).expect("memory")).collect();
        let pace = Pace { idle_ms: 500, busy_ms: 100 };
        Self { genesis, keys, shares: dealing.shares, participants, indices, pace }
    }

    /// The same network before its first block, for another run.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a database in memory can be made")]
    pub(crate) fn fresh(&self) -> Self {
        let indices = self.keys.iter().map(|_| Index::in_memory(RETENTION).expect("memory")).collect();
        Self { indices, ..self.clone() }
    }

    /// The validators' network keys, by position.
    #[must_use]
    pub fn participants(&self) -> &[ed25519::PublicKey] {
        &self.participants
    }
}

/// The key of validator `number`'s client.
fn client(number: u8) -> SecretKey {
    key(100u8.saturating_add(number))
}

/// A validator while it is simulated.
#[derive(Debug)]
pub struct Validator(pub(crate) Simulated);

impl ProcessedHeight for Validator {
    async fn processed_height(&self) -> u64 {
        self.0.acknowledged().await
    }
}

impl EngineDefinition for Network {
    type PublicKey = ed25519::PublicKey;
    type Engine = Handle<()>;
    type State = Validator;

    fn participants(&self) -> Vec<ed25519::PublicKey> {
        self.participants.clone()
    }

    fn channels(&self) -> Vec<(u64, Quota)> {
        simulation::channels()
    }

    fn max_message_size(&self) -> u32 {
        simulation::message_size_max(u32::try_from(self.keys.len()).unwrap_or(u32::MAX))
    }

    #[expect(clippy::expect_used, reason = "a validator that can't start fails the scenario")]
    async fn init(&self, context: InitContext<'_, ed25519::PublicKey>) -> (Handle<()>, Validator) {
        let InitContext { context: runtime, index: position, public_key, oracle, channels, monitor, .. } = context;
        let seat = Seat {
            genesis: Arc::clone(&self.genesis),
            secret_key: self.keys.get(position).expect("a key per validator").clone(),
            share: self.shares.get(position).expect("a share per validator").clone(),
            pace: self.pace,
            index: self.indices.get(position).expect("an index per validator").clone(),
        };
        let (peers, blocker) = (oracle.manager(), oracle.control(public_key.clone()));
        let reporter_key = public_key.clone();
        let chain = self.genesis.chain();
        let (from, to) = (client(u8::try_from(position).unwrap_or(0)), client(0).public_key());
        let (started, starting) = oneshot::channel();
        // One task above all others of this validator: a crash aborts it, and with it all of them.
        let engine = runtime.child("validator").spawn(move |runtime| async move {
            let clock = runtime.child("client");
            let name = format!("validator-{position}");
            let wrap = move |inner| MonitorReporter::new(reporter_key, monitor, inner);
            let (engine, validator) = simulation::start(runtime, name, seat, peers, blocker, channels, wrap)
                .await
                .expect("the validator starts");
            let sending = validator.clone();
            clock.spawn(move |clock| send_transfers(clock, sending, chain, from, to));
            let _ = started.send(validator);
            let _ = engine.await;
        });
        (engine, Validator(starting.await.expect("the validator starts")))
    }

    fn start(engine: Handle<()>) -> Handle<()> {
        engine
    }
}

/// Sends a transfer now and then, for ever.
async fn send_transfers(
    clock: deterministic::Context,
    validator: Simulated,
    chain: ChainId,
    from: SecretKey,
    to: AccountId,
) {
    loop {
        clock.sleep(TRANSFER_INTERVAL).await;
        let Some(state) = validator.state() else { continue };
        let nonce = state.next_nonce(&from.public_key());
        let body = TransactionBody::Transfer { to, amount: Amount::from_nano(1) };
        let transfer = Transaction { chain, sender: from.public_key(), nonce, body }.sign(&from);
        // It may wait there already.
        let _ = validator.submit(transfer);
    }
}
