use inferium_exact::{Op, run, synthetic};
use inferium_zk::{Hiding, adversary, verify};

use super::{Case, case_of, rng};

/// χ² of the numbers' position among 64 equal parts of the field; 63 degrees of freedom.
pub(super) fn chi_square(numbers: &[u32]) -> f64 {
    let mut counts = [0_u32; 64];
    for number in numbers {
        counts[usize::try_from(u64::from(*number) * 64 / 0x7f00_0001).unwrap()] += 1;
    }
    let expected = numbers.len() as f64 / 64.0;
    counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}

/// Two inputs of one model with the same output: the first weights of one element are zero, so it says nothing.
fn twins() -> [Case; 2] {
    let (mut model, input) = synthetic("mlp-tiny").unwrap().unwrap();
    if let Op::Dense { weights, .. } = &mut model.nodes[0].op {
        weights.iter_mut().step_by(input.len()).for_each(|weight| *weight = 0);
    }
    let mut other = input.clone();
    other[0] = 255 - other[0];
    let cases = [input, other].map(|input| case_of(model.clone(), input, Hiding::Activations));
    assert_eq!(cases[0].statement.output, cases[1].statement.output);
    assert_ne!(cases[0].input, cases[1].input);
    cases
}

#[test]
fn masked_messages_are_uniform_and_of_two_witnesses_alike() {
    let mut sums = [0.0; 2];
    for (case, sum) in twins().iter().zip(&mut sums) {
        for seed in 0..6 {
            let proof = case.key.prove(case.commitment(), &case.statement, &mut rng(100 + seed)).unwrap();
            assert_eq!(verify(case.key.verifying_key(), &case.statement, &proof), Ok(()));
            let numbers = adversary::messages(&proof).unwrap();
            assert!(numbers.len() > 1000);
            *sum += chi_square(&numbers);
        }
        // The mean of six is 63 with a deviation of 4.6: eight of them, and no more often wrong than hash functions are.
        assert!((*sum / 6.0 - 63.0).abs() < 37.0, "{}", *sum / 6.0);
    }
    assert!((sums[0] - sums[1]).abs() / 6.0 < 52.0, "{sums:?}");
}

#[test]
fn messages_that_are_not_masked_are_far_from_uniform() {
    // The test above can fail: a plain proof's messages hold small numbers and repeat.
    let (model, input) = synthetic("mlp-tiny").unwrap().unwrap();
    let trace = run(&model, &vec![0; input.len()]).unwrap();
    let mut case = case_of(model, vec![0; input.len()], Hiding::Nothing);
    case.trace = trace;
    let plain = adversary::messages(&case.proof()).unwrap();
    assert!(chi_square(&plain) > 100.0, "{}", chi_square(&plain));
}

#[test]
fn no_message_depends_on_the_witness_when_pads_are_drawn_anew() {
    let [case, _] = twins();
    let messages = |seed| {
        let proof = case.key.prove(case.commitment(), &case.statement, &mut rng(seed)).unwrap();
        adversary::messages(&proof).unwrap()
    };
    let (one, two, again) = (messages(1), messages(2), messages(1));
    assert_eq!(one, again);
    let equal = one.iter().zip(&two).filter(|(one, two)| one == two).count();
    assert!(equal < 4, "{equal} of {} numbers are the same", one.len());
}

#[test]
fn the_simulator_says_what_verifies_without_a_witness() {
    let [case, _] = twins();
    for seed in 0..4 {
        let (holds, numbers) = adversary::simulate(case.key.verifying_key(), &case.statement, &mut rng(seed)).unwrap();
        assert!(holds);
        let proof = case.key.prove(case.commitment(), &case.statement, &mut rng(seed)).unwrap();
        assert_eq!(adversary::messages(&proof).unwrap().len(), numbers.len());
        assert!((chi_square(&numbers) - 63.0).abs() < 92.0);
    }
}
