//! Validators of the process: consensus, RPC and duties.

use super::Cheat;
use super::beside::Beside;
use super::engine::Served;
use super::network::Network;
use super::watch::{self, Failures};
use crate::cli::{Failure, UpArgs};
use crate::home::DataDir;
use inferium_chain::{Fatal, Pace, ValidatorHandle, ValidatorSetup, free_loopback, router, start_validators};
use inferium_types::{NodeId, SecretKey};
use inferium_validator::{Duties, DutiesConfig, ValidatorCrime, VerdictStore};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch::Sender;

/// Remembers the RPC ports, so that URLs on the chain stay right over restarts.
const PORTS_FILE: &str = "ports.json";

/// The running validators.
pub(crate) struct Validators {
    pub(crate) urls: Vec<String>,
    handles: Vec<ValidatorHandle>,
    stop: Sender<bool>,
    failures: Failures,
}

pub(crate) async fn start(
    data: &DataDir,
    network: &Network,
    (served, beside): (&[Served], &Beside),
    arguments: &UpArgs,
) -> Result<Validators, Failure> {
    let pace = Pace {
        idle_ms: arguments.idle_pace_ms.max(arguments.pace_ms.unwrap_or(0)),
        busy_ms: arguments.pace_ms.unwrap_or(Pace::default().busy_ms),
    };
    let directory = data.folder("chain")?;
    let addresses = free_loopback(network.validators.len())
        .map_err(|e| Failure::failed(format!("no port for a validator is free: {e}")))?;
    let peers: Vec<(NodeId, SocketAddr)> =
        network.validators.iter().map(SecretKey::public_key).zip(addresses).collect();
    let setups: Vec<ValidatorSetup> = network
        .validators
        .iter()
        .zip(&network.shares)
        .zip(&peers)
        .enumerate()
        .map(|(index, ((key, share), (_, listen)))| ValidatorSetup {
            name: format!("validator-{index}"),
            secret_key: key.clone(),
            share: share.clone(),
            genesis: Arc::clone(&network.genesis),
            peers: peers.clone(),
            listen: *listen,
            directory: directory.clone(),
            pace,
        })
        .collect();
    let handles = start_validators(setups).await.map_err(|e| Failure::failed(e.to_string()))?;

    let ports: Vec<u16> =
        data.load(PORTS_FILE)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (failing, failures) = watch::channel();
    let mut urls = Vec::new();
    let mut used = Vec::new();
    for (index, handle) in handles.iter().enumerate() {
        let listener = listen_again(ports.get(index).copied()).await?;
        let address = listener.local_addr().map_err(|e| Failure::failed(e.to_string()))?;
        used.push(address.port());
        let url = format!("http://{address}");
        let Some(key) = network.validators.get(index) else { continue };
        let store = VerdictStore::open(&data.folder("validators")?.join(format!("validator-{index}.redb")), key)
            .map_err(|e| Failure::failed(e.to_string()))?;
        let config = DutiesConfig {
            key: key.clone(),
            models: served
                .iter()
                .map(|served| {
                    let skewed = served.skewed.as_ref().filter(|_| index + 1 == handles.len());
                    (served.profile.clone(), skewed.unwrap_or(&served.model).clone())
                })
                .chain(beside.judged())
                .collect(),
            url: url.clone(),
            store: Arc::new(store),
            crime: crime_of(arguments, index, handles.len()),
        };
        let (duties, task) =
            Duties::start(config, handle.clone(), stopped.clone()).map_err(|e| Failure::failed(e.to_string()))?;
        let routes = router(handle.clone()).merge(inferium_validator::router(duties));
        failing.serve(format!("validator-{index}"), listener, routes);
        failing.watch(format!("validator-{index}"), task);
        urls.push(url);
    }
    data.save_json(PORTS_FILE, &used)?;
    Ok(Validators { urls, handles, stop, failures })
}

/// Listens where it listened before, or anywhere when that is taken.
async fn listen_again(port: Option<u16>) -> Result<TcpListener, Failure> {
    if let Some(port) = port
        && let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
    {
        return Ok(listener);
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|e| Failure::failed(e.to_string()))
}

impl Validators {
    /// Resolves when a validator failed: the process must end (SPEC C8).
    pub(crate) async fn failed(&self) -> Failure {
        let Some(first) = self.handles.first() else { return Failure::failed("no validator runs") };
        tokio::select! {
            fatal = first.fatal() => match fatal {
                Fatal::Failed { reason } => Failure::failed(format!("consensus stopped: {reason}")),
                Fatal::Stopped | Fatal::Running => Failure::failed("consensus stopped"),
            },
            reason = self.failures.first() => Failure::failed(reason),
        }
    }

    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        if let Some(first) = self.handles.first() {
            first.stop().await;
        }
    }
}

/// How a validator cheats: the last one as it is told, and the first ones together.
fn crime_of(arguments: &UpArgs, index: usize, count: usize) -> Option<ValidatorCrime> {
    let is_accomplice = index < usize::try_from(arguments.accomplices).unwrap_or(usize::MAX);
    let own = arguments.crime.and_then(Cheat::validator).filter(|_| index + 1 == count);
    own.or_else(|| is_accomplice.then_some(ValidatorCrime::Accomplice))
}
