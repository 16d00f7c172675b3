//! `inferium worker join`: from a fresh machine to paid jobs.

use crate::cli::{Failure, JoinArgs, WantedTier, WorkerCommand};
use crate::duty::{self, DutyFile, JOINED, LOOK};
use crate::hardware;
use crate::home::{DataDir, data_dir, devnet_key, models_dir, worker_dir};
use crate::hosting::{self, ToolServers};
use crate::output;
use crate::progress::{Step, print, say};
use crate::up::beside::{PROOF_TOKEN_PRICE, adapters, owner, prover};
use crate::up::engine::{Served, serve, serve_classifier, serve_embeddings};
use crate::up::foreign::reach;
use crate::up::register::{self, Registration};
use crate::up::{self, Interrupt, NetworkFile, offer_of};
use crate::zk::name_of;
use inferium_chain::{LightClient, Sender};
use inferium_ledger::{Account, Node, Operator, Profile, StateKey};
use inferium_tools::{Host, Permit};
use inferium_train::Ground;
use inferium_types::{
    AccountId, Amount, Duty, Event, NodeId, NodeRole, OfferTerms, Price, ProfileId, Tier, VrfSecretKey,
};
use inferium_worker::{Boards, Hosting, Proving, Training, Worker, WorkerConfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a worker has beside stake and its operator's bond, for fees and its capability tasks.
const SPENDING_MONEY: Amount = Amount::from_ifr(10);
/// The network's test account, which a devnet's faucet gives from.
const TEST_ACCOUNT: &str = "account";
/// Pause between two looks at whether money has come.
const FUNDS_POLL: Duration = Duration::from_secs(2);

pub(crate) async fn run(command: WorkerCommand) -> Result<(), Failure> {
    match command {
        WorkerCommand::Join(arguments) => join(*arguments).await,
        WorkerCommand::List { network } => duty::list(network.data).await,
        WorkerCommand::Pause(arguments) => duty::set(Duty::Paused, arguments).await,
        WorkerCommand::Resume(arguments) => duty::set(Duty::Working, arguments).await,
        WorkerCommand::Drain(arguments) => duty::set(Duty::Draining, arguments).await,
        WorkerCommand::Hardware => {
            let report = hardware::report(Tier::High);
            if output::is_json() {
                return output::print_json(&hardware::as_json(&report));
            }
            print(&hardware::lines(&report).join("\n"))
        }
    }
}

/// How it trains, if it does: on vectors, and on its own model where the network's validators judge that.
async fn training(chain: &LightClient, arguments: &JoinArgs, models: &Path) -> Result<Option<Training>, Failure> {
    if arguments.training == 0 {
        return Ok(None);
    }
    let mut grounds = vec![Ground::Vectors];
    let is_chat = arguments.embeddings.is_none() && arguments.classifier.is_none();
    if let Some(ground) = is_chat.then(|| adapters(&arguments.serving, models)).transpose()?.flatten() {
        match is_judged(chain, ground.profile().id()).await? {
            true => grounds.push(ground),
            false => say("adapters of this model are not trained here: no validator has declared that it judges them"),
        }
    }
    let price = Price { prompt_token: arguments.example_price, completion_token: arguments.interval_price };
    Ok(Some(Training { slots: arguments.training, price, grounds }))
}

/// How it proves what its classifier says, if it does and the network's validators judge that.
async fn proving(chain: &LightClient, served: &Served, arguments: &JoinArgs) -> Result<Option<Proving>, Failure> {
    let slots = arguments.proofs;
    if let (Some(path), Some(secret)) = (&arguments.private, &arguments.secret) {
        let prover = owner((path, secret), chain.network_key().chain)?;
        if !is_judged(chain, prover.profile().id()).await? {
            return Err(Failure::usage(format!(
                "no validator has declared that it judges {} by this key: a network serves it that was started with --private {}.key",
                name_of(path),
                name_of(path)
            )));
        }
        return Ok(Some(Proving { slots: slots.max(1), token_price: PROOF_TOKEN_PRICE, prover }));
    }
    if slots == 0 {
        return Ok(None);
    }
    let Some(prover) = prover(served, chain.network_key().chain) else { return Ok(None) };
    if !is_judged(chain, prover.profile().id()).await? {
        say("what this classifier says is not proved here: no validator has declared that it judges that");
        return Ok(None);
    }
    Ok(Some(Proving { slots, token_price: PROOF_TOKEN_PRICE, prover }))
}

/// Whether a validator has declared a profile.
async fn is_judged(chain: &LightClient, id: ProfileId) -> Result<bool, Failure> {
    let known: Option<Profile> =
        chain.entry(&StateKey::Profile(id)).await.map_err(|error| Failure::network(error.to_string()))?;
    Ok(known.is_some())
}

impl From<WantedTier> for Tier {
    fn from(tier: WantedTier) -> Self {
        match tier {
            WantedTier::Low => Self::Low,
            WantedTier::Mid => Self::Mid,
            WantedTier::High => Self::High,
        }
    }
}

async fn join(arguments: JoinArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let news = News { json: output::is_json() };
    let network = network_folder(arguments.network.clone());
    let data = DataDir::open(&worker_dir(arguments.data.clone()), false)?;
    let report = hardware::report(arguments.tier.into());
    say("this machine:");
    for line in hardware::lines(&report) {
        say(&format!("  {line}"));
    }
    news.tell("hardware", hardware::as_json(&report))?;

    let models = models_dir(arguments.models.dir.clone());
    let mut served = match (&arguments.embeddings, &arguments.classifier) {
        (Some(name), _) => serve_embeddings(name, &arguments.serving, None, &models)?,
        (None, Some(path)) => serve_classifier(path, &arguments.serving, (&[], false), &models)?,
        (None, None) => serve(&arguments.serving, None, &models)?,
    };
    reach(&arguments.serving, &mut served).await?;
    let step = Step::begin("network");
    let (file, chain) = up::connect(&network).await?;
    step.done();
    let profile = served.profile.id();
    check_profile(&chain, &file, profile).await?;

    let (key, operator) = (data.key("worker")?, data.key("operator")?);
    let vrf = VrfSecretKey::from_entropy(data.secret("worker.vrf", rand::random::<[u8; 32]>)?)
        .map_err(|_| Failure::failed("the worker's VRF key is damaged"))?;
    let me = key.public_key();
    let role = NodeRole::Worker { vrf: vrf.public_key() };
    let registration = Registration { key: &key, operator: &operator, role, stake: arguments.stake };
    tokio::select! {
        registered = register(&chain, &network, &arguments, &registration, &news) => registered?,
        () = interrupt.heard() => return Ok(()),
    }
    news.tell("registered", json!({"node": me.to_string(), "operator": operator.public_key().to_string()}))?;

    let (stop, stopped) = watch::channel(false);
    let events = chain.subscribe();
    let offer = OfferTerms { batches: !arguments.no_batches, ..offer_of(&served, arguments.slots) };
    if offer.slots < arguments.slots {
        say(&format!(
            "offering {} slots, not {}: so many contexts of {} tokens fit the engine's cache",
            offer.slots, arguments.slots, offer.context_tokens
        ));
    }
    let file = DutyFile::of(data.path(), JOINED);
    let (wanted, duty) = watch::channel(file.read()?);
    if *duty.borrow() == Duty::Paused {
        say("paused; `inferium worker resume` has it take work");
    }
    tokio::spawn(file.follow(LOOK, wanted));
    let config = WorkerConfig {
        key,
        vrf,
        profile,
        offer,
        store: data.path().join("worker.redb"),
        report,
        drain: Duration::from_secs(arguments.drain),
        duty,
        server: served.server.clone(),
        hosting: hosting(&data, &served, &arguments)?,
        boards: (arguments.boards > 0).then_some(Boards { slots: arguments.boards, item_price: arguments.board_price }),
        training: training(&chain, &arguments, &models).await?,
        proving: proving(&chain, &served, &arguments).await?,
        crime: None,
        assessed: None,
        other: None,
    };
    let worker = tokio::spawn(Worker::run(config, served.working.clone(), chain.clone(), stopped));
    crate::alive::ready();
    say(&format!("worker {me} works; Ctrl-C stops it"));
    let told = tokio::select! {
        told = follow(events, me, &news) => told,
        () = interrupt.heard() => Ok(()),
    };
    let ended_early = worker.is_finished();
    crate::alive::stopping();
    stop.send_replace(true);
    if !ended_early && arguments.drain > 0 {
        say("no new work; what was signed is being judged (Ctrl-C again goes at once)");
    }
    let aborted = worker.abort_handle();
    let ended = tokio::select! {
        ended = worker => ended,
        () = interrupt.heard_again() => {
            aborted.abort();
            return told;
        }
    };
    match ended {
        Ok(Ok(())) if !ended_early => told,
        Ok(Ok(())) => Err(Failure::failed("the worker ended")),
        Ok(Err(error)) => Err(Failure::failed(error.to_string())),
        Err(error) => Err(Failure::failed(error.to_string())),
    }
}

/// How it hosts runs of agents, if it does.
fn hosting(data: &DataDir, served: &Served, arguments: &JoinArgs) -> Result<Option<Hosting>, Failure> {
    if arguments.host_agents == 0 {
        return Ok(None);
    }
    if !hosting::can_host(&served.profile) {
        return Err(Failure::usage(
            "--host-agents is for a worker of conversations of the canonical class: a host replays what its model says",
        ));
    }
    let permit = |program: &PathBuf| {
        let program =
            std::path::absolute(program).map_err(|error| Failure::usage(format!("{}: {error}", program.display())))?;
        Ok(Permit { program, ..Permit::default() })
    };
    let permits = arguments.allow_tool.iter().map(permit).collect::<Result<_, Failure>>()?;
    let host = Host { permits, ..hosting::host()? };
    Ok(Some(Hosting {
        slots: arguments.host_agents,
        price_min: arguments.host_price,
        folder: data.path().join("runs"),
        tools: Arc::new(ToolServers(host)),
    }))
}

/// The network's data folder, whether it or its file was named.
fn network_folder(named: Option<PathBuf>) -> PathBuf {
    match named {
        Some(path) if path.is_file() => path.parent().map(Path::to_owned).unwrap_or_default(),
        other => data_dir(other),
    }
}

/// A worker of a model that nobody checks would get no work.
async fn check_profile(chain: &LightClient, file: &NetworkFile, profile: ProfileId) -> Result<(), Failure> {
    let known: Option<Profile> = chain.entry(&StateKey::Profile(profile)).await?;
    if known.is_none() {
        return Err(Failure::refused(format!(
            "this network serves the model profiles {}, this machine would serve {profile}: another model, or another build of inferium",
            file.profiles.join(", ")
        )));
    }
    Ok(())
}

/// Sees to it that operator and worker have what registering takes, and registers.
async fn register(
    chain: &LightClient,
    network: &Path,
    arguments: &JoinArgs,
    registration: &Registration<'_>,
    news: &News,
) -> Result<(), Failure> {
    let id = registration.key.public_key();
    if chain.entry::<Node>(&StateKey::Node(id)).await?.is_some() {
        return Ok(());
    }
    let operator = registration.operator.public_key();
    let is_operator = chain.entry::<Operator>(&StateKey::Operator(operator)).await?.is_some();
    let bond = if is_operator { Amount::ZERO } else { register::BOND };
    let overflow = |_| Failure::usage("the stake is out of range");
    let for_operator = bond.add(SPENDING_MONEY).map_err(overflow)?;
    let for_worker = arguments.stake.add(SPENDING_MONEY).map_err(overflow)?;
    if arguments.faucet {
        let key = devnet_key(network, TEST_ACCOUNT)?
            .ok_or_else(|| Failure::usage(format!("{} holds no test account to pay from", network.display())))?;
        let faucet = Sender::new(chain.clone(), key);
        register::fund(chain, &faucet, operator, for_operator).await?;
        register::fund(chain, &faucet, id, for_worker).await?;
    } else {
        await_funds(chain, news, &[(operator, for_operator), (id, for_worker)]).await?;
    }
    let step = Step::begin("registration");
    register::enlist(chain, registration).await?;
    step.done();
    Ok(())
}

/// Waits until both accounts hold what they need, and says which command sends it.
async fn await_funds(chain: &LightClient, news: &News, needs: &[(AccountId, Amount)]) -> Result<(), Failure> {
    let mut told = false;
    let mut step = None;
    loop {
        let mut missing = Vec::new();
        for (account, needed) in needs {
            let held: Account = chain.entry(&StateKey::Account(*account)).await?.unwrap_or_default();
            if let Ok(lacks) = needed.sub(held.balance)
                && !lacks.is_zero()
            {
                missing.push((*account, lacks));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        if !told {
            told = true;
            say("stake and fees have to be there first. Send them, for example by:");
            for (account, lacks) in &missing {
                say(&format!("  inferium wallet send {account} {}", lacks.to_string().trim_end_matches(" IFR")));
                news.tell("needs_funds", json!({"account": account.to_string(), "nano": lacks.nano()}))?;
            }
            step = Some(Step::begin("waiting for money"));
        }
        let _ = &step;
        tokio::time::sleep(FUNDS_POLL).await;
    }
}

/// Tells what the chain does about the worker, until there are no more blocks.
async fn follow(
    mut blocks: tokio::sync::mpsc::Receiver<Arc<inferium_chain::VerifiedBlock>>,
    me: NodeId,
    news: &News,
) -> Result<(), Failure> {
    while let Some(block) = blocks.recv().await {
        for event in &block.events {
            if let Some((name, text, facts)) = about(event, &me) {
                say(&text);
                news.tell(name, facts)?;
            }
        }
    }
    Err(Failure::network("the stream of blocks ended"))
}

fn about(event: &Event, me: &NodeId) -> Option<(&'static str, String, Value)> {
    Some(match event {
        Event::CapabilityMeasured { worker, score, tier, .. } if worker == me => (
            "measured",
            format!("measured: {score} work units a second, tier {}", tier.name()),
            json!({"score": score, "tier": tier.name()}),
        ),
        Event::LeaseGranted { lease, worker, gateway, .. } if worker == me && gateway != me => {
            ("leased", format!("got a lease of gateway {gateway}"), json!({"lease": lease.to_string()}))
        }
        Event::SegmentApproved(outcome) if outcome.worker == *me && outcome.gateway != *me && outcome.settled => (
            "paid",
            format!("paid for {} jobs, fee {}", outcome.totals.jobs, outcome.fee),
            json!({"jobs": outcome.totals.jobs, "fee_nano": outcome.fee.nano(), "segment": outcome.segment.to_string()}),
        ),
        Event::SegmentRejected { worker, reason, .. } if worker == me => {
            ("rejected", format!("a segment was rejected: {reason:?}"), json!({"reason": format!("{reason:?}")}))
        }
        Event::Slashed(slash) if slash.node == *me => (
            "slashed",
            format!("slashed {} for {}", slash.amount, slash.rule.name()),
            json!({"rule": slash.rule.name(), "amount_nano": slash.amount.nano(), "slash": slash.slash}),
        ),
        Event::TierLost { worker } if worker == me => {
            ("tier_lost", "the tier was lost: this machine was not measured in time".into(), json!({}))
        }
        Event::Rewarded { node, epoch, emission, .. } if node == me && !emission.is_zero() => (
            "rewarded",
            format!("emission {emission} for epoch {epoch}"),
            json!({"epoch": epoch, "nano": emission.nano()}),
        ),
        _ => return None,
    })
}

/// What programs read of it, line by line.
struct News {
    json: bool,
}

impl News {
    fn tell(&self, event: &str, mut facts: Value) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        if let Some(fields) = facts.as_object_mut() {
            fields.insert("event".into(), event.into());
        }
        print(&facts.to_string())
    }
}
