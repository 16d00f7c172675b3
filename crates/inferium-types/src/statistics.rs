//! What replays within a tolerance measure, and the record that says what an honest replay measures (SPEC V6).

use crate::{Digest, Ppm};
use borsh::{BorshDeserialize, BorshSerialize};

/// Sketch of a hidden state: 16 random projections in steps of one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Sketch {
    /// The step, a bfloat16: the upper half of an f32's bits.
    pub scale: u16,
    /// The projections, in steps.
    pub values: [i8; 16],
}

/// Kinds of positions that flips are counted by: how far the verifier's choice is ahead of its second one (6), by how
/// long the context is (4).
pub const POSITION_KINDS: usize = 24;
/// Upper ends of the first five gaps, in millionths of a logit.
pub const GAP_ENDS_MICRO: [u64; 5] = [20_000, 50_000, 100_000, 200_000, 500_000];
/// Upper ends of the first three contexts, in tokens.
pub const CONTEXT_ENDS: [u32; 3] = [1_024, 4_096, 16_384];

/// Positions of one kind, and at how many the claimed token is not the verifier's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct KindCount {
    /// Positions.
    pub positions: u32,
    /// Those with another token.
    pub flips: u32,
}

/// A sum of clipped, non-negative figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct ClippedSum {
    /// How many.
    pub count: u32,
    /// Their sum, in millionths of the figure at which each is clipped.
    pub sum_ppm: u64,
}

impl ClippedSum {
    /// The mean, in millionths of the clip, rounded down; `None` of nothing.
    #[must_use]
    pub const fn mean_ppm(&self) -> Option<u64> {
        self.sum_ppm.checked_div(self.count as u64)
    }
}

/// What one replay of one job measured.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReplayStatistics {
    /// Flips by kind of position.
    pub kinds: [KindCount; POSITION_KINDS],
    /// Positions whose claimed token is further behind than honest ones are, or outside the truncation.
    pub bad: u32,
    /// Differences of the claimed tokens' log probabilities.
    pub logprobs: ClippedSum,
    /// Errors of sketches.
    pub sketches: ClippedSum,
    /// Sum of the centred surprisals, in millionths of a nat.
    pub surprisal_micro: i64,
    /// Sum of their variances, in millionths of a square nat.
    pub variance_micro: u64,
}

impl Default for ReplayStatistics {
    fn default() -> Self {
        Self {
            kinds: [KindCount::default(); POSITION_KINDS],
            bad: 0,
            logprobs: ClippedSum::default(),
            sketches: ClippedSum::default(),
            surprisal_micro: 0,
            variance_micro: 0,
        }
    }
}

impl ReplayStatistics {
    /// Positions.
    #[must_use]
    pub fn positions(&self) -> u64 {
        self.kinds.iter().map(|kind| u64::from(kind.positions)).sum()
    }

    /// Positions with another token than the verifier's.
    #[must_use]
    pub fn flips(&self) -> u64 {
        self.kinds.iter().map(|kind| u64::from(kind.flips)).sum()
    }
}

/// Most alternatives of a [`Calibration`].
pub const ALTERNATIVES_MAX: usize = 6;

/// What an honest replay of a profile measures at most, found by measuring.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Calibration {
    /// Digest of the prompts, the settings and the engines that it was measured with.
    pub corpus: Digest,
    /// Honest positions that were measured.
    pub positions: u64,
    /// Above every honest engine's share of flips, by kind of position.
    pub flips: [Ppm; POSITION_KINDS],
    /// The shares that cheats have; none below the honest one.
    pub alternatives: Vec<[Ppm; POSITION_KINDS]>,
    /// The margin from which a position is bad, in millionths of a logit.
    pub bad_margin_micro: u64,
    /// Above every honest engine's share of bad positions.
    pub bad: Ppm,
    /// How much more than independent draws the bad positions of one job vary: intra-job correlation.
    pub bad_correlation: Ppm,
    /// The difference of log probabilities at which it is clipped, in millionths of a nat.
    pub logprob_clip_micro: u64,
    /// Above every honest engine's mean of them, in millionths of the clip.
    pub logprob_mean: Ppm,
    /// The error at which a sketch is clipped, in millionths.
    pub sketch_clip_micro: u64,
    /// Above every honest engine's mean of them, in millionths of the clip.
    pub sketch_mean: Ppm,
    /// The median error of a job's sketches that no honest engine has, in millionths.
    pub sketch_gross_micro: u64,
}
