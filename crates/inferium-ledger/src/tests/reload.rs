//! A state is its entries: what is rebuilt from them is equal, queues included.

use super::stalls::request;
use super::support::*;
use crate::{State, StateKey, state_key};
use inferium_types::{TransactionBody, decode};

type Entry = (Vec<u8>, Vec<u8>);

/// Tasks, leases in both states, segments in all three, claims, holds, records.
fn rich() -> Chain {
    let mut chain = Chain::ready(3);
    let lease = chain.lease();
    chain.convict(lease, totals(1, 5, 5));
    for name in ["w1", "w2"] {
        chain.ok(name, offer(2));
    }
    let leases: Vec<_> = (0..4).map(|_| chain.open("g0", task_terms()).1).collect();
    chain.open("g0", task_terms());
    chain.approve(leases[0], totals(1, 5, 5));
    chain.commit(leases[1], totals(1, 5, 5));
    chain.blocks(4);
    chain.ok("g0", TransactionBody::ReportStall { request: request(leases[2], 0) });
    chain.blocks(4);
    chain.ok("g0", TransactionBody::CloseLease { lease: leases[3] });
    chain.ok("g0", TransactionBody::ReportStall { request: request(leases[0], 0) });
    chain.commit(leases[2], totals(1, 5, 5));
    chain.open("g0", task_terms());
    chain
}

#[test]
fn rich_state_is_its_entries() {
    let chain = rich();
    let state = &chain.state;
    assert!(state.tasks().count() > 0 && state.leases().count() > 1 && state.stalls().count() > 1);
    assert!(state.segments().count() > 2 && state.holds().count() > 0 && !state.records.is_empty());
    assert!(state.due.len() > 6 && state.draws.len() > 1 && state.queue.len() == 1);
    let reloaded = State::from_entries(state.entries()).unwrap();
    assert_eq!(&reloaded, state);
    assert_eq!((&reloaded.queue, &reloaded.due, &reloaded.draws), (&state.queue, &state.due, &state.draws));
}

/// What follows is the same whether a node ran all along or restarted.
#[test]
fn reloaded_chain_goes_on_equally() {
    let mut running = rich();
    let mut restarted = running.clone();
    restarted.state = State::from_entries(restarted.state.entries()).unwrap();
    for _ in 0..900 {
        assert_eq!(running.block(&[]), restarted.block(&[]));
        assert_eq!(running.state, restarted.state);
    }
    assert_eq!(running.state.leases().count() + running.state.segments().count(), 0, "everything ends");
    assert!(running.state.due.is_empty() && running.state.draws.is_empty() && running.state.queue.is_empty());
}

#[test]
fn entries_come_in_any_order_and_are_sorted() {
    let chain = rich();
    let mut entries = chain.state.entries();
    assert!(entries.is_sorted());
    entries.reverse();
    assert_eq!(State::from_entries(entries).unwrap(), chain.state);
}

#[test]
fn corrupt_entries_are_refused() {
    let chain = rich();
    let entries = chain.state.entries();
    for index in 0..entries.len() {
        let change = |edit: &dyn Fn(&mut Entry)| {
            let mut entries = entries.clone();
            edit(&mut entries[index]);
            State::from_entries(entries)
        };
        assert!(change(&|entry| entry.0.push(0)).is_err(), "a longer key");
        assert!(change(&|entry| entry.0[0] = 200).is_err(), "an unknown table");
        assert!(change(&|entry| entry.1.push(0)).is_err(), "a longer value");
        assert!(change(&|entry| entry.1.truncate(entry.1.len() - 1)).is_err(), "a shorter value");
    }
    let meta = state_key(&StateKey::Meta);
    let rest: Vec<_> = entries.iter().filter(|(key, _)| *key != meta).cloned().collect();
    assert!(State::from_entries(rest).unwrap_err().to_string().contains("no meta entry"));
    assert!(State::from_entries(Vec::new()).is_err());
}

#[test]
fn keys_name_their_entries() {
    let chain = rich();
    let mut tables = std::collections::BTreeSet::new();
    for (key, _) in chain.state.entries() {
        let decoded: StateKey = decode(&key).unwrap();
        assert_eq!(state_key(&decoded), key);
        tables.insert(key[0]);
    }
    assert_eq!(tables.into_iter().collect::<Vec<u8>>(), (0..12).collect::<Vec<u8>>(), "every table");
}

#[test]
fn equal_states_have_no_changes() {
    let chain = rich();
    assert_eq!(State::changes(&chain.state, &chain.state.clone()), []);
    let all = State::changes(&chain.state, &State::empty());
    assert_eq!(all.len(), chain.state.entries().len());
    assert!(all.iter().all(|(_, value)| value.is_none()));
}
