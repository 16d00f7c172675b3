//! Agents, as commands and pages tell of them.

use inferium_ledger::Agent;
use inferium_types::{AgentId, Amount, Recipients, SpendingPolicy};
use serde_json::{Value, json};

/// An agent's entry as JSON: what it is, what it may spend, and what its runs brought.
///
/// Units: amounts in nano-IFR; `balance` is that of the agent's account, `now_ms` the time of the newest header.
#[must_use]
pub fn as_json(id: AgentId, entry: &Agent, balance: Amount, now_ms: u64) -> Value {
    let (limits, earned) = (entry.terms.limits, entry.earned);
    let waiting = entry.widening.as_ref().filter(|waiting| waiting.from_ms > now_ms);
    json!({
        "agent": id.to_string(),
        "name": entry.name,
        "creator": entry.creator.to_string(),
        "version": entry.version,
        "version_digest": entry.terms.version_digest().to_string(),
        "retired": entry.retired,
        "open_runs": entry.open_runs,
        "manifest": entry.terms.manifest.to_string(),
        "model": entry.terms.model.to_string(),
        "price_nano": entry.terms.price.nano(),
        "deposit_nano": entry.deposit.nano(),
        "limits": {
            "steps": limits.steps, "tokens": limits.tokens, "tool_calls": limits.tool_calls, "run_ms": limits.run_ms,
        },
        "account": id.account().to_string(),
        "balance_nano": balance.nano(),
        "policy": policy_json(entry.policy_at(now_ms)),
        "spent_today_nano": entry.spent_at(now_ms).1.nano(),
        "widens": waiting.map(|waiting| json!({"at_ms": waiting.from_ms, "policy": policy_json(&waiting.policy)})),
        "earned": {
            "runs": earned.runs,
            "fees_nano": earned.fees.nano(),
            "hosts_nano": earned.hosts.nano(),
            "creator_nano": earned.creator.nano(),
            "committees_nano": earned.committees.nano(),
            "treasury_nano": earned.treasury.nano(),
            "refunded_nano": earned.refunded.nano(),
        },
    })
}

/// A policy as JSON; without an end `expires_at_ms` is null.
#[must_use]
pub fn policy_json(policy: &SpendingPolicy) -> Value {
    let recipients = match &policy.recipients {
        Recipients::Nobody => json!([]),
        Recipients::Anybody => json!("anybody"),
        Recipients::Listed(accounts) => accounts.iter().map(ToString::to_string).collect(),
    };
    json!({
        "per_run_nano": policy.per_run.nano(),
        "per_day_nano": policy.per_day.nano(),
        "recipients": recipients,
        "expires_at_ms": Some(policy.expires_at_ms).filter(|at_ms| *at_ms != u64::MAX),
    })
}
