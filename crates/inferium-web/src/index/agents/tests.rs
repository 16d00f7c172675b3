//! What events say of an agent, in the order in which they come.

use super::{AgentBooks, LISTED_MAX};
use inferium_types::{AgentId, Amount, Digest, Event, LeaseId, NodeId, SegmentId};

fn id(byte: u8) -> AgentId {
    AgentId::new(Digest::sha256(&[byte]))
}

fn published(byte: u8) -> Event {
    Event::AgentPublished {
        agent: id(byte),
        creator: NodeId::from_bytes([9; 32]),
        name: format!("agent-{byte}"),
        manifest: Digest::sha256(&[1]),
        price: Amount::from_nano(10),
    }
}

fn paid(byte: u8, fee: u64) -> Event {
    let part = |percent: u64| Amount::from_nano(fee * percent / 100);
    Event::RunPaid {
        run: LeaseId::new(Digest::sha256(&[3])),
        segment: SegmentId::new(Digest::sha256(&[4])),
        agent: id(byte),
        host: NodeId::from_bytes([5; 32]),
        creator: NodeId::from_bytes([9; 32]),
        payer: NodeId::from_bytes([6; 32]),
        fee: Amount::from_nano(fee),
        to_host: part(60),
        to_payer: Amount::ZERO,
        to_creator: part(25),
        to_each_approver: part(5),
        to_treasury: part(5),
    }
}

#[test]
fn the_newest_runs_are_listed_and_their_parts_are_the_fee() {
    let mut books = AgentBooks::default();
    books.on_event(&published(1), 1, 1_000);
    for height in 2..60 {
        books.on_event(&paid(1, 1_000), height, 1_000);
    }
    let book = books.get(&id(1)).unwrap();
    assert_eq!(book.paid.len(), LISTED_MAX);
    let last = book.paid.back().unwrap();
    assert_eq!((last.height, last.to_committee.nano()), (59, 100));
    let parts = [last.to_host, last.to_payer, last.to_creator, last.to_committee, last.to_treasury];
    assert_eq!(parts.iter().map(|part| part.nano()).sum::<u64>(), last.fee.nano());
}

#[test]
fn versions_change_with_what_is_paid_for_and_not_with_the_policy() {
    let mut books = AgentBooks::default();
    books.on_event(&published(1), 1, 1_000);
    let updated = |version, nano| Event::AgentUpdated {
        agent: id(1),
        version,
        manifest: Digest::sha256(&[2]),
        price: Amount::from_nano(nano),
        widens_at_ms: None,
    };
    books.on_event(&updated(2, 20), 2, 1_000);
    books.on_event(&updated(2, 20), 3, 1_000);
    let book = books.get(&id(1)).unwrap();
    let seen: Vec<(u32, u64)> = book.versions.iter().map(|version| (version.number, version.height)).collect();
    assert_eq!(seen, [(1, 1), (2, 2)]);
}

#[test]
fn strangers_are_passed_over() {
    let mut books = AgentBooks::default();
    books.on_event(&published(1), 1, 1_000);
    books.on_event(&paid(7, 100), 3, 1_000);
    assert!(books.get(&id(7)).is_none() && books.get(&id(1)).unwrap().paid.is_empty());
}
