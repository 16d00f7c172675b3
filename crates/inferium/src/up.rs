//! `inferium up`: a whole network in one process, by the same code as many.
//!
//! Validators, worker and gateway have keys, stores and sockets of their own, and talk to each
//! other over the loopback. They share the process, its engine, and nothing else.

pub(crate) mod beside;
mod cheat;
pub(crate) mod engine;
pub(crate) mod foreign;
mod network;
pub(crate) mod register;
mod services;
mod validators;
mod watch;

use crate::cli::{Failure, UpArgs};
use crate::home::{DataDir, data_dir, load_json, models_dir};
use crate::output;
use crate::progress::{Step, print, say};
use beside::Beside;
pub(crate) use cheat::Cheat;
use inferium_chain::{LightClient, sealing_key};
use inferium_types::{NetworkKey, NodeId};
use network::Network;
use serde::{Deserialize, Serialize};
use serde_json::json;
use services::Services;
pub(crate) use services::{ADMIN_TOKEN, offer_of};
use std::path::Path;

/// What later commands read of a running network.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NetworkFile {
    pub(crate) network_key: String,
    pub(crate) base_url: String,
    pub(crate) admin_url: String,
    pub(crate) rpc_urls: Vec<String>,
    /// Names of the network's nodes and their keys.
    pub(crate) nodes: Vec<(String, String)>,
    /// Profiles that it serves, the one that chats first.
    pub(crate) profiles: Vec<String>,
}

/// The file that [`NetworkFile`] is in.
const NETWORK_FILE: &str = "network.json";

/// What a running network left in its data folder.
pub(crate) fn network_file(data: &Path) -> Result<NetworkFile, Failure> {
    let path = data.join(NETWORK_FILE);
    if !path.exists() {
        return Err(Failure::usage(format!("{} is missing: start a network with `inferium up` first", path.display())));
    }
    load_json(&path)
}

/// Reads what a running network left in its data folder, and follows its chain.
pub(crate) async fn connect(data: &Path) -> Result<(NetworkFile, LightClient), Failure> {
    let file = network_file(data)?;
    let network: NetworkKey = file.network_key.parse().map_err(|e| Failure::failed(format!("{e}")))?;
    let chain = LightClient::connect(network, file.rpc_urls.clone())
        .await
        .map_err(|e| Failure::network(format!("the network does not answer (is `inferium up` running?): {e}")))?;
    Ok((file, chain))
}

/// A node by its key, or by its name in a data folder.
pub(crate) fn node_named(name: &str, data: &Path) -> Result<NodeId, Failure> {
    if let Some(id) = NodeId::from_hex(name) {
        return Ok(id);
    }
    let path = data.join(NETWORK_FILE);
    let file: Option<NetworkFile> = if path.exists() { Some(load_json(&path)?) } else { None };
    let nodes = file.map_or_else(Vec::new, |file| file.nodes);
    let found = nodes.iter().find(|(known, _)| known == name).and_then(|(_, id)| NodeId::from_hex(id));
    found.ok_or_else(|| Failure::usage(format!("no node {name:?} in {}; its key would do as well", data.display())))
}

/// Refuses to start validators whose keys are in use, as after their folder was copied: two processes with one key sign contradicting
/// votes, which costs it everything. Who answers where they last were has to prove that it has the key.
async fn refuse_twins(data: &DataDir, network: &Network) -> Result<(), Failure> {
    let path = data.path().join(NETWORK_FILE);
    let Some(file) = path.exists().then(|| load_json::<NetworkFile>(&path)).transpose()? else { return Ok(()) };
    let http = crate::admin::client()?;
    let looks = network.validators.iter().zip(&file.rpc_urls).map(|(key, url)| {
        let (node, http) = (key.public_key(), &http);
        async move { sealing_key(http, url, &node, rand::random()).await.is_ok().then_some((node, url)) }
    });
    match futures::future::join_all(looks).await.into_iter().flatten().next() {
        None => Ok(()),
        Some((node, url)) => Err(Failure::failed(format!(
            "another process runs the validator {node} at {url}: this folder is a copy of its own, or the other way round. \
             Two processes with one key lose all of its stake; stop the other one first"
        ))),
    }
}

pub(crate) async fn run(arguments: UpArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let data = DataDir::open(&data_dir(arguments.data.clone()), arguments.fresh)?;
    let listener = bind(arguments.listen, "--listen").await?;
    let admin = bind(arguments.admin, "--admin").await?;
    say("inferium: starting a network");

    let mut served = engine::load(&arguments, &models_dir(arguments.models.dir.clone()))?;
    if let Some(first) = served.first_mut() {
        foreign::reach(&arguments.serving, first).await?;
    }
    let network = Network::load_or_create(&data, arguments.validators, &arguments.changes)?;
    refuse_twins(&data, &network).await?;
    let step = Step::begin(&format!("validators: {}", network.validators.len()));
    let beside = Beside::load(&arguments, &models_dir(arguments.models.dir.clone()), &served, network.key().chain)?;
    let validators = validators::start(&data, &network, (&served, &beside), &arguments).await?;
    let connected = tokio::select! {
        connected = LightClient::connect(network.key(), validators.urls.clone()) => connected,
        failure = validators.failed() => return Err(failure),
        () = interrupt.heard() => {
            validators.stop().await;
            return Ok(());
        }
    };
    let chain = connected.map_err(|e| Failure::failed(format!("the validators make no blocks: {e}")))?;
    step.done();

    let step = Step::begin("worker and gateway");
    let gateway_url = format!("http://{}", local(&listener)?);
    let started = tokio::select! {
        started = Services::start(&data, &network, (&served, &beside), &chain, &arguments, listener, admin, &gateway_url) => started,
        failure = validators.failed() => return Err(failure),
        () = interrupt.heard() => {
            validators.stop().await;
            return Ok(());
        }
    };
    let services = started?;
    let outcome = tokio::select! {
        ready = services.ready() => ready,
        failure = validators.failed() => Err(failure),
        failure = services.failed() => Err(failure),
        () = interrupt.heard() => return stop(services, validators).await,
    };
    outcome?;
    step.done();

    let file = describe(&network, &services, &validators, &gateway_url, &served);
    data.save_json(NETWORK_FILE, &file)?;
    crate::alive::ready();
    announce(&data, &network, &services, &file)?;
    let failure = tokio::select! {
        failure = validators.failed() => failure,
        failure = services.failed() => failure,
        () = interrupt.heard() => return stop(services, validators).await,
    };
    // Consensus is stopped too, so that nothing goes on behind a failure.
    validators.stop().await;
    Err(failure)
}

async fn stop(services: Services, validators: validators::Validators) -> Result<(), Failure> {
    crate::alive::stopping();
    say("inferium: stopping");
    services.stop().await;
    validators.stop().await;
    say("inferium: stopped");
    Ok(())
}

async fn bind(address: std::net::SocketAddr, flag: &str) -> Result<tokio::net::TcpListener, Failure> {
    tokio::net::TcpListener::bind(address).await.map_err(|error| {
        Failure::failed(format!(
            "cannot listen on {address} ({error}); choose another address with {flag}, port 0 picks a free one"
        ))
    })
}

/// The address at which this machine reaches a listener.
fn local(listener: &tokio::net::TcpListener) -> Result<std::net::SocketAddr, Failure> {
    let mut address = listener.local_addr().map_err(|e| Failure::failed(e.to_string()))?;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    }
    Ok(address)
}

/// Ctrl-C, or a service manager's request to end. Made once, before anything is started, so that
/// no request gets lost between two waits.
pub(crate) struct Interrupt(tokio::sync::watch::Receiver<u32>);

impl Interrupt {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let (heard, hear) = tokio::sync::watch::channel(0);
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let cannot = |e: std::io::Error| Failure::failed(format!("cannot listen for signals: {e}"));
            let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
            let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    heard.send_modify(|count| *count += 1);
                }
            });
        }
        #[cfg(not(unix))]
        tokio::spawn(async move {
            // Without a way to hear the keys there is nothing to stop for, so the process stays.
            while tokio::signal::ctrl_c().await.is_ok() {
                heard.send_modify(|count| *count += 1);
            }
            std::future::pending::<()>().await;
        });
        Ok(Self(hear))
    }

    pub(crate) async fn heard(&self) {
        self.times(1).await;
    }

    /// Whoever asks a second time does not want to wait.
    pub(crate) async fn heard_again(&self) {
        self.times(2).await;
    }

    async fn times(&self, times: u32) {
        let mut hear = self.0.clone();
        // The sender lives as long as the runtime.
        let _ = hear.wait_for(|heard| *heard >= times).await;
    }
}

fn describe(
    network: &Network,
    services: &Services,
    validators: &validators::Validators,
    gateway_url: &str,
    served: &[engine::Served],
) -> NetworkFile {
    let mut nodes: Vec<(String, String)> = network
        .validators
        .iter()
        .enumerate()
        .map(|(index, key)| (format!("validator-{index}"), key.public_key().to_string()))
        .collect();
    nodes.extend(services.nodes.iter().map(|(name, key)| (name.clone(), key.to_string())));
    NetworkFile {
        network_key: network.key().to_string(),
        base_url: format!("{gateway_url}/v1"),
        admin_url: services.admin_url.clone(),
        rpc_urls: validators.urls.clone(),
        nodes,
        profiles: served.iter().map(|served| served.profile.id().to_string()).collect(),
    }
}

fn announce(data: &DataDir, network: &Network, services: &Services, file: &NetworkFile) -> Result<(), Failure> {
    let (base, key) = (&file.base_url, services.api_key.reveal());
    if output::is_json() {
        let ready = json!({
            "event": "ready",
            "base_url": base,
            "api_key": key,
            "network_key": file.network_key,
            "admin_url": file.admin_url,
            "data_dir": data.path(),
        });
        return output::print_json(&ready);
    }
    let (model, pages) = (&services.model, base.trim_end_matches("/v1"));
    let also = services.embeddings.as_ref().map_or_else(String::new, |name| format!(" and {name}"));
    let embeddings = services.embeddings.as_ref().map_or_else(String::new, |name| {
        format!(
            "  curl {base}/embeddings -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\\n    \
             -d '{{\"model\":\"{name}\",\"input\":[\"Why is the sky blue?\",\"How tall is it?\"]}}'\n\n"
        )
    });
    print(&format!(
        "\nThe network is up: {} validators, {} worker{}, 1 gateway, serving {model}{also}.\n\n  \
         pages         {pages}/#key={key}\n  base URL      {base}\n  API key       {key}\n  network key   {}\n  \
         metrics       {}/metrics\n  data          {}\n  test account  {}\n\n\
         Paste this:\n\n  export OPENAI_BASE_URL={base} OPENAI_API_KEY={key}\n\n  \
         curl {base}/chat/completions -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\\n    \
         -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}}],\"max_tokens\":48}}'\n\n\
         {embeddings}Ctrl-C stops it.",
        network.validators.len(),
        services.workers,
        if services.workers == 1 { "" } else { "s" },
        file.network_key,
        file.admin_url,
        data.path().display(),
        network.account.public_key(),
    ))
}
