//! `POST /v1/completions`: text or tokens to go on with, without roles and template.
//!
//! With `echo` and log probabilities it scores the prompt as well, which is what benchmarks of multiple choice are made of. When all that
//! is to follow is the likeliest token, one score says both: how likely each token of the prompt is, and which comes next.

use super::asked::{Asked, is_neutral};
use super::choices::{
    Bill, Head, Origin, Prepared, Render, Whole, add_bill, choose_model, close_chunks, extras, finish_name, gather,
    name_job, prepare, spelled, stream, text_engine, whole_extras,
};
use super::error::ApiError;
use super::fields::{array, boolean, integer, tokens, within};
use super::parts::{Done, Extras, JobExtras, pack, respond, run_all};
use super::{ApiModel, ApiState, object, sized, whole_body};
use crate::hub::TextPiece;
use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use inferium_engine::{Engine, EngineError};
use inferium_types::{Continuation, Digest, FinishReason, JobAnswer, JobInput, JobPayload, TokenScore, limits};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Tokens of an answer when the client sets no limit, as OpenAI has it.
const TOKENS_DEFAULT: u32 = 16;
/// Prompts of one request at most.
pub(super) const PROMPTS_MAX: usize = 256;
/// Answers to all prompts of one request at most.
const ANSWERS_MAX: usize = 256;

/// A request as the gateway understands it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CompletionRequest {
    asked: Asked,
    prompts: Vec<Prompt>,
    echo: bool,
    /// Nothing but the prompt: its scores are all that is asked for.
    is_only_echo: bool,
}

/// What to go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

impl CompletionRequest {
    /// Parses a body: every parameter is honoured, or refused by its name.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let list = object(body)?;
        let mut asked = Asked { tokens_max: Some(TOKENS_DEFAULT), ..Asked::default() };
        let (mut prompts, mut echo, mut is_only_echo) = (Vec::new(), false, false);
        for (name, value) in &list {
            match name.as_str() {
                _ if value.is_null() => {}
                "prompt" => prompts = read_prompts(value)?,
                "echo" => echo = boolean(name, value)?,
                "max_tokens" if integer(value) == Some(0) => is_only_echo = true,
                "logprobs" => {
                    let count = within(name, value, 0, limits::LIKELIEST_MAX.into())?;
                    asked.shaping.likeliest = u8::try_from(count).ok();
                }
                other if is_neutral(other, value) || asked.take(other, value)? => {}
                other => return Err(ApiError::Unsupported { param: other.to_owned() }),
            }
        }
        asked.check()?;
        if prompts.is_empty() {
            return Err(ApiError::invalid("prompt", "`prompt` is required"));
        }
        if prompts.len().saturating_mul(asked.choices as usize) > ANSWERS_MAX {
            return Err(ApiError::invalid("n", format!("more than {ANSWERS_MAX} answers to all prompts together")));
        }
        let is_scored = echo && asked.shaping.likeliest.is_some() && asked.choices == 1 && !asked.stream;
        if is_only_echo && !is_scored {
            let message =
                "`max_tokens` may be 0 only where `echo` and `logprobs` ask for one answer about the prompt, whole";
            return Err(ApiError::invalid("max_tokens", message));
        }
        if asked.stream && echo && asked.shaping.likeliest.is_some() {
            return Err(ApiError::invalid("stream", "`echo` with `logprobs` can't be streamed"));
        }
        Ok(Self { asked, prompts, echo, is_only_echo })
    }

    /// True when one score of each prompt answers all of it.
    fn is_score(&self) -> bool {
        let Asked { shaping, sampling, choices, tokens_max, .. } = &self.asked;
        // Nothing is drawn where there is no token, and stop strings have nothing to cut.
        let is_one_token =
            *tokens_max == Some(1) && sampling.temperature_micro == 0 && shaping.is_plain() && shaping.stop.is_empty();
        self.echo && (self.is_only_echo || is_one_token) && *choices == 1 && shaping.likeliest.is_some()
    }
}

fn read_prompts(value: &Value) -> Result<Vec<Prompt>, ApiError> {
    const NAME: &str = "prompt";
    let bad = || ApiError::invalid(NAME, "`prompt` must be a string, tokens, or a list of either");
    let items = match value {
        Value::String(text) => return Ok(vec![Prompt::Text(text.clone())]),
        other => array(NAME, other).map_err(|_| bad())?,
    };
    if items.len() > PROMPTS_MAX && !items.iter().all(Value::is_number) {
        return Err(ApiError::invalid(NAME, format!("{} prompts; at most {PROMPTS_MAX} are allowed", items.len())));
    }
    match items.first() {
        Some(Value::Number(_)) => Ok(vec![Prompt::Tokens(tokens(NAME, items)?)]),
        _ => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Ok(Prompt::Text(text.clone())),
                Value::Array(list) => tokens(NAME, list).map(Prompt::Tokens),
                _ => Err(bad()),
            })
            .collect(),
    }
}

pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let key = state.key(&headers)?;
    let payer = key.hash;
    let body = whole_body(body)?;
    let request = sized(body.len(), move || CompletionRequest::parse(&body)).await??;
    let model = choose_model(&state, &request.asked, &key)?;
    let engine = text_engine(&model)?;
    let size = request.prompts.iter().map(|prompt| match prompt {
        Prompt::Text(text) => text.len(),
        Prompt::Tokens(tokens) => tokens.len(),
    });
    let (reader, prompts) = (Arc::clone(&engine), request.prompts.clone());
    let prompts = sized(size.sum(), move || encode(&*reader, prompts)).await??;
    let head = Head::new("cmpl-", &model);
    if request.is_score() {
        return scored(&state, (&model, payer), &head, (&request, prompts)).await;
    }
    let CompletionRequest { asked, echo, .. } = request;
    let (choices, likeliest) = (asked.choices as usize, asked.shaping.likeliest);
    let (is_stream, include_usage) = (asked.stream, asked.include_usage);
    let input = |prompt: &Vec<u32>| JobInput::Complete { prompt: prompt.clone(), shaping: asked.shaping.clone() };
    let inputs = prompts.iter().map(input).collect();
    let Prepared { specs, .. } = prepare(Arc::clone(&model), (asked, payer), inputs, "prompt").await?;
    let shown: Vec<String> =
        prompts.iter().map(|prompt| if echo { engine.decode(prompt) } else { String::new() }).collect();
    if is_stream {
        let echoes = shown.into_iter().flat_map(|text| std::iter::repeat_n(text, choices)).collect();
        let render = Chunks {
            head,
            engine,
            echoes,
            include_usage,
            has_logprobs: likeliest.is_some(),
            offsets: Vec::new(),
            origins: Vec::new(),
            last: None,
        };
        return stream(&state.hub, specs, render).await;
    }
    // How likely the prompt was is another job's work.
    let echoed = match likeliest {
        Some(count) if echo => score_prompts(&state, (&model, payer), prompts.clone(), count).await?,
        _ => Scored::default(),
    };
    let (wholes, mut bill) = gather(&state.hub, specs).await?;
    bill.add(echoed.bill.usage, echoed.bill.cost);
    let answers: Vec<Value> = wholes
        .iter()
        .enumerate()
        .map(|(index, whole)| {
            let at = index / choices.max(1);
            let prompt = prompts.get(at).map(Vec::as_slice).unwrap_or_default();
            let before = shown.get(at).map(String::as_str).unwrap_or_default();
            let mut told = Told::default();
            if let Some(scores) = echoed.scores.get(at) {
                told.prompt(&*engine, prompt, scores);
            } else {
                told.offset = before.chars().count();
            }
            told.piece(&*engine, &whole.piece);
            choice(index, (before, whole), likeliest.map(|_| told))
        })
        .collect();
    let answer = whole(&head, answers, &bill, whole_extras(&wholes));
    Ok(name_job(Json(answer).into_response(), wholes.first().map(|whole| &whole.origin)))
}

/// Tokenises what is text; an empty prompt is the beginning of a text.
fn encode(engine: &dyn Engine, prompts: Vec<Prompt>) -> Result<Vec<Vec<u32>>, ApiError> {
    let refuse = |error: EngineError| ApiError::invalid("prompt", error.to_string());
    let encode = |prompt| {
        let tokens = match prompt {
            Prompt::Tokens(tokens) => tokens,
            Prompt::Text(text) => engine.encode(&text).map_err(refuse)?,
        };
        let info = engine.model();
        if let Some(&token) = tokens.iter().find(|token| **token >= info.vocab_size) {
            return Err(refuse(EngineError::UnknownToken { token, vocab_size: info.vocab_size }));
        }
        if tokens.is_empty() { Ok(info.eos_tokens.first().copied().into_iter().collect()) } else { Ok(tokens) }
    };
    prompts.into_iter().map(encode).collect()
}

/// What answers and chunks say that they are.
const OBJECT: &str = "text_completion";

fn whole(head: &Head, choices: Vec<Value>, bill: &Bill, extras: Value) -> Value {
    let mut answer = head.shown(OBJECT, &choices.into());
    add_bill(&mut answer, bill, extras);
    answer
}

fn choice(index: usize, (before, whole): (&str, &Whole), told: Option<Told>) -> Value {
    json!({
        "index": index,
        "text": format!("{before}{}", whole.piece.text),
        "logprobs": told.map(Told::json),
        "finish_reason": finish_name(whole.finish),
    })
}

/// Log probabilities as text completions have them: four lists of one length.
#[derive(Debug, Default)]
struct Told {
    tokens: Vec<String>,
    logprobs: Vec<Option<f32>>,
    likeliest: Vec<Option<Map<String, Value>>>,
    offsets: Vec<usize>,
    /// Characters before the next token.
    offset: usize,
}

impl Told {
    fn push(&mut self, engine: &dyn Engine, token: u32, score: Option<&TokenScore>) {
        let text = spelled(engine, token);
        self.offsets.push(self.offset);
        self.offset = self.offset.saturating_add(text.chars().count());
        self.logprobs.push(score.map(TokenScore::logprob));
        self.likeliest.push(score.map(|score| {
            let mut map = Map::new();
            for (token, logprob) in score.likeliest() {
                // Several tokens may read alike: the likeliest of them counts.
                map.entry(spelled(engine, token)).or_insert_with(|| json!(logprob));
            }
            if map.is_empty() {
                map.insert(text.clone(), json!(score.logprob()));
            }
            map
        }));
        self.tokens.push(text);
    }

    /// A prompt, of whose first token nothing can be said.
    fn prompt(&mut self, engine: &dyn Engine, prompt: &[u32], scores: &[TokenScore]) {
        let scores = std::iter::once(None).chain(scores.iter().map(Some));
        for (token, score) in prompt.iter().zip(scores) {
            self.push(engine, *token, score);
        }
    }

    fn piece(&mut self, engine: &dyn Engine, piece: &TextPiece) {
        let spoken = piece.tokens.iter().zip(&piece.scores).filter(|(token, _)| !engine.model().is_eos(**token));
        for (token, score) in spoken {
            self.push(engine, *token, Some(score));
        }
    }

    fn json(self) -> Value {
        json!({
            "tokens": self.tokens,
            "token_logprobs": self.logprobs,
            "top_logprobs": self.likeliest,
            "text_offset": self.offsets,
        })
    }
}

/// Scores of prompts.
#[derive(Debug, Default)]
struct Scored {
    /// Of each prompt, from its second token on, and of what stands behind it.
    scores: Vec<Vec<TokenScore>>,
    done: Vec<Done>,
    bill: Bill,
}

/// Scores each prompt from its second token on, and one token more: what is likeliest there is what would come next.
async fn score_prompts(
    state: &ApiState,
    (model, payer): (&ApiModel, Digest),
    prompts: Vec<Vec<u32>>,
    likeliest: u8,
) -> Result<Scored, ApiError> {
    let engine = text_engine(model)?;
    let context = engine.model().context_tokens;
    let end = engine.model().eos_tokens.first().copied().unwrap_or(0);
    let parts = prompts.into_iter().enumerate().map(|(index, prompt)| {
        let count = prompt.len().saturating_add(1);
        if u32::try_from(count).is_ok_and(|count| count > context) {
            let model = model.profile.name.clone();
            return Err(ApiError::TextLength { index, tokens: count as u64, model, context });
        }
        let mut tokens = prompt;
        let rest = tokens.split_off(1.min(tokens.len()));
        let scored = rest.into_iter().chain([end]).collect();
        Ok((Continuation { prompt: tokens, tokens: scored }, count))
    });
    let specs =
        pack((model, payer), parts, |continuations| JobPayload::score(rand::random(), continuations, likeliest))?;
    let first = specs.first();
    if let Some(spec) = first {
        model.fits(&spec.payload.input, &spec.sampling)?;
    }
    let done = run_all(&state.hub, specs).await?;
    let mut found = Scored::default();
    for one in &done {
        found.bill.add(one.usage, one.cost);
        if let JobAnswer::Scores(scores) = &one.answer {
            found.scores.extend(scores.iter().cloned());
        }
    }
    found.done = done;
    Ok(found)
}

/// The answer that one score of each prompt is.
async fn scored(
    state: &ApiState,
    (model, payer): (&Arc<ApiModel>, Digest),
    head: &Head,
    (request, prompts): (&CompletionRequest, Vec<Vec<u32>>),
) -> Result<Response, ApiError> {
    let engine = text_engine(model)?;
    let asked = request.asked.shaping.likeliest.unwrap_or(0);
    let found = score_prompts(state, (model, payer), prompts.clone(), asked.max(1)).await?;
    let answers: Vec<Value> = prompts
        .iter()
        .zip(&found.scores)
        .enumerate()
        .map(|(index, (prompt, scores))| {
            let mut told = Told::default();
            told.prompt(&*engine, prompt, scores);
            let mut text = engine.decode(prompt);
            let next = scores.last().and_then(|last| Some((last, last.likeliest().next()?)));
            let mut finish = FinishReason::Length;
            if let (Some((last, (token, logprob))), false) = (next, request.is_only_echo) {
                let likeliest: Vec<(u32, f32)> = last.likeliest().collect();
                told.push(&*engine, token, Some(&TokenScore::new(logprob, &likeliest)));
                text.push_str(&engine.decode(&[token]));
                if engine.model().is_eos(token) {
                    finish = FinishReason::EndOfText;
                }
            }
            json!({"index": index, "text": text, "logprobs": told.json(), "finish_reason": finish_name(finish)})
        })
        .collect();
    let mut first = 0;
    let jobs = found.done.iter().map(|one| {
        let end = first + one.answer.len();
        JobExtras::new(one, (std::mem::replace(&mut first, end), end), request.asked.opening)
    });
    let extras = Extras { jobs: jobs.collect() };
    let shown = serde_json::to_value(&extras).unwrap_or(Value::Null);
    Ok(respond(&whole(head, answers, &found.bill, shown), &extras))
}

/// Answers as chunks.
struct Chunks {
    head: Head,
    engine: Arc<dyn Engine>,
    echoes: Vec<String>,
    include_usage: bool,
    has_logprobs: bool,
    /// Characters of each answer so far.
    offsets: Vec<usize>,
    origins: Vec<Origin>,
    /// The last answer's end, which waits for the bill.
    last: Option<Value>,
}

impl Chunks {
    fn part(&self, index: usize, text: &str, logprobs: &Value, finish: Option<&str>) -> Value {
        let choice = json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish});
        self.head.shown(OBJECT, &json!([choice]))
    }
}

impl Render for Chunks {
    fn open(&mut self) -> Vec<Value> {
        self.offsets = self.echoes.iter().map(|text| text.chars().count()).collect();
        let echoes = self.echoes.iter().enumerate().filter(|(_, text)| !text.is_empty());
        let mut events: Vec<Value> = echoes.map(|(index, text)| self.part(index, text, &Value::Null, None)).collect();
        if events.is_empty() {
            // Something at once, so that clients know that they were heard.
            events.push(self.part(0, "", &Value::Null, None));
        }
        events
    }

    fn text(&mut self, index: usize, piece: TextPiece) -> Vec<Value> {
        let mut logprobs = Value::Null;
        if let (Some(offset), true) = (self.offsets.get_mut(index), self.has_logprobs) {
            let mut told = Told { offset: *offset, ..Told::default() };
            told.piece(&*self.engine, &piece);
            *offset = told.offset;
            logprobs = told.json();
        }
        vec![self.part(index, &piece.text, &logprobs, None)]
    }

    fn done(&mut self, index: usize, finish: FinishReason, origin: &Origin) -> Vec<Value> {
        self.origins.push(*origin);
        let ended = self.part(index, "", &Value::Null, Some(finish_name(finish)));
        self.last.replace(ended).into_iter().collect()
    }

    fn close(&mut self, bill: &Bill) -> Vec<Value> {
        let usage = self.include_usage.then(|| self.head.shown(OBJECT, &json!([])));
        close_chunks(self.last.take(), usage, bill, extras(self.origins.iter()))
    }

    fn fail(&mut self, error: &ApiError) -> Value {
        error.body()
    }
}

#[cfg(test)]
mod tests;
