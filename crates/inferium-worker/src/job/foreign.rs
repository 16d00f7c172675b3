//! A job that a server behind the worker does (SPEC V9): its tokens become an answer as an engine's do.

use super::{Evidence, FinishedJob, JobContext, JobRefusal, finish, send_delta};
use crate::server::{Piece, Pieces, Question, Server, ServerError};
use inferium_engine::{Answer, Engine};
use inferium_types::{FinishReason, JobAnswer, JobInput, JobPayload, JobRequest, wire::WorkerMessage};
use tokio::sync::{mpsc, watch};

/// Answers a conversation with what the server draws.
pub(super) async fn answer(
    (context, server): (&JobContext, &Server),
    engine: &dyn Engine,
    prompt: &[u32],
    (request, payload): (JobRequest, JobPayload),
    outbox: &mpsc::Sender<WorkerMessage>,
    mut cancel: watch::Receiver<bool>,
) -> Result<FinishedJob, JobRefusal> {
    let JobInput::Chat { messages, shaping } = &payload.input else { return Err(JobRefusal::Payload) };
    let mut answer = Answer::new(&shaping.stop, request.tokens_max);
    let question =
        Question { messages, prompt_tokens: prompt.len(), sampling: request.sampling, tokens_max: request.tokens_max };
    let mut pieces: Option<Pieces<'_>> = None;
    while answer.finish().is_none() {
        let next = async {
            match &mut pieces {
                Some(pieces) => pieces.next().await.map(Some),
                slot @ None => {
                    *slot = Some(server.ask(&question, engine).await?);
                    Ok(None)
                }
            }
        };
        let piece = tokio::select! {
            biased;
            changed = cancel.changed() => {
                if changed.is_err() || *cancel.borrow() {
                    let text = answer.cancel();
                    send_delta(outbox, &request, Vec::new(), text, Vec::new()).await?;
                }
                continue;
            }
            piece = next => piece?,
        };
        let tokens = match piece {
            None => continue,
            Some(Piece::Tokens(tokens)) => tokens,
            // The end is a token of the model that servers keep to themselves.
            Some(Piece::Ended) => engine.model().eos_tokens.first().copied().into_iter().collect(),
            Some(Piece::Length) => Vec::new(),
        };
        if tokens.is_empty() {
            return Err(ServerError::Short { found: answer.tokens().len(), wanted: request.tokens_max }.into());
        }
        for token in tokens {
            if answer.finish().is_none() {
                let text = answer.push(engine, token);
                send_delta(outbox, &request, vec![token], text, Vec::new()).await?;
            }
        }
    }
    // Ends the request when the answer ended before the server did.
    drop(pieces);
    let end = answer.finish().unwrap_or(FinishReason::EndOfText);
    let text = JobAnswer::Text { tokens: answer.tokens().to_vec(), text: answer.text().to_owned(), scores: Vec::new() };
    Ok(finish(context, (request, payload), text, end, Evidence::Unseen))
}

#[cfg(test)]
mod tests;
