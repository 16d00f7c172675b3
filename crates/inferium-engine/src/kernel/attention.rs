//! Attention of one row over its sequence's cached keys and values.

use super::Kernel;
use super::math::{exp, f16_to_f32, f32_to_f16_flushed, sum_lanes};
use super::q8::LANES;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Tokens of one cache page. Equal to the lanes: scores of a page's tokens are computed side by side.
pub(crate) const PAGE_TOKENS: usize = LANES;

/// The numbers of one cache page, which sequences that begin alike share.
pub(crate) type Page = Arc<[u16]>;

/// Half-precision numbers that one page holds for one KV head of one layer: keys `[D][16]`, then values `[16][D]`.
pub(crate) const fn head_page_len(head_size: usize) -> usize {
    2 * head_size * PAGE_TOKENS
}

/// Stores the key and value of one token in the page part of its layer and head.
pub(crate) fn store(page: &mut [u16], slot: usize, key: &[f32], value: &[f32]) {
    let (keys, values) = page.split_at_mut(key.len() * PAGE_TOKENS);
    for (lanes, k) in keys.chunks_exact_mut(PAGE_TOKENS).zip(key) {
        lanes[slot] = f32_to_f16_flushed(*k);
    }
    for (to, v) in values[slot * value.len()..].iter_mut().zip(value) {
        *to = f32_to_f16_flushed(*v);
    }
}

/// One row's query heads that share a KV head, and the parts of that head's pages the row may see.
pub(crate) struct Query<'a> {
    /// The heads' queries, one after the other.
    pub(crate) heads: &'a [f32],
    /// The sequence's pages.
    pub(crate) pages: &'a [Page],
    /// Where in each page the layer's and head's part begins.
    pub(crate) page_offset: usize,
    /// Tokens to attend to: the row's position plus one.
    pub(crate) length: usize,
    /// Adds partial products up in another order than the canonical one.
    pub(crate) other_order: bool,
}

/// Query heads whose sums are kept at once.
const GROUP_MAX: usize = 8;

/// Head sizes with a compiled loop.
pub(crate) const HEAD_SIZES: [usize; 6] = [32, 64, 80, 96, 128, 256];

/// Attends with every head of the query; `out` has the shape of `query.heads`.
///
/// The head size must be one of [`HEAD_SIZES`].
pub(crate) fn attend(kernel: Kernel, head_size: usize, query: &Query<'_>, scratch: &mut Vec<f32>, out: &mut [f32]) {
    kernel.run(
        #[inline(always)]
        || match head_size {
            32 => attend_sized::<32>(query, scratch, out),
            64 => attend_sized::<64>(query, scratch, out),
            80 => attend_sized::<80>(query, scratch, out),
            96 => attend_sized::<96>(query, scratch, out),
            128 => attend_sized::<128>(query, scratch, out),
            256 => attend_sized::<256>(query, scratch, out),
            _ => unreachable!("the loader checks the head size"),
        },
    );
}

#[inline(always)]
fn attend_sized<const D: usize>(query: &Query<'_>, scratch: &mut Vec<f32>, out: &mut [f32]) {
    let heads = query.heads.as_chunks::<D>().0;
    let outs = out.as_chunks_mut::<D>().0;
    let pages = query.length.div_ceil(PAGE_TOKENS);
    scratch.clear();
    scratch.resize(heads.len() * pages * PAGE_TOKENS, 0.0);
    scores::<D>(query, heads, scratch);
    for ((scores, _), out) in scratch.chunks_exact_mut(pages * PAGE_TOKENS).zip(heads).zip(outs.iter_mut()) {
        let sum = softmax(scores, query.length);
        // Until the values are added, the first place keeps the factor.
        *out = [0.0; D];
        out[0] = 1.0 / sum;
    }
    values::<D>(query, scratch, outs);
}

/// `scores[head][token]` for all tokens of the pages; those beyond the length are meaningless.
#[inline(always)]
fn scores<const D: usize>(query: &Query<'_>, heads: &[[f32; D]], scores: &mut [f32]) {
    let pages = query.length.div_ceil(PAGE_TOKENS);
    let factor = 1.0 / (D as f32).sqrt();
    for (index, page) in query.pages[..pages].iter().enumerate() {
        let halves = &page[query.page_offset..][..D * PAGE_TOKENS];
        let mut keys = [[0.0_f32; PAGE_TOKENS]; D];
        for (key, half) in keys.as_flattened_mut().iter_mut().zip(halves) {
            *key = f16_to_f32(*half);
        }
        for (head, q) in heads.iter().enumerate() {
            let [mut a0, mut a1, mut a2, mut a3] = [[0.0_f32; PAGE_TOKENS]; 4];
            for (q, k) in q.as_chunks::<4>().0.iter().zip(keys.as_chunks::<4>().0) {
                for lane in 0..PAGE_TOKENS {
                    a0[lane] += q[0] * k[0][lane];
                    a1[lane] += q[1] * k[1][lane];
                    a2[lane] += q[2] * k[2][lane];
                    a3[lane] += q[3] * k[3][lane];
                }
            }
            let to = &mut scores[(head * pages + index) * PAGE_TOKENS..][..PAGE_TOKENS];
            if query.other_order {
                (a1, a2) = (a2, a1);
            }
            for lane in 0..PAGE_TOKENS {
                to[lane] = ((a0[lane] + a1[lane]) + (a2[lane] + a3[lane])) * factor;
            }
        }
    }
}

/// Turns scores into `exp(s − max)`, zero beyond the length, and returns their sum. There is a multiple of 16 of them.
#[inline(always)]
pub(crate) fn softmax(scores: &mut [f32], length: usize) -> f32 {
    for score in &mut scores[length..] {
        *score = f32::NEG_INFINITY;
    }
    // A maximum of numbers does not depend on the order, so that the lanes need no definition.
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in scores.as_chunks::<LANES>().0 {
        for (lane, &s) in lanes.iter_mut().zip(chunk) {
            *lane = if s > *lane { s } else { *lane };
        }
    }
    let max = lanes.into_iter().fold(f32::NEG_INFINITY, |max, s| if s > max { s } else { max });
    let mut sums = [0.0_f32; LANES];
    for chunk in scores.as_chunks_mut::<LANES>().0 {
        for (sum, s) in sums.iter_mut().zip(chunk) {
            let weight = if *s == f32::NEG_INFINITY { 0.0 } else { exp(*s - max) };
            *s = weight;
            *sum += weight;
        }
    }
    sum_lanes(sums)
}

/// Adds the values, weighted; `outs[head][0]` holds the factor for the end.
#[inline(always)]
fn values<const D: usize>(query: &Query<'_>, weights: &[f32], outs: &mut [[f32; D]]) {
    let pages = query.length.div_ceil(PAGE_TOKENS);
    let mut sums = [[0.0_f32; D]; GROUP_MAX];
    for (group, outs) in outs.chunks_mut(GROUP_MAX).enumerate() {
        let weights = &weights[group * GROUP_MAX * pages * PAGE_TOKENS..];
        sums.fill([0.0; D]);
        for (index, page) in query.pages[..pages].iter().enumerate() {
            let tokens = (query.length - index * PAGE_TOKENS).min(PAGE_TOKENS);
            let halves = &page[query.page_offset + D * PAGE_TOKENS..][..D * PAGE_TOKENS];
            let mut values = [[0.0_f32; D]; PAGE_TOKENS];
            for (value, half) in values.as_flattened_mut().iter_mut().zip(halves) {
                *value = f16_to_f32(*half);
            }
            for (head, sums) in sums.iter_mut().take(outs.len()).enumerate() {
                let weights = &weights[(head * pages + index) * PAGE_TOKENS..][..tokens];
                let mut local = *sums;
                for (value, weight) in values.iter().zip(weights) {
                    for (sum, v) in local.iter_mut().zip(value) {
                        *sum += weight * v;
                    }
                }
                *sums = local;
            }
        }
        for (out, sums) in outs.iter_mut().zip(&sums) {
            let factor = out[0];
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum * factor;
            }
        }
    }
}
