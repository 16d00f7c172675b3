//! The tables of the leaderboard, over rows of the tests' own.

use super::{SHOWN_MAX, again, agent_table, count, validator_table, worker_table};
use crate::index::Index;
use crate::pages::nodes::Proven;
use inferium_query::boards::{AgentRow, ValidatorRow, WorkerRow};
use inferium_types::{AgentId, Amount, ChainId, Digest, Event, GroupKey, NetworkKey, NodeId};
use std::{collections::BTreeMap, sync::Arc};

fn network() -> NetworkKey {
    NetworkKey { chain: ChainId::new(Digest::ZERO), group: GroupKey::from_bytes([7; 96]) }
}

fn nobody() -> Proven {
    Proven { name: "one".into(), node: None, capability: None }
}

fn worker(rank: Option<u64>, barred: bool) -> WorkerRow {
    WorkerRow {
        approved: 9,
        barred,
        earned_nano: 5,
        high_ppm: 982_123,
        jobs: 30,
        low_ppm: 596_000,
        node: NodeId::from_bytes([1; 32]).to_string(),
        overturned: 0,
        rank,
        rejected: 1,
        slashed_nano: 7,
        slashes: 1,
        tokens: 1_234,
        undecided: 0,
        verified_ppm: 900_000,
    }
}

fn agent(name: &str, payers: u64) -> AgentRow {
    AgentRow {
        agent: AgentId::new(Digest::sha256(&[2])).to_string(),
        creator: NodeId::from_bytes([9; 32]).to_string(),
        earned_nano: 25,
        fees_nano: 100,
        name: name.into(),
        payers,
        price_nano: 10,
        rank: Some(2),
        runs: 3,
        state: "active".into(),
        version: 4,
    }
}

#[test]
fn a_worker_has_its_share_with_its_interval_and_its_slashes() {
    let (row, id) = (worker(Some(2), false), NodeId::from_bytes([1; 32]));
    let table = worker_table(&[(&row, id, nobody())], &Arc::new(BTreeMap::new()), 0);
    let json = &table.json_rows()[0];
    assert_eq!((&json["rank"], &json["verified_ppm"], &json["low_ppm"]), (&2.into(), &900_000.into(), &596_000.into()));
    assert_eq!((&json["tokens"], &json["slashes"], &json["state"]), (&1_234.into(), &1.into(), &"unknown".into()));
    let html = table.html().into_string();
    assert!(
        ["90.0\u{a0}%", "59.6\u{a0}%", "98.2\u{a0}%", "0.000000007 IFR", ">9 of 10<"]
            .iter()
            .all(|part| html.contains(part)),
        "{html}"
    );
    assert!(html.contains("rank silver"), "{html}");
}

#[test]
fn who_was_never_judged_has_no_share_and_who_is_barred_is_shown_so() {
    let (idle, barred) = (worker(None, false), worker(Some(5), true));
    let id = NodeId::from_bytes([1; 32]);
    let table = worker_table(&[(&idle, id, nobody()), (&barred, id, nobody())], &Arc::new(BTreeMap::new()), 0);
    let rows = table.json_rows();
    assert!(rows[0]["rank"].is_null() && rows[0]["verified_ppm"].is_null() && rows[0]["high_ppm"].is_null());
    assert_eq!((&rows[1]["state"], &rows[1]["rank"]), (&"barred".into(), &5.into()));
}

#[test]
fn a_validator_has_its_verdicts_and_blocks() {
    let row = ValidatorRow {
        barred: false,
        earned_nano: 5,
        high_ppm: 1_000_000,
        low_ppm: 700_000,
        node: NodeId::from_bytes([1; 32]).to_string(),
        overturned: 0,
        proposed: 44,
        rank: Some(1),
        share_ppm: 1_000_000,
        slashed_nano: 0,
        slashes: 0,
        verdicts: 12,
    };
    let table = validator_table(&[(&row, NodeId::from_bytes([1; 32]), nobody())], &Arc::new(BTreeMap::new()), 0);
    let json = &table.json_rows()[0];
    assert_eq!((&json["verdicts"], &json["proposed"], &json["share_ppm"]), (&12.into(), &44.into(), &1_000_000.into()));
}

#[test]
fn agents_lead_to_their_pages_and_their_names_are_no_markup() {
    let row = agent("<img src=x>", 256);
    let table = agent_table(std::slice::from_ref(&row));
    let html = table.html().into_string();
    assert!(html.contains(&format!("href=\"/studios/{}\"", row.agent)), "{html}");
    assert!(!html.contains("<img") && html.contains("&lt;img") && html.contains("256+"), "{html}");
    assert_eq!(table.json_rows()[0]["payers"], 256);
    assert!(table.csv().starts_with("rank,agent,name,creator,state,version,"));
    let many: Vec<AgentRow> = (0..=SHOWN_MAX).map(|_| agent("plain", 1)).collect();
    assert_eq!(agent_table(&many).rows.len(), SHOWN_MAX);
    assert!(agent_table(&[]).html().into_string().contains("No agent has been published yet."));
}

#[test]
fn each_board_says_what_it_is_of_and_how_it_is_made_again() {
    let (agent, creator) = (AgentId::new(Digest::sha256(&[2])), NodeId::from_bytes([9; 32]));
    let published =
        Event::AgentPublished { agent, creator, name: "plain".into(), manifest: Digest::ZERO, price: Amount::ZERO };
    let index = Index::of_events(&[published]);
    let boards = index.boards(&network());
    let json = boards.agents.json();
    assert_eq!((&json["rows"], &json["complete"]), (&1.into(), &true.into()));
    assert_eq!(json["digest"], boards.agents.board.digest().to_string());
    let command = json["command"].as_str().unwrap();
    assert!(command.starts_with("inferium leaderboard agents --up-to 0 --network-key inferium:"), "{command}");
    let html = again(&boards.agents).into_string();
    assert!(html.contains(command) && html.contains(&boards.agents.digest.to_string()), "{html}");
    assert!(!html.contains("more than a board"), "{html}");
    assert_eq!(count(boards.workers.board.rows.len()), 0);
    // One ranking serves all readers until the next block.
    assert!(Arc::ptr_eq(&boards, &index.boards(&network())));
}
