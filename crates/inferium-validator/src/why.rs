//! The ledger's answers to "why?" as JSON, each with a sentence for people (SPEC T8).
//!
//! A validator says here what its state says. Nothing proves it; single entries can be proven.

use inferium_ledger::{Conduct, LeaseState, Node, State, WorkerWhy};
use inferium_types::{EngineClass, NodeId, Ppm, SegmentId, Suspicion, TaskId};
use serde_json::{Value, json};

pub(crate) fn task(state: &State, id: TaskId) -> Option<Value> {
    if let Some(workers) = state.why_task(&id) {
        return Some(open_task(state, id, &workers));
    }
    let (lease, entry) = state.leases().find(|(_, lease)| lease.task == id)?;
    let text = match entry.state {
        LeaseState::Active => format!("leased to worker {} since block {}", entry.worker, entry.granted_height),
        LeaseState::Draining { end, .. } => format!("its lease to worker {} has ended: {end:?}", entry.worker),
    };
    Some(json!({
        "task": id.to_string(),
        "state": "leased",
        "text": text,
        "lease": lease.to_string(),
        "worker": entry.worker.to_string(),
        "jobs": entry.jobs,
        "tokens": entry.tokens,
        "segments_pending": entry.segments_pending,
    }))
}

fn open_task(state: &State, id: TaskId, workers: &[WorkerWhy]) -> Value {
    let free = workers.iter().filter(|worker| worker.obstacles.is_empty()).count();
    let waited_ms = state.task(&id).map_or(0, |task| {
        let opened_ms = task.expires_at_ms.saturating_sub(task.terms.open_ms);
        state.meta().timestamp_ms.saturating_sub(opened_ms)
    });
    let text = match (workers.len(), free) {
        (0, _) => "it waits: no worker offers its profile".to_owned(),
        (all, 0) => format!("it waits: something is in the way of each of the {all} workers that offer its profile"),
        (all, free) => format!("it is in the next draw among {free} of {all} workers that offer its profile"),
    };
    let worker = |why: &WorkerWhy| {
        let obstacle = |o: &inferium_ledger::Obstacle| json!({"code": o.name(), "text": o.to_string()});
        json!({
            "worker": why.worker.to_string(),
            "eligible": why.obstacles.is_empty(),
            "obstacles": why.obstacles.iter().map(obstacle).collect::<Vec<_>>(),
            "priority_ppm": why.priority,
            "passed_over": why.passed_over,
        })
    };
    json!({
        "task": id.to_string(),
        "state": "open",
        "text": text,
        "waited_ms": waited_ms,
        "workers": workers.iter().map(worker).collect::<Vec<_>>(),
    })
}

pub(crate) fn segment(state: &State, id: SegmentId) -> Option<Value> {
    state.why_segment(&id).map(|text| json!({"segment": id.to_string(), "text": text}))
}

pub(crate) fn node(state: &State, id: NodeId) -> Option<Value> {
    let node = state.node(&id)?;
    let mut reasons = standing(state, node);
    let mut answer = json!({
        "node": id.to_string(),
        "role": node.role.name(),
        "stake_nano": node.stake.nano(),
        "unsettled_nano": node.unsettled.nano(),
        "slashes_held": node.holds,
    });
    if node.is_worker() {
        worker(state, id, &mut answer, &mut reasons);
    }
    let text = if reasons.is_empty() { "nothing is in its way".to_owned() } else { reasons.join("; ") };
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("text".into(), text.into());
        fields.insert("reasons".into(), reasons.into());
    }
    Some(answer)
}

/// What keeps a node of any role from working.
fn standing(state: &State, node: &Node) -> Vec<String> {
    let epoch = state.meta().epoch;
    let mut reasons = Vec::new();
    if node.disqualified {
        reasons.push("it is disqualified for ever".to_owned());
    } else if state.operator(&node.operator).is_none_or(|operator| operator.barred) {
        reasons.push("its operator is barred for ever".to_owned());
    }
    if node.active_from_epoch > epoch {
        reasons.push(format!("it is jailed until epoch {} (now {epoch})", node.active_from_epoch));
    }
    if node.stake.is_zero() {
        reasons.push("it has no stake".to_owned());
    }
    reasons
}

fn worker(state: &State, id: NodeId, answer: &mut Value, reasons: &mut Vec<String>) {
    let (mut profiles, mut measured) = (Vec::new(), Vec::new());
    for (profile, entry) in state.profiles() {
        if let Some(conduct) = state.conduct(id, *profile) {
            reasons.extend(suspected(conduct, &entry.profile.name));
            measured.push(json!({
                "profile": profile.to_string(),
                "suspicion": conduct.suspicion.name(),
                "segments_judged": conduct.test.steps(),
            }));
        }
        let Some(offer) = state.offer(*profile, id) else { continue };
        let record = state.record(id, *profile);
        if offer.slots_free() == 0 {
            reasons.push(format!("all {} slots that it offers are leased", offer.terms.slots));
        }
        profiles.push(json!({
            "profile": profile.to_string(),
            "class": entry.engine().name(),
            "terms": terms_of(state, entry.engine()),
            "slots": offer.terms.slots,
            "slots_free": offer.slots_free(),
            "priority_ppm": state.priority(id, *profile),
            "passed_over": state.passed_over(id, *profile),
            "jobs": record.jobs(),
            "tokens": record.tokens(),
            "failures": record.failures(),
        }));
    }
    if profiles.is_empty() {
        reasons.push("it offers nothing".to_owned());
    }
    let capability = state.capability(&id);
    let tier = capability.and_then(|capability| capability.tier);
    match (capability, tier) {
        (None, _) => reasons.push("its machine was never measured".to_owned()),
        (Some(_), None) => reasons.push("its machine is being measured, or was not when it was called".to_owned()),
        (Some(_), Some(_)) => {}
    }
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("tier".into(), tier.map(inferium_types::Tier::name).into());
        fields.insert("score".into(), capability.map(|capability| capability.score).into());
        fields.insert("measure_again_by_ms".into(), capability.and_then(|c| c.call_due_ms).into());
        fields.insert("offers".into(), profiles.into());
        fields.insert("measured".into(), measured.into());
    }
}

/// What a class of engines means for who works on it; `None` where replay is equality.
fn terms_of(state: &State, class: &EngineClass) -> Option<String> {
    let parameters = &state.meta().parameters;
    let percent = |share: Ppm| f64::from(share.get()) / 10_000.0;
    match class {
        EngineClass::Canonical { .. } => None,
        EngineClass::Tolerance { .. } => Some("its work is measured on the canonical engine".to_owned()),
        EngineClass::Foreign { .. } => Some(format!(
            "a server of its own draws the tokens: it is paid {} % of its price, {} % of its jobs are replayed at least, and \
             what replays measure can bar it from the profile but takes no stake",
            percent(parameters.foreign_price_share),
            percent(parameters.foreign_replay_min),
        )),
    }
}

/// What replays on a profile that is measured say against a worker (SPEC V7, V9).
fn suspected(conduct: &Conduct, model: &str) -> Option<String> {
    match conduct.suspicion {
        Suspicion::None => None,
        Suspicion::Suspect => Some(format!(
            "its work on {model} is suspect by what replays measured: all of it is replayed, and its pay waits"
        )),
        Suspicion::Convicted => {
            Some(format!("what replays of its work on {model} measured barred it from that profile for ever"))
        }
    }
}
