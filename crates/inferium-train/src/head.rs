//! A softmax classifier on the vectors of an embedding model.
//!
//! Arithmetic: scores `s = 0; for k in order { s = s + w · x }`, then `s + b`; probabilities `exp(s − max) / Σ` in the order of the
//! labels; the loss is `ln Σ − (s − max)` in double precision; gradients add up over a step's examples in their order.

use crate::data::{DataSet, InvalidDataSet, Split};
use crate::evaluation::mean_nano;
use crate::export;
use crate::spec::Method;
use crate::trainer::{TrainError, Trainer, ln, uniform};
use crate::{Evaluation, State, TensorShape, TrainingSpec, Vectors};
use inferium_engine::exact::exp;
use inferium_types::Digest;

#[cfg(test)]
pub(crate) mod tests;

/// First weights are within ± this.
const FIRST_WEIGHT: f32 = 0.01;

/// Trains a classifier: weights `[labels, width]` and a bias for each label.
#[derive(Debug, Clone)]
pub struct HeadTrainer {
    spec: TrainingSpec,
    width: usize,
    labels: usize,
    split: Split,
    /// Label of each line of the data set.
    targets: Vec<usize>,
    vectors: Vectors,
}

/// Why a classifier can't be trained on that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHead {
    /// The data set.
    #[error(transparent)]
    Data(#[from] InvalidDataSet),
    /// The spec is of another method.
    #[error("the spec is not a classifier's")]
    Method,
    /// The spec's labels are others.
    #[error("the data set has other labels than the spec")]
    Labels,
    /// The spec counts other examples.
    #[error("the data set makes {found} examples; the spec says {expected}")]
    Examples {
        /// What the spec says.
        expected: u64,
        /// What there are.
        found: u64,
    },
    /// Other vectors than those that the spec names.
    #[error("the vectors have the root {found}; the spec says {expected}")]
    Vectors {
        /// What the spec says.
        expected: Digest,
        /// Theirs.
        found: Digest,
    },
    /// Vectors of another number of lines, or of another width.
    #[error("the vectors have the shape {found:?}, and not {expected:?}")]
    Shape {
        /// Lines of the data set, and the spec's width.
        expected: [usize; 2],
        /// Theirs.
        found: [usize; 2],
    },
}

impl HeadTrainer {
    /// A trainer over a data set and the vectors of all its lines.
    ///
    /// # Errors
    /// [`InvalidHead`]: spec, data set and vectors do not belong together.
    pub fn new(spec: TrainingSpec, data: &DataSet, vectors: Vectors) -> Result<Self, InvalidHead> {
        let Method::Head { labels, width, vectors: root } = &spec.method else { return Err(InvalidHead::Method) };
        data.check(spec.data.root)?;
        if *labels != data.labels()? {
            return Err(InvalidHead::Labels);
        }
        let split = data.split(&spec.order, spec.data.held_out)?;
        let found = split.training.len() as u64;
        if found != spec.data.examples {
            return Err(InvalidHead::Examples { expected: spec.data.examples, found });
        }
        if vectors.root() != *root {
            return Err(InvalidHead::Vectors { expected: *root, found: vectors.root() });
        }
        let (width, count) = (*width as usize, labels.len());
        let (expected, found) = ([data.lines().len(), width], [vectors.lines(), vectors.width()]);
        if expected != found {
            return Err(InvalidHead::Shape { expected, found });
        }
        let place = |label: &Option<String>| label.as_ref().and_then(|label| labels.binary_search(label).ok());
        let targets: Option<Vec<usize>> = data.lines().iter().map(|line| place(&line.label)).collect();
        let targets = targets.ok_or(InvalidHead::Labels)?;
        Ok(Self { width, labels: count, split, targets, vectors, spec })
    }

    /// Probabilities of the labels for a vector, and the loss of saying `target`.
    fn probabilities(&self, parameters: &[f32], vector: &[f32], target: usize) -> (Vec<f32>, f64) {
        let (weights, biases) = parameters.split_at(self.labels * self.width);
        let mut scores: Vec<f32> = weights
            .chunks_exact(self.width)
            .zip(biases)
            .map(|(weights, bias)| {
                let mut sum = 0.0_f32;
                for (weight, x) in weights.iter().zip(vector) {
                    sum += weight * x;
                }
                sum + bias
            })
            .collect();
        let max = scores.iter().fold(f32::NEG_INFINITY, |max, score| if *score > max { *score } else { max });
        let said = scores.get(target).copied().unwrap_or(f32::NEG_INFINITY) - max;
        let mut sum = 0.0_f32;
        for score in &mut scores {
            *score = exp(*score - max);
            sum += *score;
        }
        for score in &mut scores {
            *score /= sum;
        }
        (scores, ln(f64::from(sum)) - f64::from(said))
    }

    /// Vector and label of a line of the data set.
    fn line(&self, line: usize) -> Result<(&[f32], usize), TrainError> {
        let missing = TrainError::NoExample { example: line };
        let vector = self.vectors.line(line).ok_or_else(|| missing.clone())?;
        let target = self.targets.get(line).ok_or(missing)?;
        Ok((vector, *target))
    }
}

impl Trainer for HeadTrainer {
    fn spec(&self) -> &TrainingSpec {
        &self.spec
    }

    fn shapes(&self) -> Vec<TensorShape> {
        let size = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let labels = size(self.labels);
        vec![TensorShape::new("weight", &[labels, size(self.width)]), TensorShape::new("bias", &[labels])]
    }

    fn initial(&self) -> State {
        let mut parameters = uniform(&self.spec.seed, "weight", self.labels * self.width);
        parameters.iter_mut().for_each(|weight| *weight *= FIRST_WEIGHT);
        parameters.resize(self.labels * (self.width + 1), 0.0);
        State::initial(parameters)
    }

    fn gradient(&self, parameters: &[f32], examples: &[usize]) -> Result<(f32, Vec<f32>), TrainError> {
        let mut gradient = vec![0.0_f32; parameters.len()];
        let (weights, biases) = gradient.split_at_mut(self.labels * self.width);
        let (mut loss, count) = (0.0_f64, examples.len() as f32);
        for example in examples {
            let line = self.split.training.get(*example).ok_or(TrainError::NoExample { example: *example })?;
            let (vector, target) = self.line(*line)?;
            let (probabilities, nats) = self.probabilities(parameters, vector, target);
            loss += nats;
            let slopes = weights.chunks_exact_mut(self.width).zip(biases.iter_mut()).zip(&probabilities);
            for (label, ((weights, bias), probability)) in slopes.enumerate() {
                let error = (if label == target { probability - 1.0 } else { *probability }) / count;
                for (slope, x) in weights.iter_mut().zip(vector) {
                    *slope += error * x;
                }
                *bias += error;
            }
        }
        Ok(((loss / f64::from(count)) as f32, gradient))
    }

    fn evaluate(&self, parameters: &[f32], progress: &mut dyn FnMut(u64, u64)) -> Result<Evaluation, TrainError> {
        let lines: Vec<usize> =
            self.split.held_out.iter().take(self.spec.data.measured_max as usize).copied().collect();
        let (mut correct, mut loss) = (0, 0.0);
        for line in &lines {
            let (vector, target) = self.line(*line)?;
            let (probabilities, nats) = self.probabilities(parameters, vector, target);
            loss += nats;
            let said = probabilities.get(target).copied().unwrap_or(0.0);
            // What is as likely as another label was not told apart.
            let is_best = probabilities.iter().enumerate().all(|(label, other)| label == target || *other < said);
            correct += u64::from(is_best);
        }
        let count = lines.len() as u64;
        progress(count, count);
        Ok(Evaluation::Accuracy { correct, lines: count, loss_nano: mean_nano(loss, count) })
    }

    /// `head.safetensors` (`weight`, `bias`) and `labels.json`, in the order of the rows.
    fn export(&self, state: &State) -> Vec<(String, Vec<u8>)> {
        let labels = match &self.spec.method {
            Method::Head { labels, .. } => serde_json::to_vec_pretty(labels).ok(),
            Method::Lora { .. } => None,
        };
        let same = |shape: &TensorShape, numbers: &[f32]| (shape.name.clone(), numbers.to_vec());
        let weights = export::tensors("head.safetensors", &self.shapes(), state, same);
        weights.into_iter().chain(labels.map(|labels| ("labels.json".to_owned(), labels))).collect()
    }
}
