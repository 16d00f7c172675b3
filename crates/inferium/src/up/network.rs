//! The network in a data folder: its genesis and the keys of everyone in it.

use crate::cli::Failure;
use crate::home::{DataDir, unix_ms};
use inferium_chain::deal;
use inferium_types::{
    Amount, Genesis, GenesisNode, InvalidParameter, NetworkKey, NodeId, Parameters, SecretKey, decode, encode,
};
use std::sync::Arc;

/// The encoded genesis.
const GENESIS_FILE: &str = "genesis.bin";
/// Stake of each validator of a new network.
const VALIDATOR_STAKE: Amount = Amount::from_ifr(100_000);
const OPERATOR_BOND: Amount = Amount::from_ifr(1_000);
/// What the faucet of a new network holds: it funds workers, gateways and accounts.
const FAUCET: Amount = Amount::from_ifr(10_000_000);
/// What the test account holds.
const ACCOUNT: Amount = Amount::from_ifr(10_000);

/// A network's genesis and secrets.
pub(crate) struct Network {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) validators: Vec<SecretKey>,
    pub(crate) shares: Vec<Vec<u8>>,
    /// Funds nodes of the devnet.
    pub(crate) faucet: SecretKey,
    /// The test account.
    pub(crate) account: SecretKey,
}

impl Network {
    pub(crate) fn key(&self) -> NetworkKey {
        self.genesis.network_key()
    }

    /// The network in the folder, or a new one.
    pub(crate) fn load_or_create(data: &DataDir, validators: u32, changes: &[(String, u64)]) -> Result<Self, Failure> {
        match data.load(GENESIS_FILE)? {
            Some(_) if !changes.is_empty() => Err(Failure::usage(
                "--set is for a new network: this one changes by vote (`inferium gov propose`), or start over with --fresh",
            )),
            Some(bytes) => Self::load(data, &bytes, validators),
            None => Self::create(data, validators, changes),
        }
    }

    fn load(data: &DataDir, bytes: &[u8], validators: u32) -> Result<Self, Failure> {
        let genesis: Genesis = decode(bytes).map_err(|e| Failure::failed(format!("{GENESIS_FILE} is damaged: {e}")))?;
        let count = genesis.validators.len();
        if u32::try_from(count) != Ok(validators) {
            return Err(Failure::usage(format!(
                "the network in {} has {count} validators, not {validators}; say --validators {count}, or start over with --fresh",
                data.path().display()
            )));
        }
        let keys = validator_keys(data, count)?;
        let shares = (0..count).map(|index| share(data, index)).collect::<Result<_, _>>()?;
        Self::with(data, genesis, keys, shares)
    }

    fn create(data: &DataDir, validators: u32, changes: &[(String, u64)]) -> Result<Self, Failure> {
        let parameters = parameters(validators, changes)?;
        let count = usize::try_from(validators).unwrap_or(usize::MAX);
        let keys = validator_keys(data, count)?;
        let nodes: Vec<NodeId> = keys.iter().map(SecretKey::public_key).collect();
        let dealing = deal(rand::rng(), &nodes).map_err(|e| Failure::failed(e.to_string()))?;
        for (index, share) in dealing.shares.iter().enumerate() {
            data.folder("keys")?;
            data.save(&share_file(index), share)?;
        }
        let (faucet, account) = (data.key("faucet")?, data.key("account")?);
        let mut operators = Vec::new();
        let mut seats = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let operator = data.key(&format!("operator-validator-{index}"))?.public_key();
            operators.push((operator, OPERATOR_BOND));
            // The port is chosen when it starts; it then says so on the chain.
            seats.push(GenesisNode { node: *node, operator, stake: VALIDATOR_STAKE, url: "http://127.0.0.1:0".into() });
        }
        // A validator pays fees for what is no duty, such as declaring a profile.
        let mut accounts: Vec<(NodeId, Amount)> = nodes.iter().map(|node| (*node, Amount::from_ifr(100))).collect();
        accounts.extend([(faucet.public_key(), FAUCET), (account.public_key(), ACCOUNT)]);
        accounts.sort_unstable();
        operators.sort_unstable();
        seats.sort_by_key(|seat| seat.node);
        let genesis = Genesis {
            name: "devnet".into(),
            timestamp_ms: unix_ms(),
            group: dealing.group,
            sharing: dealing.sharing,
            parameters,
            accounts,
            operators,
            validators: seats,
        };
        data.save(GENESIS_FILE, &encode(&genesis))?;
        Self::with(data, genesis, keys, dealing.shares)
    }

    fn with(
        data: &DataDir,
        genesis: Genesis,
        validators: Vec<SecretKey>,
        shares: Vec<Vec<u8>>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            genesis: Arc::new(genesis),
            validators,
            shares,
            faucet: data.key("faucet")?,
            account: data.key("account")?,
        })
    }
}

/// A devnet's parameters with these changes, within the bounds that no vote can leave either (SPEC G3).
fn parameters(validators: u32, changes: &[(String, u64)]) -> Result<Parameters, Failure> {
    let devnet = Ok(Parameters::devnet(validators));
    let changed = changes
        .iter()
        .fold(devnet, |parameters: Result<Parameters, InvalidParameter>, (name, value)| parameters?.with(name, *value));
    let parameters = changed.and_then(|parameters| parameters.check().map(|()| parameters));
    parameters.map_err(|error| Failure::usage(error.to_string()))
}

fn validator_keys(data: &DataDir, count: usize) -> Result<Vec<SecretKey>, Failure> {
    (0..count).map(|index| data.key(&format!("validator-{index}"))).collect()
}

fn share_file(index: usize) -> String {
    format!("keys/validator-{index}.share")
}

fn share(data: &DataDir, index: usize) -> Result<Vec<u8>, Failure> {
    let name = share_file(index);
    data.load(&name)?.ok_or_else(|| Failure::failed(format!("{name} is missing: without it the validator can't sign")))
}
