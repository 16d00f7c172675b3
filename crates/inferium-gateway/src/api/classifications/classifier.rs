//! What a classifier says of texts or tensors (SPEC J12): its own labels, by whole numbers that are the same on every machine.

use super::super::fields::{boolean, fields, integer};
use super::super::parts::{Done, Extras, JobExtras, PartUsage, pack, respond, run_all};
use super::super::routing::Routing;
use super::super::{ApiModel, ApiState, error::ApiError, object, proofs, sized};
use super::{HARMLESS, TEXTS_MAX};
use crate::hub::JobSpec;
use axum::{body::Bytes, response::Response};
use inferium_engine::{Classifier, EngineError};
use inferium_types::limits::PROOF_INPUTS_MAX;
use inferium_types::{
    Amount, ClassifierInputs, ClassifierReads, Digest, JobAnswer, JobId, JobPayload, VerificationMode,
};
pub(super) use private::create as create_private;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

mod image;
mod private;
#[cfg(test)]
mod tests;

/// What an input counts for beside its bytes, where it is asked how long something takes.
const INPUT_SIZE: usize = 256;
/// Parameters for models that are given labels.
const OF_CHAT_MODELS: [&str; 3] = ["labels", "instructions", "raw"];

/// How inputs are read.
#[derive(Debug, Clone, Copy)]
struct Reading {
    reads: ClassifierReads,
    /// Channels, rows, columns of a tensor.
    shape: [u32; 3],
}

impl Reading {
    fn of(classifier: &Classifier) -> Self {
        Self { reads: classifier.model().reads, shape: classifier.input_shape() }
    }
}

/// What is asked of a classifier.
#[derive(Debug, Clone, PartialEq)]
struct Request {
    inputs: ClassifierInputs,
    /// Whether the client is to be able to show others what was asked and answered.
    opening: bool,
    routing: Routing,
    /// What a proof is to hide, where one is asked for.
    proof: Option<Hides>,
}

/// What a proof of an answer hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hides {
    Activations,
    Nothing,
}

impl Request {
    /// Parses a body: every parameter is honoured, or refused by its name.
    fn parse(body: &[u8], reading: Reading) -> Result<Self, ApiError> {
        let (mut inputs, mut opening, mut hides) = (None, false, None);
        let mut routing = Routing::default();
        for (name, value) in object(body)? {
            match (name.as_str(), value) {
                ("model", _) | (_, Value::Null) => {}
                ("input", value) => inputs = Some(read(value, reading)?),
                ("opening", value) => opening = boolean("opening", &value)?,
                ("provider", value) => routing = Routing::read(&value)?,
                ("proof", value) => hides = Some(proof(&value)?),
                (name, _) if OF_CHAT_MODELS.contains(&name) => {
                    let message = format!("`{name}` is for chat models: a classifier has labels of its own");
                    return Err(ApiError::invalid(name, message));
                }
                (name, _) if HARMLESS.contains(&name) => {}
                (name, _) => return Err(ApiError::Unsupported { param: name.to_owned() }),
            }
        }
        let inputs = inputs.ok_or_else(|| ApiError::invalid("input", "`input` is required"))?;
        // What is verified by equality all the same may be proved as well.
        let is_proved = routing.verification.take_if(|mode| mode == VerificationMode::Zk.name()).is_some();
        if hides.is_some() && !is_proved {
            let message =
                "`proof` says how an answer is proved: `provider` has to ask for it, with `\"verification\": \"zk\"`";
            return Err(ApiError::invalid("proof", message));
        }
        let proof = is_proved.then(|| hides.unwrap_or(Hides::Activations));
        Ok(Self { inputs, opening, routing, proof })
    }
}

/// What a proof is to hide.
fn proof(value: &Value) -> Result<Hides, ApiError> {
    let mut hides = Hides::Activations;
    for (name, value) in fields("proof", value)? {
        let param = format!("proof.{name}");
        match (name.as_str(), value.as_str()) {
            ("hides", Some("activations")) => hides = Hides::Activations,
            ("hides", Some("nothing")) => hides = Hides::Nothing,
            ("hides", _) => return Err(ApiError::invalid(&param, "`proof.hides` is `activations` or `nothing`")),
            _ => return Err(ApiError::Unsupported { param }),
        }
    }
    Ok(hides)
}

/// One input or several, of the kind that the classifier reads.
fn read(value: Value, Reading { reads, shape }: Reading) -> Result<ClassifierInputs, ApiError> {
    let wrong = |message: String| ApiError::invalid("input", message);
    match reads {
        ClassifierReads::Texts => {
            let texts = match value {
                Value::Array(items) => super::strings("input", items, 1..=TEXTS_MAX)?,
                text @ Value::String(_) => super::strings("input", vec![text], 1..=1)?,
                _ => {
                    return Err(wrong(
                        "`input` must be a string or an array of strings: this classifier reads texts".into(),
                    ));
                }
            };
            Ok(ClassifierInputs::Texts(texts))
        }
        ClassifierReads::Tensors { least, most, .. } => {
            let items = match value {
                Value::Array(items) if !items.iter().all(Value::is_number) => items,
                one @ (Value::Array(_) | Value::Object(_)) => vec![one],
                _ => {
                    return Err(wrong(
                        "`input` must be an array of integers, an object with an `image`, or an array of these: this \
                         classifier reads numbers"
                            .into(),
                    ));
                }
            };
            if items.is_empty() || items.len() > TEXTS_MAX {
                return Err(wrong(format!("`input` has {} entries; 1 to {TEXTS_MAX} are allowed", items.len())));
            }
            let tensor = |(index, item): (usize, Value)| {
                match item {
                Value::Array(elements) => elements
                    .iter()
                    .enumerate()
                    .map(|(place, element)| {
                        integer(element)
                            .and_then(|element| i16::try_from(element).ok())
                            .filter(|element| (least..=most).contains(element))
                            .ok_or_else(|| {
                                wrong(format!(
                                    "element {place} of entry {index} of `input` must be an integer from {least} to {most}"
                                ))
                            })
                    })
                    .collect(),
                Value::Object(fields) => {
                    image::read(fields, shape, (least, most))
                        .map_err(|reason| wrong(format!("entry {index} of `input`: {reason}")))
                }
                _ => Err(wrong(format!("entry {index} of `input` must be an array of integers or an object with an `image`"))),
            }
            };
            let tensors = items.into_iter().enumerate().map(tensor).collect::<Result<_, ApiError>>()?;
            Ok(ClassifierInputs::Tensors(tensors))
        }
    }
}

/// What a client gets.
#[derive(Serialize)]
struct ClassifiedList {
    object: &'static str,
    data: Vec<Classified>,
    model: String,
    usage: PartUsage,
    inferium: Extras,
    /// Where the proof of the answer will be, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Value>,
}

/// One input.
#[derive(Debug, PartialEq, Serialize)]
struct Classified {
    object: &'static str,
    index: usize,
    /// The label of the largest number; of equals the first.
    label: String,
    /// Its place among the labels.
    class: usize,
    num_classes: usize,
    /// The model's number for each label, in their order: whole, and the same on every machine.
    logits: Vec<i32>,
}

pub(super) async fn create(
    state: &ApiState,
    payer: Digest,
    (model, classifier): (Arc<ApiModel>, Arc<Classifier>),
    body: Bytes,
) -> Result<Response, ApiError> {
    let reading = Reading::of(&classifier);
    // A picture may be a thousand times as large as its bytes.
    let read = match reading.reads {
        ClassifierReads::Texts => body.len(),
        ClassifierReads::Tensors { .. } => usize::MAX,
    };
    let request = sized(read, move || Request::parse(&body, reading)).await??;
    let Request { inputs, opening, routing, proof } = request;
    model.suits(&routing)?;
    let tensors = match &inputs {
        ClassifierInputs::Tensors(tensors) if proof.is_some() => {
            tensors.iter().take(PROOF_INPUTS_MAX).cloned().collect()
        }
        ClassifierInputs::Tensors(_) | ClassifierInputs::Texts(_) => Vec::new(),
    };
    let count = inputs.len();
    let (preparing, reading) = (Arc::clone(&model), Arc::clone(&classifier));
    let mut specs = sized(size(&inputs), move || prepare(&preparing, &reading, inputs, payer)).await??;
    if proof.is_some() {
        let of = |spec: &JobSpec| spec.cost_max(&model.price_max).nano();
        let answer = specs.iter().map(of).fold(0, u64::saturating_add);
        proofs::check(state, payer, &model, (count, specs.len(), Amount::from_nano(answer))).await?;
    }
    for spec in &mut specs {
        spec.preferences = routing.preferences.clone();
    }
    let done = run_all(&state.hub, specs).await?;
    let asked = match (proof, done.first().and_then(|done| JobId::from_hex(&done.job))) {
        (Some(hides), Some(job)) => {
            Some(proofs::ask(state, payer, &model, (job, tensors, hides == Hides::Activations)).await?)
        }
        _ => None,
    };
    Ok(answer(&model, &classifier.model().labels, done, (opening, asked)))
}

fn size(inputs: &ClassifierInputs) -> usize {
    let bytes: usize = match inputs {
        ClassifierInputs::Texts(texts) => texts.iter().map(String::len).sum(),
        ClassifierInputs::Tensors(tensors) => tensors.iter().map(|tensor| tensor.len().saturating_mul(2)).sum(),
    };
    bytes.saturating_add(inputs.len().saturating_mul(INPUT_SIZE))
}

/// Packs inputs into jobs, and checks all that a worker would: what it had to refuse is not sent.
fn prepare(
    model: &ApiModel,
    classifier: &Classifier,
    inputs: ClassifierInputs,
    payer: Digest,
) -> Result<Vec<JobSpec>, ApiError> {
    let tokens = |index: usize, one: &ClassifierInputs| match classifier.read(one) {
        Ok(read) => Ok(read.iter().map(|input| input.tokens()).sum()),
        Err(EngineError::TooLong { tokens, context_tokens: context }) => {
            Err(ApiError::TextLength { index, tokens, model: model.profile.name.clone(), context })
        }
        Err(error) => Err(ApiError::invalid("input", format!("entry {index}: {error}"))),
    };
    match inputs {
        ClassifierInputs::Texts(texts) => {
            let parts = texts.into_iter().enumerate().map(|(index, text)| {
                let one = ClassifierInputs::Texts(vec![text.clone()]);
                Ok((text, tokens(index, &one)?))
            });
            pack((model, payer), parts, |texts| JobPayload::classify(rand::random(), ClassifierInputs::Texts(texts)))
        }
        ClassifierInputs::Tensors(tensors) => {
            let parts = tensors.into_iter().enumerate().map(|(index, tensor)| {
                let one = ClassifierInputs::Tensors(vec![tensor.clone()]);
                Ok((tensor, tokens(index, &one)?))
            });
            pack((model, payer), parts, |tensors| {
                JobPayload::classify(rand::random(), ClassifierInputs::Tensors(tensors))
            })
        }
    }
}

fn answer(model: &ApiModel, labels: &[String], done: Vec<Done>, (opening, proof): (bool, Option<Value>)) -> Response {
    let usage = PartUsage::of(&done);
    let (mut data, mut jobs) = (Vec::new(), Vec::new());
    for one in done {
        let first = data.len();
        jobs.push(JobExtras::new(&one, (first, first + one.answer.len()), opening));
        let JobAnswer::Logits(all) = one.answer else { continue };
        for logits in all {
            let class = logits.label();
            let label = labels.get(class).cloned().unwrap_or_default();
            let (index, num_classes) = (data.len(), logits.values().len());
            let logits = logits.values().to_vec();
            data.push(Classified { object: "classification", index, label, class, num_classes, logits });
        }
    }
    let model = model.profile.name.clone();
    let list = ClassifiedList { object: "list", data, model, usage, inferium: Extras { jobs }, proof };
    respond(&list, &list.inferium)
}
