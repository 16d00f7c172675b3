use super::{CANDIDATES_MAX, Sampler, nucleus_size, unit_interval};
use inferium_types::SamplingParams;
use proptest::prelude::*;

const OFF: SamplingParams = SamplingParams { temperature_micro: 1_000_000, top_p_ppm: 1_000_000, top_k: 0 };

/// The rows of `vectors/sampler.py`.
fn vector_row(case: u64, size: usize) -> Vec<f32> {
    let mut state = case * 2_654_435_761 + 12_345;
    (0..size)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (((state >> 40) % 8192) as f32 - 4096.0) / 256.0
        })
        .collect()
}

fn seed_of(text: &str) -> [u8; 32] {
    let mut seed = [0; 32];
    for (byte, pair) in seed.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    }
    seed
}

/// A second implementation (Python, full sort, no shortcuts) made the file; the tokens must be the same.
#[test]
fn golden_vectors_of_the_second_implementation_hold() {
    let file = include_str!("../../vectors/sampler_v1.csv");
    let mut count = 0;
    for line in file.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |index: usize| fields[index].parse::<u64>().unwrap();
        let params = SamplingParams {
            temperature_micro: number(2) as u32,
            top_p_ppm: number(3) as u32,
            top_k: number(4) as u32,
        };
        let row = vector_row(number(0), number(1) as usize);
        let token = Sampler::new(params, seed_of(fields[6])).choose(number(5), &row);
        assert_eq!(u64::from(token), number(7), "case {line}");
        count += 1;
    }
    assert!(count > 200, "the file lost its cases");
}

/// Chi-square over 12 tokens, 60 000 draws at distinct positions: the 99.99 % point for 11 degrees of freedom is 37.4.
#[test]
fn draws_follow_the_softmax() {
    let logits: Vec<f32> = (0..12_u8).map(|i| f32::from(i % 5) * 0.6).collect();
    for temperature_micro in [500_000, 1_000_000, 2_000_000] {
        let sampler = Sampler::new(SamplingParams { temperature_micro, ..OFF }, [9; 32]);
        let temperature = f64::from(temperature_micro) / 1e6;
        let masses: Vec<f64> = logits.iter().map(|&l| libm::exp(f64::from(l) / temperature)).collect();
        let total: f64 = masses.iter().sum();
        let draws = 60_000_u32;
        let mut counts = [0_u32; 12];
        for position in 0..draws {
            counts[sampler.choose(u64::from(position), &logits) as usize] += 1;
        }
        let chi_square: f64 = counts
            .iter()
            .zip(&masses)
            .map(|(&count, mass)| {
                let expected = f64::from(draws) * mass / total;
                (f64::from(count) - expected).powi(2) / expected
            })
            .sum();
        assert!(chi_square < 37.4, "chi-square {chi_square} at temperature {temperature}");
    }
}

proptest! {
    #[test]
    fn the_token_is_among_the_top_k(
        logits in prop::collection::vec(-10.0_f32..10.0, 1..300),
        top_k in 1_u32..50,
        seed in any::<[u8; 32]>(),
        position in any::<u64>(),
    ) {
        let token = Sampler::new(SamplingParams { top_k, ..OFF }, seed).choose(position, &logits) as usize;
        let better = logits.iter().enumerate()
            .filter(|&(other, &l)| l > logits[token] || (l == logits[token] && other < token)).count();
        prop_assert!(better < top_k as usize);
    }

    #[test]
    fn the_token_is_in_the_nucleus(
        logits in prop::collection::vec(-5.0_f32..5.0, 1..200),
        top_p_ppm in 0_u32..1_000_000,
        seed in any::<[u8; 32]>(),
    ) {
        let token = Sampler::new(SamplingParams { top_p_ppm, ..OFF }, seed).choose(3, &logits) as usize;
        let mass = |l: f32| f64::from(l).exp();
        let total: f64 = logits.iter().map(|&l| mass(l)).sum();
        let better: f64 = logits.iter().filter(|&&l| l > logits[token]).map(|&l| mass(l)).sum();
        prop_assert!(better == 0.0 || better / total < f64::from(top_p_ppm) / 1e6 + 1e-9);
    }

    #[test]
    fn padding_the_vocabulary_changes_nothing(
        logits in prop::collection::vec(-5.0_f32..5.0, 1..200),
        seed in any::<[u8; 32]>(),
    ) {
        let sampler = Sampler::new(OFF, seed);
        let mut padded = logits.clone();
        padded.resize(logits.len() + 64, f32::NEG_INFINITY);
        prop_assert_eq!(sampler.choose(1, &logits), sampler.choose(1, &padded));
    }

    #[test]
    fn anything_goes_without_panic(
        bits in prop::collection::vec(any::<u32>(), 0..100),
        temperature_micro in any::<u32>(),
        top_p_ppm in any::<u32>(),
        top_k in any::<u32>(),
        position in any::<u64>(),
    ) {
        let logits: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).collect();
        let sampler = Sampler::new(SamplingParams { temperature_micro, top_p_ppm, top_k }, [1; 32]);
        let token = sampler.choose(position, &logits) as usize;
        prop_assert!(token < logits.len().max(1));
    }
}

#[test]
fn noise_differs_by_position_token_and_seed() {
    let sampler = Sampler::new(OFF, [1; 32]);
    let noise = sampler.noise(5, 6);
    assert_ne!(noise, sampler.noise(6, 5));
    assert_ne!(noise, sampler.noise(5 + (1 << 32), 6));
    assert_ne!(noise, Sampler::new(OFF, [2; 32]).noise(5, 6));
}

#[test]
fn only_the_first_eight_bytes_of_the_seed_count() {
    let mut other = [1; 32];
    other[8..].fill(7);
    assert_eq!(Sampler::new(OFF, [1; 32]).noise(1, 2), Sampler::new(OFF, other).noise(1, 2));
}

#[test]
fn the_ends_of_the_unit_interval_are_open() {
    assert_eq!(unit_interval(0), 2.0_f64.powi(-54));
    assert_eq!(unit_interval(u64::MAX), 1.0 - 2.0_f64.powi(-53));
}

#[test]
fn the_nucleus_is_never_empty_and_grows_with_p() {
    let scaled = [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)];
    assert_eq!(nucleus_size(&scaled, 0), 1);
    assert_eq!(nucleus_size(&scaled, 250_000), 1);
    assert_eq!(nucleus_size(&scaled, 250_001), 2);
    assert_eq!(nucleus_size(&scaled, 999_999), 4);
    assert_eq!(nucleus_size(&[], 500_000), 0);
}

#[test]
fn a_flat_row_draws_from_the_lowest_ids_only() {
    let row = vec![0.0; 5000];
    let sampler = Sampler::new(OFF, [3; 32]);
    for position in 0..50 {
        assert!(sampler.choose(position, &row) < CANDIDATES_MAX);
    }
}
