//! What a run is: everything that is fixed before it starts (SPEC X1).

use crate::data::LINES_MAX;
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_engine::exact::Exact;
use inferium_types::{Digest, EngineClass, Ppm};

#[cfg(test)]
mod tests;

/// Names the arithmetic of training; a part of the class's build.
const ARITHMETIC_VERSION: &str = "canonical-training-1";
/// The tier of a class whose results are the same on every machine.
const ANY_TIER: &str = "all";

/// Steps of a run at most.
pub(crate) const STEPS_MAX: u64 = 1 << 32;
/// Steps of an interval at most: what one job can be.
pub(crate) const INTERVAL_MAX: u32 = 1 << 16;
/// Examples of a step at most.
pub(crate) const BATCH_MAX: u32 = 4_096;
/// Tokens of a step at most: examples times tokens of each.
pub(crate) const STEP_TOKENS_MAX: u64 = 1 << 18;
/// Labels of a classifier at most.
pub(crate) const LABELS_MAX: usize = 4_096;
/// Rank of adapters at most.
pub(crate) const RANK_MAX: u32 = 256;

/// Everything that decides what a run computes. Its digest names the run.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TrainingSpec {
    /// What is trained.
    pub method: Method,
    /// What it is trained on top of.
    pub model: BaseModel,
    /// Between which machines results are equal: re-running is compared bit by bit within the class.
    pub engine: EngineClass,
    /// The texts.
    pub data: DataTerms,
    /// Draws the held-out part and the order of examples: a beacon's, once there is a chain to take it from.
    pub order: Digest,
    /// Draws the first weights.
    pub seed: Digest,
    /// How weights follow from gradients.
    pub optimiser: OptimiserTerms,
    /// Examples of a step.
    pub batch: u32,
    /// Steps of the run.
    pub steps: u64,
    /// Steps of an interval, which is what is committed to, kept and run again; the last one may have fewer.
    pub interval: u32,
}

/// What is trained.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Method {
    /// A softmax classifier on the vectors of an embedding model.
    Head {
        /// What it tells apart, sorted.
        labels: Vec<String>,
        /// Numbers of a vector.
        width: u32,
        /// [`crate::Vectors::root`] of all lines: what the model makes of them is committed to before the first step.
        vectors: Digest,
    },
    /// Low-rank adapters of the queries and values of a decoder.
    Lora {
        /// Rank of each adapter.
        rank: u32,
        /// Adapters count `alpha / rank`; thousandths.
        alpha_milli: u32,
        /// Blocks that have adapters, from the last one down.
        layers: u32,
        /// Tokens of an example at most; longer texts are several.
        sequence: u32,
    },
}

/// A model, by hash.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BaseModel {
    /// Its name, to fetch it by.
    pub name: String,
    /// Root over its tensors as computed with.
    pub weights_root: Digest,
    /// Digest of its tokenizer.
    pub tokenizer_hash: Digest,
}

/// The texts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DataTerms {
    /// [`crate::DataSet::root`].
    pub root: Digest,
    /// Share of lines that no step sees.
    pub held_out: Ppm,
    /// How many of them are measured on at most, in their order.
    pub measured_max: u32,
    /// Examples that the other lines make.
    pub examples: u64,
}

/// AdamW, in whole numbers; β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OptimiserTerms {
    /// Learning rate, billionths.
    pub learning_rate_nano: u32,
    /// Weight decay, billionths; each step takes `rate · decay` of a weight away.
    pub weight_decay_nano: u32,
    /// Steps in which the rate grows to its full size.
    pub warmup_steps: u32,
}

/// Why there is no such run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}; it must be {expected}")]
pub struct InvalidSpec {
    /// What is wrong.
    pub field: &'static str,
    /// What it is.
    pub found: String,
    /// What it may be.
    pub expected: String,
}

impl TrainingSpec {
    /// Names the run.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_value("inferium/training-spec/1", self)
    }

    /// The class of everything that this software trains: equal bits on every machine that runs this build.
    #[must_use]
    pub fn class() -> EngineClass {
        let own = env!("INFERIUM_TRAINING_BUILD").as_bytes();
        let build = Digest::of(ARITHMETIC_VERSION, &[own, Exact::build().as_bytes()]);
        EngineClass::Canonical { build, tier: ANY_TIER.to_owned() }
    }

    /// Intervals of the run; the last one may be short.
    #[must_use]
    pub fn intervals(&self) -> u64 {
        self.steps.div_ceil(u64::from(self.interval.max(1)))
    }

    /// The interval that a run of so many steps has unless another is asked for: the longest of which there are as many as make
    /// verification cheap, if there are as many steps; never longer than an interval may be.
    #[must_use]
    pub fn usual_interval(steps: u64) -> u32 {
        u32::try_from(steps / crate::audit::BOTH_FROM).unwrap_or(u32::MAX).clamp(1, INTERVAL_MAX)
    }

    /// Steps of interval `index`, from 0: the first one, and the one after the last.
    #[must_use]
    pub fn steps_of(&self, index: u64) -> (u64, u64) {
        let length = u64::from(self.interval);
        let first = index.saturating_mul(length).min(self.steps);
        (first, first.saturating_add(length).min(self.steps))
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// [`InvalidSpec`] for the first that does not hold.
    pub fn check(&self) -> Result<(), InvalidSpec> {
        let within = |field, found: u64, least: u64, most: u64| {
            let expected = || format!("from {least} to {most}");
            let invalid = || InvalidSpec { field, found: found.to_string(), expected: expected() };
            if (least..=most).contains(&found) { Ok(()) } else { Err(invalid()) }
        };
        let lines_max = LINES_MAX as u64;
        if self.model.name.chars().any(char::is_control) {
            let found = format!("{:?}", self.model.name);
            return Err(InvalidSpec {
                field: "the model's name",
                found,
                expected: "without control characters".to_owned(),
            });
        }
        within("the number of steps", self.steps, 1, STEPS_MAX)?;
        within("the number of steps of an interval", self.interval.into(), 1, INTERVAL_MAX.into())?;
        within("the number of examples of a step", self.batch.into(), 1, BATCH_MAX.into())?;
        within("the number of examples", self.data.examples, 1, lines_max.saturating_mul(64))?;
        within("the number of held-out lines to measure", self.data.measured_max.into(), 1, lines_max)?;
        within("the share that is held out, in millionths,", self.data.held_out.get().into(), 1, 999_999)?;
        within("the learning rate, in billionths,", self.optimiser.learning_rate_nano.into(), 1, 1_000_000_000)?;
        within("the weight decay, in billionths,", self.optimiser.weight_decay_nano.into(), 0, 1_000_000_000)?;
        match &self.method {
            Method::Head { labels, width, .. } => {
                within("the number of labels", labels.len() as u64, 2, LABELS_MAX as u64)?;
                within("the width of vectors", u64::from(*width), 1, 1 << 16)?;
                if !labels.is_sorted_by(|a, b| a < b) {
                    let (found, expected) = ("unsorted".to_owned(), "sorted, each of them once".to_owned());
                    return Err(InvalidSpec { field: "the list of labels", found, expected });
                }
                if let Some(label) = labels.iter().find(|label| label.chars().any(char::is_control)) {
                    let (found, expected) = (format!("{label:?}"), "without control characters".to_owned());
                    return Err(InvalidSpec { field: "a label", found, expected });
                }
                Ok(())
            }
            Method::Lora { rank, alpha_milli, layers, sequence } => {
                within("the rank", u64::from(*rank), 1, RANK_MAX.into())?;
                within("alpha, in thousandths,", u64::from(*alpha_milli), 1, 1_000_000)?;
                within("the number of adapted layers", u64::from(*layers), 1, 1 << 10)?;
                within("the number of tokens of a sequence", u64::from(*sequence), 2, 1 << 16)?;
                let tokens = u64::from(self.batch).saturating_mul(u64::from(*sequence));
                within(
                    "the number of tokens of a step (examples times tokens of a sequence)",
                    tokens,
                    1,
                    STEP_TOKENS_MAX,
                )
            }
        }
    }

    /// In what two runs differ, if they do: the first field in words.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let (data, others) = (&self.data, &other.data);
        let equal = [
            ("method or its settings", self.method == other.method),
            ("base model", self.model == other.model),
            ("build of this software", self.engine == other.engine),
            ("data set", data.root == others.root),
            ("held-out part", (data.held_out, data.measured_max) == (others.held_out, others.measured_max)),
            ("number of examples", data.examples == others.examples),
            ("order or seed", (self.order, self.seed) == (other.order, other.seed)),
            ("learning rate, weight decay or warm-up", self.optimiser == other.optimiser),
            ("batch size", self.batch == other.batch),
            ("number of steps", self.steps == other.steps),
            ("interval", self.interval == other.interval),
        ];
        equal.into_iter().find(|(_, is_equal)| !is_equal).map(|(field, _)| field)
    }
}
