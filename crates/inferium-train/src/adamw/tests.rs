use super::{power, rate, update};
use crate::{OptimiserTerms, State};

const TERMS: OptimiserTerms =
    OptimiserTerms { learning_rate_nano: 100_000_000, weight_decay_nano: 10_000_000, warmup_steps: 0 };

/// The textbook's, in double precision.
fn expected(weight: f64, slopes: &[f64]) -> f64 {
    let (mut weight, mut first, mut second) = (weight, 0.0, 0.0);
    for (step, slope) in (1..).zip(slopes) {
        first = 0.9 * first + 0.1 * slope;
        second = 0.999 * second + 0.001 * slope * slope;
        let (mean, square): (f64, f64) = (first / (1.0 - 0.9_f64.powi(step)), second / (1.0 - 0.999_f64.powi(step)));
        weight = weight - 0.1 * 0.01 * weight - 0.1 * mean / (square.sqrt() + 1e-8);
    }
    weight
}

#[test]
fn weights_move_as_the_textbook_says() {
    let slopes = [0.3, -0.1, 0.02, 0.5];
    let mut state = State::initial(vec![1.0, -2.0]);
    for slope in slopes {
        update(&mut state, &[slope as f32, -slope as f32], &TERMS);
    }
    assert_eq!(state.step, 4);
    for (weight, (start, sign)) in state.parameters.iter().zip([(1.0, 1.0), (-2.0, -1.0)]) {
        let expected = expected(start, &slopes.map(|slope| slope * sign));
        assert!((f64::from(*weight) - expected).abs() < 1e-5, "{weight} and {expected}");
    }
}

#[test]
fn a_weight_without_a_slope_only_decays() {
    let mut state = State::initial(vec![1.0]);
    update(&mut state, &[0.0], &TERMS);
    assert!((state.parameters[0] - 0.999).abs() < 1e-6);
}

#[test]
fn the_rate_grows_to_its_full_size() {
    let terms = OptimiserTerms { warmup_steps: 4, ..TERMS };
    assert_eq!([1, 2, 3, 4, 5].map(|step| (rate(&terms, step) * 1_000.0).round()), [25.0, 50.0, 75.0, 100.0, 100.0]);
    assert!((rate(&TERMS, 1) - 0.1).abs() < 1e-7);
}

#[test]
fn powers_are_powers() {
    assert!((power(0.9, 10) - 0.348_678_4).abs() < 1e-6);
    assert!((power(0.5, 0) - 1.0).abs() < f32::EPSILON);
    assert!(power(0.9, u64::MAX) < 1e-30);
}
