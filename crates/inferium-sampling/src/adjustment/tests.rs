use super::{Adjustment, Allowed};
use crate::Sampler;
use inferium_types::{SamplingParams, Shaping};
use std::collections::BTreeMap;

fn bent(shaping: &Shaping, counts: &[(u32, u32)], allowed: Option<Allowed>, logits: &[f32]) -> Vec<f32> {
    let mut logits = logits.to_vec();
    let counts: BTreeMap<u32, u32> = counts.iter().copied().collect();
    Adjustment::new(shaping, &counts, allowed).apply(&mut logits);
    logits
}

#[test]
fn nothing_bends_nothing() {
    let logits = [0.1, f32::NAN, -0.0, f32::INFINITY];
    let same = bent(&Shaping::default(), &[(0, 7)], None, &logits);
    assert!(same.iter().zip(&logits).all(|(a, b)| a.to_bits() == b.to_bits()));
}

#[test]
fn a_bias_is_added_once_and_beyond_the_vocabulary_ignored() {
    let shaping = Shaping { bias: vec![(1, 2_500_000), (3, -100_000_000), (9, 1)], ..Shaping::default() };
    assert_eq!(bent(&shaping, &[], None, &[1.0, 1.0, 1.0, 1.0]), [1.0, 3.5, 1.0, -99.0]);
}

#[test]
fn penalties_count_what_the_answer_has() {
    let shaping = Shaping {
        presence_penalty_micro: 500_000,
        frequency_penalty_micro: 250_000,
        bias: vec![(2, 1_000_000)],
        ..Shaping::default()
    };
    // Of token 2: 1 - (0.5 + 3 * 0.25).
    assert_eq!(bent(&shaping, &[(0, 1), (2, 3)], None, &[1.0, 1.0, 1.0]), [0.25, 1.0, 0.75]);
    let raised = Shaping { frequency_penalty_micro: -2_000_000, ..Shaping::default() };
    assert_eq!(bent(&raised, &[(1, u32::MAX)], None, &[0.0, 0.0])[1], u32::MAX as f32 * 2.0);
}

#[test]
fn what_is_not_allowed_is_never_drawn() {
    let logits: Vec<f32> = (0..70_u8).map(f32::from).collect();
    for (allowed, params) in [
        (vec![3], SamplingParams { temperature_micro: 2_000_000, top_p_ppm: 1_000_000, top_k: 0 }),
        (vec![0, 31, 32, 64], SamplingParams { temperature_micro: 1_000_000, top_p_ppm: 900_000, top_k: 50 }),
        (vec![5, 33], SamplingParams::GREEDY),
    ] {
        let set = Allowed::of(allowed.iter().copied(), logits.len());
        assert!((0..70).all(|token| set.contains(token) == allowed.contains(&token)));
        assert!(!set.contains(96), "no bit, no token");
        let bent = bent(&Shaping::default(), &[], Some(set), &logits);
        for position in 0..200 {
            assert!(allowed.contains(&Sampler::new(params, [7; 32]).choose(position, &bent)));
        }
    }
}

#[test]
fn words_hold_the_lowest_token_in_the_lowest_bit() {
    assert_eq!(Allowed::from_words(vec![0b1001, 1 << 31]), Allowed::of([0, 3, 63], 64));
    assert_eq!(Allowed::of([64], 64), Allowed::of([], 64), "beyond the vocabulary there is nothing");
}
