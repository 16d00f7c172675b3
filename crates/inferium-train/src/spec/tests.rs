use super::{BATCH_MAX, INTERVAL_MAX, Method, STEPS_MAX, TrainingSpec};
use crate::head::tests::{data, spec};
use inferium_types::{Digest, Ppm, decode, encode};

fn good() -> TrainingSpec {
    spec(&data(90))
}

#[test]
fn a_spec_is_named_by_all_that_it_says() {
    let good = good();
    assert_eq!(decode::<TrainingSpec>(&encode(&good)).unwrap(), good);
    type Change = fn(&mut TrainingSpec);
    let changes: [Change; 14] = [
        |spec| spec.method = Method::Head { labels: vec!["a".into(), "b".into()], width: 24, vectors: Digest::ZERO },
        |spec| spec.method = Method::Lora { rank: 1, alpha_milli: 1, layers: 1, sequence: 2 },
        |spec| spec.model.weights_root = Digest::of("x", &[]),
        |spec| spec.engine = inferium_types::EngineClass::Canonical { build: Digest::ZERO, tier: "all".into() },
        |spec| spec.data.root = Digest::ZERO,
        |spec| spec.data.held_out = Ppm::new(1),
        |spec| spec.data.examples += 1,
        |spec| spec.order = Digest::ZERO,
        |spec| spec.seed = Digest::ZERO,
        |spec| spec.optimiser.learning_rate_nano += 1,
        |spec| spec.optimiser.warmup_steps += 1,
        |spec| spec.batch += 1,
        |spec| spec.steps += 1,
        |spec| spec.interval += 1,
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut other = good.clone();
        change(&mut other);
        assert_ne!(other.digest(), good.digest(), "change {index}");
        assert!(good.difference(&other).is_some(), "change {index}");
    }
    assert_eq!(good.difference(&good), None);
}

#[test]
fn bounds_hold_to_the_last_value() {
    assert_eq!(good().check(), Ok(()));
    type Change = fn(&mut TrainingSpec, u64);
    let bounds: [(Change, u64, u64); 5] = [
        (|spec, value| spec.steps = value, 1, STEPS_MAX),
        (|spec, value| spec.interval = value as u32, 1, INTERVAL_MAX.into()),
        (|spec, value| spec.batch = value as u32, 1, BATCH_MAX.into()),
        (|spec, value| spec.optimiser.learning_rate_nano = value as u32, 1, 1_000_000_000),
        (|spec, value| spec.data.held_out = Ppm::new(value as u32), 1, 999_999),
    ];
    for (index, (change, least, most)) in bounds.into_iter().enumerate() {
        let with = |value| {
            let mut spec = good();
            change(&mut spec, value);
            spec.check()
        };
        assert!(with(least).is_ok() && with(most).is_ok(), "bound {index}");
        assert!(with(least - 1).is_err() && with(most + 1).is_err(), "bound {index}");
    }
    let labels = |labels: &[&str]| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        TrainingSpec { method: Method::Head { labels, width: 4, vectors: Digest::ZERO }, ..good() }.check()
    };
    assert!(labels(&["a", "b"]).is_ok());
    assert!(labels(&["a"]).is_err() && labels(&["b", "a"]).is_err() && labels(&["a", "a"]).is_err());
    let lora = |rank, alpha_milli, layers, sequence| {
        TrainingSpec { method: Method::Lora { rank, alpha_milli, layers, sequence }, batch: 4, ..good() }.check()
    };
    assert!(lora(1, 1, 1, 2).is_ok() && lora(256, 1_000_000, 1_024, 65_536).is_ok());
    for bad in [lora(0, 1, 1, 2), lora(257, 1, 1, 2), lora(1, 0, 1, 2), lora(1, 1, 0, 2), lora(1, 1, 1, 1)] {
        assert!(bad.is_err());
    }
}

#[test]
fn tokens_of_a_step_are_bounded() {
    let lora = |batch, sequence| {
        let method = Method::Lora { rank: 1, alpha_milli: 1, layers: 1, sequence };
        TrainingSpec { method, batch, ..good() }.check()
    };
    assert_eq!(lora(4_096, 64), Ok(()));
    assert!(lora(4_096, 65).unwrap_err().field.contains("tokens of a step"));
}

#[test]
fn names_that_would_steer_a_terminal_are_refused() {
    let labels = |label: &str| {
        let method = Method::Head { labels: vec!["a".into(), label.into()], width: 4, vectors: Digest::ZERO };
        TrainingSpec { method, ..good() }.check()
    };
    assert_eq!(labels("zwölf"), Ok(()));
    for bad in ["b\u{1b}[2J", "b\n", "b\u{9b}"] {
        let refused = labels(bad).unwrap_err();
        assert!(!refused.to_string().chars().any(char::is_control), "{refused:?}");
        let mut spec = good();
        spec.model.name = bad.to_owned();
        assert!(spec.check().is_err());
    }
}

#[test]
fn the_usual_interval_is_one_that_may_be() {
    assert_eq!([1, 269, 270, 539, 540].map(TrainingSpec::usual_interval), [1, 1, 1, 1, 2]);
    for steps in [270 * u64::from(INTERVAL_MAX), STEPS_MAX, u64::MAX] {
        assert_eq!(TrainingSpec::usual_interval(steps), INTERVAL_MAX);
    }
}

#[test]
fn intervals_cut_the_steps_and_the_last_one_may_be_short() {
    let spec = TrainingSpec { steps: 12, interval: 5, ..good() };
    assert_eq!(spec.intervals(), 3);
    assert_eq!([0, 1, 2, 3].map(|index| spec.steps_of(index)), [(0, 5), (5, 10), (10, 12), (12, 12)]);
    assert_eq!(TrainingSpec { steps: 10, interval: 5, ..good() }.intervals(), 2);
}
