//! `inferium node show`: what the chain says about nodes, proven against the network key, and their
//! slashes as the gateway reports them.

use crate::cli::{Failure, NodeCommand};
use crate::home::data_dir;
use crate::output;
use crate::progress::print;
use crate::up;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_ledger::{Account, Capability, Meta, Node, Record, StateKey};
use inferium_types::{Digest, NodeId, ProfileId};
use serde_json::{Value, json};
use std::time::Duration;

/// Time for all that the gateway has to say.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Slashes as the gateway reports them, or why it does not. Events, unlike entries, can't be asked
/// of validators, so nothing proves them here.
type Slashes = Result<Vec<Value>, String>;

/// A node with its record.
struct Shown {
    name: String,
    id: NodeId,
    node: Node,
    record: Record,
    account: Account,
    capability: Option<Capability>,
}

pub(crate) async fn run(command: NodeCommand) -> Result<(), Failure> {
    let NodeCommand::Show { node, data } = command;
    let (file, chain) = up::connect(&data_dir(data)).await?;
    let slashes = slashes(&file.base_url).await;
    // The gateway may be a block ahead of us: no slash is shown beside the stake of before it.
    let newest = newest(&slashes);
    let mut head = chain.head();
    let reached = head.wait_for(|block| block.as_ref().is_some_and(|block| block.header.height >= newest));
    if tokio::time::timeout(TIMEOUT, reached).await.is_err() {
        let reason = format!("the gateway knows block {newest}, validators only {}", chain.height());
        return Err(Failure::network(reason));
    }
    let meta: Meta = chain.entry(&StateKey::Meta).await?.ok_or_else(|| Failure::failed("the chain has no state"))?;
    let profiles: Vec<ProfileId> =
        file.profiles.iter().filter_map(|profile| Digest::from_hex(profile)).map(ProfileId::new).collect();
    let wanted: Vec<(String, NodeId)> = file
        .nodes
        .iter()
        .filter_map(|(name, id)| NodeId::from_hex(id).map(|id| (name.clone(), id)))
        .filter(|(name, id)| node.as_ref().is_none_or(|wanted| name == wanted || id.to_string() == *wanted))
        .collect();
    if wanted.is_empty() {
        return Err(Failure::usage(format!("no node {} in this network", node.unwrap_or_default())));
    }
    let mut shown = Vec::new();
    for (name, id) in wanted {
        let Some(node) = chain.entry::<Node>(&StateKey::Node(id)).await? else { continue };
        // A worker serves one of them.
        let mut record = Record::default();
        for profile in &profiles {
            if let Some(known) = chain.entry(&StateKey::Record((id, *profile))).await? {
                record = known;
            }
        }
        let account = chain.entry(&StateKey::Account(id)).await?.unwrap_or_default();
        let capability = chain.entry(&StateKey::Capability(id)).await?;
        shown.push(Shown { name, id, node, record, account, capability });
    }
    if output::is_json() {
        return output::print_json(&as_json(&shown, &meta, &slashes));
    }
    print(&as_text(&shown, &meta, &slashes))
}

/// No answer is no clean record: it has its reason.
async fn slashes(base_url: &str) -> Slashes {
    match tokio::time::timeout(TIMEOUT, all_pages(&format!("{base_url}/slashes"))).await {
        Ok(Ok(slashes)) => Ok(slashes),
        Ok(Err(error)) => Err(format!("the gateway does not say: {error}")),
        Err(_) => Err(format!("the gateway did not say it all in {} s", TIMEOUT.as_secs())),
    }
}

async fn all_pages(address: &str) -> Result<Vec<Value>, Box<dyn std::error::Error + Send + Sync>> {
    let http = reqwest::Client::new();
    let (mut slashes, mut query) = (Vec::new(), Vec::new());
    loop {
        let page: Value = http.get(address).query(&query).send().await?.error_for_status()?.json().await?;
        slashes.extend_from_slice(page.get("data").and_then(Value::as_array).ok_or("the answer has no list")?);
        let Some(next) = page.get("next").and_then(Value::as_str) else { return Ok(slashes) };
        query = vec![("after", next.to_owned())];
    }
}

/// Height of the newest slash; zero when there is none.
fn newest(slashes: &Slashes) -> u64 {
    let heights = slashes.iter().flatten().filter_map(|slash| slash.get("height").and_then(Value::as_u64));
    heights.max().unwrap_or(0)
}

fn slashes_of<'a>(slashes: &'a [Value], node: &NodeId) -> impl Iterator<Item = &'a Value> {
    let node = node.to_string();
    slashes.iter().filter(move |slash| slash.get("node").and_then(Value::as_str) == Some(node.as_str()))
}

fn tier_of(shown: &Shown) -> Option<&'static str> {
    shown.capability.as_ref().and_then(|capability| capability.tier).map(inferium_types::Tier::name)
}

/// Own stake, and what others delegated to it.
fn stake_of(node: &Node) -> String {
    if node.delegated.tokens.is_zero() {
        return node.stake.to_string();
    }
    format!("{}\n+ {} delegated", node.stake, node.delegated.tokens)
}

fn state_of(node: &Node, meta: &Meta) -> String {
    if node.disqualified {
        "disqualified for ever".into()
    } else if node.is_active(meta.epoch) {
        "active".into()
    } else {
        format!("jailed until epoch {} (now {})", node.active_from_epoch, meta.epoch)
    }
}

fn as_json(shown: &[Shown], meta: &Meta, slashes: &Slashes) -> Value {
    let node = |shown: &Shown| {
        json!({
            "name": shown.name,
            "node": shown.id.to_string(),
            "role": shown.node.role.name(),
            "operator": shown.node.operator.to_string(),
            "stake_nano": shown.node.stake.nano(),
            "delegated_nano": shown.node.delegated.tokens.nano(),
            "unbonding_nano": shown.node.unbonding.tokens.nano(),
            "commission_ppm": shown.node.commission.get(),
            "unsettled_nano": shown.node.unsettled.nano(),
            "tier": tier_of(shown),
            "score": shown.capability.as_ref().map(|capability| capability.score),
            "balance_nano": shown.account.balance.nano(),
            "transactions": shown.account.nonce,
            "state": state_of(&shown.node, meta),
            "disqualified": shown.node.disqualified,
            "jobs_settled": shown.record.jobs(),
            "tokens_settled": shown.record.tokens(),
            "failures": shown.record.failures(),
            "slashes": slash_list(slashes, &shown.id),
        })
    };
    json!({
        "height": meta.height,
        "epoch": meta.epoch,
        "data": shown.iter().map(node).collect::<Vec<_>>(),
        "slashes_error": slashes.as_ref().err(),
    })
}

fn as_text(shown: &[Shown], meta: &Meta, slashes: &Slashes) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "node",
        "role",
        "tier",
        "stake",
        "state",
        "settled jobs",
        "failures",
    ]);
    for node in shown {
        table.add_row([
            format!("{}\n{}", node.name, node.id),
            node.node.role.name().into(),
            tier_of(node).unwrap_or("").into(),
            stake_of(&node.node),
            state_of(&node.node, meta),
            node.record.jobs().to_string(),
            node.record.failures().to_string(),
        ]);
    }
    let mut out = vec![format!("height {}, ledger epoch {}", meta.height, meta.epoch), table.to_string()];
    match slashes {
        Ok(slashes) => {
            for node in shown {
                out.extend(slashes_of(slashes, &node.id).map(|slash| line(&node.name, slash)));
            }
        }
        Err(reason) => out.push(format!("slashes: unknown ({reason})")),
    }
    out.join("\n")
}

/// `null` for what nobody knows.
fn slash_list(slashes: &Slashes, node: &NodeId) -> Option<Vec<Value>> {
    slashes.as_ref().ok().map(|slashes| slashes_of(slashes, node).cloned().collect())
}

fn line(name: &str, slash: &Value) -> String {
    let field = |name: &str| {
        slash.get(name).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).unwrap_or_default()
    };
    let nano = slash.get("amount_nano").and_then(Value::as_u64).unwrap_or(0);
    format!(
        "{name} was slashed {} at height {}: {} ({})",
        inferium_types::Amount::from_nano(nano),
        field("height"),
        field("rule").replace('_', " "),
        field("state"),
    )
}

#[cfg(test)]
mod tests;
