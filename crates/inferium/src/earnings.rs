//! `inferium earnings`: what a node earned, read from the chain's own events.

use crate::cli::{EarningsArgs, EarningsBy, Failure};
use crate::history;
use crate::home::data_dir;
use crate::output;
use crate::progress::print;
use crate::up;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_chain::VerifiedBlock;
use inferium_types::{Amount, Event, NodeId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Where money came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// A worker's share of a settled segment.
    Jobs,
    /// A committee member's share of a settled segment.
    Checks,
    /// What catching planted jobs paid.
    Jackpots,
    /// A validator's share of all fees.
    Fees,
    /// The reward pool.
    Emission,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Checks => "checks",
            Self::Jackpots => "jackpots",
            Self::Fees => "validators' part of fees",
            Self::Emission => "emission",
        }
    }
}

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Earning {
    at_ms: u64,
    source: Source,
    /// The segment, where there is one.
    segment: Option<String>,
    amount: Amount,
}

pub(crate) async fn run(arguments: EarningsArgs) -> Result<(), Failure> {
    let data = data_dir(arguments.network.data);
    let node = up::node_named(&arguments.node, &data)?;
    let (_, chain) = up::connect(&data).await?;
    let mut earnings = Vec::new();
    history::scan(&chain, |block| earnings.extend(of_block(block, &node))).await?;
    let sums = summed(&earnings, arguments.by);
    let total = earnings.iter().fold(0u64, |sum, earning| sum.saturating_add(earning.amount.nano()));
    if output::is_json() {
        let row = |(what, (count, nano)): &(String, (u64, u64))| json!({"of": what, "payments": count, "nano": nano});
        let rows: Vec<Value> = sums.iter().map(row).collect();
        return output::print_json(&json!({"node": node.to_string(), "total_nano": total, "data": rows}));
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([heading(arguments.by), "payments", "earned"]);
    for (what, (count, nano)) in sums {
        table.add_row([what, count.to_string(), Amount::from_nano(nano).to_string()]);
    }
    print(&format!("{table}\nin all {}", Amount::from_nano(total)))
}

const fn heading(by: EarningsBy) -> &'static str {
    match by {
        EarningsBy::Day => "day (UTC)",
        EarningsBy::Source => "source",
        EarningsBy::Job => "segment",
    }
}

/// Payments to `node` in one block, as its events say.
fn of_block(block: &VerifiedBlock, node: &NodeId) -> Vec<Earning> {
    let at_ms = block.header.timestamp_ms;
    let paid = |source, segment: Option<String>, amount: Amount| Earning { at_ms, source, segment, amount };
    let mut earnings = Vec::new();
    for event in &block.events {
        match event {
            Event::SegmentApproved(outcome) if outcome.settled => {
                let segment = Some(outcome.segment.to_string());
                // What a worker pays itself for being measured is no earning.
                if outcome.worker == *node && outcome.gateway != *node {
                    earnings.push(paid(Source::Jobs, segment.clone(), outcome.to_worker));
                }
                if outcome.approvers.contains(node) {
                    earnings.push(paid(Source::Checks, segment, outcome.to_each_approver));
                }
            }
            Event::ForcedErrorOpened { segment, caught, jackpot, .. } if caught.contains(node) => {
                earnings.push(paid(Source::Jackpots, Some(segment.to_string()), *jackpot));
            }
            Event::Rewarded { node: of, fees, emission, .. } if of == node => {
                earnings.push(paid(Source::Fees, None, *fees));
                earnings.push(paid(Source::Emission, None, *emission));
            }
            _ => {}
        }
    }
    earnings.retain(|earning| !earning.amount.is_zero());
    earnings
}

/// Payments and nano-IFR of each day, source or segment; ascending.
fn summed(earnings: &[Earning], by: EarningsBy) -> Vec<(String, (u64, u64))> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for earning in earnings {
        let what = match by {
            EarningsBy::Day => day(earning.at_ms),
            EarningsBy::Source => earning.source.name().to_owned(),
            EarningsBy::Job => earning.segment.clone().unwrap_or_else(|| format!("({})", earning.source.name())),
        };
        let sum = sums.entry(what).or_default();
        *sum = (sum.0.saturating_add(1), sum.1.saturating_add(earning.amount.nano()));
    }
    sums.into_iter().collect()
}

/// The date of a time.
fn day(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| "?".to_owned(), |time| time.date().to_string())
}

#[cfg(test)]
mod tests;
