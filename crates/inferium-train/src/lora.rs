//! Low-rank adapters (LoRA) of a decoder's queries and values, trained to say texts.
//!
//! The base model stays as it is, dequantised to single precision. Arithmetic: products with the base's matrices are those of
//! [`inferium_engine::exact`]; everything between them is in `parts`, in the order written there; losses add up in double precision in the
//! order of the tokens. Derivatives are written out by hand, so that there is an order to state; tests compare them with differences.

mod adapter;
mod base;
mod decoder;
mod parts;

use crate::data::{DataSet, InvalidDataSet};
use crate::evaluation::mean_nano;
use crate::export::{self, halves};
use crate::spec::Method;
use crate::trainer::{TrainError, Trainer, uniform};
use crate::{Evaluation, State, TensorShape, TrainingSpec};
use adapter::AdapterPlaces;
use decoder::Frozen;
use inferium_engine::exact::Exact;
use inferium_engine::{DecoderShape, DecoderWeights, EngineError};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use base::AdapterBase;
#[cfg(test)]
pub(crate) use base::BaseParts;

#[cfg(test)]
pub(crate) mod tests;

/// Texts that are measured at once.
const TEXTS_MEASURED: usize = 8;

/// Trains adapters.
#[derive(Debug)]
pub struct LoraTrainer {
    spec: TrainingSpec,
    shape: DecoderShape,
    weights: Weights,
    places: AdapterPlaces,
    examples: Examples,
}

/// Where a trainer has the decoder's weights.
#[derive(Debug)]
enum Weights {
    Own(Arc<Frozen>),
    /// Read when a step first needs them.
    Shared(Arc<AdapterBase>),
}

/// The texts of both parts as tokens; each has at least two.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Examples {
    training: Vec<Vec<u32>>,
    measured: Vec<Vec<u32>>,
}

/// Why adapters can't be trained on that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLora {
    /// The data set.
    #[error(transparent)]
    Data(#[from] InvalidDataSet),
    /// The tokenizer.
    #[error("line {line}: {source}")]
    Text {
        /// Which line, from 1.
        line: usize,
        /// What the tokenizer says.
        source: EngineError,
    },
    /// The spec is of another method.
    #[error("the spec is not one of adapters")]
    Method,
    /// The spec counts other examples.
    #[error("the data set makes {found} examples; the spec says {expected}")]
    Examples {
        /// What the spec says.
        expected: u64,
        /// What there are.
        found: u64,
    },
    /// The model has fewer blocks, or room for fewer tokens.
    #[error("{what} {asked} is more than the model's {most}")]
    Model {
        /// What is too much.
        what: &'static str,
        /// What the spec says.
        asked: u32,
        /// What the model has.
        most: usize,
    },
    /// A token that the model does not have.
    #[error("token {token} is not in the model's vocabulary")]
    Token {
        /// Which one.
        token: u32,
    },
}

/// What trained adapters add to the matrices of their model, by the names that GGUF files have for these: `scale · B · A`, row by row, in the
/// order of that file. `None` where the spec is not one of adapters, or the state is none of these shapes.
#[must_use]
pub fn adapter_changes(
    spec: &TrainingSpec,
    shapes: &[TensorShape],
    state: &State,
) -> Option<BTreeMap<String, Vec<f32>>> {
    let Method::Lora { rank, alpha_milli, .. } = spec.method else { return None };
    let scale = (f64::from(alpha_milli) / 1e3 / f64::from(rank)) as f32;
    let mut rest = state.parameters.as_slice();
    let mut changes = BTreeMap::new();
    for pair in shapes.chunks(2) {
        let [down_shape, up_shape] = pair else { return None };
        let (down, after) = rest.split_at_checked(down_shape.count())?;
        let (up, after) = after.split_at_checked(up_shape.count())?;
        rest = after;
        let columns = *down_shape.dimensions.last()? as usize;
        let product = up.chunks_exact(rank as usize).flat_map(|row| {
            (0..columns).map(move |column| {
                let terms = row.iter().zip(down.iter().skip(column).step_by(columns));
                scale * terms.fold(0.0_f32, |sum, (up, down)| sum + up * down)
            })
        });
        changes.insert(file_name(&down_shape.name)?, product.collect());
    }
    rest.is_empty().then_some(changes)
}

/// `blk.3.attn_q.weight` of `model.layers.3.self_attn.q_proj.lora_A.weight`.
fn file_name(adapter: &str) -> Option<String> {
    let (layer, part) = adapter.strip_prefix("model.layers.")?.split_once(".self_attn.")?;
    let letter = match part.split_once('.')?.0 {
        "q_proj" => "q",
        "v_proj" => "v",
        _ => return None,
    };
    Some(format!("blk.{layer}.attn_{letter}.weight"))
}

/// How a text becomes tokens.
pub type Encode<'a> = dyn Fn(&str) -> Result<Vec<u32>, EngineError> + 'a;

impl LoraTrainer {
    /// A trainer of a decoder. `encode` makes tokens of a text, without special ones, and `end` ends it.
    ///
    /// # Errors
    /// [`InvalidLora`]: spec, data set and model do not belong together.
    pub fn new(
        spec: TrainingSpec,
        data: &DataSet,
        weights: DecoderWeights,
        encode: &Encode<'_>,
        end: u32,
        exact: Exact,
    ) -> Result<Self, InvalidLora> {
        let Method::Lora { layers, .. } = spec.method else { return Err(InvalidLora::Method) };
        let parts = Parts::new(&spec, data, &weights.shape, (encode, end))?;
        let shape = weights.shape.clone();
        let weights = Weights::Own(Arc::new(Frozen::new(weights, exact, layers as usize)));
        Ok(Self { spec, shape, weights, places: parts.places, examples: parts.examples })
    }

    /// A trainer of a decoder that others share.
    fn on(spec: TrainingSpec, data: &DataSet, base: &Arc<AdapterBase>) -> Result<Self, InvalidLora> {
        let shape = base.shape().clone();
        let Parts { places, examples } = Parts::new(&spec, data, &shape, (base.encode(), base.end()))?;
        Ok(Self { spec, shape, weights: Weights::Shared(Arc::clone(base)), places, examples })
    }

    /// Tokens of all texts that it is measured on.
    #[must_use]
    pub fn measured_tokens(&self) -> u64 {
        self.examples.measured.iter().fold(0, |sum, tokens| sum.saturating_add(tokens.len() as u64))
    }

    fn frozen(&self) -> Result<Arc<Frozen>, TrainError> {
        match (&self.weights, &self.spec.method) {
            (Weights::Own(frozen), _) => Ok(Arc::clone(frozen)),
            (Weights::Shared(base), Method::Lora { layers, .. }) => base.frozen(*layers),
            (Weights::Shared(_), Method::Head { .. }) => Err(TrainError::AnotherJob { what: "method" }),
        }
    }

    /// How many examples the training part of a data set makes: what a spec has to say.
    ///
    /// # Errors
    /// As [`LoraTrainer::new`].
    pub fn count(spec: &TrainingSpec, data: &DataSet, encode: &Encode<'_>, end: u32) -> Result<u64, InvalidLora> {
        Ok(Examples::new(spec, data, encode, end)?.training.len() as u64)
    }

    fn texts(&self, examples: &[usize]) -> Result<Vec<&[u32]>, TrainError> {
        let text = |example: &usize| {
            let text = self.examples.training.get(*example).map(Vec::as_slice);
            text.ok_or(TrainError::NoExample { example: *example })
        };
        examples.iter().map(text).collect()
    }
}

/// Whether a model has so many layers, and room for so many tokens.
fn fits(shape: &DecoderShape, layers: u32, sequence: u32) -> Result<(), InvalidLora> {
    let most = |what, asked: u32, most: usize| {
        if asked as usize <= most { Ok(()) } else { Err(InvalidLora::Model { what, asked, most }) }
    };
    most("the number of adapted layers", layers, shape.layers)?;
    most("the length of sequences", sequence, shape.context)
}

/// What a trainer makes of spec and data set.
struct Parts {
    places: AdapterPlaces,
    examples: Examples,
}

impl Parts {
    fn new(
        spec: &TrainingSpec,
        data: &DataSet,
        shape: &DecoderShape,
        (encode, end): (&Encode<'_>, u32),
    ) -> Result<Self, InvalidLora> {
        let Method::Lora { rank, alpha_milli, layers, sequence } = spec.method else {
            return Err(InvalidLora::Method);
        };
        fits(shape, layers, sequence)?;
        let examples = Examples::new(spec, data, encode, end)?;
        let found = examples.training.len() as u64;
        if found != spec.data.examples {
            return Err(InvalidLora::Examples { expected: spec.data.examples, found });
        }
        let all = examples.training.iter().chain(&examples.measured).flatten();
        if let Some(token) = all.copied().find(|token| *token as usize >= shape.vocab) {
            return Err(InvalidLora::Token { token });
        }
        let scale = (f64::from(alpha_milli) / 1e3 / f64::from(rank)) as f32;
        Ok(Self { places: AdapterPlaces::new(shape, rank as usize, scale, layers as usize), examples })
    }
}

impl Examples {
    fn new(spec: &TrainingSpec, data: &DataSet, encode: &Encode<'_>, end: u32) -> Result<Self, InvalidLora> {
        let Method::Lora { sequence, .. } = spec.method else { return Err(InvalidLora::Method) };
        data.check(spec.data.root)?;
        let split = data.split(&spec.order, spec.data.held_out)?;
        let examples = |lines: &mut dyn Iterator<Item = &usize>| -> Result<Vec<Vec<u32>>, InvalidLora> {
            let mut examples = Vec::new();
            for &line in lines {
                let text = data.lines().get(line).map_or("", |line| line.text.as_str());
                let mut tokens = encode(text).map_err(|source| InvalidLora::Text { line: line + 1, source })?;
                tokens.push(end);
                // A piece of one token says nothing about a next one.
                examples.extend(tokens.chunks(sequence as usize).filter(|piece| piece.len() > 1).map(<[u32]>::to_vec));
            }
            Ok(examples)
        };
        let training = examples(&mut split.training.iter())?;
        let measured = examples(&mut split.held_out.iter().take(spec.data.measured_max as usize))?;
        Ok(Self { training, measured })
    }
}

impl Trainer for LoraTrainer {
    fn spec(&self) -> &TrainingSpec {
        &self.spec
    }

    fn shapes(&self) -> Vec<TensorShape> {
        self.places.shapes()
    }

    /// A is drawn evenly within ± 1/√inputs, B is zero: at first adapters change nothing.
    fn initial(&self) -> State {
        let bound = 1.0 / (self.shape.width as f32).sqrt();
        let mut parameters = Vec::new();
        for shape in self.places.shapes() {
            if shape.name.contains("lora_A") {
                let numbers = uniform(&self.spec.seed, &shape.name, shape.count());
                parameters.extend(numbers.into_iter().map(|number| number * bound));
            } else {
                parameters.resize(parameters.len() + shape.count(), 0.0);
            }
        }
        State::initial(parameters)
    }

    fn gradient(&self, parameters: &[f32], examples: &[usize]) -> Result<(f32, Vec<f32>), TrainError> {
        Ok(self.frozen()?.gradient(&self.places, parameters, &self.texts(examples)?))
    }

    /// Its tokens.
    fn size_of(&self, example: usize) -> u64 {
        self.examples.training.get(example).map_or(0, |tokens| tokens.len() as u64)
    }

    fn evaluate(&self, parameters: &[f32], progress: &mut dyn FnMut(u64, u64)) -> Result<Evaluation, TrainError> {
        let (mut loss, mut tokens, mut done) = (0.0_f64, 0_u64, 0_u64);
        let all = self.examples.measured.len() as u64;
        let frozen = self.frozen()?;
        for texts in self.examples.measured.chunks(TEXTS_MEASURED) {
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let (nats, count) = frozen.loss(&self.places, parameters, &texts);
            loss += nats;
            tokens += count as u64;
            done += texts.len() as u64;
            progress(done, all);
        }
        Ok(Evaluation::Perplexity { tokens, loss_nano: mean_nano(loss, tokens) })
    }

    /// `adapter_model.safetensors` and `adapter_config.json`, in the layout of the PEFT library.
    fn export(&self, state: &State) -> Vec<(String, Vec<u8>)> {
        let Method::Lora { rank, alpha_milli, layers, .. } = self.spec.method else { return Vec::new() };
        let shape = &self.shape;
        let first = shape.layers.saturating_sub(layers as usize);
        let rename = |tensor: &TensorShape, numbers: &[f32]| {
            let is_rotated = tensor.name.contains("q_proj.lora_B");
            let numbers = if is_rotated { halves(numbers, rank as usize, shape.head_size) } else { numbers.to_vec() };
            (format!("base_model.model.{}", tensor.name), numbers)
        };
        let config = serde_json::json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.spec.model.name,
            "r": rank,
            "lora_alpha": f64::from(alpha_milli) / 1e3,
            "lora_dropout": 0.0,
            "bias": "none",
            "target_modules": ["q_proj", "v_proj"],
            "layers_to_transform": (first..shape.layers).collect::<Vec<_>>(),
        });
        let weights = export::tensors("adapter_model.safetensors", &self.shapes(), state, rename);
        let config = serde_json::to_vec_pretty(&config).ok().map(|bytes| ("adapter_config.json".to_owned(), bytes));
        weights.into_iter().chain(config).collect()
    }
}
