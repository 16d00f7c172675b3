//! Intervals of a classifier's run as jobs of the network (SPEC X3): read from what a client sent, checked, trained.
//!
//! A run is announced before anybody knows its order: the announcement is a job too, so that the chain holds a commitment to it, and what
//! draws the committee of *its* segment draws the run's order and first weights.

use crate::record::{IntervalJob, IntervalRecord, StepRecord, first_root};
use crate::spec::Method;
use crate::trainer::Trainer;
use crate::{
    Checkpoint, DataSet, HeadTrainer, InvalidCheckpoint, InvalidDataSet, InvalidHead, InvalidSpec, InvalidState,
    InvalidVectors, Order, State, TrainError, TrainingSpec, Vectors, step,
};
use inferium_engine::{EngineError, IntervalTrainer, Model, Trained};
use inferium_types::{
    Digest, EngineClass, IntervalStart, ModelProfile, TrainedInterval, TrainedStep, TrainingInput, limits,
};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Products of a number and a weight that the steps of one interval may take, about: seconds on one core.
const WORK_MAX: u64 = 1 << 32;
/// What the examples of an announced run are counted as: which lines are held out is drawn later.
const UNKNOWN_EXAMPLES: u64 = 1;

/// Why an input is no interval, and no announcement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidInterval {
    /// The spec can't be read.
    #[error("the spec can't be read: {reason}")]
    Encoding {
        /// What the decoder met.
        reason: String,
    },
    /// The spec is of another build.
    #[error("the run is of another build of this software")]
    Class,
    /// The network trains classifiers alone.
    #[error("only classifiers are trained by the network")]
    Method,
    /// A setting is out of its bounds.
    #[error(transparent)]
    Spec(#[from] InvalidSpec),
    /// More than a job can have.
    #[error("{what} is {found}; a job of the network has at most {most}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        most: u64,
    },
    /// The vectors.
    #[error(transparent)]
    Vectors(#[from] InvalidVectors),
    /// The data set.
    #[error(transparent)]
    Data(#[from] InvalidDataSet),
    /// Spec, data set and vectors do not belong together.
    #[error(transparent)]
    Head(#[from] InvalidHead),
    /// The state has not the run's size.
    #[error(transparent)]
    State(#[from] InvalidState),
    /// Something that contradicts the rest.
    #[error("{what}")]
    Inconsistent {
        /// What.
        what: &'static str,
    },
    /// A step fails.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl From<InvalidInterval> for EngineError {
    fn from(invalid: InvalidInterval) -> Self {
        Self::Training { reason: invalid.to_string() }
    }
}

const fn wrong(what: &'static str) -> InvalidInterval {
    InvalidInterval::Inconsistent { what }
}

/// What trains and judges intervals on this machine.
#[must_use]
pub fn model() -> Model {
    Model::Trainer(Arc::new(Intervals))
}

/// The profile of training by this build's arithmetic.
#[must_use]
pub fn profile() -> ModelProfile {
    let build = match TrainingSpec::class() {
        EngineClass::Canonical { build, .. } => build,
        // The class of training is canonical.
        EngineClass::Tolerance { .. } | EngineClass::Foreign { .. } => Digest::ZERO,
    };
    ModelProfile::trainer(build)
}

#[derive(Debug)]
struct Intervals;

impl IntervalTrainer for Intervals {
    fn profile(&self) -> ModelProfile {
        profile()
    }

    fn read(&self, input: &TrainingInput) -> Result<u32, EngineError> {
        Ok(Work::read(input)?.examples()?)
    }

    fn train(&self, input: &TrainingInput) -> Result<Trained, EngineError> {
        Ok(Work::read(input)?.train()?)
    }
}

/// An input that holds together.
#[derive(Debug)]
enum Work {
    /// Nothing to train: what is trained on, hashed as it stands.
    Announcement(Digest),
    Interval {
        trainer: Box<HeadTrainer>,
        index: u64,
        state: State,
    },
}

impl Work {
    fn read(input: &TrainingInput) -> Result<Self, InvalidInterval> {
        let spec: TrainingSpec = inferium_types::decode(&input.spec)
            .map_err(|error| InvalidInterval::Encoding { reason: error.to_string() })?;
        let (labels, width) = check_spec(&spec)?;
        let vectors = Vectors::from_bits(width, &input.vectors)?;
        let data = DataSet::parse(&input.data)?;
        let Some(at) = &input.at else {
            check_announced(&spec, &data, &vectors)?;
            let parts: [&[u8]; 3] = [&input.spec, input.data.as_bytes(), &input.vectors];
            return Ok(Self::Announcement(Digest::of("inferium/training-announced/1", &parts)));
        };
        let trainer = HeadTrainer::new(spec, &data, vectors)?;
        let state = start(&trainer, at, parameters(labels, width))?;
        Ok(Self::Interval { trainer: Box::new(trainer), index: at.index, state })
    }

    /// What it costs: the examples that its steps see.
    fn examples(&self) -> Result<u32, InvalidInterval> {
        let Self::Interval { trainer, index, state } = self else { return Ok(1) };
        let spec = trainer.spec();
        let (first, end) = spec.steps_of(*index);
        let mut order = Order::new(spec);
        let examples = (first..end).fold(0_u64, |sum, step| sum.saturating_add(order.batch(step).len() as u64));
        let too_large = |what, found, most| InvalidInterval::TooLarge { what, found, most };
        let most = u64::from(limits::TRAINING_EXAMPLES_MAX);
        if examples > most {
            return Err(too_large("the number of examples of an interval", examples, most));
        }
        let work = examples.saturating_mul(state.parameters.len() as u64);
        if work > WORK_MAX {
            return Err(too_large("the number of examples of an interval times weights", work, WORK_MAX));
        }
        u32::try_from(examples).map_err(|_| too_large("the number of examples of an interval", examples, most))
    }

    fn train(self) -> Result<Trained, InvalidInterval> {
        self.examples()?;
        let (trainer, index, mut state) = match self {
            Self::Announcement(seen) => {
                return Ok(Trained { interval: TrainedInterval::default(), trace: vec![seen] });
            }
            Self::Interval { trainer, index, state } => (trainer, index, state),
        };
        let (_, end) = trainer.spec().steps_of(index);
        let mut order = Order::new(trainer.spec());
        let (mut steps, mut trace) = (Vec::new(), Vec::new());
        while state.step < end {
            let StepRecord { loss_bits, state: digest, .. } = step(trainer.as_ref(), &mut order, &mut state)?;
            steps.push(TrainedStep { loss_bits, state: digest });
            trace.push(state.trace());
        }
        Ok(Trained { interval: TrainedInterval { steps, state: state.to_bytes() }, trace })
    }
}

/// Numbers that a classifier trains.
const fn parameters(labels: usize, width: usize) -> usize {
    labels.saturating_mul(width.saturating_add(1))
}

/// Labels and width of a run that the network can train.
fn check_spec(spec: &TrainingSpec) -> Result<(usize, usize), InvalidInterval> {
    if spec.engine != TrainingSpec::class() {
        return Err(InvalidInterval::Class);
    }
    spec.check()?;
    let Method::Head { labels, width, .. } = &spec.method else { return Err(InvalidInterval::Method) };
    let (labels, width) = (labels.len(), *width as usize);
    let bytes = parameters(labels, width).saturating_mul(12).saturating_add(8);
    let bounds = [
        ("the size of a state in bytes", bytes as u64, limits::TRAINING_STATE_SIZE_MAX as u64),
        ("the number of steps of an interval", spec.interval.into(), limits::TRAINING_STEPS_MAX as u64),
    ];
    for (what, found, most) in bounds {
        if found > most {
            return Err(InvalidInterval::TooLarge { what, found, most });
        }
    }
    Ok((labels, width))
}

/// Whether a run can be announced: all that is fixed before its order is drawn belongs together.
fn check_announced(spec: &TrainingSpec, data: &DataSet, vectors: &Vectors) -> Result<(), InvalidInterval> {
    let is_open = spec.order == Digest::ZERO && spec.seed == Digest::ZERO && spec.data.examples == UNKNOWN_EXAMPLES;
    if !is_open {
        return Err(wrong("an announced run has an order, a seed or a number of examples already"));
    }
    let Method::Head { labels, vectors: root, .. } = &spec.method else { return Err(InvalidInterval::Method) };
    data.check(spec.data.root)?;
    if *labels != data.labels()? {
        return Err(InvalidHead::Labels.into());
    }
    if vectors.root() != *root {
        return Err(InvalidHead::Vectors { expected: *root, found: vectors.root() }.into());
    }
    if vectors.lines() != data.lines().len() {
        return Err(wrong("there is not a vector for each line"));
    }
    Ok(())
}

/// The state that an interval starts from, which its root must bind; the first one follows from the seed.
fn start(trainer: &HeadTrainer, at: &IntervalStart, parameters: usize) -> Result<State, InvalidInterval> {
    let spec = trainer.spec();
    if spec.order == Digest::ZERO || spec.seed == Digest::ZERO {
        return Err(wrong("the run has no order or seed: nothing drew them"));
    }
    let state = State::from_bytes(&at.state, parameters)?;
    let (first, end) = spec.steps_of(at.index);
    if state.step != first || first == end {
        return Err(wrong("the state is not before the interval's first step"));
    }
    if !state.is_finite() {
        return Err(wrong("the state has numbers that are none"));
    }
    let (name, digest) = (spec.digest(), state.digest());
    let bound = match (at.index.checked_sub(1), at.before) {
        (None, None) if digest == trainer.initial().digest() => first_root(&name, &digest),
        (None, None) => return Err(wrong("the first state is not the one that the seed draws")),
        (Some(index), Some((start, steps))) => IntervalJob { spec: name, start, index }.root(&steps, &digest),
        _ => return Err(wrong("an interval goes on from the one before it, and the first from nothing")),
    };
    if bound != at.root { Err(wrong("the root does not bind the state")) } else { Ok(state) }
}

/// A run as it is announced: without what is drawn.
#[must_use]
pub fn announced(spec: TrainingSpec) -> TrainingSpec {
    let mut open = spec;
    (open.order, open.seed, open.data.examples) = (Digest::ZERO, Digest::ZERO, UNKNOWN_EXAMPLES);
    open
}

/// The run that becomes of an announced one: order and first weights follow from what drew the committee of the announcement's segment,
/// and which lines are held out from the order.
///
/// # Errors
/// [`InvalidInterval`]: one part of the split is empty, or a bound does not hold.
pub fn drawn(open: &TrainingSpec, drawn: &Digest, data: &DataSet) -> Result<TrainingSpec, InvalidInterval> {
    let name = open.digest();
    let of = |purpose: &str| Digest::of(purpose, &[drawn.as_bytes(), name.as_bytes()]);
    let mut spec = open.clone();
    (spec.order, spec.seed) = (of("inferium/training-order/1"), of("inferium/training-first/1"));
    spec.data.examples = data.split(&spec.order, spec.data.held_out)?.training.len() as u64;
    check_spec(&spec)?;
    Ok(spec)
}

/// The input of a run's next interval from a checkpoint on; without one, of its announcement.
#[must_use]
pub fn input(spec: &TrainingSpec, data: &str, vectors: &Vectors, at: Option<&Checkpoint>) -> TrainingInput {
    let start = |at: &Checkpoint| IntervalStart {
        index: at.index(),
        root: at.root(),
        before: at.record.as_ref().map(|record| (record.job.start, record.steps_root())),
        state: at.state.to_bytes(),
    };
    TrainingInput {
        spec: inferium_types::encode(spec),
        data: data.to_owned(),
        vectors: vectors.bits(),
        at: at.map(start),
    }
}

/// What an interval says of its steps, as it is committed to.
#[must_use]
pub fn record(spec: &TrainingSpec, job: IntervalJob, interval: &TrainedInterval) -> IntervalRecord {
    let (first, _) = spec.steps_of(job.index);
    let steps = (first..).zip(&interval.steps);
    let steps = steps.map(|(step, one)| StepRecord { step, loss_bits: one.loss_bits, state: one.state }).collect();
    IntervalRecord { job, steps }
}

/// The checkpoint that an interval claims to lead to: what can be said of it without training it again.
///
/// # Errors
/// [`InvalidCheckpoint`]: another number of steps, numbers that are none, or a state that the last step does not name.
pub fn claimed(
    spec: &TrainingSpec,
    from: &Checkpoint,
    interval: &TrainedInterval,
) -> Result<Checkpoint, InvalidCheckpoint> {
    let job = from.next_job();
    let (first, end) = spec.steps_of(job.index);
    if interval.steps.len() as u64 != end.saturating_sub(first) {
        return Err(InvalidCheckpoint::Inconsistent { what: "number of steps" });
    }
    let state = State::from_bytes(&interval.state, from.state.parameters.len())
        .map_err(|error| InvalidCheckpoint::Encoding { reason: error.to_string() })?;
    let next = Checkpoint { spec: job.spec, record: Some(record(spec, job, interval)), state };
    next.check()?;
    Ok(next)
}
