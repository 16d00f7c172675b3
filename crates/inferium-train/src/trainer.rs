//! What every kind of training has in common: a step, and an interval of them.

use crate::record::{IntervalJob, IntervalRecord, StepRecord};
use crate::{Evaluation, Order, State, TensorShape, TrainingSpec, adamw};
use inferium_types::Digest;
use std::fmt::Debug;

/// Something that can be trained: a function from weights and examples to a loss and its gradient.
///
/// Results have the same bits on every machine of the spec's class, and depend on the arguments only.
pub trait Trainer: Debug + Send + Sync {
    /// What the run is.
    fn spec(&self) -> &TrainingSpec;

    /// The trained tensors, in the order of the state's numbers.
    fn shapes(&self) -> Vec<TensorShape>;

    /// The state before the first step, drawn from the spec's seed.
    fn initial(&self) -> State;

    /// Mean loss in nats of examples, and its gradient with respect to each trained number.
    ///
    /// # Errors
    /// [`TrainError::NoExample`] if an example is not there, [`TrainError::Weights`].
    fn gradient(&self, parameters: &[f32], examples: &[usize]) -> Result<(f32, Vec<f32>), TrainError>;

    /// What an example counts as where work is counted and paid.
    fn size_of(&self, _example: usize) -> u64 {
        1
    }

    /// Measures weights on the held-out part; `progress(done, all)` is called as it goes on.
    ///
    /// # Errors
    /// As [`Trainer::gradient`].
    fn evaluate(&self, parameters: &[f32], progress: &mut dyn FnMut(u64, u64)) -> Result<Evaluation, TrainError>;

    /// What was trained, as files that others read: names and bytes.
    fn export(&self, state: &State) -> Vec<(String, Vec<u8>)>;
}

/// Why training can't go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Numbers left the range of floats.
    #[error("step {step} leads to numbers that are none; a smaller learning rate may help")]
    NotFinite {
        /// Which step, from 0.
        step: u64,
    },
    /// An example that the trainer was not given.
    #[error("the trainer has no example {example}")]
    NoExample {
        /// Its number.
        example: usize,
    },
    /// The base model's weights can't be had: a fault of this machine, not of the run.
    #[error("the base model's weights can't be read: {reason}")]
    Weights {
        /// Why.
        reason: String,
    },
    /// The job is another run's, or the start is not the one that it names.
    #[error("the job is not about this {what}")]
    AnotherJob {
        /// What does not fit.
        what: &'static str,
    },
}

/// Takes one step.
///
/// # Errors
/// [`TrainError`]; the state is as it was.
pub fn step(trainer: &dyn Trainer, order: &mut Order, state: &mut State) -> Result<StepRecord, TrainError> {
    let step = state.step;
    let (loss, gradient) = trainer.gradient(&state.parameters, &order.batch(step))?;
    let mut next = state.clone();
    adamw::update(&mut next, &gradient, &trainer.spec().optimiser);
    if !loss.is_finite() || !next.is_finite() {
        return Err(TrainError::NotFinite { step });
    }
    *state = next;
    Ok(StepRecord { step, loss_bits: loss.to_bits(), state: state.digest() })
}

/// Works a job: all steps of an interval from its start state. `each` sees every step as it is taken.
///
/// # Errors
/// [`TrainError::AnotherJob`] if job, run and state do not belong together; else as [`step()`].
pub fn run_interval(
    trainer: &dyn Trainer,
    job: IntervalJob,
    mut state: State,
    each: &mut dyn FnMut(&StepRecord),
) -> Result<(State, IntervalRecord), TrainError> {
    let spec = trainer.spec();
    if job.spec != spec.digest() {
        return Err(TrainError::AnotherJob { what: "run" });
    }
    let (first, end) = spec.steps_of(job.index);
    if state.step != first || first == end {
        return Err(TrainError::AnotherJob { what: "state" });
    }
    let mut order = Order::new(spec);
    let mut steps = Vec::new();
    while state.step < end {
        let record = step(trainer, &mut order, &mut state)?;
        each(&record);
        steps.push(record);
    }
    Ok((state, IntervalRecord { job, steps }))
}

/// A uniform number in −1..1 for each of `count` places, drawn from a seed and a name.
pub(crate) fn uniform(seed: &Digest, name: &str, count: usize) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(count.next_multiple_of(8));
    let mut block = 0_u64;
    while numbers.len() < count {
        let parts: [&[u8]; 3] = [seed.as_bytes(), name.as_bytes(), &block.to_be_bytes()];
        let digest = Digest::of("inferium/training-weights/1", &parts);
        // 24 bits are what a float holds exactly.
        numbers.extend(digest.as_bytes().as_chunks::<4>().0.iter().map(|word| {
            let draw = u32::from_be_bytes(*word) >> 8;
            draw as f32 / 8_388_608.0 - 1.0
        }));
        block += 1;
    }
    numbers.truncate(count);
    numbers
}

/// Natural logarithm, without the platform's library.
pub(crate) fn ln(x: f64) -> f64 {
    libm::log(x)
}
