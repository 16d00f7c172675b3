//! A state is its entries: what is rebuilt from them is equal, queues included.

use super::stalls::request;
use super::support::*;
use crate::{State, StateKey, state_key};
use inferium_types::{Amount, Parameters, Ppm, ProposalAction, ProposalTerms, TransactionBody, VoteChoice, decode};

type Entry = (Vec<u8>, Vec<u8>);

/// Something in every table: tasks, leases in both states, segments in all three, claims, holds,
/// records, stake coming and going, votes, and an epoch that is not paid out yet.
fn rich() -> Chain {
    let epoch_ms = devnet(4).epoch_ms;
    let mut chain = Chain::with(4, Parameters { epoch_ms: 3_600_000, ..devnet(4) }).furnished(3);
    let amount = Amount::from_ifr(10);
    chain.ok("x1", TransactionBody::Bond { node: id("v0"), amount });
    chain.ok("x1", TransactionBody::Unbond { node: id("v0"), amount: amount.split(3) });
    chain.ok("x2", TransactionBody::Bond { node: id("v0"), amount });
    chain.ok(&operator_of("w1"), TransactionBody::Bond { node: id("w1"), amount });
    chain.ok("w1", TransactionBody::Unbond { node: id("w1"), amount });
    let proposal = ProposalTerms { title: "A title".into(), description: "Why.".into(), action: ProposalAction::Text };
    chain.ok("x2", TransactionBody::Propose { proposal });
    chain.ok("x1", TransactionBody::Vote { proposal: 0, choice: VoteChoice::Yes });
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
    chain.open("g0", task_terms());
    let commitment = chain.segment(leases[2], totals(1, 5, 5));
    let worker = chain.name(&chain.state.lease(&leases[2]).unwrap().worker);
    let report = chain.tx("g0", TransactionBody::ReportStall { request: request(leases[0], 0) });
    let commit = chain.tx(&worker, TransactionBody::CommitSegment { commitment });
    chain.block(&[report, commit]);
    // The epoch ends with the next block, which pays one of those who worked in it. One worker is
    // drawn to be measured again.
    let (started_ms, end_ms) = (chain.state.meta().epoch_started_ms, chain.now_ms + BLOCK_MS);
    let parameters = &mut chain.state.meta_mut().parameters;
    parameters.assessment_share = Ppm::ONE;
    (parameters.epoch_ms, parameters.queue_work_max) = (end_ms - started_ms, 1);
    let mut capability = chain.state.capability(&id("w2")).unwrap().clone();
    capability.draw_at_ms = end_ms;
    chain.state.set_capability(id("w2"), capability);
    chain.block(&[]);
    let parameters = &mut chain.state.meta_mut().parameters;
    (parameters.epoch_ms, parameters.queue_work_max) = (epoch_ms, 4_096);
    chain
}

#[test]
fn rich_state_is_its_entries() {
    let chain = rich();
    let state = &chain.state;
    assert!(state.tasks().count() > 0 && state.leases().count() > 1 && state.stalls().count() > 1);
    assert!(state.segments().count() > 2 && state.holds().count() > 0 && !state.records.is_empty());
    assert!(!state.delegations.is_empty() && state.unbondings().count() == 2 && state.votes_on(0).count() == 1);
    assert!(!state.epoch_works.is_empty() && state.epoch_rewards.len() == 1 && state.capabilities.len() == 3);
    assert!(state.due.len() > 12 && state.draws.len() > 1 && state.queue.len() == 1);
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
    assert!(running.state.due.keys().all(|(at_ms, _)| *at_ms == u64::MAX), "nothing is due but what never is");
    assert!(running.state.draws.is_empty() && running.state.queue.is_empty());
    assert!(running.state.epoch_rewards.is_empty() && running.state.epoch_works.is_empty());
    assert!(running.state.unbondings.is_empty() && running.state.proposals.is_empty());
    assert_eq!(running.state.capability(&id("w2")).unwrap().tier, None, "it did not come");
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
    assert_eq!(tables.into_iter().collect::<Vec<u8>>(), (0..19).collect::<Vec<u8>>(), "every table");
}

#[test]
fn equal_states_have_no_changes() {
    let chain = rich();
    assert_eq!(State::changes(&chain.state, &chain.state.clone()), []);
    let all = State::changes(&chain.state, &State::empty());
    assert_eq!(all.len(), chain.state.entries().len());
    assert!(all.iter().all(|(_, value)| value.is_none()));
}
