//! `inferium leaderboard`: boards of workers, validators and agents, folded here from blocks that were verified here.

use crate::cli::{Failure, LeaderboardArgs, LeaderboardOf};
use crate::history;
use crate::home::data_dir;
use crate::output;
use crate::progress::{print, say};
use crate::up;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_chain::LightClient;
use inferium_query::boards::{AgentRow, Board, Fold, Kind, ValidatorRow, WorkerRow, command};
use inferium_types::{Amount, Digest, NetworkKey};
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) async fn run(arguments: LeaderboardArgs) -> Result<(), Failure> {
    let chain = connect(&arguments).await?;
    let (first, last) = stretch(&chain, arguments.from, arguments.up_to).await?;
    let mut fold = Fold::default();
    history::scan_part(&chain, (first, last), |block| fold.take(&block.header, block.digest, &block.events)).await?;
    let network = chain.network_key();
    match arguments.board {
        LeaderboardOf::Workers => show(&fold.workers(&network), Kind::Workers, &network, &arguments, &WORKERS),
        LeaderboardOf::Validators => {
            show(&fold.validators(&network), Kind::Validators, &network, &arguments, &VALIDATORS)
        }
        LeaderboardOf::Agents => show(&fold.agents_board(&network), Kind::Agents, &network, &arguments, &AGENTS),
    }
}

/// Follows the network that was named, by the key that was named.
async fn connect(arguments: &LeaderboardArgs) -> Result<LightClient, Failure> {
    let parse = |key: &String| key.parse::<NetworkKey>().map_err(|error| Failure::usage(format!("{error}")));
    let wanted = arguments.network_key.as_ref().map(parse).transpose()?;
    if let Some(key) = wanted.filter(|_| !arguments.rpc.is_empty()) {
        let connected = LightClient::connect(key, arguments.rpc.clone()).await;
        return connected.map_err(|error| Failure::network(format!("the network does not answer: {error}")));
    }
    let data = data_dir(arguments.network.data.clone());
    let (_, chain) = up::connect(&data).await?;
    if wanted.is_some_and(|key| key != chain.network_key()) {
        return Err(Failure::refused(format!(
            "the network of {} has another key; --rpc URL names a validator of the one that is meant",
            data.display()
        )));
    }
    Ok(chain)
}

/// The first and the last block that are folded.
async fn stretch(chain: &LightClient, from: Option<u64>, up_to: Option<u64>) -> Result<(u64, u64), Failure> {
    let head = chain.height();
    let last = up_to.unwrap_or(head);
    if last > head {
        return Err(Failure::usage(format!("block {last} is not final yet: the newest one is {head}")));
    }
    if let Some(from) = from.filter(|from| *from > last) {
        return Err(Failure::usage(format!("--from {from} is after block {last}, the last one to be folded")));
    }
    let kept = history::first_kept(chain.urls(), head).await?;
    let first = from.unwrap_or(kept);
    if let Some(lost) = [first, last].into_iter().find(|height| *height < kept) {
        return Err(Failure::network(format!("validators keep no block before {kept}, and block {lost} is asked for")));
    }
    if from.is_none() && first > 1 {
        say(&format!("validators keep no block before {first}: the board is folded from there on"));
    }
    Ok((first, last))
}

/// How the rows of a board look in a table.
struct Looks<R, const N: usize> {
    heading: [&'static str; N],
    row: fn(&R) -> [String; N],
}

const WORKERS: Looks<WorkerRow, 8> = Looks {
    heading: ["rank", "worker", "verified (95 %)", "segments", "answers", "tokens", "slashes", "earned"],
    row: |row| {
        [
            rank(row.rank),
            row.node.clone(),
            share(row.verified_ppm, (row.low_ppm, row.high_ppm), row.rank),
            format!("{} of {}", row.approved, row.approved.saturating_add(row.rejected)),
            row.jobs.to_string(),
            row.tokens.to_string(),
            slashes(row.slashes, row.slashed_nano, row.barred),
            Amount::from_nano(row.earned_nano).to_string(),
        ]
    },
};
const VALIDATORS: Looks<ValidatorRow, 7> = Looks {
    heading: ["rank", "validator", "held (95 %)", "verdicts", "blocks", "slashes", "earned"],
    row: |row| {
        [
            rank(row.rank),
            row.node.clone(),
            share(row.share_ppm, (row.low_ppm, row.high_ppm), row.rank),
            row.verdicts.to_string(),
            row.proposed.to_string(),
            slashes(row.slashes, row.slashed_nano, row.barred),
            Amount::from_nano(row.earned_nano).to_string(),
        ]
    },
};
const AGENTS: Looks<AgentRow, 9> = Looks {
    heading: ["rank", "agent", "state", "version", "a run", "runs", "payers", "fees", "its creator earned"],
    row: |row| {
        [
            rank(row.rank),
            format!("{}\n{}", row.name, row.agent),
            row.state.clone(),
            row.version.to_string(),
            Amount::from_nano(row.price_nano).to_string(),
            row.runs.to_string(),
            row.payers.to_string(),
            Amount::from_nano(row.fees_nano).to_string(),
            Amount::from_nano(row.earned_nano).to_string(),
        ]
    },
};

fn rank(rank: Option<u64>) -> String {
    rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string())
}

/// A share with its interval; nothing of who was never judged.
fn share(ppm: u32, (low, high): (u32, u32), rank: Option<u64>) -> String {
    let percent = |ppm: u32| {
        let tenths = ppm.saturating_add(500) / 1_000;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    if rank.is_none() { "-".to_owned() } else { format!("{} % ({} to {})", percent(ppm), percent(low), percent(high)) }
}

fn slashes(count: u64, nano: u64, barred: bool) -> String {
    match count {
        0 => "0".to_owned(),
        count => format!("{count}: {}{}", Amount::from_nano(nano), if barred { ", barred" } else { "" }),
    }
}

/// Prints a board, unless it is not the expected one.
fn show<R: Serialize, const N: usize>(
    board: &Board<R>,
    kind: Kind,
    network: &NetworkKey,
    arguments: &LeaderboardArgs,
    looks: &Looks<R, N>,
) -> Result<(), Failure> {
    let digest = board.digest();
    is_expected(board, &digest, arguments.expect)?;
    let mut again = command(kind, (board.first, board.height), network, &digest);
    for url in &arguments.rpc {
        again.push_str(&format!(" --rpc {url}"));
    }
    let top = arguments.top.and_then(|top| usize::try_from(top).ok()).unwrap_or(usize::MAX);
    let rows = board.rows.get(..top).unwrap_or(&board.rows);
    if output::is_json() {
        return output::print_json(&json!({
            "board": board.board, "version": board.version, "network": board.network, "first": board.first,
            "height": board.height, "block": board.block, "complete": board.complete, "rows": board.rows.len(),
            "digest": digest.to_string(), "command": again, "data": rows.iter().map(|row| json!(row)).collect::<Vec<Value>>(),
        }));
    }
    if rows.is_empty() {
        print(&format!("there are no {} yet", kind.name()))?;
    } else {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(looks.heading);
        for row in rows {
            table.add_row((looks.row)(row));
        }
        print(&table.to_string())?;
    }
    let shown = if rows.len() < board.rows.len() { format!("{} of ", rows.len()) } else { String::new() };
    let bound = if board.complete { "" } else { "; there were more than a board has room for" };
    print(&format!(
        "{shown}{} {}, blocks {} to {}{bound}\ndigest  {digest}\nagain   {again}",
        board.rows.len(),
        kind.name(),
        board.first,
        board.height,
    ))
}

fn is_expected<R>(board: &Board<R>, found: &Digest, expected: Option<Digest>) -> Result<(), Failure> {
    match expected {
        Some(expected) if expected != *found => Err(Failure::refused(format!(
            "blocks {} to {} fold to another board of {}: its digest is {found}, and {expected} is expected",
            board.first, board.height, board.board,
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
