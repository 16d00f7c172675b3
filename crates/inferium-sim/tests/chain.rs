//! Chains under good and bad circumstances.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use inferium_sim::{Fault, Network, Scenario};
use std::time::Duration;

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let run = || Scenario::new(Network::new(4)).blocks(20).seeds(0..2).run().unwrap();
    let (one, other) = (run(), run());
    assert_eq!(one, other);
    assert_ne!(one[0], one[1]);
}

#[test]
fn validators_agree_over_lossy_links_crashes_and_failing_disks() {
    let mut scenario = Scenario::new(Network::new(4))
        .blocks(40)
        .seeds(0..3)
        .links(Duration::from_millis(80), Duration::from_millis(60), 1, 5)
        .fault(Fault::Crash { at_ms: 2_500, validator: 0 })
        .fault(Fault::Restart { at_ms: 6_000, validator: 0 })
        .fault(Fault::SyncFailures { at_ms: 8_000, one_in: 100 })
        .fault(Fault::SyncFailures { at_ms: 9_000, one_in: 0 });
    // Whoever met a failing disk has stopped.
    for (validator, at_ms) in [(0, 9_500), (1, 9_750), (2, 10_000), (3, 10_250)] {
        scenario = scenario.fault(Fault::Restart { at_ms, validator });
    }
    scenario.run().unwrap();
}

#[test]
fn all_validators_crash_at_once_and_go_on() {
    let mut scenario = Scenario::new(Network::new(4)).blocks(40).seeds(0..2);
    for validator in 0..4 {
        scenario = scenario
            .fault(Fault::Crash { at_ms: 3_333, validator })
            .fault(Fault::Restart { at_ms: 5_000, validator })
            .fault(Fault::Crash { at_ms: 8_111, validator })
            .fault(Fault::Restart { at_ms: 9_000, validator });
    }
    scenario.run().unwrap();
}

#[test]
fn one_validator_alone_is_a_network() {
    Scenario::new(Network::new(1)).blocks(30).run().unwrap();
}

#[test]
fn a_fault_of_a_validator_that_is_not_there_is_no_run() {
    for fault in [Fault::Crash { at_ms: 1, validator: 4 }, Fault::Restart { at_ms: 1, validator: 4 }] {
        let refused = Scenario::new(Network::new(4)).fault(fault).run().unwrap_err();
        assert!(refused.contains("no validator 4"), "{refused}");
    }
}
