use super::{HEAD_SIZES, PAGE_TOKENS, Page, Query, attend, head_page_len, store};
use crate::kernel::matmul::tests::numbers;
use crate::kernel::{Kernel, Tier};

struct Case {
    keys: Vec<f32>,
    values: Vec<f32>,
    queries: Vec<f32>,
    pages: Vec<Page>,
}

fn case(head_size: usize, heads: usize, tokens: usize) -> Case {
    let (keys, values) = (numbers(1, tokens * head_size), numbers(2, tokens * head_size));
    let mut pages = vec![vec![0x7BFF_u16; head_page_len(head_size)].into_boxed_slice(); tokens.div_ceil(PAGE_TOKENS)];
    for (token, (key, value)) in keys.chunks_exact(head_size).zip(values.chunks_exact(head_size)).enumerate() {
        store(&mut pages[token / PAGE_TOKENS], token % PAGE_TOKENS, key, value);
    }
    let pages = pages.into_iter().map(Page::from).collect();
    Case { keys, values, queries: numbers(3, heads * head_size), pages }
}

fn run(case: &Case, tier: Tier, head_size: usize, length: usize) -> Vec<f32> {
    let query = Query { heads: &case.queries, pages: &case.pages, page_offset: 0, length, other_order: false };
    let mut out = vec![0.0; case.queries.len()];
    attend(Kernel::new(tier).unwrap(), head_size, &query, &mut Vec::new(), &mut out);
    out
}

#[test]
fn every_tier_gives_the_same_bits_for_every_head_size() {
    for head_size in HEAD_SIZES {
        let case = case(head_size, 3, 70);
        for length in [1, 15, 16, 17, 70] {
            let expected: Vec<u32> = run(&case, Tier::Scalar, head_size, length).iter().map(|x| x.to_bits()).collect();
            for tier in Tier::available() {
                let found: Vec<u32> = run(&case, tier, head_size, length).iter().map(|x| x.to_bits()).collect();
                assert_eq!(found, expected, "{tier}, heads of {head_size}, {length} tokens");
            }
        }
    }
}

#[test]
fn attention_is_near_the_textbook() {
    let (size, length) = (64, 40);
    let case = case(size, 2, 50);
    let found = run(&case, Tier::detect(), size, length);
    for (query, found) in case.queries.chunks_exact(size).zip(found.chunks_exact(size)) {
        let dot = |key: &[f32]| -> f64 { query.iter().zip(key).map(|(q, k)| f64::from(q * k)).sum::<f64>() / 8.0 };
        let masses: Vec<f64> = case.keys.chunks_exact(size).take(length).map(|key| dot(key).exp()).collect();
        let total: f64 = masses.iter().sum();
        for (dimension, found) in found.iter().enumerate() {
            let exact: f64 =
                masses.iter().enumerate().map(|(token, m)| m * f64::from(case.values[token * size + dimension])).sum();
            assert!((f64::from(*found) - exact / total).abs() < 1e-3);
        }
    }
}

#[test]
fn tokens_beyond_the_length_and_other_heads_do_not_count() {
    let long = case(64, 1, 60);
    let mut short = case(64, 1, 20);
    let expected = run(&short, Tier::detect(), 64, 20);
    assert_eq!(run(&long, Tier::detect(), 64, 20), expected);
    short.queries.extend(numbers(9, 64));
    assert_eq!(run(&short, Tier::detect(), 64, 20)[..64], expected);
}
