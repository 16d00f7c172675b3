//! The canonical sampler, version 2: one function from (logits, parameters, seed, position) to a token.
//!
//! Every node of the network draws tokens with this code, so that a token can be *checked*: whoever holds the
//! logits and the seed computes the same token, whatever the engine's own random numbers, batch order or
//! vocabulary padding would have been. The draw is exact (Gumbel-max over the truncated softmax) and costs
//! one pass over the vocabulary.
//!
//! It is *not* an inference engine, and knows no text, no stop strings and no grammar: which tokens one allows, it is told.
//!
//! # The rule
//! 0. Where an answer is shaped, an [`Adjustment`] first bends a copy of the logits: of each token that has a bias or that the
//!    answer holds already, `ℓ + (bias − penalties)` in f32, the sum of millionths in brackets rounded once; of each token
//!    that is not allowed, −∞. Digests and log probabilities are of the logits as they were.
//! 1. Clean the logits: NaN and −∞ become `f32::MIN`, +∞ becomes `f32::MAX`, −0 becomes +0.
//! 2. Candidates: the `K` largest, `K = min(top_k, 1024)` (1024 if `top_k` is 0); of equal logits the lower id first.
//! 3. Temperature 0: the first candidate. Done.
//! 4. `z = ℓ / T` in f64. With top-p below 1: keep a candidate while the softmax mass *before* it is below
//!    `p` (the first one always stays).
//! 5. `g = −ln(−ln u)`, `u` from Philox4x32-10 with key `seed[0..8]` and counter
//!    `(position low, token, position high, 0)`: words 0 and 1 form 64 bits, the upper 53 give
//!    `u = min(r·2⁻⁵³ + 2⁻⁵⁴, 1 − 2⁻⁵³)`.
//! 6. The token is the argmax of `z + g` over the candidates; of equal sums the lower id.
//!
//! Transcendental functions come from the `libm` crate in f64, never from the platform.
//!
//! # Invariants
//! - Pure: no IO, clock, entropy or global state; never panics, also not on an empty or non-finite row.
//! - The result depends on nothing but the arguments; bits are the same on every platform.
//!
//! ```
//! use inferium_sampling::Sampler;
//! use inferium_types::SamplingParams;
//!
//! let greedy = SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 };
//! assert_eq!(Sampler::new(greedy, [0; 32]).choose(0, &[0.5, 2.0, 2.0]), 1);
//! ```
#![forbid(unsafe_code)]

mod adjustment;
mod calibration;
mod candidates;
mod digest;
mod fingerprint;
mod fixed;
mod foreign;
mod gross;
mod measures;
mod philox;
mod position;
mod sampler;
mod sequential;
mod sketch;

pub use adjustment::{Adjustment, Allowed};
pub use calibration::{CALIBRATION_POSITIONS_MIN, Detection, Inadmissible, Run, confirm, detect, fit};
pub use digest::position_digest;
pub use fingerprint::{Fingerprint, InvalidWindows, ReplayedPosition, compare};
pub use foreign::draw_statistics;
pub use gross::{GROSS_POSITIONS_MIN, GROSS_SKETCHES_MIN, GrossFault, bad_limit, ends_wrongly, gross_fault};
pub use inferium_types::Suspicion;
pub use measures::{JobMeasures, PositionMeasures, covers, mean_bets, position_kind};
pub use philox::philox4x32_10;
pub use position::{Draw, PositionCheck, log_sum_exp};
pub use sampler::{CANDIDATES_MAX, SAMPLER_VERSION, Sampler};
pub use sequential::{Bets, SequentialTest};
pub use sketch::{Projection, SKETCH_SIZE, sketch, sketch_error, window_positions};
