//! `inferium why`: one question about a task, job, segment or node, answered by whoever knows.
//!
//! The ledger answers for what it has; what it has forgotten, since it is over, stands in blocks.

use crate::cli::{Failure, WhyArgs};
use crate::history;
use crate::home::data_dir;
use crate::output;
use crate::progress::print;
use crate::up::{self, NetworkFile};
use inferium_chain::LightClient;
use inferium_types::{Digest, Event, LeaseId, TaskId};
use serde_json::{Value, json};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn run(arguments: WhyArgs) -> Result<(), Failure> {
    let data = data_dir(arguments.network.data);
    let id = up::node_named(&arguments.what, &data)?.to_string();
    let (file, chain) = up::connect(&data).await?;
    let answer = match of_ledger(&file, &id).await? {
        Some(answer) => answer,
        None => match of_gateway(&file, &id).await? {
            Some(answer) => answer,
            None => of_history(&chain, &id).await?,
        },
    };
    if output::is_json() { output::print_json(&answer) } else { print(&in_words(&answer)) }
}

/// What a validator's state says of a node, task or segment of this name.
async fn of_ledger(file: &NetworkFile, id: &str) -> Result<Option<Value>, Failure> {
    for what in ["node", "task", "segment"] {
        for url in &file.rpc_urls {
            match ask(&format!("{url}/why/v1/{what}/{id}")).await {
                Ok(Some(answer)) => return Ok(Some(answer)),
                // It answered: the others know no more.
                Ok(None) => break,
                Err(error) => tracing::debug!(url, error, "asking the next validator"),
            }
        }
    }
    Ok(None)
}

/// What the gateway says of a job, and the ledger of the job's segment.
async fn of_gateway(file: &NetworkFile, id: &str) -> Result<Option<Value>, Failure> {
    let asked = ask(&format!("{}/receipts/{id}", file.base_url)).await;
    let Some(receipt) = asked.map_err(|error| Failure::network(format!("the gateway does not answer: {error}")))?
    else {
        return Ok(None);
    };
    let field = |name: &str| receipt.get(name).and_then(Value::as_str).map(str::to_owned);
    let status = field("status").unwrap_or_else(|| "unknown".into());
    let segment = field("segment");
    let on_chain = match &segment {
        Some(segment) => of_ledger(file, segment).await?,
        None => None,
    };
    let stands = on_chain.as_ref().and_then(|answer| answer.get("text")).and_then(Value::as_str).map(str::to_owned);
    let text = match (status.as_str(), &stands) {
        ("settled", _) => "it is settled: approved, past its challenge window, and its worker is paid".to_owned(),
        (_, Some(stands)) => format!("it is {status}; its segment is {stands}"),
        (_, None) => match field("reason") {
            Some(reason) => format!("it is {status}: {reason}"),
            None => format!("it is {status}: its segment is not committed yet"),
        },
    };
    Ok(Some(json!({
        "job": id,
        "status": status,
        "text": text,
        "worker": field("worker"),
        "lease": field("lease"),
        "segment": segment,
        "reason": field("reason"),
    })))
}

/// What blocks say of a task that is over: who got it, and how it ended.
async fn of_history(chain: &LightClient, id: &str) -> Result<Value, Failure> {
    let unknown = || Failure::refused(format!("nobody knows a task, job, segment or node {id}"));
    let task = TaskId::new(Digest::from_hex(id).ok_or_else(unknown)?);
    let lease = LeaseId::of_task(task);
    let mut lines: Vec<(u64, String)> = Vec::new();
    history::scan(chain, |block| {
        let said = block.events.iter().filter_map(|event| about_task(event, task, lease));
        lines.extend(said.map(|line| (block.header.height, line)));
    })
    .await?;
    let (_, last) = lines.last().cloned().ok_or_else(unknown)?;
    let events: Vec<Value> = lines.iter().map(|(height, text)| json!({"height": height, "text": text})).collect();
    Ok(json!({"task": id, "state": "over", "text": last, "history": events}))
}

fn about_task(event: &Event, task: TaskId, lease: LeaseId) -> Option<String> {
    Some(match event {
        Event::TaskOpened { task: of, requester, .. } if *of == task => format!("opened by {requester}"),
        Event::TaskExpired { task: of, .. } if *of == task => "expired: no worker took it; all of it went back".into(),
        Event::LeaseGranted { task: of, worker, .. } if *of == task => format!("leased to worker {worker}"),
        Event::LeaseEnded { lease: of, end, .. } if *of == lease => format!("its lease ended: {end:?}"),
        Event::LeaseClosed { lease: of, refund, .. } if *of == lease => {
            format!("its lease was closed; {refund} went back")
        }
        Event::SegmentApproved(outcome) if outcome.lease == lease && outcome.settled => {
            format!("{} of its jobs were settled for {}", outcome.totals.jobs, outcome.fee)
        }
        Event::SegmentRejected { lease: of, reason, .. } if *of == lease => {
            format!("a segment was rejected: {reason:?}")
        }
        _ => return None,
    })
}

/// An answer; none for 404.
async fn ask(address: &str) -> Result<Option<Value>, String> {
    let response = reqwest::Client::new().get(address).timeout(TIMEOUT).send().await.map_err(|e| e.to_string())?;
    if response.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let response = response.error_for_status().map_err(|e| e.to_string())?;
    response.json().await.map(Some).map_err(|e| e.to_string())
}

/// The sentence, then what stands behind it.
fn in_words(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines = vec![answer.get("text").map(text).unwrap_or_default()];
    let list = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    for worker in list("workers") {
        let name = worker.get("worker").map(text).unwrap_or_default();
        let obstacles = worker.get("obstacles").and_then(Value::as_array).cloned().unwrap_or_default();
        let said: Vec<String> = obstacles.iter().filter_map(|obstacle| obstacle.get("text")).map(text).collect();
        let said = if said.is_empty() { "may be drawn".to_owned() } else { said.join("; ") };
        let priority = worker.get("priority_ppm").map(text).unwrap_or_default();
        lines.push(format!("  worker {name}: {said} (priority {priority} ppm)"));
    }
    for event in list("history") {
        let height = event.get("height").map(text).unwrap_or_default();
        lines.push(format!("  block {height}: {}", event.get("text").map(text).unwrap_or_default()));
    }
    let scalars = answer.as_object().into_iter().flatten().filter(|(name, value)| {
        !matches!(name.as_str(), "text" | "workers" | "history" | "reasons" | "offers" | "measured") && !value.is_null()
    });
    lines.extend(scalars.map(|(name, value)| format!("  {:<18} {}", name.replace('_', " "), text(value))));
    for offer in list("offers") {
        let field = |name: &str| offer.get(name).map(text).unwrap_or_default();
        lines.push(format!(
            "  offer              {} of {} slots free, priority {} ppm, {} jobs and {} failures on record",
            field("slots_free"),
            field("slots"),
            field("priority_ppm"),
            field("jobs"),
            field("failures"),
        ));
    }
    let terms: Vec<String> =
        list("offers").iter().filter_map(|offer| offer.get("terms")?.as_str().map(str::to_owned)).collect();
    lines.extend(terms.into_iter().map(|terms| format!("  terms              {terms}")));
    for measured in list("measured") {
        let field = |name: &str| measured.get(name).map(text).unwrap_or_default();
        lines.push(format!(
            "  replays say        suspicion: {}, after {} segments of profile {}",
            field("suspicion"),
            field("segments_judged"),
            field("profile"),
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests;
