//! The draw itself.

use crate::candidates::{self, Candidate};
use crate::philox::philox4x32_10;
use inferium_types::SamplingParams;

#[cfg(test)]
mod tests;

/// The version of the rule, a part of every engine profile: a change of any bit of the result raises it.
pub const SAMPLER_VERSION: u16 = 2;

/// The most candidates that are ever drawn from (`K_cap`): beyond it a model's tail weighs less than 10⁻³.
pub const CANDIDATES_MAX: u32 = 1024;

/// An upper bound of the Gumbel noise: `u ≤ 1 − 2⁻⁵³` gives `g ≤ 36.74`.
const NOISE_MAX: f64 = 37.0;

const PPM: u32 = 1_000_000;
const MICRO: f64 = 1e6;

/// Draws tokens from logits by the canonical rule; see the crate's documentation.
#[derive(Clone, Debug)]
pub struct Sampler {
    params: SamplingParams,
    key: [u32; 2],
}

impl Sampler {
    /// Makes the sampler of one job from its parameters and its sampling seed, of which the first 8 bytes are used.
    #[must_use]
    pub fn new(params: SamplingParams, seed: [u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = seed;
        Self { params, key: [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])] }
    }

    /// Chooses the token of output position `position` (0 = the first generated token) from that position's logits.
    ///
    /// Total: NaN and −∞ count as the lowest finite number, +∞ as the highest; an empty row gives token 0.
    /// Cost: one pass over the logits, then at most [`CANDIDATES_MAX`] exponentials and draws.
    #[must_use]
    pub fn choose(&self, position: u64, logits: &[f32]) -> u32 {
        if self.is_greedy() {
            return candidates::best(logits);
        }
        let (scaled, kept) = self.candidates(logits, 0);
        self.draw(position, &scaled[..kept])
    }

    /// Whether there is nothing to draw.
    pub(crate) const fn is_greedy(&self) -> bool {
        self.params.temperature_micro == 0 || self.params.top_k == 1
    }

    pub(crate) fn temperature(&self) -> f64 {
        f64::from(self.params.temperature_micro) / MICRO
    }

    /// The candidates by falling logit, divided by the temperature, and how many of them are drawn from. `beyond` asks
    /// for that many more than top-k allows, which are not drawn from.
    pub(crate) fn candidates(&self, logits: &[f32], beyond: usize) -> (Vec<(u32, f64)>, usize) {
        let count = match self.params.top_k {
            0 => CANDIDATES_MAX,
            top_k => top_k.min(CANDIDATES_MAX),
        } as usize;
        let found = candidates::largest(logits, count + beyond);
        let temperature = self.temperature();
        let scaled: Vec<(u32, f64)> =
            found.iter().map(|&Candidate { token, logit }| (token, f64::from(logit) / temperature)).collect();
        let kept = nucleus_size(&scaled[..count.min(scaled.len())], self.params.top_p_ppm);
        (scaled, kept)
    }

    /// How many candidates are drawn from when top-p reaches `wider_ppm` further, and top-k the `beyond` candidates that
    /// [`Self::candidates`] was asked for.
    pub(crate) fn relaxed_size(&self, scaled: &[(u32, f64)], kept: usize, beyond: usize, wider_ppm: u32) -> usize {
        nucleus_size(scaled, self.params.top_p_ppm.saturating_add(wider_ppm)).max((kept + beyond).min(scaled.len()))
    }

    /// The argmax of `z + g`; `scaled` is sorted by falling `z`, then rising id.
    fn draw(&self, position: u64, scaled: &[(u32, f64)]) -> u32 {
        let mut best: Option<(u32, f64)> = None;
        for &(token, z) in scaled {
            if best.is_some_and(|(_, sum)| z + NOISE_MAX < sum) {
                // No noise can lift this or any later candidate above the best: the result is already known.
                break;
            }
            let sum = z + self.noise(position, token);
            let wins = match best {
                None => true,
                Some((best_token, best_sum)) => sum > best_sum || (sum == best_sum && token < best_token),
            };
            if wins {
                best = Some((token, sum));
            }
        }
        best.map_or(0, |(token, _)| token)
    }

    /// The Gumbel noise of a token at a position.
    pub(crate) fn noise(&self, position: u64, token: u32) -> f64 {
        let counter = [position as u32, token, (position >> 32) as u32, 0];
        let [low, high, ..] = philox4x32_10(counter, self.key);
        let random = (u64::from(high) << 32) | u64::from(low);
        -libm::log(-libm::log(unit_interval(random)))
    }
}

/// Maps 64 random bits into the open interval (0, 1), using the upper 53.
fn unit_interval(random: u64) -> f64 {
    const ULP: f64 = 1.0 / 9_007_199_254_740_992.0;
    // 53 bits fit an f64 exactly. The sum of the largest ones rounds to 1, whose noise would be infinite.
    let u = (random >> 11) as f64 * ULP + ULP / 2.0;
    if u < 1.0 { u } else { 1.0 - ULP }
}

/// How many of the best candidates top-p keeps; at least one, if there is one.
fn nucleus_size(scaled: &[(u32, f64)], top_p_ppm: u32) -> usize {
    let Some(&(_, z_max)) = scaled.first() else {
        return 0;
    };
    if top_p_ppm >= PPM {
        return scaled.len();
    }
    let masses: Vec<f64> = scaled.iter().map(|&(_, z)| libm::exp(z - z_max)).collect();
    let mut total = 0.0;
    for mass in &masses {
        total += mass;
    }
    let wanted = total * (f64::from(top_p_ppm) / f64::from(PPM));
    let mut before = 0.0;
    let mut kept = 0;
    for mass in &masses {
        if kept > 0 && before >= wanted {
            break;
        }
        before += mass;
        kept += 1;
    }
    kept
}
