//! An embedder without weights.

use super::{Embedder, EmbedderInfo, TextVector, VectorReceiver};
use crate::mock::Active;
use crate::{EngineError, EngineLoad};
use inferium_types::Digest;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

#[cfg(test)]
mod tests;

/// Tokens 0..=255 are bytes; these are around every text.
const START: u32 = 256;
const END: u32 = 257;
const VOCAB: u32 = 258;

/// How a mock behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockEmbedderOptions {
    /// Two mocks agree exactly if their flavours and widths are equal: another flavour plays another model, or a cheating
    /// worker.
    pub flavour: u64,
    /// Values of a vector; at least one.
    pub width: u32,
    /// Tokens of one text at most, special ones included.
    pub context_tokens: u32,
    /// Texts of a call at most.
    pub max_texts: u32,
    /// Calls at once; more are refused as busy.
    pub max_active: u32,
    /// Time for each text.
    pub text_delay: Duration,
}

impl Default for MockEmbedderOptions {
    fn default() -> Self {
        Self {
            flavour: 0,
            width: 32,
            context_tokens: 256,
            max_texts: 2048,
            max_active: 4096,
            text_delay: Duration::ZERO,
        }
    }
}

/// An embedder whose vectors are a hash of the tokens: same interface, same verification, microseconds a text.
///
/// Its tokenizer is bytes, with one special token at each end. Without a delay, work is done inside the call; with one, on a
/// tokio task, so that [`Embedder::embed`] must then be called within a tokio runtime.
#[derive(Debug)]
pub struct MockEmbedder {
    info: EmbedderInfo,
    options: MockEmbedderOptions,
    active: Arc<AtomicU32>,
}

impl MockEmbedder {
    /// Makes a mock.
    #[must_use]
    pub fn new(options: MockEmbedderOptions) -> Self {
        let digest = |what: &str, numbers: &[u64]| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(b"inferium/mock-embedder/1\0");
            hasher.update(what.as_bytes());
            for number in numbers {
                hasher.update(&number.to_le_bytes());
            }
            Digest::from(*hasher.finalize().as_bytes())
        };
        let options = MockEmbedderOptions { width: options.width.max(1), ..options };
        let info = EmbedderInfo {
            name: "mock-embedder".to_owned(),
            weights_root: digest("weights", &[options.flavour, options.width.into()]),
            tokenizer_hash: digest("tokenizer", &[]),
            engine_build: crate::engine::engine_build(crate::kernel::ENCODER_ARITHMETIC_VERSION),
            kernel_tier: "mock".to_owned(),
            width: options.width,
            context_tokens: options.context_tokens,
            vocab_size: VOCAB,
        };
        Self { info, options, active: Arc::new(AtomicU32::new(0)) }
    }
}

/// The vector of a text: the stretched hash of weights and tokens, as numbers within ±1, brought to length 1.
fn vector(info: &EmbedderInfo, tokens: &[u32]) -> TextVector {
    let mut hashed = info.weights_root.as_bytes().to_vec();
    hashed.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
    let mut bytes = vec![0; info.width as usize];
    blake3::Hasher::new().update(&hashed).finalize_xof().fill(&mut bytes);
    // No byte becomes zero, so that the length never is.
    let mut values: Vec<f32> = bytes.into_iter().map(|byte| f32::from(byte) / 127.5 - 1.0).collect();
    let length = values.iter().fold(0.0_f32, |sum, value| sum + value * value).sqrt();
    values.iter_mut().for_each(|value| *value /= length);
    let states = Digest::of("inferium/mock-states/1", &[&hashed]);
    TextVector { values, states }
}

impl Embedder for MockEmbedder {
    fn model(&self) -> &EmbedderInfo {
        &self.info
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        Ok(std::iter::once(START).chain(text.bytes().map(u32::from)).chain([END]).collect())
    }

    fn embed(&self, texts: Vec<Vec<u32>>) -> Result<VectorReceiver, EngineError> {
        self.info.admit(&texts, self.options.max_texts)?;
        let active = Active::enter(&self.active, self.options.max_active)?;
        let (to, receiver) = mpsc::channel(texts.len());
        if self.options.text_delay.is_zero() {
            for tokens in &texts {
                // The receiver is right here, with a place for every text.
                let _ = to.try_send(Ok(vector(&self.info, tokens)));
            }
            return Ok(receiver);
        }
        let (delay, info) = (self.options.text_delay, self.info.clone());
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| EngineError::Stopped)?;
        runtime.spawn(async move {
            let _active = active;
            for tokens in texts {
                tokio::time::sleep(delay).await;
                if to.try_send(Ok(vector(&info, &tokens))).is_err() {
                    break;
                }
            }
        });
        Ok(receiver)
    }

    fn load(&self) -> EngineLoad {
        EngineLoad { active: self.active.load(Ordering::Relaxed), ..EngineLoad::default() }
    }
}
