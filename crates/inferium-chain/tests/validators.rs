//! Real validators: sockets on the loopback, files on disk, the engine's own threads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{TestNetwork, has_taken, key, reach, rich};
use inferium_types::Amount;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_validators_finalise_transfers_and_go_on_after_a_restart() {
    let network = TestNetwork::new("four", 4);
    let validators = network.start().await;
    for nonce in 0..20 {
        // Each validator gets some: gossip brings them to whoever leads.
        let validator = &validators[usize::try_from(nonce).unwrap() % 4];
        let transaction = network.transfer(&rich(), nonce, &key(101), 1);
        let id = validator.submit(transaction).unwrap();
        assert!(validator.is_waiting(id) || validator.state().next_nonce(&rich().public_key()) > nonce);
    }
    has_taken(&validators[0], 20).await;
    let height = validators[0].head().borrow().height;
    for validator in &validators {
        reach(validator, height + 3).await;
        let state = validator.state();
        assert_eq!(state.account(&key(101).public_key()).balance, Amount::from_ifr(20));
        state.audit().unwrap();
    }
    let same = validators[0].index().digest(height).unwrap().unwrap();
    for validator in &validators {
        assert_eq!(validator.index().digest(height).unwrap(), Some(same));
    }
    validators[0].stop().await;
    let stopped_at = validators[0].head().borrow().height;
    drop(validators);

    let validators = network.start().await;
    let restarted_at = validators[0].head().borrow().height;
    assert!(restarted_at >= stopped_at);
    assert_eq!(validators[0].index().digest(height).unwrap(), Some(same));
    assert_eq!(validators[0].state().account(&key(101).public_key()).balance, Amount::from_ifr(20));
    validators[1].submit(network.transfer(&rich(), 20, &key(102), 5)).unwrap();
    // In how many blocks is not said: connections that are not there yet get it when it is sent again.
    has_taken(&validators[3], 21).await;
    assert!(validators[3].head().borrow().height > restarted_at);
    assert_eq!(validators[3].state().account(&key(102).public_key()).balance, Amount::from_ifr(5));
    validators[0].stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_validator_is_a_network() {
    let network = TestNetwork::new("one", 1);
    let validators = network.start().await;
    validators[0].submit(network.transfer(&rich(), 0, &key(101), 1)).unwrap();
    has_taken(&validators[0], 1).await;
    reach(&validators[0], 10).await;
    assert_eq!(validators[0].state().account(&key(101).public_key()).balance, Amount::from_ifr(1));
    validators[0].stop().await;
}
