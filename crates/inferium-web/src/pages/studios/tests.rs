//! The catalogue over books and lists of the tests' own.

use super::{Asked, escaped, page, suffices};
use crate::index::Index;
use crate::listing::{ById, Listed};
use inferium_types::{AgentId, Amount, Digest, Event, LeaseId, NodeId, SegmentId};
use serde_json::Value;
use std::collections::BTreeMap;

fn id(number: u64) -> AgentId {
    AgentId::of_creator(&NodeId::from_bytes([9; 32]), &format!("agent-{number}"))
}

fn published(number: u64) -> Event {
    Event::AgentPublished {
        agent: id(number),
        creator: NodeId::from_bytes([9; 32]),
        name: format!("agent-{number}"),
        manifest: Digest::sha256(&[1]),
        price: Amount::from_nano(1_000 - number),
    }
}

fn paid(number: u64) -> Event {
    Event::RunPaid {
        run: LeaseId::new(Digest::ZERO),
        segment: SegmentId::new(Digest::ZERO),
        agent: id(number),
        host: NodeId::from_bytes([5; 32]),
        creator: NodeId::from_bytes([9; 32]),
        payer: NodeId::from_bytes([6; 32]),
        fee: Amount::from_nano(100),
        to_host: Amount::from_nano(60),
        to_payer: Amount::ZERO,
        to_creator: Amount::from_nano(25),
        to_each_approver: Amount::from_nano(5),
        to_treasury: Amount::from_nano(5),
    }
}

fn listed(number: u64, summary: &str) -> (AgentId, Listed) {
    let listed = Listed {
        name: format!("agent-{number}"),
        summary: summary.into(),
        creator: NodeId::from_bytes([9; 32]),
        manifest: Digest::sha256(&[1]),
        price: Amount::from_nano(5),
        runs: 7,
    };
    (id(number), listed)
}

fn ask(query: &[(&str, &str)]) -> Asked {
    Asked::of(&query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn names(index: &Index, known: &ById, query: &[(&str, &str)]) -> Vec<String> {
    let page = page(&index.read(), known, &ask(query));
    let rows = page.json["data"].as_array().unwrap();
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_catalogue_sorts_by_runs_age_and_price() {
    let index = Index::of_events(&[published(1), published(2), published(3), paid(2), paid(2), paid(1)]);
    let known = BTreeMap::new();
    assert_eq!(names(&index, &known, &[]), ["agent-2", "agent-1", "agent-3"]);
    assert_eq!(names(&index, &known, &[("sort", "newest")]), ["agent-3", "agent-2", "agent-1"]);
    assert_eq!(names(&index, &known, &[("sort", "price")]), ["agent-3", "agent-2", "agent-1"]);
    assert_eq!(names(&index, &known, &[("sort", "nonsense"), ("page", "-1")]), ["agent-2", "agent-1", "agent-3"]);
    let page = page(&index.read(), &known, &ask(&[]));
    assert_eq!(
        (&page.json["data"][0]["runs"], &page.json["data"][0]["earned_nano"]),
        (&Value::from(2), &Value::from(50))
    );
    assert!(page.csv.unwrap().starts_with("agent,name,summary,"));
}

#[test]
fn retired_agents_come_last_closed_ones_not_at_all_and_older_ones_from_the_gateway() {
    let closed = Event::AgentClosed { agent: id(1), creator: NodeId::from_bytes([9; 32]), returned: Amount::ZERO };
    let retired = Event::AgentRetired { agent: id(2), stop_spending: false };
    let index = Index::of_events(&[published(1), published(2), published(3), closed, paid(2), retired]);
    let known = BTreeMap::from([listed(8, "Older than the first block that was read.")]);
    assert_eq!(names(&index, &known, &[]), ["agent-8", "agent-3", "agent-2"]);
}

#[test]
fn every_word_of_a_search_is_found_somewhere() {
    let index = Index::of_events(&[published(1), published(2)]);
    let known = BTreeMap::from([listed(1, "Sums tables."), listed(2, "Reads <b>documents</b>.")]);
    assert_eq!(names(&index, &known, &[("q", "  DOCUMENTS agent ")]), ["agent-2"]);
    assert_eq!(names(&index, &known, &[("q", "documents tables")]), Vec::<String>::new());
    assert_eq!(names(&index, &known, &[("q", &id(1).to_string())]), ["agent-1"]);
    let page = page(&index.read(), &known, &ask(&[("q", "<script>\"'&")]));
    let html = page.html.into_string();
    assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"), "{html}");
}

#[test]
fn words_of_another_version_are_not_shown_and_asked_for() {
    let index = Index::of_events(&[published(1)]);
    let (of, mut stale) = listed(1, "Of before.");
    assert!(suffices(&index.read(), &BTreeMap::from([(of, stale.clone())])));
    stale.manifest = Digest::sha256(&[2]);
    let known = BTreeMap::from([(of, stale)]);
    assert!(!suffices(&index.read(), &known) && !suffices(&index.read(), &BTreeMap::new()));
    let html = page(&index.read(), &known, &ask(&[])).html.into_string();
    assert!(!html.contains("Of before."), "{html}");
}

#[test]
fn a_page_has_fifty_agents_and_leads_to_the_next() {
    let events: Vec<Event> = (0..120).map(published).collect();
    let index = Index::of_events(&events);
    let known = BTreeMap::new();
    let mut seen = Vec::new();
    for number in 1..=3 {
        let text = number.to_string();
        let query = [("sort", "newest"), ("page", text.as_str()), ("q", "agent")];
        let next = page(&index.read(), &known, &ask(&query)).json["next"].clone();
        let expected = if number < 3 {
            Value::from(format!("/studios?q=agent&sort=newest&page={}", number + 1))
        } else {
            Value::Null
        };
        assert_eq!(next, expected);
        seen.extend(names(&index, &known, &query));
    }
    let expected: Vec<String> = (0..120).rev().map(|number| format!("agent-{number}")).collect();
    assert_eq!(seen, expected);
    assert!(names(&index, &known, &[("page", "99999999999")]).is_empty());
}

#[test]
fn what_is_searched_for_goes_into_addresses_escaped() {
    assert_eq!(escaped("a b&c=\"ů"), "a%20b%26c%3D%22%C5%AF");
}
