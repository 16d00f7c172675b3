//! Networks for tests: keys from small numbers, real sockets on the loopback, real files.

#![allow(dead_code, reason = "each test binary uses a part")]

use inferium_chain::{Pace, ValidatorHandle, ValidatorSetup, deal, free_loopback, start_validators};
use inferium_types::{
    Amount, Genesis, GenesisNode, NodeId, Parameters, SecretKey, SignedTransaction, Transaction, TransactionBody,
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A secret key from a number.
pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

/// A network that can be started again and again on the same directory.
pub(crate) struct TestNetwork {
    pub genesis: Arc<Genesis>,
    pub keys: Vec<SecretKey>,
    pub shares: Vec<Vec<u8>>,
    pub directory: PathBuf,
    pub pace: Pace,
}

/// Who holds the money.
pub(crate) fn rich() -> SecretKey {
    key(100)
}

impl TestNetwork {
    pub(crate) fn new(name: &str, validators: u8) -> Self {
        let mut keys: Vec<SecretKey> = (1..=validators).map(key).collect();
        keys.sort_by_key(SecretKey::public_key);
        let nodes: Vec<NodeId> = keys.iter().map(SecretKey::public_key).collect();
        let dealing = deal(rand_chacha(7), &nodes).unwrap();
        let mut operators: Vec<SecretKey> = (0..validators).map(|i| key(50 + i)).collect();
        operators.sort_by_key(SecretKey::public_key);
        let genesis = Genesis {
            name: "test".into(),
            timestamp_ms: 1,
            group: dealing.group,
            sharing: dealing.sharing,
            parameters: Parameters::devnet(validators.into()),
            accounts: vec![(rich().public_key(), Amount::from_ifr(1_000_000))],
            operators: operators.iter().map(|key| (key.public_key(), Amount::from_ifr(100))).collect(),
            validators: nodes
                .iter()
                .zip(&operators)
                .map(|(node, operator)| GenesisNode {
                    node: *node,
                    operator: operator.public_key(),
                    stake: Amount::from_ifr(50_000),
                    url: "http://localhost/".into(),
                })
                .collect(),
        };
        let directory = std::env::temp_dir().join(format!("inferium-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let pace = Pace { idle_ms: 200, busy_ms: 20 };
        Self { genesis: Arc::new(genesis), keys, shares: dealing.shares, directory, pace }
    }

    pub(crate) async fn start(&self) -> Vec<ValidatorHandle> {
        let addresses = free_loopback(self.keys.len()).unwrap();
        let peers: Vec<(NodeId, SocketAddr)> = self.keys.iter().map(SecretKey::public_key).zip(addresses).collect();
        let setups = self
            .keys
            .iter()
            .zip(&self.shares)
            .zip(&peers)
            .enumerate()
            .map(|(position, ((key, share), (_, listen)))| ValidatorSetup {
                name: format!("validator-{position}"),
                secret_key: key.clone(),
                share: share.clone(),
                genesis: Arc::clone(&self.genesis),
                peers: peers.clone(),
                listen: *listen,
                directory: self.directory.clone(),
                pace: self.pace,
            })
            .collect();
        start_validators(setups).await.unwrap()
    }

    pub(crate) fn transfer(&self, from: &SecretKey, nonce: u64, to: &SecretKey, ifr: u64) -> SignedTransaction {
        let body = TransactionBody::Transfer { to: to.public_key(), amount: Amount::from_ifr(ifr) };
        Transaction { chain: self.genesis.chain(), sender: from.public_key(), nonce, body }.sign(from)
    }
}

impl Drop for TestNetwork {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn rand_chacha(seed: u64) -> impl rand_core::CryptoRng {
    commonware_utils::TestRng::new(seed)
}

/// Waits until `handle` has finalised `height`.
pub(crate) async fn reach(handle: &ValidatorHandle, height: u64) {
    let mut head = handle.head();
    tokio::time::timeout(Duration::from_secs(60), head.wait_for(|head| head.height >= height))
        .await
        .unwrap_or_else(|_| panic!("stuck at {:?} on the way to {height}", handle.head().borrow().height))
        .unwrap();
}

/// Waits until `handle` has finalised the first `count` transactions of [`rich`].
pub(crate) async fn has_taken(handle: &ValidatorHandle, count: u64) {
    // The subscription comes first: no block passes between the look and the wait.
    let mut head = handle.head();
    let taken = head.wait_for(|_| handle.state().next_nonce(&rich().public_key()) >= count);
    let waited = async {
        tokio::select! {
            taken = taken => { taken.unwrap(); }
            fatal = handle.fatal() => panic!("consensus ended: {fatal:?}"),
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waited)
        .await
        .unwrap_or_else(|_| panic!("{} of {count} taken", handle.state().next_nonce(&rich().public_key())));
}

/// Bytes below a directory.
pub(crate) fn size_of(directory: &Path) -> u64 {
    std::fs::read_dir(directory)
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| {
                    let meta = entry.metadata().unwrap();
                    if meta.is_dir() { size_of(&entry.path()) } else { meta.len() }
                })
                .sum()
        })
        .unwrap_or(0)
}
