//! `inferium earnings`: what a node earned, read from the chain's own events.

use crate::cli::{EarningsArgs, EarningsBy, Failure};
use crate::history;
use crate::home::data_dir;
use crate::output;
use crate::progress::print;
use crate::up;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_chain::VerifiedBlock;
use inferium_query::earnings::{Earning, day, payments};
use inferium_types::{Amount, NodeId};
use serde_json::{Value, json};
use std::collections::BTreeMap;

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
    let all = block.events.iter().flat_map(|event| payments(event, block.header.timestamp_ms));
    all.filter(|(to, _)| to == node).map(|(_, earning)| earning).collect()
}

/// Payments and nano-IFR of each day, source or segment; ascending.
fn summed(earnings: &[Earning], by: EarningsBy) -> Vec<(String, (u64, u64))> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for earning in earnings {
        let what = match by {
            EarningsBy::Day => day(earning.at_ms),
            EarningsBy::Source => earning.source.name().to_owned(),
            EarningsBy::Job => {
                earning.segment.map_or_else(|| format!("({})", earning.source.name()), |segment| segment.to_string())
            }
        };
        let sum = sums.entry(what).or_default();
        *sum = (sum.0.saturating_add(1), sum.1.saturating_add(earning.amount.nano()));
    }
    sums.into_iter().collect()
}

#[cfg(test)]
mod tests;
