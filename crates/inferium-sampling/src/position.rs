//! What a verifier's own logits say of one token that somebody else claims.

use crate::candidates;
use crate::foreign::tempered_sums;
use crate::sampler::Sampler;
use inferium_types::TEMPERS;

#[cfg(test)]
mod tests;

/// How much further than its own a verifier lets another engine's truncation reach, since both rank near-equal
/// logits differently: candidates beyond the last one it would keep.
const RELAXED_CANDIDATES: usize = 2;
/// The same for top-p, in millionths.
const RELAXED_TOP_P_PPM: u32 = 10_000;

/// Below this temperature a token's probability says how logits differ, and little of how it was drawn: what honest arithmetic
/// turns between near-equal logits looks like luck of one in a million.
const LEAST_TEMPERATURE: f64 = 0.15;

/// One position of a replay, as the verifier sees it. Logits and margins are in logits, not divided by the temperature, so that
/// their scale is the same at every temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PositionCheck {
    /// The token that the verifier's own logits give.
    pub choice: u32,
    /// How far its choice is ahead of its second choice, noise included; infinite when there is no second one. What
    /// a small honest difference of logits may turn has a small gap.
    pub gap: f64,
    /// How far its choice is ahead of the claimed token, noise included; zero when they are one. Infinite for a token
    /// that the truncation leaves out.
    pub margin: f64,
    /// The margin if nothing were left out: near-equal logits move a token over the truncation's edge, but never that far.
    pub reach: f64,
    /// The claimed token's surprisal less the entropy of the distribution that was drawn from, in nats. Its expectation
    /// is zero for whoever draws honestly, whatever the seed.
    pub surprisal: f64,
    /// The variance of that surprisal, in square nats.
    pub variance: f64,
    /// What holds of the token whatever the seed.
    pub draw: Draw,
}

/// The claimed token beside the distribution that it was drawn from, without the seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// How far its logit is below the last one that the truncation keeps; zero of a token that it keeps. Where nothing is drawn,
    /// or next to nothing (below a temperature of 0.15), below the highest.
    pub beyond: f64,
    /// The natural logarithm of its probability; of a token outside that of the least likely one inside.
    pub logprob: f64,
    /// The natural logarithm of `Σ p^(1 - k/16)` over what the truncation keeps, for each of [`TEMPERS`].
    pub sums: [f64; TEMPERS.len()],
}

impl Draw {
    /// Of a token that is certain.
    pub const CERTAIN: Self = Self { beyond: 0.0, logprob: 0.0, sums: [0.0; TEMPERS.len()] };
}

impl PositionCheck {
    /// Of a row without candidates.
    const OF_NOTHING: Self = Self {
        choice: 0,
        gap: f64::INFINITY,
        margin: f64::INFINITY,
        reach: f64::INFINITY,
        surprisal: 0.0,
        variance: 0.0,
        draw: Draw { beyond: f64::INFINITY, ..Draw::CERTAIN },
    };

    /// Whether the claimed token is the verifier's own choice.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.margin == 0.0
    }
}

impl Sampler {
    /// Compares the token that is claimed for output position `position` with what these logits give.
    ///
    /// Total, like [`Sampler::choose`]; `choice` is what that returns. Cost: a draw for each candidate that is kept.
    #[must_use]
    pub fn check(&self, position: u64, logits: &[f32], claimed: u32) -> PositionCheck {
        if self.is_greedy() {
            return greedy(logits, claimed);
        }
        let (scaled, kept) = self.candidates(logits, RELAXED_CANDIDATES);
        let temperature = self.temperature();
        let sum = |&(token, z): &(u32, f64)| (token, z + self.noise(position, token));
        let sums: Vec<(u32, f64)> = scaled.get(..kept).unwrap_or_default().iter().map(sum).collect();
        let [best, second] = best_two(&sums);
        let Some((choice, top)) = best else { return PositionCheck::OF_NOTHING };
        // A token at the edge of the truncation is judged as if it were inside.
        let relaxed = self.relaxed_size(&scaled, kept, RELAXED_CANDIDATES, RELAXED_TOP_P_PPM);
        let of_claimed =
            scaled.get(..relaxed).unwrap_or_default().iter().find(|&&(token, _)| token == claimed).map(sum);
        let margin = of_claimed.map_or(f64::INFINITY, |(_, own)| ((top - own) * temperature).max(0.0));
        let logit = usize::try_from(claimed).ok().and_then(|index| logits.get(index)).copied().unwrap_or(f32::MIN);
        let (_, without) = sum(&(claimed, f64::from(candidates::clean(logit)) / temperature));
        let reach = if choice == claimed { 0.0 } else { ((top - without) * temperature).max(0.0) };
        let gap = second.map_or(f64::INFINITY, |(_, second)| (top - second) * temperature);
        let kept = scaled.get(..kept).unwrap_or_default();
        let (surprisal, variance) = centred_surprisal(kept, claimed);
        let draw = draw_of(kept, claimed, f64::from(candidates::clean(logit)), temperature);
        let margin = if choice == claimed { 0.0 } else { margin.max(f64::MIN_POSITIVE) };
        PositionCheck { choice, gap, margin, reach, surprisal, variance, draw }
    }
}

/// Without noise the choice is the best candidate, and says nothing about a distribution.
fn greedy(logits: &[f32], claimed: u32) -> PositionCheck {
    let best = candidates::largest(logits, 2);
    let (Some(first), second) = (best.first(), best.get(1)) else { return PositionCheck::OF_NOTHING };
    let top = f64::from(first.logit);
    let own = usize::try_from(claimed).ok().and_then(|index| logits.get(index));
    let margin = match own {
        _ if claimed == first.token => 0.0,
        Some(&logit) => (top - f64::from(candidates::clean(logit))).max(f64::MIN_POSITIVE),
        None => f64::INFINITY,
    };
    let gap = second.map_or(f64::INFINITY, |second| top - f64::from(second.logit));
    // Its truncation keeps one token.
    let draw = Draw { beyond: margin, ..Draw::CERTAIN };
    PositionCheck { choice: first.token, gap, margin, reach: margin, surprisal: 0.0, variance: 0.0, draw }
}

/// The largest sum and the one after it; of equal sums the lower id first, as in the draw.
fn best_two(sums: &[(u32, f64)]) -> [Option<(u32, f64)>; 2] {
    let ahead = |one: (u32, f64), other: (u32, f64)| one.1 > other.1 || (one.1 == other.1 && one.0 < other.0);
    let [mut best, mut second] = [None; 2];
    for &entry in sums {
        if best.is_none_or(|best| ahead(entry, best)) {
            (best, second) = (Some(entry), best);
        } else if second.is_none_or(|second| ahead(entry, second)) {
            second = Some(entry);
        }
    }
    [best, second]
}

/// The surprisal of the claimed token less the entropy, and the surprisal's variance, under the softmax over what the
/// truncation keeps. A token outside has the surprisal of the least likely one inside: how it got there is what
/// [`PositionCheck::margin`] is for.
fn centred_surprisal(kept: &[(u32, f64)], claimed: u32) -> (f64, f64) {
    let (Some(&(_, first)), Some(&(_, last))) = (kept.first(), kept.last()) else { return (0.0, 0.0) };
    let mut mass = 0.0;
    let mut first_moment = 0.0;
    let mut second_moment = 0.0;
    for &(_, z) in kept {
        let below = first - z;
        let weight = libm::exp(-below);
        mass += weight;
        first_moment += weight * below;
        second_moment += weight * below * below;
    }
    // With ln p = -below - ln(mass), the constant falls out of what is centred.
    let mean = first_moment / mass;
    let own = kept.iter().find(|&&(token, _)| token == claimed).map_or(first - last, |&(_, z)| first - z);
    (own - mean, (second_moment / mass - mean * mean).max(0.0))
}

/// The claimed token, whose logit is `logit`, beside the softmax over what the truncation keeps.
fn draw_of(kept: &[(u32, f64)], claimed: u32, logit: f64, temperature: f64) -> Draw {
    let (Some(&(_, first)), Some(&(_, last))) = (kept.first(), kept.last()) else {
        return PositionCheck::OF_NOTHING.draw;
    };
    if temperature < LEAST_TEMPERATURE {
        return Draw { beyond: (first * temperature - logit).max(0.0), ..Draw::CERTAIN };
    }
    let own = kept.iter().find(|&&(token, _)| token == claimed).map(|&(_, z)| z);
    let beyond = if own.is_some() { 0.0 } else { (last * temperature - logit).max(0.0) };
    let mass: f64 = kept.iter().map(|&(_, z)| libm::exp(z - first)).sum();
    let sums = tempered_sums(kept.iter().map(|&(_, z)| libm::exp(z - first) / mass));
    Draw { beyond, logprob: own.unwrap_or(last) - first - libm::log(mass), sums }
}

/// The natural logarithm of the sum of the exponentials of a row, good to about 10⁻⁶ relative to the sum.
///
/// Verifiers agree on it to the bit: its additions have one order, 16 lanes of 256 logits each, and nothing is fused.
#[must_use]
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    const LANES: usize = 16;
    let max = logits.iter().fold(f32::MIN, |max, &logit| max.max(candidates::clean(logit)));
    let mut total = 0.0_f64;
    for chunk in logits.chunks(256) {
        let mut lanes = [0.0_f32; LANES];
        for row in chunk.chunks(LANES) {
            for (lane, &logit) in lanes.iter_mut().zip(row) {
                *lane += exp_below_zero(candidates::clean(logit) - max);
            }
        }
        total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
    }
    f64::from(max) + libm::log(total)
}

/// `exp(x)` for `x ≤ 0` to 2·10⁻⁷, as straight-line arithmetic that compiles to vectors. Below −87 it is 0, near enough.
fn exp_below_zero(x: f32) -> f32 {
    let x = x.clamp(-87.0, 0.0);
    // 2^n · 2^f with n whole and f within ±1/2: adding and taking off 1.5 · 2^23 rounds.
    const ROUND: f32 = 12_582_912.0;
    let scaled = x * std::f32::consts::LOG2_E;
    let rounded = scaled + ROUND;
    let whole = rounded - ROUND;
    let f = (scaled - whole) * std::f32::consts::LN_2;
    let polynomial = 1.0 + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f / 720.0)))));
    // `whole` is within −126 to 0, so that the exponent's bits are a normal number's.
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    polynomial * f32::from_bits(exponent)
}
