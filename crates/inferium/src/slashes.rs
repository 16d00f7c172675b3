//! `inferium slashes`: every slash of the chain with its reason and hold, and how many were wrong.

use crate::cli::{Failure, SlashesArgs};
use crate::history;
use crate::home::data_dir;
use crate::output;
use crate::progress::print;
use crate::up;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_chain::VerifiedBlock;
use inferium_types::{Event, SlashedNode, VerdictVote};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.96;

/// A slash, and what became of it.
#[derive(Debug, Clone)]
struct Shown {
    slash: SlashedNode,
    height: u64,
    state: &'static str,
    /// Verdicts on the segment that it is about, as the chain has them.
    verdicts: Vec<String>,
}

/// What the chain's events say about slashes.
#[derive(Debug, Default)]
struct Slashes {
    slashes: BTreeMap<u64, Shown>,
    verdicts: BTreeMap<String, Vec<String>>,
    /// Segments approved: the honest majority against which slashes are counted.
    approved: u64,
}

pub(crate) async fn run(arguments: SlashesArgs) -> Result<(), Failure> {
    let (_, chain) = up::connect(&data_dir(arguments.network.data)).await?;
    let mut seen = Slashes::default();
    history::scan(&chain, |block| seen.look(block)).await?;
    let (all, overturned) = seen.counts();
    let (low, high) = wilson(overturned, all);
    if output::is_json() {
        let rate = json!({
            "slashes": all,
            "overturned": overturned,
            "segments_approved": seen.approved,
            "false_rate": ratio(overturned, all),
            "false_rate_95_low": low,
            "false_rate_95_high": high,
        });
        let data: Vec<Value> = seen.slashes.values().rev().map(as_json).collect();
        return output::print_json(&json!({"height": chain.height(), "rate": rate, "data": data}));
    }
    let mut out = Vec::new();
    if all > 0 {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["slash", "node", "rule", "amount", "state", "evidence"]);
        for (number, shown) in seen.slashes.iter().rev() {
            table.add_row([
                number.to_string(),
                format!("{}\n{}", shown.slash.role, shown.slash.node),
                shown.slash.rule.name().replace('_', " "),
                shown.slash.amount.to_string(),
                format!("{}{}", shown.state, if shown.slash.disqualified { ", barred" } else { "" }),
                evidence(shown),
            ]);
        }
        out.push(table.to_string());
    }
    out.push(format!(
        "{all} slashes, {overturned} of them overturned; {} segments approved\nfalse-slash rate {} (95 %: {:.4} to {:.4})",
        seen.approved,
        ratio(overturned, all).map_or_else(|| "unknown: none yet".to_owned(), |rate| format!("{rate:.4}")),
        low,
        high,
    ));
    print(&out.join("\n"))
}

impl Slashes {
    fn look(&mut self, block: &VerifiedBlock) {
        for event in &block.events {
            self.on_event(event, block.header.height);
        }
    }

    fn on_event(&mut self, event: &Event, height: u64) {
        match event {
            Event::VerdictGiven { segment, validator, vote } => {
                let said = match vote {
                    VerdictVote::Valid { .. } => "valid".to_owned(),
                    VerdictVote::Invalid { job, fault } => format!("invalid, job {job}: {fault:?}").to_lowercase(),
                    VerdictVote::Unavailable => "no evidence".to_owned(),
                    VerdictVote::Measured { statistics, .. } => {
                        format!("nothing wrong, {} of {} tokens differ", statistics.flips(), statistics.positions())
                    }
                };
                self.verdicts.entry(segment.to_string()).or_default().push(format!("{validator}: {said}"));
            }
            Event::SegmentApproved(outcome) => {
                self.approved = self.approved.saturating_add(u64::from(outcome.settled));
                if outcome.settled {
                    self.verdicts.remove(&outcome.segment.to_string());
                }
            }
            Event::Slashed(slash) => {
                let segment = slash.segment.map(|segment| segment.to_string());
                let verdicts = segment.and_then(|segment| self.verdicts.get(&segment).cloned()).unwrap_or_default();
                let shown = Shown { slash: slash.clone(), height, state: "held", verdicts };
                self.slashes.insert(slash.slash, shown);
            }
            Event::SlashReleased { slash, .. } => self.ended(*slash, "burned"),
            Event::SlashOverturned { slash, .. } => self.ended(*slash, "overturned"),
            _ => {}
        }
    }

    fn ended(&mut self, number: u64, state: &'static str) {
        if let Some(shown) = self.slashes.get_mut(&number) {
            shown.state = state;
        }
    }

    /// All slashes, and those that were overturned.
    fn counts(&self) -> (u64, u64) {
        let overturned = self.slashes.values().filter(|shown| shown.state == "overturned").count();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        (count(self.slashes.len()), count(overturned))
    }
}

fn evidence(shown: &Shown) -> String {
    let mut lines = Vec::new();
    lines.extend(shown.slash.segment.map(|segment| format!("segment {segment}")));
    lines.extend(shown.slash.job.map(|job| format!("job {job}")));
    lines.extend(shown.verdicts.iter().cloned());
    lines.push(format!("block {}", shown.height));
    lines.join("\n")
}

fn as_json(shown: &Shown) -> Value {
    let slash = &shown.slash;
    json!({
        "slash": slash.slash,
        "node": slash.node.to_string(),
        "role": slash.role,
        "operator": slash.operator.to_string(),
        "rule": slash.rule.name(),
        "segment": slash.segment.map(|segment| segment.to_string()),
        "job": slash.job.map(|job| job.to_string()),
        "amount_nano": slash.amount.nano(),
        "disqualified": slash.disqualified,
        "height": shown.height,
        "state": shown.state,
        "releases_at_ms": slash.releases_at_ms,
        "verdicts": shown.verdicts,
    })
}

fn ratio(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// Wilson's interval for a proportion at 95 %: honest also for few and for none.
fn wilson(part: u64, all: u64) -> (f64, f64) {
    let Some(rate) = ratio(part, all) else { return (0.0, 1.0) };
    let n = all as f64;
    let centre = rate + Z * Z / (2.0 * n);
    let spread = Z * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

#[cfg(test)]
mod tests;
