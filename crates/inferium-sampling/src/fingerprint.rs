//! What a worker of a tolerance profile shows of an answer, and how a verifier reads it (SPEC V6).
//!
//! For each window of [`WINDOW_TOKENS`] tokens: the log probability of every token, sketches of the hidden states at positions
//! that the job's seed draws, and a digest of those states themselves. Which windows are opened to the verifier is drawn after
//! all of this is bound. There it computes the sketches again, to the bit, and projects the states with a projection that
//! nobody knew while the answer was made: who has learned to forge sketches of the known one gains nothing.

use crate::sketch::window_positions;
use crate::{JobMeasures, PositionCheck, PositionMeasures, Projection, sketch, sketch_error};
use inferium_types::{Digest, LOGPROB_STEPS, MeasuredEvidence, MeasuredWindow, OpenedWindow, WINDOW_TOKENS};
use std::fmt;

#[cfg(test)]
mod tests;

/// A job's projection, known to the worker.
fn projection(seed: [u8; 32]) -> Projection {
    Projection::new(*Digest::of("inferium/sketch/1", &[&seed]).as_bytes())
}

/// Rounds to the nearest bfloat16, ties to even; keeps what is no number one.
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let upper = (bits >> 16) as u16;
    if value.is_nan() {
        return upper | 0x40;
    }
    let round = 0x7FFF + u32::from(upper & 1);
    // An infinity stays one: it has no lower bits.
    (bits.saturating_add(round) >> 16) as u16
}

fn from_bf16(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

/// A log probability in [`LOGPROB_STEPS`] a nat: never positive; what is no number is the least.
fn to_steps(logprob: f64) -> i16 {
    let steps = libm::round(logprob * LOGPROB_STEPS);
    if steps.is_nan() { i16::MIN } else { steps.clamp(f64::from(i16::MIN), 0.0) as i16 }
}

/// The fingerprint of an answer while it is made.
pub struct Fingerprint {
    seed: [u8; 32],
    projection: Projection,
    evidence: MeasuredEvidence,
    logprobs: Vec<i16>,
    /// The window's hidden states so far, as bfloat16.
    hidden: Vec<Vec<u16>>,
}

/// Says how much there is, and none of it: a text can be read out of hidden states.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:?}, and {} positions)", self.evidence, self.logprobs.len())
    }
}

impl Fingerprint {
    /// Of an answer that is drawn with `seed`.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            seed,
            projection: projection(seed),
            evidence: MeasuredEvidence::default(),
            logprobs: Vec::new(),
            hidden: Vec::new(),
        }
    }

    /// Adds a position: the natural logarithm of the token's probability under the softmax of the logits, and what these were made
    /// from, shape `[width]`.
    pub fn push(&mut self, logprob: f64, hidden: &[f32]) {
        self.logprobs.push(to_steps(logprob));
        self.hidden.push(hidden.iter().copied().map(to_bf16).collect());
        if self.logprobs.len() == WINDOW_TOKENS {
            self.end_window();
        }
    }

    /// What is shown of the whole answer, with the vectors of every window.
    #[must_use]
    pub fn finish(mut self) -> MeasuredEvidence {
        if !self.logprobs.is_empty() {
            self.end_window();
        }
        self.evidence
    }

    fn end_window(&mut self) {
        let window = u32::try_from(self.evidence.windows.len()).unwrap_or(u32::MAX);
        let (logprobs, states) = (std::mem::take(&mut self.logprobs), std::mem::take(&mut self.hidden));
        let drawn: Vec<&Vec<u16>> =
            window_positions(self.seed, window, states.len()).iter().filter_map(|offset| states.get(*offset)).collect();
        let sketches = drawn.iter().map(|state| sketch(&project(&self.projection, state))).collect();
        let opened = OpenedWindow { window, hidden: drawn.into_iter().flatten().copied().collect() };
        self.evidence.windows.push(MeasuredWindow { logprobs, sketches, hidden: opened.digest() });
        self.evidence.opened.push(opened);
    }
}

fn project(projection: &Projection, state: &[u16]) -> [f32; crate::SKETCH_SIZE] {
    let state: Vec<f32> = state.iter().copied().map(from_bf16).collect();
    projection.apply(&state)
}

/// One position of a verifier's replay.
#[derive(Clone, Copy, Debug)]
pub struct ReplayedPosition<'a> {
    /// The claimed token beside the verifier's logits.
    pub check: PositionCheck,
    /// The natural logarithm of its probability under the softmax of the verifier's logits.
    pub logprob: f64,
    /// What the verifier's logits were made from, shape `[width]`.
    pub hidden: &'a [f32],
}

/// What a worker shows contradicts itself. Every byte of it was bound by the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidWindows {
    /// Other windows than the answer has.
    #[error("{found} windows; the answer has {expected}")]
    Count {
        /// Of the answer.
        expected: usize,
        /// That are there.
        found: usize,
    },
    /// A window with other positions than the answer's.
    #[error("window {window}: not one log probability for each position, and one sketch for each drawn one")]
    Shape {
        /// Which.
        window: usize,
    },
    /// A probability above one.
    #[error("window {window}: a probability above one")]
    Probability {
        /// Which.
        window: usize,
    },
    /// Vectors of another size than the model's.
    #[error("window {window}: the opened vectors are not of the model's width")]
    Width {
        /// Which.
        window: usize,
    },
    /// A sketch that is not the opened vector's.
    #[error("window {window}: a sketch is not that of its vector")]
    Sketch {
        /// Which.
        window: usize,
    },
}

/// Measures an answer that is drawn with `seed`: what the worker shows beside the verifier's replay of every position.
///
/// `fresh` seeds the projection of the opened windows: bytes that nobody knew before the evidence was bound.
/// `prompt_tokens` come before the answer.
///
/// # Errors
/// [`InvalidWindows`]: no honest worker shows that.
pub fn compare(
    seed: [u8; 32],
    fresh: [u8; 32],
    evidence: &MeasuredEvidence,
    replayed: &[ReplayedPosition<'_>],
    prompt_tokens: u32,
) -> Result<JobMeasures, InvalidWindows> {
    let expected = replayed.len().div_ceil(WINDOW_TOKENS);
    if evidence.windows.len() != expected {
        return Err(InvalidWindows::Count { expected, found: evidence.windows.len() });
    }
    let (known, fresh) = (projection(seed), Projection::new(fresh));
    let mut measures = JobMeasures::default();
    let mut contexts = prompt_tokens..;
    for (index, (shown, own)) in evidence.windows.iter().zip(replayed.chunks(WINDOW_TOKENS)).enumerate() {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let drawn: Vec<&ReplayedPosition<'_>> =
            window_positions(seed, number, own.len()).iter().filter_map(|offset| own.get(*offset)).collect();
        if shown.logprobs.len() != own.len() || shown.sketches.len() != drawn.len() {
            return Err(InvalidWindows::Shape { window: index });
        }
        if shown.logprobs.iter().any(|logprob| *logprob > 0) {
            return Err(InvalidWindows::Probability { window: index });
        }
        for ((own, logprob), context_tokens) in own.iter().zip(&shown.logprobs).zip(&mut contexts) {
            let logprob_difference = (f64::from(*logprob) / LOGPROB_STEPS - own.logprob).abs();
            measures.positions.push(PositionMeasures { check: own.check, context_tokens, logprob_difference });
        }
        match evidence.opened.iter().find(|opened| opened.window == number) {
            None => {
                let errors = shown.sketches.iter().zip(&drawn);
                measures.sketch_errors.extend(errors.map(|(shown, own)| sketch_error(shown, &known.apply(own.hidden))));
            }
            Some(opened) => measures.sketch_errors.extend(open(index, shown, opened, &drawn, [&known, &fresh])?),
        }
    }
    Ok(measures)
}

/// The errors of an opened window's vectors under the fresh projection.
fn open(
    window: usize,
    shown: &MeasuredWindow,
    opened: &OpenedWindow,
    drawn: &[&ReplayedPosition<'_>],
    [known, fresh]: [&Projection; 2],
) -> Result<Vec<f64>, InvalidWindows> {
    let width = drawn.first().map_or(0, |own| own.hidden.len());
    if width == 0 || opened.hidden.len() != width.saturating_mul(drawn.len()) {
        return Err(InvalidWindows::Width { window });
    }
    let states = opened.hidden.chunks_exact(width);
    if states.clone().zip(&shown.sketches).any(|(state, shown)| sketch(&project(known, state)) != *shown) {
        return Err(InvalidWindows::Sketch { window });
    }
    // Rounded to a byte like the others, so that all errors are of one kind.
    let errors =
        states.zip(drawn).map(|(state, own)| sketch_error(&sketch(&project(fresh, state)), &fresh.apply(own.hidden)));
    Ok(errors.collect())
}
