//! What a model makes of a text: `POST /tokenize`, `POST /detokenize`, `GET /tokenizer_info`, as vLLM has them and lm-eval asks.
//!
//! They are free, and need a key only because every text that is read takes time.

use super::choices::{spelled, text_engine};
use super::error::ApiError;
use super::fields::{array, boolean, string, text, tokens};
use super::{ApiModel, ApiState, object, sized, whole_body};
use axum::{
    Json,
    body::Bytes,
    extract::{
        Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::HeaderMap,
};
use inferium_types::ModelTask;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Which model, where there is no body.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Which {
    model: Option<String>,
}

/// The model of this name; without one the only model that answers in text.
fn named(state: &ApiState, name: Option<&str>) -> Result<Arc<ApiModel>, ApiError> {
    if let Some(name) = name {
        return state.model(name).map(Arc::clone);
    }
    let mut chats = state.models.iter().filter(|model| model.profile.task == ModelTask::Chat);
    match (chats.next(), chats.next()) {
        (Some(only), None) => Ok(Arc::clone(only)),
        _ => Err(ApiError::invalid("model", "there are several models: name one by `model`, or by the URL /m/{model}")),
    }
}

pub(super) async fn info(
    State(state): State<ApiState>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(which) = which.map_err(|rejection| ApiError::invalid("model", rejection.body_text()))?;
    let model = named(&state, which.model.as_deref())?;
    let tokenizer = text_engine(&model)?.tokenizer();
    Ok(Json(json!({
        "bos_token": tokenizer.bos_token,
        "eos_token": tokenizer.eos_token,
        "pad_token": null,
        "chat_template": tokenizer.chat_template,
        "max_model_len": model.context_tokens,
        "vocab_size": text_engine(&model)?.model().vocab_size,
    })))
}

/// The body's fields and the model that they name.
async fn read(
    state: &ApiState,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(Map<String, Value>, Arc<ApiModel>, usize), ApiError> {
    state.payer(headers)?;
    let body = whole_body(body)?;
    let size = body.len();
    let list = sized(size, move || object(&body)).await??;
    let name = list.get("model").filter(|name| !name.is_null()).map(|name| text("model", name)).transpose()?;
    let model = named(state, name)?;
    Ok((list, model, size))
}

pub(super) async fn tokenize(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let (list, model, size) = read(&state, &headers, body).await?;
    let mut prompt = None;
    let mut shows_texts = false;
    for (name, value) in &list {
        match name.as_str() {
            _ if value.is_null() => {}
            "model" => {}
            "prompt" => prompt = Some(string(name, value)?),
            // Texts are never given special tokens that their model's template does not have.
            "add_special_tokens" => drop(boolean(name, value)?),
            "return_token_strs" => shows_texts = boolean(name, value)?,
            other => return Err(ApiError::Unsupported { param: other.to_owned() }),
        }
    }
    let prompt = prompt.ok_or_else(|| ApiError::invalid("prompt", "`prompt` is required"))?;
    let engine = text_engine(&model)?;
    let reader = Arc::clone(&engine);
    let found = sized(size, move || reader.encode(&prompt)).await?;
    let found = found.map_err(|error| ApiError::invalid("prompt", error.to_string()))?;
    let texts: Option<Vec<String>> = shows_texts.then(|| found.iter().map(|token| spelled(&*engine, *token)).collect());
    Ok(Json(json!({
        "count": found.len(),
        "max_model_len": model.context_tokens,
        "tokens": found,
        "token_strs": texts,
    })))
}

pub(super) async fn detokenize(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let (list, model, size) = read(&state, &headers, body).await?;
    let mut found = None;
    for (name, value) in &list {
        match name.as_str() {
            _ if value.is_null() => {}
            "model" => {}
            "tokens" => found = Some(tokens(name, array(name, value)?)?),
            other => return Err(ApiError::Unsupported { param: other.to_owned() }),
        }
    }
    let found = found.ok_or_else(|| ApiError::invalid("tokens", "`tokens` is required"))?;
    let engine = text_engine(&model)?;
    let vocab = engine.model().vocab_size;
    if let Some(token) = found.iter().find(|token| **token >= vocab) {
        return Err(ApiError::invalid("tokens", format!("token {token} is not in the vocabulary of {vocab}")));
    }
    let prompt = sized(size, move || engine.decode(&found)).await?;
    Ok(Json(json!({"prompt": prompt})))
}
