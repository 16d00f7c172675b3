//! What workers of tolerance profiles say of their runs, what replays of these measure, and the record that says what
//! an honest replay measures (SPEC V6).

use crate::{Digest, Ppm, SegmentId, leaf_hash, merkle_root};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// Sketch of a hidden state: 16 random projections in steps of one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Sketch {
    /// The step, a bfloat16: the upper half of an f32's bits.
    pub scale: u16,
    /// The projections, in steps.
    pub values: [i8; 16],
}

/// Positions of an answer that share a fingerprint.
pub const WINDOW_TOKENS: usize = 32;
/// Sketched positions of a full window; all of a shorter one that has fewer.
pub const SKETCHES_PER_WINDOW: usize = 4;
/// Windows of a job that a verdict's draw opens, at most.
pub const OPENED_WINDOWS: usize = 2;
/// A natural logarithm of a probability is counted in as many steps a nat.
pub const LOGPROB_STEPS: f64 = 256.0;

/// What a worker says of its run over a window of an answer.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MeasuredWindow {
    /// Of each token its log probability before temperature and truncation, in [`LOGPROB_STEPS`]; never positive.
    pub logprobs: Vec<i16>,
    /// Sketches of the positions that the job's seed draws, ascending.
    pub sketches: Vec<Sketch>,
    /// Digest of the vectors behind the sketches ([`OpenedWindow::digest`]).
    pub hidden: Digest,
}

/// The vectors behind a window's sketches: what only the run itself has at hand, and nothing that is chosen later replaces.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OpenedWindow {
    /// Which window of the answer.
    pub window: u32,
    /// The inputs of the language-model head at the sketched positions, one after the other; each number a bfloat16, the
    /// upper half of an f32's bits.
    pub hidden: Vec<u16>,
}

/// Says how much there is, and none of it: a text can be read out of such figures (SPEC J2).
impl fmt::Debug for MeasuredWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeasuredWindow({} positions, {} sketches)", self.logprobs.len(), self.sketches.len())
    }
}

/// As of [`MeasuredWindow`].
impl fmt::Debug for OpenedWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenedWindow({}, {} numbers)", self.window, self.hidden.len())
    }
}

impl OpenedWindow {
    /// The digest that the window carries.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_value("inferium/hidden/1", self)
    }
}

/// What a worker of a tolerance profile shows of a job, beside input and output.
#[derive(Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct MeasuredEvidence {
    /// Every window of the answer, in order.
    pub windows: Vec<MeasuredWindow>,
    /// The vectors of the windows that the verdict's draw opens, ascending. A worker keeps them of all.
    pub opened: Vec<OpenedWindow>,
}

/// As of [`MeasuredWindow`].
impl fmt::Debug for MeasuredEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeasuredEvidence")
            .field("windows", &self.windows.len())
            .field("opened", &self.opened.len())
            .finish_non_exhaustive()
    }
}

impl MeasuredEvidence {
    /// The job's evidence root: over the windows.
    #[must_use]
    pub fn root(&self) -> Digest {
        let leaves: Vec<Digest> = self.windows.iter().map(|window| leaf_hash(&crate::encode(window))).collect();
        merkle_root(&leaves)
    }

    /// The windows that the committee's `seed` opens, of job `index` of a segment.
    #[must_use]
    pub fn drawn(&self, segment: SegmentId, seed: &Digest, index: u32) -> Vec<u32> {
        segment.opened_windows(seed, index, u32::try_from(self.windows.len()).unwrap_or(u32::MAX))
    }

    /// True when exactly the vectors of the windows `drawn` are there, each the bound one.
    #[must_use]
    pub fn opens(&self, drawn: &[u32]) -> bool {
        let is_bound = |opened: &OpenedWindow| {
            let window = usize::try_from(opened.window).ok().and_then(|window| self.windows.get(window));
            window.is_some_and(|window| window.hidden == opened.digest())
        };
        self.opened.iter().map(|opened| &opened.window).eq(drawn) && self.opened.iter().all(is_bound)
    }
}

impl SegmentId {
    /// The windows of job `index` that the committee's `seed` opens, ascending: [`OPENED_WINDOWS`] of `windows`, or all.
    #[must_use]
    pub fn opened_windows(&self, seed: &Digest, index: u32, windows: u32) -> Vec<u32> {
        let draw = |window: u32| {
            let segment = self.digest();
            let parts = [seed.as_bytes().as_slice(), segment.as_bytes(), &index.to_be_bytes(), &window.to_be_bytes()];
            Digest::of("inferium/window-draw/1", &parts)
        };
        let mut drawn: Vec<(Digest, u32)> = (0..windows).map(|window| (draw(window), window)).collect();
        drawn.sort_unstable();
        let mut opened: Vec<u32> = drawn.into_iter().take(OPENED_WINDOWS).map(|(_, window)| window).collect();
        opened.sort_unstable();
        opened
    }
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

/// How much of their capital the bets against a mean stake on each job, in millionths (SPEC V7).
pub const STAKES: [u32; 8] = [20_000, 50_000, 100_000, 200_000, 400_000, 600_000, 800_000, 900_000];

/// A sum of clipped, non-negative figures, and what bets against their mean come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct ClippedSum {
    /// How many.
    pub count: u32,
    /// Their sum, in millionths of the figure at which each is clipped.
    pub sum_ppm: u64,
    /// For each of [`STAKES`] the sum, over the jobs, of the binary logarithm of what a bet against the job's mean multiplies its
    /// capital by; with 32 bits after the point, each rounded down.
    pub bets: [i64; STAKES.len()],
}

impl ClippedSum {
    fn with(mut self, other: Self) -> Self {
        self.count = self.count.saturating_add(other.count);
        self.sum_ppm = self.sum_ppm.saturating_add(other.sum_ppm);
        for (bet, more) in self.bets.iter_mut().zip(other.bets) {
            *bet = bet.saturating_add(more);
        }
        self
    }

    /// The mean, in millionths of the clip, rounded down; `None` of nothing.
    #[must_use]
    pub const fn mean_ppm(&self) -> Option<u64> {
        self.sum_ppm.checked_div(self.count as u64)
    }
}

/// By how much a bet on draws takes the temperature for another one, in sixteenths: a bet `k` says that what was drawn with
/// probability `p` was drawn in proportion to `p^(1 - k/16)` (SPEC V9). Above zero too warm, or another model; below too cold.
pub const TEMPERS: [i8; 8] = [1, 2, 4, 8, -2, -4, -8, -16];

/// What the tokens alone say, where the seed that they were drawn with is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct DrawCount {
    /// Positions.
    pub positions: u32,
    /// Those whose token the truncation leaves out by more than a profile's margin.
    pub outside: u32,
    /// For each of [`TEMPERS`] the binary logarithm of what a bet on these draws multiplies its capital by; with 32 bits after
    /// the point, rounded down once a job.
    pub bets: [i64; TEMPERS.len()],
}

impl DrawCount {
    fn with(mut self, other: Self) -> Self {
        self.positions = self.positions.saturating_add(other.positions);
        self.outside = self.outside.saturating_add(other.outside);
        for (bet, more) in self.bets.iter_mut().zip(other.bets) {
            *bet = bet.saturating_add(more);
        }
        self
    }
}

/// What replays measured, of one job or in sum over several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
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
    /// Of a foreign profile.
    pub draws: DrawCount,
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
            draws: DrawCount::default(),
        }
    }
}

impl ReplayStatistics {
    /// The sum with another; counts stay at the ends of their numbers.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        for (kind, more) in self.kinds.iter_mut().zip(&other.kinds) {
            kind.positions = kind.positions.saturating_add(more.positions);
            kind.flips = kind.flips.saturating_add(more.flips);
        }
        self.bad = self.bad.saturating_add(other.bad);
        self.logprobs = self.logprobs.with(other.logprobs);
        self.sketches = self.sketches.with(other.sketches);
        self.surprisal_micro = self.surprisal_micro.saturating_add(other.surprisal_micro);
        self.variance_micro = self.variance_micro.saturating_add(other.variance_micro);
        self.draws = self.draws.with(other.draws);
        self
    }

    /// True when the parts fit together: no more flips or bad positions than positions, no mean above its clip.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let is_clipped = |sum: &ClippedSum| sum.sum_ppm <= u64::from(sum.count).saturating_mul(1_000_000);
        self.kinds.iter().all(|kind| kind.flips <= kind.positions)
            && u64::from(self.bad) <= self.flips()
            && u64::from(self.logprobs.count) == self.positions()
            && is_clipped(&self.logprobs)
            && is_clipped(&self.sketches)
            && self.draws.outside <= self.draws.positions
    }

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

/// What all replays of a worker's results on a tolerance profile say of it (SPEC V7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, BorshSerialize, BorshDeserialize)]
pub enum Suspicion {
    /// Nothing that an honest worker would not show.
    #[default]
    None,
    /// An honest worker gets here once in a hundred lives at most.
    Suspect,
    /// An honest worker gets here once in a million lives at most.
    Convicted,
}

impl Suspicion {
    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Suspect => "suspect",
            Self::Convicted => "convicted",
        }
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
