//! What is signed about agents, in words (SPEC A).

use super::{Description, plain};
use inferium_types::{AgentId, AgentLimits, AgentSpend, AgentTerms, Recipients, RunTerms, SpendOrder, SpendingPolicy};

pub(super) fn published(name: &str, terms: &AgentTerms) -> Description {
    with_terms(Description::new("Publish an agent, and lock the deposit of an agent").with("name", plain(name)), terms)
}

pub(super) fn updated(agent: &AgentId, terms: &AgentTerms) -> Description {
    let title = "Change an agent: a narrower policy at once, a wider one an epoch later";
    with_terms(Description::new(title).with("agent", agent), terms)
}

pub(super) fn retired(agent: &AgentId, stop_spending: bool) -> Description {
    let spends =
        if stop_spending { "nothing any more, at once" } else { "in runs that are under way, as its policy says" };
    Description::new("Retire an agent: no new runs, and with the last one its money comes to the sender")
        .with("agent", agent)
        .with("spends", spends)
}

pub(super) fn opened(terms: &RunTerms) -> Description {
    with_run(Description::new("Open a run of an agent, and lock what it costs at most"), terms)
}

/// An order by what it names: its paths are checked by the ledger, and no one reads one.
pub(super) fn spent(spend: &AgentSpend) -> Description {
    let AgentSpend { run, segment, step, step_path, order, call_path } = spend;
    let title = match order {
        SpendOrder::Pay { amount, .. } => format!("Have an agent's account pay {amount}, as its run ordered"),
        SpendOrder::Hire { .. } => "Have an agent hire another one, as its run ordered".to_owned(),
    };
    let cited = format!("segment {segment}, step {}, call {}", step_path.index, call_path.index);
    let description =
        Description::new(title).with("of run", run).with("cited", cited).with("step's job", step.request.job);
    match order {
        SpendOrder::Pay { to, amount } => description.with("to", to).with("amount", amount),
        SpendOrder::Hire { run } => with_run(description, run),
    }
}

fn with_run(description: Description, terms: &RunTerms) -> Description {
    let RunTerms { agent, version, input, open_ms } = terms;
    description
        .with("agent", agent)
        .with("version", version)
        .with("input commitment", input)
        .with("waits at most", format!("{open_ms} ms"))
}

fn with_terms(description: Description, terms: &AgentTerms) -> Description {
    let AgentTerms { manifest, model, price, limits, policy } = terms;
    let AgentLimits { steps, tokens, tool_calls, run_ms } = limits;
    let SpendingPolicy { per_run, per_day, recipients, expires_at_ms } = policy;
    let description = description
        .with("manifest", manifest)
        .with("model", model)
        .with("price of a run", price)
        .with("limits", format!("{steps} steps, {tokens} tokens, {tool_calls} tool calls, {run_ms} ms"));
    let payees = match recipients {
        Recipients::Nobody => return description.with("may spend", "nothing"),
        Recipients::Anybody => "anybody".to_owned(),
        Recipients::Listed(accounts) => accounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let until = if *expires_at_ms == u64::MAX { "for ever".to_owned() } else { format!("until {expires_at_ms} ms") };
    description.with("may spend", format!("{per_run} a run, {per_day} a day, {until}")).with("may pay", payees)
}
