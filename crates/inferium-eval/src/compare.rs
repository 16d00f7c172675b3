//! Two runs of one suite, item by item.

use crate::interval::{Interval, wilson};
use std::collections::BTreeMap;

/// How two runs differ on the items that both answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Items on which the second scores higher.
    pub better: u64,
    /// Items on which it scores lower.
    pub worse: u64,
    /// Items on which both score the same.
    pub equal: u64,
    /// Of the items that tell them apart, the share on which the second scores higher; Wilson's interval, which for few items may lie
    /// on one side of a half though the verdict is unclear.
    pub share: Interval,
    /// What that says.
    pub verdict: Verdict,
}

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The second is better, beyond chance.
    Better,
    /// The second is worse, beyond chance.
    Worse,
    /// The items don't tell.
    Unclear,
}

impl Verdict {
    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Unclear => "unclear",
        }
    }
}

/// Compares two runs by the first score of each item: an exact two-sided sign test at 95 %. It sees smaller differences than two intervals side by side: items that are hard for both say nothing.
#[must_use]
pub fn compare(first: &BTreeMap<usize, Vec<u32>>, second: &BTreeMap<usize, Vec<u32>>) -> Comparison {
    let (mut better, mut worse, mut equal) = (0_u64, 0_u64, 0_u64);
    for (index, one) in first {
        let (Some(one), Some(other)) = (one.first(), second.get(index).and_then(|all| all.first())) else { continue };
        let count = match other.cmp(one) {
            std::cmp::Ordering::Greater => &mut better,
            std::cmp::Ordering::Less => &mut worse,
            std::cmp::Ordering::Equal => &mut equal,
        };
        *count = count.saturating_add(1);
    }
    let share = wilson(better.saturating_mul(1_000_000), better.saturating_add(worse));
    let verdict = match better.cmp(&worse) {
        _ if !is_beyond_chance(better, worse) => Verdict::Unclear,
        std::cmp::Ordering::Greater => Verdict::Better,
        _ => Verdict::Worse,
    };
    Comparison { better, worse, equal, share, verdict }
}

/// True when a fair coin falls so unevenly, to either side, in at most 5 of 100 series: twice the sum of C(n, i) up to the smaller
/// count is at most a twentieth of 2ⁿ.
///
/// Ensures: never true where that does not hold. Sums are exact up to 2⁶³; beyond, they keep 62 bits or more and are rounded up.
fn is_beyond_chance(one: u64, other: u64) -> bool {
    let (few, all) = (one.min(other), u128::from(one) + u128::from(other));
    // C(n, i) and the sum up to it, both in units of 2^halvings. Up to the middle, each term is at least as large as the one before.
    let (mut term, mut sum, mut halvings) = (1_u128, 1_u128, 0_u128);
    for i in 0..u128::from(few) {
        term = (term * (all - i)).div_ceil(i + 1);
        sum += term;
        while term >= 1 << 63 {
            (term, sum, halvings) = (term.div_ceil(2), sum.div_ceil(2), halvings + 1);
        }
    }
    let room = all.saturating_sub(halvings);
    halvings <= all && (room >= 128 || sum.saturating_mul(40) <= 1 << room)
}

#[cfg(test)]
mod tests;
