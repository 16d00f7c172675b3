//! Classifiers: integer models, behind an embedding model where they read texts (SPEC J12).

use crate::audit::{IntegerEngine, aside, bent, committed, refused, unauditable};
use crate::{Embedder, EmbedderInfo, EngineError, TextVector};
use inferium_exact::{CONTRACT_VERSION, DecodeError, Model, ModelError, model_id};
use inferium_types::{ClassifierInputs, ClassifierReads, Digest, Logits, limits};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Tokens that a lease of a classifier of tensors has room for in one job, with an answer for each input.
const TENSORS_CONTEXT_TOKENS: u32 = 4_096;
/// The integer model in a classifier's folder, and what stands beside it.
const MODEL_FILE: &str = "model.ifx";
const TERMS_FILE: &str = "classifier.json";
/// Bytes of the latter at most.
const TERMS_SIZE_MAX: u64 = 1 << 20;
/// What a vector's values are multiplied by before they are rounded to integers: as fine as the contract's sums have room for.
pub const VECTOR_SCALE: i16 = 8_192;

/// What a classifier's folder says beside its integer model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierTerms {
    /// Name that clients ask for.
    pub name: String,
    /// Name of each class, in the order of the model's outputs.
    pub labels: Vec<String>,
    /// The embedding model whose vectors it reads; it reads tensors without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderTerms>,
}

/// The embedding model of a classifier of texts: of another one's vectors its numbers mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderTerms {
    /// Its name.
    pub name: String,
    /// Root of its weights, in hex.
    pub weights_root: String,
    /// Digest of its tokenizer, in hex.
    pub tokenizer_hash: String,
}

impl EncoderTerms {
    /// Of an embedding model under this name.
    #[must_use]
    pub fn of(name: &str, model: &EmbedderInfo) -> Self {
        let (weights_root, tokenizer_hash) = (model.weights_root.to_string(), model.tokenizer_hash.to_string());
        Self { name: name.to_owned(), weights_root, tokenizer_hash }
    }
}

/// Why something is no classifier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidClassifier {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not the JSON that is expected.
    #[error("{TERMS_FILE}: {0}")]
    Terms(#[from] serde_json::Error),
    /// Not an integer model.
    #[error("{MODEL_FILE}: {0}")]
    Model(#[from] DecodeError),
    /// Not one that can run.
    #[error(transparent)]
    Gate(#[from] ModelError),
    /// Labels, encoder and sizes do not belong together.
    #[error("{0}")]
    Sizes(String),
}

/// A file of so many bytes at most.
fn read(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!("larger than the {most} bytes that are read")));
    }
    Ok(bytes)
}

impl ClassifierTerms {
    /// Of a model that has nothing beside it: it reads tensors, and its classes have numbers for names.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let classes = model.shapes().ok().and_then(|shapes| shapes.last().map(|shape| shape.elements())).unwrap_or(0);
        let labels = (0..classes.min(limits::CLASSES_MAX.into())).map(|class| class.to_string()).collect();
        Self { name: model.name.clone(), labels, encoder: None }
    }

    /// Reads a classifier's folder, or an integer model alone.
    ///
    /// # Errors
    /// [`InvalidClassifier`], with the file that is at fault.
    pub fn read(path: &Path) -> Result<(Self, Model), InvalidClassifier> {
        let is_folder = path.is_dir();
        let model_path = if is_folder { path.join(MODEL_FILE) } else { path.to_owned() };
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| InvalidClassifier::File { path, source }
        };
        let bytes = read(&model_path, inferium_exact::FILE_BYTES_MAX as u64).map_err(file(&model_path))?;
        let model = inferium_exact::decode(&bytes)?;
        if !is_folder {
            return Ok((Self::of(&model), model));
        }
        let terms_path = path.join(TERMS_FILE);
        let text = read(&terms_path, TERMS_SIZE_MAX).map_err(file(&terms_path))?;
        Ok((serde_json::from_slice(&text)?, model))
    }

    /// The files of a classifier's folder: names and bytes.
    ///
    /// # Errors
    /// [`ModelError`]: the model is none of the contract.
    pub fn files(&self, model: &Model) -> Result<[(&'static str, Vec<u8>); 2], ModelError> {
        // Names and labels are text, which JSON always has room for.
        let terms = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        Ok([(MODEL_FILE, inferium_exact::encode(model)?), (TERMS_FILE, terms.into_bytes())])
    }
}

/// What is served; equal for two exactly if they must agree bit for bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassifierInfo {
    /// Name that clients ask for.
    pub name: String,
    /// The integer model's id: a Merkle root over sizes, weights and tables.
    pub weights_root: Digest,
    /// What turns texts into the model's input; zero of a classifier of tensors.
    pub encoder_hash: Digest,
    /// Digest of the labels.
    pub labels_hash: Digest,
    /// Digest of the contract's version, and of the encoder's engine if there is one.
    pub engine_build: Digest,
    /// What one input is.
    pub reads: ClassifierReads,
    /// Name of each class.
    pub labels: Vec<String>,
    /// Tokens of one job at most.
    pub context_tokens: u32,
}

/// One input, ready to be classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassifierInput {
    kind: InputKind,
    tokens: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum InputKind {
    /// Tokens of a text.
    Text(Vec<u32>),
    /// Elements of a tensor, within the model's range.
    Tensor(Vec<i16>),
}

impl ClassifierInput {
    /// What it counts for in [`inferium_types::Usage::prompt_tokens`].
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.tokens
    }
}

/// A classifier: answers are those of the integer contract, on every machine.
pub struct Classifier {
    engine: Arc<IntegerEngine>,
    encoder: Option<Arc<dyn Embedder>>,
    info: ClassifierInfo,
    /// What every tensor counts for.
    tensor_tokens: usize,
}

impl Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Classifier {
    /// The integer model, if its answers can be proved: an input of one of texts is a vector of floats first, of which there is no proof.
    #[must_use]
    pub fn provable(&self) -> Option<&Model> {
        self.encoder.is_none().then(|| self.engine.model())
    }

    /// Of a model with its terms, and the encoder that these name.
    ///
    /// # Errors
    /// [`InvalidClassifier`]: the model does not pass the gate, or labels, encoder and sizes do not belong together.
    pub fn new(
        model: Model,
        terms: ClassifierTerms,
        encoder: Option<Arc<dyn Embedder>>,
    ) -> Result<Self, InvalidClassifier> {
        let wrong = |what: String| Err(InvalidClassifier::Sizes(what));
        if model.is_sequence() {
            return wrong("a model of sequences reads tokens: no classifier".to_owned());
        }
        let classes = model.shapes()?.last().map_or(0, |shape| shape.elements());
        if classes == 0 || classes > limits::CLASSES_MAX.into() || terms.labels.len() as u64 != classes {
            let (labels, most) = (terms.labels.len(), limits::CLASSES_MAX);
            return wrong(format!("{labels} labels for {classes} outputs; as many of each are needed, at most {most}"));
        }
        if let Some(twice) =
            terms.labels.iter().enumerate().find(|(index, label)| terms.labels[..*index].contains(label))
        {
            return wrong(format!("the label {:?} is there twice", twice.1));
        }
        let (elements, work) = (model.input.elements(), model.multiplications()?);
        let named = terms.encoder.as_ref();
        if let (Some(encoder), Some(named)) = (&encoder, named)
            && *named != EncoderTerms::of(&named.name, encoder.model())
        {
            let found = encoder.model().weights_root;
            return wrong(format!(
                "{:?} has other weights or another tokenizer here: {found}, and not {}",
                named.name, named.weights_root
            ));
        }
        if encoder.is_some() != named.is_some() {
            return wrong("a classifier of texts has an encoder, and one of numbers has none".to_owned());
        }
        let reads = match &encoder {
            Some(encoder) if u64::from(encoder.model().width) != elements => {
                let width = encoder.model().width;
                return wrong(format!("the model reads {elements} values, and its encoder gives {width}"));
            }
            Some(_) if i32::from(model.input_min) > -i32::from(VECTOR_SCALE) || model.input_max < VECTOR_SCALE => {
                return wrong(format!("a model of vectors takes inputs from -{VECTOR_SCALE} to {VECTOR_SCALE}"));
            }
            Some(_) => ClassifierReads::Texts,
            None => match u32::try_from(elements) {
                Ok(elements) if elements <= limits::TENSOR_ELEMENTS_MAX => {
                    ClassifierReads::Tensors { elements, least: model.input_min, most: model.input_max }
                }
                _ => return wrong(format!("inputs of {elements} elements; {} at most", limits::TENSOR_ELEMENTS_MAX)),
            },
        };
        if let Some(reason) = unauditable(&model) {
            return wrong(reason);
        }
        let tensor_tokens = ClassifierInputs::tensor_tokens(u32::try_from(elements).unwrap_or(u32::MAX), work);
        if tensor_tokens > limits::INPUT_TOKENS_MAX.into() {
            let most = u64::from(limits::INPUT_TOKENS_MAX) * limits::TOKEN_MULTIPLICATIONS;
            return wrong(format!("the model multiplies {work} times for an input; {most} times at most"));
        }
        let tensor_tokens = usize::try_from(tensor_tokens).unwrap_or(usize::MAX);
        let info = info(&model, terms, reads, encoder.as_ref().map(|encoder| encoder.model()));
        Ok(Self { engine: Arc::new(IntegerEngine::new(Arc::new(model))?), encoder, info, tensor_tokens })
    }

    /// What is served.
    #[must_use]
    pub const fn model(&self) -> &ClassifierInfo {
        &self.info
    }

    pub(crate) const fn engine(&self) -> &Arc<IntegerEngine> {
        &self.engine
    }

    /// Channels, height and width of the integer model's input.
    #[must_use]
    pub fn input_shape(&self) -> [u32; 3] {
        let shape = self.engine.model().input;
        [shape.channels, shape.height, shape.width]
    }

    /// Reads the inputs of a job: texts are tokenised, tensors held to the model's size and range.
    ///
    /// # Errors
    /// - [`EngineError::Task`]: inputs of the other kind.
    /// - [`EngineError::Text`], [`EngineError::TooLong`]: of a text, as [`Embedder::encode`].
    /// - [`EngineError::Tensor`]: of a tensor.
    pub fn read(&self, inputs: &ClassifierInputs) -> Result<Vec<ClassifierInput>, EngineError> {
        match (inputs, &self.encoder) {
            (ClassifierInputs::Texts(texts), Some(encoder)) => {
                let context_tokens = encoder.model().context_tokens;
                let read = |text: &String| {
                    let tokens = encoder.encode(text)?;
                    match u32::try_from(tokens.len()) {
                        Ok(count) if count <= context_tokens => {
                            Ok(ClassifierInput { tokens: tokens.len(), kind: InputKind::Text(tokens) })
                        }
                        _ => Err(EngineError::TooLong { tokens: tokens.len() as u64, context_tokens }),
                    }
                };
                texts.iter().map(read).collect()
            }
            (ClassifierInputs::Tensors(tensors), None) => {
                let read = |elements: &Vec<i16>| {
                    let wide: Vec<i32> = elements.iter().map(|element| i32::from(*element)).collect();
                    self.engine.check(&wide).map_err(|error| EngineError::Tensor { reason: error.to_string() })?;
                    Ok(ClassifierInput { tokens: self.tensor_tokens, kind: InputKind::Tensor(elements.clone()) })
                };
                tensors.iter().map(read).collect()
            }
            (ClassifierInputs::Texts(_), None) => Err(EngineError::Task { does: "classification of numbers" }),
            (ClassifierInputs::Tensors(_), Some(_)) => Err(EngineError::Task { does: "classification of texts" }),
        }
    }

    /// What the model says of an input, with the digest of all that was computed on the way. Never blocks the caller.
    ///
    /// # Errors
    /// As of [`Embedder::embed`]; [`EngineError::Tensor`] when the input is none of the model's.
    pub async fn classify(self: &Arc<Self>, input: ClassifierInput) -> Result<(Logits, Digest), EngineError> {
        let (elements, before) = self.elements(input).await?;
        let engine = Arc::clone(&self.engine);
        aside(move || {
            let (output, root) = engine.commit(&elements).map_err(|error| refused(&error))?;
            Ok((Logits::new(output), committed(before, root).digest()))
        })
        .await
    }

    /// What the integer model is given, and the digest of what was computed before.
    pub(crate) async fn elements(&self, input: ClassifierInput) -> Result<(Vec<i32>, Digest), EngineError> {
        match (input.kind, &self.encoder) {
            (InputKind::Tensor(elements), _) => Ok((elements.into_iter().map(i32::from).collect(), Digest::ZERO)),
            (InputKind::Text(tokens), Some(encoder)) => {
                let mut vectors = encoder.embed(vec![tokens])?;
                let TextVector { values, states } = vectors.recv().await.ok_or(EngineError::Stopped)??;
                Ok((values.iter().map(|value| quantised(*value)).collect(), states))
            }
            (InputKind::Text(_), None) => Err(EngineError::Task { does: "classification of numbers" }),
        }
    }

    /// A classifier under the same terms that answers with another model: the weights of one output of its first layer are one nearer to zero. For devnets, to be watched being caught.
    #[must_use]
    pub fn crooked(&self) -> Option<Self> {
        let engine = Arc::new(IntegerEngine::new(Arc::new(bent(self.engine.model())?)).ok()?);
        let (encoder, info) = (self.encoder.clone(), self.info.clone());
        Some(Self { engine, encoder, info, tensor_tokens: self.tensor_tokens })
    }
}

/// A value of a vector as the integer model reads it: to the nearest, of two to the even one.
#[must_use]
pub fn quantised(value: f32) -> i32 {
    let scale = f32::from(VECTOR_SCALE);
    // Values of a vector of length 1 are within; rounding in sums may leave one a little beyond.
    #[expect(clippy::cast_possible_truncation, reason = "within ±8192, or 0 of what is no number")]
    let rounded = (value * scale).clamp(-scale, scale).round_ties_even() as i32;
    rounded
}

fn info(
    model: &Model,
    terms: ClassifierTerms,
    reads: ClassifierReads,
    encoder: Option<&EmbedderInfo>,
) -> ClassifierInfo {
    let labels_hash = Digest::of_value("inferium/classifier-labels/1", &terms.labels);
    let scale = VECTOR_SCALE.to_be_bytes();
    let encoder_hash = encoder.map_or(Digest::ZERO, |encoder| {
        let parts: [&[u8]; 3] = [encoder.weights_root.as_bytes(), encoder.tokenizer_hash.as_bytes(), &scale];
        Digest::of("inferium/classifier-encoder/1", &parts)
    });
    let version = CONTRACT_VERSION.to_be_bytes();
    let encoder_build = encoder.map_or(Digest::ZERO, |encoder| encoder.engine_build);
    ClassifierInfo {
        name: terms.name,
        weights_root: Digest::from(model_id(model)),
        encoder_hash,
        labels_hash,
        engine_build: Digest::of("inferium/exact-contract/1", &[&version, encoder_build.as_bytes()]),
        reads,
        labels: terms.labels,
        context_tokens: encoder.map_or(TENSORS_CONTEXT_TOKENS, |encoder| encoder.context_tokens),
    }
}
