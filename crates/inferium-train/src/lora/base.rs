//! A decoder that adapters are trained on, shared by everything of a process that trains or judges them (SPEC X3).

use super::decoder::Frozen;
use super::{Encode, InvalidLora, LoraTrainer};
use crate::{BaseModel, DataSet, TrainError, TrainingSpec};
use inferium_engine::exact::Exact;
use inferium_engine::{Decoder, DecoderShape, DecoderWeights, EngineError, LoadError};
use inferium_types::Digest;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type OwnedEncode = Box<dyn Fn(&str) -> Result<Vec<u32>, EngineError> + Send + Sync>;
type Fetch = Box<dyn Fn() -> Result<DecoderWeights, String> + Send + Sync>;

/// A decoder by its hashes, its tokenizer, and a way to its weights.
///
/// Weights are read when a step first needs them, and kept after that: of SmolLM2-135M 540 MB, and 300 MB more for the way back
/// through 8 of its blocks. Who only reads what a run is never has them.
pub struct AdapterBase {
    pub(crate) model: BaseModel,
    shape: DecoderShape,
    encode: OwnedEncode,
    end: u32,
    fetch: Fetch,
    threads: usize,
    /// Ready to compute with, for so many adapted blocks.
    ready: Mutex<Option<(u32, Arc<Frozen>)>>,
    turn: Mutex<()>,
}

/// What a base is made of.
pub(crate) struct BaseParts {
    pub(crate) model: BaseModel,
    pub(crate) shape: DecoderShape,
    pub(crate) encode: OwnedEncode,
    pub(crate) end: u32,
    pub(crate) fetch: Fetch,
    pub(crate) threads: usize,
}

impl AdapterBase {
    /// Of a GGUF file, which has to stay where it is. Its weights are read once, for their root, and not kept.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(name: String, path: &Path, threads: usize) -> Result<Self, LoadError> {
        let mut decoder = Decoder::load(path)?;
        let shape = decoder.weights.shape.clone();
        let nothing = DecoderWeights {
            shape: shape.clone(),
            embedding: Vec::new(),
            layers: Vec::new(),
            output_norm: Vec::new(),
            head: None,
        };
        decoder.weights = nothing;
        let (weights_root, tokenizer_hash, end) = (decoder.weights_root, decoder.tokenizer_hash(), decoder.end);
        let path = path.to_owned();
        let fetch = move || {
            let again = Decoder::load(&path).map_err(|error| error.to_string())?;
            match again.weights_root == weights_root {
                true => Ok(again.weights),
                false => Err(format!("{} has changed", path.display())),
            }
        };
        Ok(Self::of(BaseParts {
            model: BaseModel { name, weights_root, tokenizer_hash },
            shape,
            encode: Box::new(move |text| decoder.encode(text)),
            end,
            fetch: Box::new(fetch),
            threads,
        }))
    }

    pub(crate) fn of(parts: BaseParts) -> Self {
        let BaseParts { model, shape, encode, end, fetch, threads } = parts;
        Self { model, shape, encode, end, fetch, threads, ready: Mutex::new(None), turn: Mutex::new(()) }
    }

    /// Which model it is.
    #[must_use]
    pub const fn model(&self) -> &BaseModel {
        &self.model
    }

    /// Digest of all that is computed with beside tensors and tokenizer: sizes, base of the angles, norms, the token that ends a text.
    pub(crate) fn terms(&self) -> Digest {
        let DecoderShape { layers, width, hidden, heads, kv_heads, head_size, vocab, context, rope_base, norm_epsilon } =
            self.shape.clone();
        let sizes = [layers, width, hidden, heads, kv_heads, head_size, vocab, context].map(|size| size as u64);
        let bits = [rope_base.to_bits(), norm_epsilon.to_bits(), self.end];
        Digest::of_value("inferium/decoder-terms/1", &(sizes, bits))
    }

    /// Numbers that adapters of `rank` of `layers` blocks have; they are all trained.
    #[must_use]
    pub fn parameters(&self, rank: u32, layers: u32) -> u64 {
        let size = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let heads = self.shape.heads.saturating_add(self.shape.kv_heads).saturating_mul(self.shape.head_size);
        let widths = self.shape.width.saturating_mul(2).saturating_add(heads);
        size(widths).saturating_mul(rank.into()).saturating_mul(layers.into())
    }

    /// A trainer of a run; weights are read with its first step, or measurement.
    ///
    /// # Errors
    /// As of [`LoraTrainer::new`].
    pub fn trainer(self: &Arc<Self>, spec: TrainingSpec, data: &DataSet) -> Result<LoraTrainer, InvalidLora> {
        LoraTrainer::on(spec, data, self)
    }

    /// Examples that the training part of a data set makes.
    ///
    /// # Errors
    /// As of [`LoraTrainer::count`].
    pub fn count(&self, spec: &TrainingSpec, data: &DataSet) -> Result<u64, InvalidLora> {
        LoraTrainer::count(spec, data, self.encode(), self.end)
    }

    /// Whether the decoder has so many layers, and room for so many tokens.
    pub(crate) fn fits(&self, layers: u32, sequence: u32) -> Result<(), InvalidLora> {
        super::fits(&self.shape, layers, sequence)
    }

    pub(super) fn encode(&self) -> &Encode<'_> {
        &*self.encode
    }

    pub(super) const fn end(&self) -> u32 {
        self.end
    }

    pub(super) const fn shape(&self) -> &DecoderShape {
        &self.shape
    }

    /// Holds off every other run on this decoder, which would take the same cores and as much memory again.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The weights, with the way back through so many blocks. Others wait while they are read.
    pub(super) fn frozen(&self, layers: u32) -> Result<Arc<Frozen>, TrainError> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, frozen)) = ready.as_ref().filter(|(kept, _)| *kept == layers) {
            return Ok(Arc::clone(frozen));
        }
        // What is kept for another number of blocks goes first: both would be twice the memory.
        *ready = None;
        let failed = |reason: String| TrainError::Weights { reason };
        let weights = (self.fetch)().map_err(failed)?;
        let exact = Exact::new(self.threads, None).map_err(|error| failed(error.to_string()))?;
        let frozen = Arc::new(Frozen::new(weights, exact, layers as usize));
        *ready = Some((layers, Arc::clone(&frozen)));
        Ok(frozen)
    }
}

impl fmt::Debug for AdapterBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdapterBase({})", self.model.name)
    }
}
