//! The answers of a [`TextModel`](super::TextModel).

use super::compute::{backend, failed, open, refused};
use super::text::{TextJob, TextRequest};
use crate::{EngineError, LoadError};
use inferium_sampling::Sampler;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::{LlamaChatMessage, LlamaModel};
use llama_cpp_2::token::LlamaToken;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender};

/// Tokens of a conversation and its answer, at most.
const CONTEXT: u32 = 4_096;
/// Tokens of a step of the prompt.
const CHUNK: u32 = 256;

/// Answers until nobody can ask any more.
pub(crate) fn answer_all(
    path: &Path,
    threads: usize,
    jobs: &Receiver<TextJob>,
    started: &SyncSender<Result<(), LoadError>>,
) {
    let opened = backend().and_then(|backend| Ok((backend, open(backend, path)?)));
    let (backend, model) = match opened {
        Ok(opened) => opened,
        Err(error) => return drop(started.send(Err(error))),
    };
    let context = i32::try_from(threads).map_err(refused).and_then(|threads| {
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(CONTEXT))
            .with_n_batch(CHUNK)
            .with_n_ubatch(CHUNK)
            .with_n_threads(threads)
            .with_n_threads_batch(threads);
        model.new_context(backend, params).map_err(refused)
    });
    let mut context = match context {
        Ok(context) => context,
        Err(error) => return drop(started.send(Err(error))),
    };
    drop(started.send(Ok(())));
    while let Ok(TextJob { request, to }) = jobs.recv() {
        let answered = answer(&model, &mut context, &request, || to.is_closed());
        // An error means that nobody waits any more.
        drop(to.send(answered));
    }
}

/// The conversation in the model's own template; one text after the other if it has none that the library knows.
fn render(model: &LlamaModel, request: &TextRequest) -> Result<String, EngineError> {
    let plain = || request.messages.iter().map(|message| format!("{}\n\n", message.content)).collect::<String>();
    let Ok(template) = model.chat_template(None) else { return Ok(plain()) };
    let messages: Vec<LlamaChatMessage> = request
        .messages
        .iter()
        .map(|message| LlamaChatMessage::new(message.role.clone(), message.content.clone()).map_err(failed))
        .collect::<Result<_, _>>()?;
    Ok(model.apply_chat_template(&template, &messages, true).unwrap_or_else(|_| plain()))
}

fn answer(
    model: &LlamaModel,
    context: &mut LlamaContext<'_>,
    request: &TextRequest,
    is_cancelled: impl Fn() -> bool,
) -> Result<String, EngineError> {
    let vocab = model.vocab();
    let prompt = vocab.tokenize(render(model, request)?.as_bytes(), true, true);
    let tokens = (prompt.len() as u64).saturating_add(request.max_tokens.into());
    if prompt.is_empty() || request.max_tokens == 0 {
        return Err(EngineError::EmptyPrompt);
    }
    if tokens > u64::from(CONTEXT) {
        return Err(EngineError::TooLong { tokens, context_tokens: CONTEXT });
    }
    context.clear_kv_cache();
    let sampler = Sampler::new(request.sampling, request.seed);
    let mut batch = LlamaBatch::new(CHUNK as usize, 1);
    let mut fed = 0;
    for chunk in prompt.chunks(CHUNK as usize) {
        feed(context, &mut batch, chunk, fed)?;
        fed += chunk.len();
    }
    let mut answer: Vec<LlamaToken> = Vec::new();
    for position in 0..request.max_tokens {
        let last = batch.n_tokens().saturating_sub(1);
        let chosen = sampler.choose(position.into(), context.get_logits_ith(last));
        let token = LlamaToken(i32::try_from(chosen).map_err(failed)?);
        if vocab.is_eog(token) || is_cancelled() {
            break;
        }
        answer.push(token);
        feed(context, &mut batch, &[token], fed)?;
        fed += 1;
    }
    Ok(String::from_utf8_lossy(&vocab.detokenize(&answer, false, false)).into_owned())
}

/// Computes tokens from a position on; the last one's logits are kept.
fn feed(
    context: &mut LlamaContext<'_>,
    batch: &mut LlamaBatch<'_>,
    tokens: &[LlamaToken],
    from: usize,
) -> Result<(), EngineError> {
    batch.clear();
    for (position, token) in (from..).zip(tokens) {
        let is_last = position + 1 == from + tokens.len();
        batch.add(*token, i32::try_from(position).map_err(failed)?, &[0], is_last).map_err(failed)?;
    }
    context.decode(batch).map_err(failed)
}
