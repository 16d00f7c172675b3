//! What classifiers read and say (SPEC J12).

use crate::{Digest, ImpossibleJob, limits};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// What one input of a classifier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ClassifierReads {
    /// A text, which an embedding model turns into a vector.
    Texts,
    /// Integers, in the order of the model's shape.
    Tensors {
        /// How many.
        elements: u32,
        /// The smallest of them.
        least: i16,
        /// The largest of them.
        most: i16,
    },
}

impl ClassifierReads {
    /// True when there is something to read.
    #[must_use]
    pub const fn is_well_formed(&self) -> bool {
        match self {
            Self::Texts => true,
            Self::Tensors { elements, least, most } => {
                *elements > 0 && *elements <= limits::TENSOR_ELEMENTS_MAX && *least <= *most
            }
        }
    }
}

/// What a classifier is given: one or more inputs of one kind.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ClassifierInputs {
    /// Texts.
    Texts(Vec<String>),
    /// Tensors: of each its elements, channel by channel, row by row.
    Tensors(Vec<Vec<i16>>),
}

impl ClassifierInputs {
    /// How many inputs there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Tensors(tensors) => tensors.len(),
        }
    }

    /// True when there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens that each tensor of a model counts as: one for every [`limits::TOKEN_ELEMENTS`] of it, or for every
    /// [`limits::TOKEN_MULTIPLICATIONS`] of the model, that it begins, whichever are more (SPEC J12).
    #[must_use]
    pub fn tensor_tokens(elements: u32, multiplications: u64) -> u64 {
        let of_work = multiplications.div_ceil(limits::TOKEN_MULTIPLICATIONS);
        u64::from(elements.div_ceil(limits::TOKEN_ELEMENTS)).max(of_work)
    }

    pub(crate) const fn check(&self) -> Result<(), ImpossibleJob> {
        match self.len() {
            1..=limits::TEXTS_MAX => Ok(()),
            count => Err(ImpossibleJob::Texts { count }),
        }
    }
}

/// Says nothing of the inputs: they may end up in a log (SPEC J2).
impl fmt::Debug for ClassifierInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Texts(texts) => write!(f, "{} texts", texts.len()),
            Self::Tensors(tensors) => write!(f, "{} tensors", tensors.len()),
        }
    }
}

/// What a classifier says of one input: a number for each class, the largest of which is the label's.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Logits {
    values: Vec<i32>,
}

/// The leaf of an answer with this digest, from a run of an integer model with that one (SPEC J12). The salt is the part's ([`crate::part_salt`]): a
/// challenge shows the leaves of all parts of a job, and nobody is to try guesses at them.
#[must_use]
pub fn evidence_leaf(salt: &Digest, said: &Digest, states: &Digest) -> Digest {
    Digest::of("inferium/evidence-leaf/2", &[salt.as_bytes(), said.as_bytes(), states.as_bytes()])
}

/// Says nothing of the values, which tell of the input (SPEC J2).
impl fmt::Debug for Logits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Logits({} classes)", self.values.len())
    }
}

impl Logits {
    /// Of these values, in the order of the classes.
    #[must_use]
    pub const fn new(values: Vec<i32>) -> Self {
        Self { values }
    }

    /// The values, in the order of the classes.
    #[must_use]
    pub fn values(&self) -> &[i32] {
        &self.values
    }

    /// The class of the largest value, of equal ones the first; 0 of none.
    #[must_use]
    pub fn label(&self) -> usize {
        let best =
            |best: usize, (class, value): (usize, &i32)| if Some(value) > self.values.get(best) { class } else { best };
        self.values.iter().enumerate().fold(0, best)
    }

    /// Digest of the values.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_value("inferium/logits/1", self)
    }

    /// A leaf of its result's evidence (SPEC J12): with the digest of all that was computed on the way, so that nobody finds it who has the
    /// answer and has not computed it.
    #[must_use]
    pub fn leaf(&self, salt: &Digest, states: &Digest) -> Digest {
        evidence_leaf(salt, &self.digest(), states)
    }
}
