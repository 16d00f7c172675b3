//! What a validator said is final stays so, however it ends: the process is killed again and
//! again in the middle of its work, and goes on from where it was.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod common;

use common::{TestNetwork, key, rich};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

const DIRECTORY: &str = "INFERIUM_TEST_KILL_DIRECTORY";
const ROUNDS: usize = 6;

/// Not a test of its own: the process that the other test kills. Prints every final block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let mut network = TestNetwork::new("victim", 4);
    network.directory = PathBuf::from(directory);
    let validators = network.start().await;
    let mut blocks = validators[0].blocks();
    let mut nonce = validators[0].state().next_nonce(&rich().public_key());
    loop {
        let block = blocks.recv().await.unwrap();
        println!("final {} {}", block.header.height, block.header.digest());
        for validator in &validators {
            if validator.submit(network.transfer(&rich(), nonce, &key(101), 1)).is_ok() {
                nonce += 1;
            }
        }
        nonce = nonce.max(validators[0].state().next_nonce(&rich().public_key()));
        validators[0].state().audit().unwrap();
    }
}

#[test]
fn killed_validators_go_on_with_what_was_final() {
    let network = TestNetwork::new("killed", 4);
    let mut seen: BTreeMap<u64, String> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["victim", "--exact", "--nocapture"])
            .env(DIRECTORY, &network.directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let before = seen.keys().last().copied().unwrap_or(0);
        // Another number of blocks each time, so that it is killed at another moment.
        let mut left = 12 + round * 7;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(rest) = line.strip_prefix("final ") else { continue };
            let (height, digest) = rest.split_once(' ').unwrap();
            let height: u64 = height.parse().unwrap();
            let known = seen.entry(height).or_insert_with(|| digest.to_owned());
            assert_eq!(known, digest, "two final blocks of height {height}");
            left = left.saturating_sub(1);
            if left == 0 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let after = seen.keys().last().copied().unwrap_or(0);
        assert!(after > before, "no progress in round {round}: {before} to {after}");
    }
    // Nothing between was left out. Who listens does so from a moment on: on a busy machine a block may be final before that.
    let heights: Vec<u64> = seen.keys().copied().collect();
    assert_eq!(heights, (heights[0]..).take(heights.len()).collect::<Vec<_>>());
}
