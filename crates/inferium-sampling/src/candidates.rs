//! The `K` largest logits of a row in one pass, without sorting the row.

#[cfg(test)]
mod tests;

/// A candidate packed into one integer whose order is the canonical one: larger is better.
///
/// High half: the logit, mapped to an integer of the same order. Low half: the complement of the id, so that
/// of equal logits the lower id is larger.
type Key = u64;

/// A token that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) token: u32,
    pub(crate) logit: f32,
}

/// Replaces what has no place in an order of numbers: NaN and −∞ by `f32::MIN`, +∞ by `f32::MAX`, −0 by +0.
pub(crate) fn clean(logit: f32) -> f32 {
    if logit.is_nan() {
        return f32::MIN;
    }
    logit.clamp(f32::MIN, f32::MAX) + 0.0
}

/// Logits that are looked at together, and skipped together if none can count.
const CHUNK: usize = 16;

/// Whether any logit of the chunk is above the limit; written so that it compiles to vector comparisons.
fn any_above(chunk: &[f32], limit: f32) -> bool {
    // NaN is above nothing, as it should be.
    chunk.iter().fold(false, |any, &logit| any | (logit > limit))
}

/// The token with the largest logit, of equal ones the lowest id; 0 for an empty row.
pub(crate) fn best(logits: &[f32]) -> u32 {
    let mut best_token = 0;
    let mut best_logit = f32::NEG_INFINITY;
    for (first, chunk) in (0_u32..).step_by(CHUNK).zip(logits.chunks(CHUNK)) {
        if best_logit > f32::MIN && !any_above(chunk, best_logit) {
            continue;
        }
        for (token, &logit) in (first..).zip(chunk) {
            let logit = clean(logit);
            if logit > best_logit {
                best_logit = logit;
                best_token = token;
            }
        }
    }
    best_token
}

/// The `count` largest logits, best first; fewer if the row is shorter.
///
/// Cost: O(V) comparisons with a running threshold; the buffer is cut back to `count` whenever it is full, which
/// happens O(log V) times on rows in no particular order.
pub(crate) fn largest(logits: &[f32], count: usize) -> Vec<Candidate> {
    if count == 0 {
        return Vec::new();
    }
    let capacity = count.saturating_mul(2).min(logits.len().max(1));
    let mut keys: Vec<Key> = Vec::with_capacity(capacity);
    let mut threshold: Option<Candidate> = None;
    for (first, chunk) in (0_u32..).step_by(CHUNK).zip(logits.chunks(CHUNK)) {
        // Ids rise, so that an equal logit comes too late to count.
        if threshold.is_some_and(|threshold| threshold.logit > f32::MIN && !any_above(chunk, threshold.logit)) {
            continue;
        }
        for (token, &logit) in (first..).zip(chunk) {
            let key = key(token, logit);
            if threshold.is_some_and(|threshold| clean(logit) <= threshold.logit) {
                continue;
            }
            if keys.len() == capacity && capacity > count {
                let smallest = candidate(keep_largest(&mut keys, count));
                threshold = Some(smallest);
                if clean(logit) <= smallest.logit {
                    continue;
                }
            }
            keys.push(key);
        }
    }
    if keys.len() > count {
        keep_largest(&mut keys, count);
    }
    keys.sort_unstable_by(|a, b| b.cmp(a));
    keys.into_iter().map(candidate).collect()
}

/// Cuts `keys` to its `count` largest, in no order, and returns the smallest of them.
fn keep_largest(keys: &mut Vec<Key>, count: usize) -> Key {
    let (_, &mut smallest, _) = keys.select_nth_unstable_by(count - 1, |a, b| b.cmp(a));
    keys.truncate(count);
    smallest
}

fn key(token: u32, logit: f32) -> Key {
    let bits = clean(logit).to_bits();
    // Positive floats order like their bits, negative ones in reverse.
    let ordered = if bits >> 31 == 0 { bits | 0x8000_0000 } else { !bits };
    (u64::from(ordered) << 32) | u64::from(!token)
}

fn candidate(key: Key) -> Candidate {
    let ordered = (key >> 32) as u32;
    let bits = if ordered >> 31 == 1 { ordered & 0x7FFF_FFFF } else { !ordered };
    Candidate { token: !(key as u32), logit: f32::from_bits(bits) }
}
