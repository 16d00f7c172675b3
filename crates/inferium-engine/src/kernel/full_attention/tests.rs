use super::attend;
use crate::kernel::matmul::tests::numbers;
use crate::kernel::{Kernel, Tier};

/// Queries, keys and values of `tokens` tokens.
fn case(tokens: usize, size: usize) -> [Vec<f32>; 3] {
    [1, 2, 3].map(|seed| numbers(seed, tokens * size))
}

fn run(tier: Tier, size: usize, [queries, keys, values]: &[Vec<f32>; 3]) -> Vec<f32> {
    let mut out = vec![f32::NAN; queries.len()];
    attend(Kernel::new(tier).unwrap(), size, queries, keys, values, &mut out);
    out
}

#[test]
fn every_tier_gives_the_same_bits() {
    for (tokens, size) in [(1, 32), (15, 16), (16, 32), (17, 64), (70, 32)] {
        let case = case(tokens, size);
        let bits = |tier| run(tier, size, &case).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for tier in Tier::available() {
            assert_eq!(bits(tier), bits(Tier::Scalar), "{tier}, {tokens} tokens, heads of {size}");
        }
    }
}

#[test]
fn attention_is_near_the_textbook() {
    let (tokens, size) = (40, 32);
    let case = case(tokens, size);
    let found = run(Tier::detect(), size, &case);
    let [queries, keys, values] = &case;
    for (query, found) in queries.chunks_exact(size).zip(found.chunks_exact(size)) {
        let dot = |key: &[f32]| -> f64 { query.iter().zip(key).map(|(q, k)| f64::from(q * k)).sum() };
        let masses: Vec<f64> = keys.chunks_exact(size).map(|key| (dot(key) / (size as f64).sqrt()).exp()).collect();
        let total: f64 = masses.iter().sum();
        for (dimension, found) in found.iter().enumerate() {
            let exact: f64 =
                masses.iter().zip(values.chunks_exact(size)).map(|(m, v)| m * f64::from(v[dimension])).sum();
            assert!((f64::from(*found) - exact / total).abs() < 1e-6);
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_other_queries() {
    let case = case(20, 32);
    let together = run(Tier::detect(), 32, &case);
    let [queries, keys, values] = case;
    for (query, expected) in queries.chunks_exact(32).zip(together.chunks_exact(32)) {
        assert_eq!(run(Tier::detect(), 32, &[query.to_vec(), keys.clone(), values.clone()]), expected);
    }
}

#[test]
fn one_token_attends_to_itself() {
    let [queries, keys, values] = case(1, 16);
    assert_eq!(run(Tier::detect(), 16, &[queries, keys, values.clone()]), values);
}
