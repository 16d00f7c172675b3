//! `POST /v1/classifications`: what a classifier says of texts or tensors, or which of some labels a chat model would write.
//!
//! Of a chat model every label is scored after every text, whole (SPEC J9), so nothing is drawn and the same request has the same answer.
//! Benchmarks of multiple choice are the same question with labels of their own for each item, and no chat template.

mod classifier;

use super::choices::url_of;
use super::fields::boolean;
use super::parts::{Done, Extras, JobExtras, PartUsage, pack, respond, run_all};
use super::routing::Routing;
use super::{ApiModel, ApiState, error::ApiError, object, sized, whole_body};
use crate::hub::JobSpec;
use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
    response::Response,
};
use inferium_engine::{Engine, EngineError, Model};
use inferium_types::{
    ChatMessage, Continuation, Digest, JobAnswer, JobInput, JobPayload, ModelTask, SamplingParams, TokenScore,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Texts of one request at most, labels of one text, and scored continuations of the request.
pub(super) const TEXTS_MAX: usize = 1_024;
pub(super) const LABELS_MAX: usize = 64;
pub(super) const CONTINUATIONS_MAX: usize = 4_096;
/// Tokens of all continuations of a request: what stands before a text's labels is read once for each of them.
const TOKENS_MAX: usize = 262_144;
/// What a text and a label count for beside their bytes, where it is asked how long something takes.
const TEXT_SIZE: usize = 256;
/// Parameters that don't change an answer; taken and not used.
const HARMLESS: [&str; 2] = ["user", "metadata"];

/// A request as the gateway understands it.
#[derive(Debug, Clone, PartialEq)]
struct ClassificationRequest {
    model: String,
    items: Vec<Item>,
    /// What the model is told before the text; `None` for words that name the labels.
    instructions: Option<String>,
    /// Labels are scored right behind the text, without the chat template.
    is_raw: bool,
    /// Whether the client is to be able to show others what was asked and answered.
    opening: bool,
    routing: Routing,
}

/// A text and its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    text: String,
    labels: Vec<String>,
}

impl ClassificationRequest {
    /// Parses a body: every parameter is honoured, or refused by its name.
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let fields = object(body)?;
        if fields.get("labels").is_none_or(Value::is_null) {
            return Err(ApiError::invalid("labels", "`labels` are needed: only a classifier has some of its own"));
        }
        let (mut model, mut texts, mut labels, mut is_raw) = (String::new(), Vec::new(), Value::Null, false);
        let (mut instructions, mut opening, mut routing) = (None, false, Routing::default());
        for (name, value) in fields {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("model", Value::String(name)) => model = name,
                ("input", text @ Value::String(_)) => texts = strings("input", vec![text], 1..=1)?,
                ("input", Value::Array(items)) => texts = strings("input", items, 1..=TEXTS_MAX)?,
                ("labels", value) => labels = value,
                ("instructions", Value::String(text)) => instructions = Some(text),
                ("raw", Value::Bool(raw)) => is_raw = raw,
                ("opening", value) => opening = boolean("opening", &value)?,
                ("provider", value) => routing = Routing::read(&value)?,
                (name @ "model", _) => return Err(ApiError::invalid(name, "`model` must be a string")),
                (name @ "input", _) => {
                    return Err(ApiError::invalid(name, "`input` must be a string or an array of strings"));
                }
                (name @ "instructions", _) => return Err(ApiError::invalid(name, "`instructions` must be a string")),
                (name @ "raw", _) => return Err(ApiError::invalid(name, "`raw` must be true or false")),
                (name, _) if HARMLESS.contains(&name) => {}
                (name, _) => return Err(ApiError::Unsupported { param: name.to_owned() }),
            }
        }
        if model.is_empty() {
            return Err(ApiError::invalid("model", "`model` is required"));
        }
        if texts.is_empty() {
            return Err(ApiError::invalid("input", "`input` needs at least one text"));
        }
        if is_raw && instructions.is_some() {
            return Err(ApiError::invalid("instructions", "`instructions` have no place where `raw` is true"));
        }
        let items = items(texts, labels)?;
        Ok(Self { model, items, instructions, is_raw, opening, routing })
    }

    /// Bytes that are read, and what each piece of them costs besides.
    fn size(&self) -> usize {
        let told = self.instructions.as_ref().map_or(0, String::len);
        let of = |item: &Item| {
            let labels = item.labels.iter().map(|label| label.len().saturating_add(TEXT_SIZE));
            labels.fold(item.text.len().saturating_add(told), usize::saturating_add)
        };
        self.items.iter().map(of).fold(0, usize::saturating_add)
    }
}

/// Non-empty strings in such a number.
fn strings(param: &str, values: Vec<Value>, count: std::ops::RangeInclusive<usize>) -> Result<Vec<String>, ApiError> {
    if !count.contains(&values.len()) {
        let (least, most, found) = (count.start(), count.end(), values.len());
        return Err(ApiError::invalid(param, format!("`{param}` has {found} entries; {least} to {most} are allowed")));
    }
    let text = |(index, value): (usize, Value)| match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        _ => Err(ApiError::invalid(param, format!("entry {index} of `{param}` must be a string that is not empty"))),
    };
    values.into_iter().enumerate().map(text).collect()
}

/// Each text with its labels: the same ones for all, or a list for each.
fn items(texts: Vec<String>, labels: Value) -> Result<Vec<Item>, ApiError> {
    let wrong = |message: String| ApiError::invalid("labels", message);
    let Value::Array(labels) = labels else {
        return Err(wrong("`labels` must be an array of strings, or an array of them for each text".into()));
    };
    let items: Vec<Item> = if labels.iter().all(Value::is_array) && !labels.is_empty() {
        if labels.len() != texts.len() {
            return Err(wrong(format!("`labels` has {} lists for {} texts", labels.len(), texts.len())));
        }
        let of = |(text, labels): (String, Value)| match labels {
            Value::Array(labels) => Ok(Item { text, labels: strings("labels", labels, 2..=LABELS_MAX)? }),
            _ => Err(wrong("a list of labels is expected".into())),
        };
        texts.into_iter().zip(labels).map(of).collect::<Result<_, ApiError>>()?
    } else {
        let labels = strings("labels", labels, 2..=LABELS_MAX)?;
        texts.into_iter().map(|text| Item { text, labels: labels.clone() }).collect()
    };
    for Item { labels, .. } in &items {
        if let Some(twice) = labels.iter().enumerate().find(|(index, label)| labels[..*index].contains(label)) {
            return Err(wrong(format!("the label {:?} is there twice", twice.1)));
        }
    }
    let continuations: usize = items.iter().map(|item| item.labels.len()).sum();
    if continuations > CONTINUATIONS_MAX {
        return Err(wrong(format!(
            "{continuations} labels are scored in all; at most {CONTINUATIONS_MAX} are allowed"
        )));
    }
    Ok(items)
}

/// What a client gets.
#[derive(Debug, Serialize)]
struct ClassificationList {
    object: &'static str,
    data: Vec<Classification>,
    model: String,
    usage: PartUsage,
    inferium: Extras,
}

/// One text.
#[derive(Debug, PartialEq, Serialize)]
struct Classification {
    object: &'static str,
    index: usize,
    /// The likeliest label; of equals the first.
    label: String,
    num_classes: usize,
    /// The label's share of the probability of all labels, in their order.
    probs: Vec<f64>,
    scores: Vec<LabelScore>,
}

/// One label after one text.
#[derive(Debug, PartialEq, Serialize)]
struct LabelScore {
    label: String,
    /// Natural logarithm of the probability that the model writes exactly this.
    logprob: f64,
    tokens: usize,
    /// Each of its tokens is the likeliest one.
    is_greedy: bool,
}

pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let payer = state.payer(&headers)?;
    let body = whole_body(body)?;
    let named = sized(body.len(), {
        let body = body.clone();
        move || named(&body)
    })
    .await??;
    let model = Arc::clone(state.model(&named)?);
    if let Model::Classifier(classifier) = &model.model {
        let classifier = Arc::clone(classifier);
        return classifier::create(&state, payer, (model, classifier), body).await;
    }
    if let Model::Prover(prover) = &model.model {
        let prover = Arc::clone(prover);
        return classifier::create_private(&state, payer, (model, prover), body).await;
    }
    let request = sized(body.len(), move || ClassificationRequest::parse(&body)).await??;
    model.suits(&request.routing)?;
    let size = request.size();
    let preparing = Arc::clone(&model);
    let (request, specs) = sized(size, move || {
        let mut specs = prepare(&preparing, &request, payer)?;
        for spec in &mut specs {
            spec.preferences = request.routing.preferences.clone();
        }
        Ok::<_, ApiError>((request, specs))
    })
    .await??;
    let done = run_all(&state.hub, specs).await?;
    Ok(answer(&model, &request, done))
}

/// The model of a body, which says how the rest of it is read.
fn named(body: &[u8]) -> Result<String, ApiError> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        model: Value,
    }
    // What is no object is refused in the words of those that read all of it.
    match serde_json::from_slice::<Named>(body).map(|named| named.model) {
        Ok(Value::String(model)) if !model.is_empty() => Ok(model),
        Ok(Value::Null | Value::String(_)) => Err(ApiError::invalid("model", "`model` is required")),
        Ok(_) => Err(ApiError::invalid("model", "`model` must be a string")),
        Err(_) => object(body).and_then(|_| Err(ApiError::Json("expected an object with one `model`".into()))),
    }
}

/// Tokenises every label after its text, and packs them into jobs.
fn prepare(model: &ApiModel, request: &ClassificationRequest, payer: Digest) -> Result<Vec<JobSpec>, ApiError> {
    let name = || model.profile.name.clone();
    let (ModelTask::Chat, Model::Chat(engine)) = (model.profile.task, &model.model) else {
        let task = model.profile.task;
        return Err(ApiError::OtherTask { model: name(), does: task.name(), url: url_of(task) });
    };
    model.fits(&JobInput::Score { continuations: Vec::new(), likeliest: 0 }, &SamplingParams::GREEDY)?;
    let (mut parts, mut total) = (Vec::new(), 0usize);
    for (index, item) in request.items.iter().enumerate() {
        let prompt = prompt(&**engine, request, item).map_err(|error| refused("input", index, &error))?;
        for label in &item.labels {
            let tokens = engine.encode(label).map_err(|error| refused("labels", index, &error))?;
            let (count, context) = (prompt.len().saturating_add(tokens.len()), model.context_tokens);
            // With the one that the job's answer counts for it.
            if u32::try_from(count).unwrap_or(u32::MAX) >= context {
                let tokens = u64::try_from(count).unwrap_or(u64::MAX);
                return Err(ApiError::TextLength { index, tokens, model: name(), context: context.saturating_sub(1) });
            }
            total = total.saturating_add(count);
            if total > TOKENS_MAX {
                let message = format!("more than {TOKENS_MAX} tokens in all, with each label's text and instructions");
                return Err(ApiError::invalid("input", message));
            }
            parts.push(Ok((Continuation { prompt: prompt.clone(), tokens }, count)));
        }
    }
    pack((model, payer), parts.into_iter(), |continuations| JobPayload::score(rand::random(), continuations, 1))
}

fn refused(param: &str, index: usize, error: &EngineError) -> ApiError {
    ApiError::invalid(param, format!("text {index}: {error}"))
}

/// What stands before an item's labels.
fn prompt(engine: &dyn Engine, request: &ClassificationRequest, item: &Item) -> Result<Vec<u32>, EngineError> {
    if request.is_raw {
        return engine.encode(&item.text);
    }
    let instructions = request.instructions.clone().unwrap_or_else(|| {
        let labels = item.labels.join(", ");
        format!("Classify the text of the user. Answer with one of these labels and nothing else: {labels}.")
    });
    let message = |role: &str, content: String| ChatMessage { role: role.to_owned(), content };
    engine.render_chat(&[message("system", instructions), message("user", item.text.clone())])
}

fn answer(model: &ApiModel, request: &ClassificationRequest, done: Vec<Done>) -> Response {
    let usage = PartUsage::of(&done);
    let (mut scores, mut jobs) = (Vec::new(), Vec::new());
    for one in done {
        let first = scores.len();
        jobs.push(JobExtras::new(&one, (first, first + one.answer.len()), request.opening));
        if let JobAnswer::Scores(more) = one.answer {
            scores.extend(more);
        }
    }
    let mut scores = scores.into_iter();
    let data = request.items.iter().enumerate();
    let data = data.map(|(index, item)| classification(index, &item.labels, &mut scores)).collect();
    let model = model.profile.name.clone();
    let list = ClassificationList { object: "list", data, model, usage, inferium: Extras { jobs } };
    respond(&list, &list.inferium)
}

/// Takes the scores of one item's labels, and says which is the likeliest.
fn classification(
    index: usize,
    labels: &[String],
    scores: &mut impl Iterator<Item = Vec<TokenScore>>,
) -> Classification {
    let of = |(label, scores): (&String, Vec<TokenScore>)| LabelScore {
        label: label.clone(),
        logprob: scores.iter().map(|score| f64::from(score.logprob())).sum(),
        tokens: scores.len(),
        is_greedy: scores.iter().all(|score| score.likeliest().next().is_some_and(|(_, best)| best <= score.logprob())),
    };
    let scores: Vec<LabelScore> = labels.iter().zip(scores).map(of).collect();
    let best = scores.iter().map(|score| score.logprob).fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score.logprob - best).exp()).collect();
    let total: f64 = weights.iter().sum();
    let likeliest = scores.iter().find(|score| score.logprob >= best);
    Classification {
        object: "classification",
        index,
        label: likeliest.map_or_else(String::new, |score| score.label.clone()),
        num_classes: labels.len(),
        probs: weights.into_iter().map(|weight| weight / total).collect(),
        scores,
    }
}

#[cfg(test)]
mod tests;
