//! `inferium node show`: what the chain says about nodes, proven against the network key.

use crate::cli::{Failure, NodeCommand};
use crate::home::{data_dir, load_json};
use crate::progress::print;
use crate::up::{NETWORK_FILE, NetworkFile};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_chain::{GetError, LightClient};
use inferium_ledger::{Account, Meta, Node, Record, StateKey};
use inferium_types::{Digest, NetworkKey, NodeId, ProfileId};
use serde_json::{Value, json};

/// A node with its record.
struct Shown {
    name: String,
    id: NodeId,
    node: Node,
    record: Record,
    account: Account,
    slashes: Vec<Value>,
}

pub(crate) async fn run(command: NodeCommand) -> Result<(), Failure> {
    let NodeCommand::Show { node, data, json } = command;
    let path = data_dir(data).join(NETWORK_FILE);
    if !path.exists() {
        return Err(Failure::usage(format!("{} is missing: start a network with `inferium up` first", path.display())));
    }
    let file: NetworkFile = load_json(&path)?;
    let network: NetworkKey = file.network_key.parse().map_err(|e| Failure::failed(format!("{e}")))?;
    let chain = LightClient::connect(network, file.rpc_urls.clone())
        .await
        .map_err(|e| Failure::network(format!("the network does not answer (is `inferium up` running?): {e}")))?;
    let meta: Meta =
        chain.entry(&StateKey::Meta).await.map_err(unread)?.ok_or_else(|| Failure::failed("the chain has no state"))?;
    let slashes = slashes(&file.base_url).await;
    let profile = Digest::from_hex(&file.profile).map(ProfileId::new);
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
        let Some(node) = chain.entry::<Node>(&StateKey::Node(id)).await.map_err(unread)? else { continue };
        let record = match profile {
            Some(profile) => chain.entry(&StateKey::Record((id, profile))).await.map_err(unread)?.unwrap_or_default(),
            None => Record::default(),
        };
        let of_node = |slash: &&Value| slash.get("node").and_then(Value::as_str) == Some(id.to_string().as_str());
        let slashes = slashes.iter().filter(of_node).cloned().collect();
        let account = chain.entry(&StateKey::Account(id)).await.map_err(unread)?.unwrap_or_default();
        shown.push(Shown { name, id, node, record, account, slashes });
    }
    if json {
        let data: Vec<Value> = shown.iter().map(|node| as_json(node, &meta)).collect();
        return print(&json!({"height": meta.height, "epoch": meta.epoch, "data": data}).to_string());
    }
    print(&as_table(&shown, &meta))
}

fn unread(error: GetError) -> Failure {
    Failure::network(format!("the chain can't be read: {error}"))
}

/// The slashes that the gateway saw; none when it does not answer.
async fn slashes(base_url: &str) -> Vec<Value> {
    let answer = async {
        let response = reqwest::get(format!("{base_url}/slashes")).await.ok()?;
        response.json::<Value>().await.ok()?.get("data")?.as_array().cloned()
    };
    answer.await.unwrap_or_default()
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

fn as_json(shown: &Shown, meta: &Meta) -> Value {
    json!({
        "name": shown.name,
        "node": shown.id.to_string(),
        "role": shown.node.role.name(),
        "operator": shown.node.operator.to_string(),
        "stake_nano": shown.node.stake.nano(),
        "unsettled_nano": shown.node.unsettled.nano(),
        "balance_nano": shown.account.balance.nano(),
        "transactions": shown.account.nonce,
        "state": state_of(&shown.node, meta),
        "disqualified": shown.node.disqualified,
        "jobs_settled": shown.record.jobs,
        "tokens_settled": shown.record.tokens,
        "failures": shown.record.failures,
        "slashes": shown.slashes,
    })
}

fn as_table(shown: &[Shown], meta: &Meta) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["node", "role", "stake", "state", "settled jobs", "faults"]);
    for node in shown {
        table.add_row([
            format!("{}\n{}", node.name, node.id),
            node.node.role.name().into(),
            node.node.stake.to_string(),
            state_of(&node.node, meta),
            node.record.jobs.to_string(),
            node.record.failures.to_string(),
        ]);
    }
    let mut out = vec![format!("height {}, ledger epoch {}", meta.height, meta.epoch), table.to_string()];
    for node in shown {
        for slash in &node.slashes {
            let field = |name: &str| {
                slash.get(name).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).unwrap_or_default()
            };
            let nano = slash.get("amount_nano").and_then(Value::as_u64).unwrap_or(0);
            out.push(format!(
                "{} was slashed {} at height {}: {} ({})",
                node.name,
                inferium_types::Amount::from_nano(nano),
                field("height"),
                field("rule").replace('_', " "),
                field("state"),
            ));
        }
    }
    out.join("\n")
}
