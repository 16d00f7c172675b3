//! How long the catalogue of agents takes with many agents: reading the books, sorting, searching, writing the document.
//!
//! `cargo run --release -p inferium-web --example catalogue [-- AGENTS]`

use inferium_types::{AgentId, Amount, Digest, Event, LeaseId, NodeId, SegmentId};
use inferium_web::{Index, catalogue_of};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Instant;

const AGENTS: u64 = 1_000;
const ROUNDS: usize = 201;

fn creator(number: u64) -> NodeId {
    NodeId::from_bytes(*Digest::of("example/creator", &[&(number % 97).to_be_bytes()]).as_bytes())
}

fn id(number: u64) -> AgentId {
    AgentId::of_creator(&creator(number), &format!("agent-{number}"))
}

fn published(number: u64) -> Event {
    Event::AgentPublished {
        agent: id(number),
        creator: creator(number),
        name: format!("agent-{number}"),
        manifest: Digest::of("example/manifest", &[&number.to_be_bytes()]),
        price: Amount::from_nano(1_000_000 + number * 7_919 % 50_000_000),
    }
}

fn paid(number: u64, agents: u64) -> Event {
    let agent = number * number % agents;
    let part = |percent: u64| Amount::from_nano(100_000 * percent);
    Event::RunPaid {
        run: LeaseId::new(Digest::of("example/run", &[&number.to_be_bytes()])),
        segment: SegmentId::new(Digest::of("example/segment", &[&number.to_be_bytes()])),
        agent: id(agent),
        host: creator(1),
        creator: creator(agent),
        payer: creator(2),
        fee: part(100),
        to_host: part(60),
        to_payer: Amount::ZERO,
        to_creator: part(25),
        to_each_approver: part(5),
        to_treasury: part(5),
    }
}

fn main() -> std::io::Result<()> {
    let agents = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(AGENTS).max(1);
    let events: Vec<Event> =
        (0..agents).map(published).chain((0..10 * agents).map(|number| paid(number, agents))).collect();
    let index = Index::of_events(&events);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{agents} agents, {} paid runs", 10 * agents)?;
    for query in ["", "sort=newest", "sort=price&page=9", "q=agent-77", "q=nothing"] {
        let fields = query.split('&').filter_map(|field| field.split_once('='));
        let asked: BTreeMap<String, String> = fields.map(|(name, value)| (name.into(), value.into())).collect();
        let mut times = Vec::with_capacity(ROUNDS);
        let mut size = 0;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            size = catalogue_of(&index, &asked).len();
            times.push(began.elapsed());
        }
        times.sort();
        let (median, worst) = (times[ROUNDS / 2], times[ROUNDS - 1]);
        writeln!(out, "/studios?{query:<20} median {median:?}, worst {worst:?}, {size} bytes")?;
    }
    Ok(())
}
