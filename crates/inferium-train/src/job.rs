//! Intervals of a run as jobs of the network (SPEC X3): read from what a client sent, checked, trained.
//!
//! A run is announced before anybody knows its order: the announcement is a job too, so that the chain holds a commitment to it, and what
//! draws the committee of *its* segment draws the run's order and first weights.

use crate::record::{IntervalJob, IntervalRecord, StepRecord, first_root};
use crate::spec::{BaseModel, Method};
use crate::trainer::Trainer;
use crate::{
    AdapterBase, Checkpoint, DataSet, HeadTrainer, InvalidCheckpoint, InvalidDataSet, InvalidHead, InvalidLora,
    InvalidSpec, InvalidState, InvalidVectors, Order, State, TrainError, TrainingSpec, Vectors, step,
};
use inferium_engine::{EngineError, IntervalTrainer, Model, Trained};
use inferium_types::{
    Digest, EngineClass, IntervalStart, ModelProfile, TrainedInterval, TrainedStep, TrainingInput, limits,
};
use std::sync::{Arc, MutexGuard};

#[cfg(test)]
mod tests;

/// Products of a number and a weight that the steps of one interval may take, about: seconds on one core.
const WORK_MAX: u64 = 1 << 32;
/// Tokens that the steps of an interval of adapters see at most. Judges have to train it again well within their window, several after
/// another on one machine: 2,048 take SmolLM2-135M half a minute on two busy cores.
pub const ADAPTER_TOKENS_MAX: u64 = 2_048;
/// Bytes of a data set of adapters, since every judge makes tokens of all of it; tokens of an example, for memory.
const ADAPTER_DATA_MAX: u64 = 1 << 20;
const ADAPTER_SEQUENCE_MAX: u64 = 512;
/// Held-out lines that a run of adapters is measured on, and their tokens: whoever keeps a run measures it before and after.
pub const ADAPTER_MEASURED_MAX: u64 = 256;
const ADAPTER_MEASURED_TOKENS_MAX: u64 = 1 << 13;
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
    /// The profile is one of another method.
    #[error("the job's profile is of {expected}, and the run is of {found}")]
    Method {
        /// What the profile trains.
        expected: &'static str,
        /// What the run is.
        found: &'static str,
    },
    /// The profile is of another decoder than the run.
    #[error(
        "the run is on {asked:?}, and the profile on {name:?}, or on other weights or another tokenizer of that name"
    )]
    Base {
        /// The run's.
        asked: String,
        /// The profile's.
        name: String,
    },
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
    /// Spec, data set and decoder do not belong together.
    #[error(transparent)]
    Lora(#[from] InvalidLora),
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
        let reason = invalid.to_string();
        match invalid {
            // Nobody is judged by what this machine lacks.
            InvalidInterval::Train(TrainError::Weights { .. }) => Self::Failed { reason },
            _ => Self::Training { reason },
        }
    }
}

const fn wrong(what: &'static str) -> InvalidInterval {
    InvalidInterval::Inconsistent { what }
}

/// What trains and judges intervals of classifiers on this machine.
#[must_use]
pub fn model() -> Model {
    Ground::Vectors.model()
}

/// The profile of classifiers' training by this build's arithmetic.
#[must_use]
pub fn profile() -> ModelProfile {
    Ground::Vectors.profile()
}

/// What the runs of a profile are trained on top of (SPEC X3).
#[derive(Debug, Clone)]
pub enum Ground {
    /// The vectors of all lines, which come with each job: classifiers.
    Vectors,
    /// A decoder, which everybody has who trains or judges: adapters.
    Decoder(Arc<AdapterBase>),
}

impl Ground {
    /// The profile: of this build's arithmetic, and of the decoder if it takes one.
    #[must_use]
    pub fn profile(&self) -> ModelProfile {
        let build = match TrainingSpec::class() {
            EngineClass::Canonical { build, .. } => build,
            // The class of training is canonical.
            EngineClass::Tolerance { .. } | EngineClass::Foreign { .. } => Digest::ZERO,
        };
        ModelProfile::trainer(match self {
            Self::Vectors => build,
            Self::Decoder(base) => {
                let BaseModel { weights_root, tokenizer_hash, .. } = base.model();
                // What a file says beside its tensors is computed with as well.
                let terms = base.terms();
                let parts = [build.as_bytes(), weights_root.as_bytes(), tokenizer_hash.as_bytes(), terms.as_bytes()];
                Digest::of("inferium/adapter-trainer/1", &parts.map(|part| part.as_slice()))
            }
        })
    }

    /// What trains and judges intervals on this machine.
    #[must_use]
    pub fn model(&self) -> Model {
        Model::Trainer(Arc::new(Intervals(self.clone())))
    }

    /// A trainer of a run, with the vectors of all lines as they come with jobs: of adapters none.
    ///
    /// # Errors
    /// [`InvalidInterval`]: the parts do not belong together.
    pub fn trainer(
        &self,
        spec: TrainingSpec,
        data: &DataSet,
        vectors: &[u8],
    ) -> Result<Box<dyn Trainer>, InvalidInterval> {
        match self {
            Self::Vectors => {
                let Method::Head { width, .. } = spec.method else { return Err(self.other_method(&spec)) };
                let vectors = Vectors::from_bits(width as usize, vectors)?;
                Ok(Box::new(HeadTrainer::new(spec, data, vectors)?))
            }
            Self::Decoder(base) => {
                no_vectors(vectors)?;
                let trainer = base.trainer(spec, data)?;
                let (what, found, most) =
                    ("the number of tokens that are measured", trainer.measured_tokens(), ADAPTER_MEASURED_TOKENS_MAX);
                if found > most {
                    return Err(InvalidInterval::TooLarge { what, found, most });
                }
                Ok(Box::new(trainer))
            }
        }
    }

    /// The run that becomes of an announced one: order and first weights follow from what drew the committee of the announcement's
    /// segment, and which lines are held out from the order.
    ///
    /// # Errors
    /// [`InvalidInterval`]: one part of the split is empty, or a bound does not hold.
    pub fn drawn(&self, open: &TrainingSpec, drawn: &Digest, data: &DataSet) -> Result<TrainingSpec, InvalidInterval> {
        let name = open.digest();
        let of = |purpose: &str| Digest::of(purpose, &[drawn.as_bytes(), name.as_bytes()]);
        let mut spec = open.clone();
        (spec.order, spec.seed) = (of("inferium/training-order/1"), of("inferium/training-first/1"));
        spec.data.examples = self.examples(&spec, data)?;
        self.check(&spec)?;
        Ok(spec)
    }

    /// Examples that the training part of a run's data set makes.
    ///
    /// # Errors
    /// [`InvalidInterval`]: one part of the split is empty, or a text can't be read.
    pub fn examples(&self, spec: &TrainingSpec, data: &DataSet) -> Result<u64, InvalidInterval> {
        match self {
            Self::Vectors => Ok(data.split(&spec.order, spec.data.held_out)?.training.len() as u64),
            Self::Decoder(base) => Ok(base.count(spec, data)?),
        }
    }

    /// Whether runs with this spec stand on it: of its method, and on its decoder.
    #[must_use]
    pub fn takes(&self, spec: &TrainingSpec) -> bool {
        match (self, &spec.method) {
            (Self::Vectors, Method::Head { .. }) => true,
            (Self::Decoder(base), Method::Lora { .. }) => spec.model == *base.model(),
            _ => false,
        }
    }

    /// Holds off other runs on the same decoder while one computes: they would take the same cores, and as much memory again.
    #[must_use]
    pub fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        match self {
            Self::Vectors => None,
            Self::Decoder(base) => Some(base.turn()),
        }
    }

    /// Bytes of a state of a run; none of one of another method.
    #[must_use]
    pub fn state_size(&self, spec: &TrainingSpec) -> Option<u64> {
        Some(self.parameters(spec)?.saturating_mul(12).saturating_add(8))
    }

    /// Numbers that a run trains.
    fn parameters(&self, spec: &TrainingSpec) -> Option<u64> {
        match (self, &spec.method) {
            (Self::Vectors, Method::Head { labels, width, .. }) => {
                Some((labels.len() as u64).saturating_mul(u64::from(*width).saturating_add(1)))
            }
            (Self::Decoder(base), Method::Lora { rank, layers, .. }) => Some(base.parameters(*rank, *layers)),
            _ => None,
        }
    }

    /// Whether a run is one that the network can train on this ground; how many numbers it trains.
    fn check(&self, spec: &TrainingSpec) -> Result<u64, InvalidInterval> {
        if spec.engine != TrainingSpec::class() {
            return Err(InvalidInterval::Class);
        }
        spec.check()?;
        let (Some(parameters), Some(bytes)) = (self.parameters(spec), self.state_size(spec)) else {
            return Err(self.other_method(spec));
        };
        let mut bounds = vec![
            ("the size of a state in bytes", bytes, limits::TRAINING_STATE_SIZE_MAX as u64),
            ("the number of steps of an interval", spec.interval.into(), limits::TRAINING_STEPS_MAX as u64),
        ];
        if let (Self::Decoder(base), Method::Lora { sequence, layers, .. }) = (self, &spec.method) {
            if spec.model != *base.model() {
                let (asked, name) = (spec.model.name.clone(), base.model().name.clone());
                return Err(InvalidInterval::Base { asked, name });
            }
            base.fits(*layers, *sequence)?;
            let sequence = u64::from(*sequence);
            let tokens = sequence.saturating_mul(spec.batch.into());
            bounds.push(("the number of tokens of an example", sequence, ADAPTER_SEQUENCE_MAX));
            bounds.push(("the number of tokens of a step", tokens, ADAPTER_TOKENS_MAX));
            let measured = u64::from(spec.data.measured_max);
            bounds.push(("the number of held-out lines to measure", measured, ADAPTER_MEASURED_MAX));
        }
        for (what, found, most) in bounds {
            if found > most {
                return Err(InvalidInterval::TooLarge { what, found, most });
            }
        }
        Ok(parameters)
    }

    fn other_method(&self, spec: &TrainingSpec) -> InvalidInterval {
        let expected = match self {
            Self::Vectors => "classifiers",
            Self::Decoder(_) => "adapters",
        };
        let found = match spec.method {
            Method::Head { .. } => "a classifier",
            Method::Lora { .. } => "adapters",
        };
        InvalidInterval::Method { expected, found }
    }

    /// Whether a run can be announced: all that is fixed before its order is drawn belongs together.
    fn check_announced(&self, spec: &TrainingSpec, data: &DataSet, vectors: &[u8]) -> Result<(), InvalidInterval> {
        let is_open = spec.order == Digest::ZERO && spec.seed == Digest::ZERO && spec.data.examples == UNKNOWN_EXAMPLES;
        if !is_open {
            return Err(wrong("an announced run has an order, a seed or a number of examples already"));
        }
        data.check(spec.data.root)?;
        let Method::Head { labels, vectors: root, width } = &spec.method else { return no_vectors(vectors) };
        if *labels != data.labels()? {
            return Err(InvalidHead::Labels.into());
        }
        let vectors = Vectors::from_bits(*width as usize, vectors)?;
        if vectors.root() != *root {
            return Err(InvalidHead::Vectors { expected: *root, found: vectors.root() }.into());
        }
        if vectors.lines() != data.lines().len() {
            return Err(wrong("there is not a vector for each line"));
        }
        Ok(())
    }
}

fn no_vectors(vectors: &[u8]) -> Result<(), InvalidInterval> {
    if vectors.is_empty() { Ok(()) } else { Err(wrong("adapters are trained on texts alone, and there are vectors")) }
}

#[derive(Debug)]
struct Intervals(Ground);

impl IntervalTrainer for Intervals {
    fn profile(&self) -> ModelProfile {
        self.0.profile()
    }

    fn read(&self, input: &TrainingInput) -> Result<u32, EngineError> {
        Ok(Work::read(&self.0, input)?.examples()?)
    }

    fn train(&self, input: &TrainingInput) -> Result<Trained, EngineError> {
        let _turn = self.0.turn();
        Ok(Work::read(&self.0, input)?.train()?)
    }
}

/// An input that holds together.
#[derive(Debug)]
enum Work {
    /// Nothing to train: what is trained on, hashed as it stands.
    Announcement(Digest),
    Interval {
        trainer: Box<dyn Trainer>,
        index: u64,
        state: State,
    },
}

impl Work {
    fn read(ground: &Ground, input: &TrainingInput) -> Result<Self, InvalidInterval> {
        let spec: TrainingSpec = inferium_types::decode(&input.spec)
            .map_err(|error| InvalidInterval::Encoding { reason: error.to_string() })?;
        let parameters = ground.check(&spec)?;
        let size = input.data.len() as u64;
        if matches!(ground, Ground::Decoder(_)) && size > ADAPTER_DATA_MAX {
            let what = "the size of the data set of adapters in bytes";
            return Err(InvalidInterval::TooLarge { what, found: size, most: ADAPTER_DATA_MAX });
        }
        let data = DataSet::parse(&input.data)?;
        let Some(at) = &input.at else {
            ground.check_announced(&spec, &data, &input.vectors)?;
            let parts: [&[u8]; 3] = [&input.spec, input.data.as_bytes(), &input.vectors];
            return Ok(Self::Announcement(Digest::of("inferium/training-announced/1", &parts)));
        };
        let trainer = ground.trainer(spec, &data, &input.vectors)?;
        let state = start(trainer.as_ref(), at, usize::try_from(parameters).unwrap_or(usize::MAX))?;
        Ok(Self::Interval { trainer, index: at.index, state })
    }

    /// What it costs: the examples that its steps see, or of adapters their tokens.
    fn examples(&self) -> Result<u32, InvalidInterval> {
        let Self::Interval { trainer, index, state } = self else { return Ok(1) };
        let spec = trainer.spec();
        let (first, end) = spec.steps_of(*index);
        let mut order = Order::new(spec);
        let seen = (first..end).flat_map(|step| order.batch(step));
        let examples = seen.fold(0_u64, |sum, example| sum.saturating_add(trainer.size_of(example)));
        let too_large = |what, found, most| InvalidInterval::TooLarge { what, found, most };
        let count = |what, most| u32::try_from(examples).map_err(|_| too_large(what, examples, most));
        if matches!(spec.method, Method::Lora { .. }) {
            let what = "the number of tokens of an interval";
            return if examples > ADAPTER_TOKENS_MAX {
                Err(too_large(what, examples, ADAPTER_TOKENS_MAX))
            } else {
                count(what, ADAPTER_TOKENS_MAX)
            };
        }
        let most = u64::from(limits::TRAINING_EXAMPLES_MAX);
        if examples > most {
            return Err(too_large("the number of examples of an interval", examples, most));
        }
        let work = examples.saturating_mul(state.parameters.len() as u64);
        if work > WORK_MAX {
            return Err(too_large("the number of examples of an interval times weights", work, WORK_MAX));
        }
        count("the number of examples of an interval", most)
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

/// The state that an interval starts from, which its root must bind; the first one follows from the seed.
fn start(trainer: &dyn Trainer, at: &IntervalStart, parameters: usize) -> Result<State, InvalidInterval> {
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

/// [`Ground::drawn`] of a classifier.
///
/// # Errors
/// As there.
pub fn drawn(open: &TrainingSpec, drawn: &Digest, data: &DataSet) -> Result<TrainingSpec, InvalidInterval> {
    Ground::Vectors.drawn(open, drawn, data)
}
/// The input of a run's next interval from a checkpoint on; without one, of its announcement. Adapters have no vectors.
#[must_use]
pub fn input<'a>(
    spec: &TrainingSpec,
    data: &str,
    vectors: impl Into<Option<&'a Vectors>>,
    at: Option<&Checkpoint>,
) -> TrainingInput {
    let start = |at: &Checkpoint| IntervalStart {
        index: at.index(),
        root: at.root(),
        before: at.record.as_ref().map(|record| (record.job.start, record.steps_root())),
        state: at.state.to_bytes(),
    };
    TrainingInput {
        spec: inferium_types::encode(spec),
        data: data.to_owned(),
        vectors: vectors.into().map_or_else(Vec::new, Vectors::bits),
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
