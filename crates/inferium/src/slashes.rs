//! `inferium slashes`: every slash of the chain with its reason and hold, and how many were wrong.

use crate::cli::{Failure, SlashesArgs};
use crate::history;
use crate::home::data_dir;
use crate::output;
use crate::progress::print;
use crate::up;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_query::slashes::{Shown, Slashes, ratio, wilson};
use serde_json::{Value, json};

pub(crate) async fn run(arguments: SlashesArgs) -> Result<(), Failure> {
    let (_, chain) = up::connect(&data_dir(arguments.network.data)).await?;
    let mut seen = Slashes::default();
    history::scan(&chain, |block| {
        for event in &block.events {
            seen.on_event(event, block.header.height);
        }
    })
    .await?;
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
        let data: Vec<Value> = seen.slashes.values().rev().map(Shown::as_json).collect();
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

fn evidence(shown: &Shown) -> String {
    let mut lines = Vec::new();
    lines.extend(shown.slash.segment.map(|segment| format!("segment {segment}")));
    lines.extend(shown.slash.job.map(|job| format!("job {job}")));
    lines.extend(shown.verdicts.iter().cloned());
    lines.push(format!("block {}", shown.height));
    lines.join("\n")
}
