use super::Order;
use crate::TrainingSpec;
use crate::head::tests::{data, spec};
use inferium_types::Digest;

#[test]
fn every_epoch_sees_each_example_once_in_an_order_of_its_own() {
    let spec = spec(&data(90));
    let examples = spec.data.examples;
    let per_epoch = Order::steps_per_epoch(examples, spec.batch);
    let mut order = Order::new(&spec);
    let mut epoch = |index: u64| -> Vec<usize> {
        (index * per_epoch..(index + 1) * per_epoch).flat_map(|step| order.batch(step)).collect()
    };
    let epochs = [0, 1, 0].map(&mut epoch);
    for seen in &epochs {
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..examples as usize).collect::<Vec<_>>());
    }
    assert_ne!(epochs[0], epochs[1]);
    assert_eq!(epochs[0], epochs[2], "what was asked before does not matter");
}

#[test]
fn the_order_is_the_specs() {
    let one = spec(&data(90));
    let other = TrainingSpec { order: Digest::ZERO, ..one.clone() };
    assert_ne!(Order::new(&one).batch(0), Order::new(&other).batch(0));
    assert_eq!(Order::new(&one).batch(3), Order::new(&one).batch(3));
}

#[test]
fn an_epochs_last_step_may_be_short_and_none_is_empty() {
    let mut spec = spec(&data(90));
    spec.data.examples = 17;
    let mut order = Order::new(&spec);
    assert_eq!([0, 1, 2, 3].map(|step| order.batch(step).len()), [8, 8, 1, 8]);
    spec.data.examples = 16;
    let mut order = Order::new(&spec);
    assert_eq!([0, 1, 2].map(|step| order.batch(step).len()), [8, 8, 8]);
}
