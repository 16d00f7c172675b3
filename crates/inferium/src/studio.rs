//! `inferium studio`: agents, from their manifest to what they earned.

mod hire;
mod runs;
mod tools;

use crate::cli::{Failure, NetworkDir, ServerArgs, SigningArgs, StudioCommand};
use crate::history;
use crate::home::data_dir;
use crate::output;
use crate::progress::{print, say};
use crate::up;
use crate::wallet::{Facts, address_of, from_wallet, from_wallet_about};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_agent::Manifest;
use inferium_chain::LightClient;
use inferium_ledger::{Account, Agent, Meta, Profile, StateKey};
use inferium_query::agents::as_json;
use inferium_types::{
    AccountId, AgentId, AgentTerms, Amount, Digest, Event, ModelTask, ProfileId, Recipients, SpendingPolicy,
    TransactionBody,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

pub(crate) async fn run(command: StudioCommand) -> Result<(), Failure> {
    match command {
        StudioCommand::Init { name, out, template, model } => init((&template, &name, &model), &out),
        StudioCommand::Publish { manifest, signing } => {
            let (name, terms) = read(&manifest.file, &signing).await?;
            let agent = AgentId::of_creator(&address_of(&signing)?, &name);
            let data = data_dir(signing.network.data.clone());
            from_wallet(signing, TransactionBody::PublishAgent { name, terms }).await?;
            bring(&data, agent, &manifest.file).await
        }
        StudioCommand::Update { manifest, signing } => {
            let (name, terms) = read(&manifest.file, &signing).await?;
            let agent = AgentId::of_creator(&address_of(&signing)?, &name);
            let data = data_dir(signing.network.data.clone());
            from_wallet(signing, TransactionBody::UpdateAgent { agent, terms }).await?;
            bring(&data, agent, &manifest.file).await
        }
        StudioCommand::Retire { name, stop_spending, signing } => {
            let agent = AgentId::of_creator(&address_of(&signing)?, &name);
            from_wallet(signing, TransactionBody::RetireAgent { agent, stop_spending }).await
        }
        StudioCommand::Fund { agent, amount, signing } => {
            let (_, chain) = up::connect(&data_dir(signing.network.data.clone())).await?;
            let (id, entry) = own_or_by_id(&chain, &agent, &signing).await?;
            // The transfer names an account that is nobody's key: who signs reads whose it is.
            let mut facts = Facts::new();
            for (name, value) in
                [("agent", id.to_string()), ("name", entry.name), ("creator", entry.creator.to_string())]
            {
                facts.insert(name.to_owned(), value.into());
            }
            from_wallet_about(signing, TransactionBody::Transfer { to: id.account(), amount }, facts).await
        }
        StudioCommand::Hire { agent, into, called, server } => hire::run(&agent, &into, called, &server).await,
        StudioCommand::Run(arguments) => runs::run(arguments).await,
        StudioCommand::Runs { server } => runs::list(&server).await,
        StudioCommand::Logs { run, server } => runs::logs(&run, &server).await,
        StudioCommand::Review { run, rating, words, server } => {
            runs::review(&run, rating, &words.join(" "), &server).await
        }
        StudioCommand::List { creator, network } => list(creator, &data_dir(network.data)).await,
        StudioCommand::Tools(arguments) => tools::run(arguments).await,
        StudioCommand::Show { agent, network } => show(&agent, &data_dir(network.data)).await,
    }
}

/// Brings the manifest to the network's gateway, which runs no agent without.
async fn bring(data: &Path, agent: AgentId, file: &Path) -> Result<(), Failure> {
    let bytes =
        std::fs::read(file).map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
    let network = NetworkDir { data: Some(data.to_owned()) };
    runs::bring(&ServerArgs { url: None, key_file: None, network }, agent, bytes).await
}

/// Never over a file that is there: it may be the only copy of a manifest that is published.
fn init((template, name, model): (&str, &str, &str), out: &Path) -> Result<(), Failure> {
    let manifest = Manifest::template(template, name, model);
    let manifest = manifest.ok_or_else(|| Failure::usage(format!("there is no template {template:?}")))?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(out);
    let written = file.and_then(|mut file| file.write_all(manifest.as_bytes()));
    match written {
        Ok(()) if output::is_json() => output::print_json(&json!({"manifest": out})),
        Ok(()) => print(&format!("wrote {}; read it, then `inferium studio publish {}`", out.display(), out.display())),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Failure::refused(format!("{} is there already", out.display())))
        }
        Err(error) => Err(Failure::failed(format!("cannot write {}: {error}", out.display()))),
    }
}

/// The agent's name, and what is published of its manifest.
async fn read(file: &Path, signing: &SigningArgs) -> Result<(String, AgentTerms), Failure> {
    let bytes =
        std::fs::read(file).map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
    let wrong = |reason: String| Failure::usage(format!("{}: {reason}", file.display()));
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("a manifest is a text in UTF-8".to_owned()))?;
    let manifest = Manifest::read(text).map_err(wrong)?;
    let (_, chain) = up::connect(&data_dir(signing.network.data.clone())).await?;
    let model = model_named(&chain, &manifest.model).await?;
    let terms = manifest.terms(Digest::sha256(&bytes), model).map_err(wrong)?;
    say(&format!("manifest {}", terms.manifest));
    Ok((manifest.name, terms))
}

/// The profile of a model by its name, or by its own id.
async fn model_named(chain: &LightClient, name: &str) -> Result<ProfileId, Failure> {
    if let Some(id) = ProfileId::from_hex(name) {
        return Ok(id);
    }
    let mut declared = BTreeSet::new();
    history::scan(chain, |block| {
        declared.extend(block.events.iter().filter_map(|event| match event {
            Event::ProfileDeclared { profile, .. } => Some(*profile),
            _ => None,
        }));
    })
    .await?;
    let mut found = Vec::new();
    for id in declared {
        let entry: Option<Profile> = chain.entry(&StateKey::Profile(id)).await?;
        let is_it = |entry: &Profile| {
            entry.profile.name == name
                && !matches!(
                    entry.profile.task,
                    ModelTask::Host
                        | ModelTask::Fold
                        | ModelTask::Train
                        | ModelTask::Prove
                        | ModelTask::ProvePrivate { .. }
                )
        };
        found.extend(entry.filter(is_it).map(|_| id));
    }
    match found.as_slice() {
        [id] => Ok(*id),
        [] => Err(Failure::refused(format!("no validator has declared a model called {name:?}"))),
        several => Err(Failure::refused(format!(
            "{} profiles are called {name:?}; name one of them: {}",
            several.len(),
            several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// All agents that are there now, as the chain's events name them, in the order of publication.
async fn agents(chain: &LightClient) -> Result<Vec<(AgentId, Agent)>, Failure> {
    let mut published = Vec::new();
    history::scan(chain, |block| {
        published.extend(block.events.iter().filter_map(|event| match event {
            Event::AgentPublished { agent, .. } => Some(*agent),
            _ => None,
        }));
    })
    .await?;
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for id in published.into_iter().filter(|id| seen.insert(*id)) {
        let entry: Option<Agent> = chain.entry(&StateKey::Agent(id)).await?;
        found.extend(entry.map(|entry| (id, entry)));
    }
    Ok(found)
}

/// One agent, by its id, or by a name that one agent has.
async fn find(chain: &LightClient, name: &str) -> Result<(AgentId, Agent), Failure> {
    if let Some(id) = AgentId::from_hex(name) {
        let entry: Option<Agent> = chain.entry(&StateKey::Agent(id)).await?;
        return entry.map(|entry| (id, entry)).ok_or_else(|| Failure::refused(format!("there is no agent {id}")));
    }
    let mut found: Vec<_> = agents(chain).await?.into_iter().filter(|(_, entry)| entry.name == name).collect();
    if found.len() > 1 {
        let ids: Vec<String> = found.iter().map(|(id, _)| id.to_string()).collect();
        return Err(Failure::refused(format!("{} agents are called {name:?}: {}", ids.len(), ids.join(", "))));
    }
    found.pop().ok_or_else(|| Failure::refused(format!("no agent is called {name:?}")))
}

/// An agent of the signer's by its name, or any by its id: names are their creators' own, so that somebody else's agent of
/// the same name is never paid by mistake.
async fn own_or_by_id(chain: &LightClient, name: &str, signing: &SigningArgs) -> Result<(AgentId, Agent), Failure> {
    if AgentId::from_hex(name).is_some() {
        return find(chain, name).await;
    }
    let id = AgentId::of_creator(&address_of(signing)?, name);
    let entry: Option<Agent> = chain.entry(&StateKey::Agent(id)).await?;
    entry.map(|entry| (id, entry)).ok_or_else(|| {
        Failure::refused(format!("the signer has no agent called {name:?}; another's is named by its id (studio list)"))
    })
}

/// What an agent has to spend.
async fn balance(chain: &LightClient, id: AgentId) -> Result<Amount, Failure> {
    let account: Option<Account> = chain.entry(&StateKey::Account(id.account())).await?;
    Ok(account.unwrap_or_default().balance)
}

async fn now_ms(chain: &LightClient) -> Result<u64, Failure> {
    let meta: Option<Meta> = chain.entry(&StateKey::Meta).await?;
    meta.map(|meta| meta.timestamp_ms).ok_or_else(|| Failure::failed("the chain has no state"))
}

async fn list(creator: Option<AccountId>, data: &Path) -> Result<(), Failure> {
    let (_, chain) = up::connect(data).await?;
    let now_ms = now_ms(&chain).await?;
    let mut found = agents(&chain).await?;
    found.retain(|(_, entry)| creator.is_none_or(|creator| entry.creator == creator));
    let mut rows = Vec::new();
    for (id, entry) in found {
        let balance = balance(&chain, id).await?;
        rows.push((id, entry, balance));
    }
    if output::is_json() {
        let data: Vec<Value> = rows.iter().map(|(id, entry, balance)| as_json(*id, entry, *balance, now_ms)).collect();
        return output::print_json(&json!({"height": chain.height(), "data": data}));
    }
    if rows.is_empty() {
        return print("no agents");
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "agent",
        "version",
        "a run",
        "runs",
        "creator earned",
        "has",
        "",
    ]);
    for (id, entry, balance) in &rows {
        table.add_row([
            format!("{}\n{id}", entry.name),
            entry.version.to_string(),
            entry.terms.price.to_string(),
            entry.earned.runs.to_string(),
            entry.earned.creator.to_string(),
            balance.to_string(),
            if entry.retired { "retired".to_owned() } else { String::new() },
        ]);
    }
    print(&table.to_string())
}

async fn show(name: &str, data: &Path) -> Result<(), Failure> {
    let (_, chain) = up::connect(data).await?;
    let (id, entry) = find(&chain, name).await?;
    let (balance, now_ms) = (balance(&chain, id).await?, now_ms(&chain).await?);
    if output::is_json() {
        return output::print_json(&as_json(id, &entry, balance, now_ms));
    }
    let (limits, earned) = (entry.terms.limits, entry.earned);
    let state = if entry.retired { "retired" } else { "takes runs" };
    let mut lines = vec![
        format!("{} {id}", entry.name),
        format!("by {}, version {}, {state}, {} runs open", entry.creator, entry.version, entry.open_runs),
        format!("manifest {}\nmodel {}", entry.terms.manifest, entry.terms.model),
        format!(
            "a run: {}, at most {} steps, {} tokens, {} tool calls, {} s",
            entry.terms.price,
            limits.steps,
            limits.tokens,
            limits.tool_calls,
            limits.run_ms / 1_000
        ),
        format!("account {}: {balance}", id.account()),
        format!("may spend {}; today it spent {}", policy_in_words(entry.policy_at(now_ms)), entry.spent_at(now_ms).1),
        format!(
            "{} runs for {}: hosts {}, creator {}, committees {}, treasury {}, back to who paid {}",
            earned.runs, earned.fees, earned.hosts, earned.creator, earned.committees, earned.treasury, earned.refunded
        ),
    ];
    if let Some(waiting) = entry.widening.as_ref().filter(|waiting| waiting.from_ms > now_ms) {
        let from = crate::home::date_time(waiting.from_ms);
        lines.push(format!("from {from} on it may spend {}", policy_in_words(&waiting.policy)));
    }
    print(&lines.join("\n"))
}

/// A policy in words, a line for each fact.
fn policy_in_words(policy: &SpendingPolicy) -> String {
    let mut words = match &policy.recipients {
        Recipients::Nobody => return "nothing".to_owned(),
        Recipients::Anybody => "to anybody".to_owned(),
        Recipients::Listed(accounts) => format!("to {} accounts", accounts.len()),
    };
    let _ = write!(words, ", {} a run, {} a day", policy.per_run, policy.per_day);
    if policy.expires_at_ms != u64::MAX {
        let _ = write!(words, ", until {}", crate::home::date_time(policy.expires_at_ms));
    }
    words
}
