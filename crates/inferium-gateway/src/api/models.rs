//! What this gateway serves.

use super::choices::ifr;
use super::proofs::Provers;
use super::{ApiModel, ApiState, error::ApiError};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, header},
};
use inferium_engine::Model;
use inferium_types::{ClassifierReads, EngineClass, ModelTask};
use serde_json::{Value, json};

/// All models; of a request that shows a key, those that it may use.
pub(super) async fn list(State(state): State<ApiState>, headers: HeaderMap) -> Result<Json<Value>, ApiError> {
    let key = headers.contains_key(header::AUTHORIZATION).then(|| state.key(&headers)).transpose()?;
    let is_allowed = |model: &ApiModel| key.as_ref().is_none_or(|key| key.terms.allows(&model.profile.name));
    let data: Vec<Value> =
        state.models.iter().filter(|model| is_allowed(model)).map(|model| shown(&state, model)).collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let Path(id) = id.map_err(|rejection| ApiError::invalid("model", rejection.body_text()))?;
    Ok(Json(shown(&state, state.model(&id)?)))
}

fn shown(state: &ApiState, model: &ApiModel) -> Value {
    let profile = &model.profile;
    let (leases, measured) = state.hub.open_leases(model.id, model.kind);
    let context = match profile.task {
        ModelTask::Chat if leases > 0 => measured,
        ModelTask::Chat => model.context_tokens,
        // Of one text, however many a lease has room for.
        ModelTask::Embed { .. }
        | ModelTask::Host
        | ModelTask::Fold
        | ModelTask::Train
        | ModelTask::Prove
        | ModelTask::ProvePrivate { .. }
        | ModelTask::Classify { .. } => model.model.context_tokens(),
    };
    let class = profile.engine.name();
    let engine = match &profile.engine {
        EngineClass::Canonical { build, tier } => json!({"class": class, "build": build.to_string(), "tier": tier}),
        EngineClass::Tolerance { verifier, calibration } => {
            json!({"class": class, "verifier": verifier.to_string(), "calibration": calibration.corpus.to_string()})
        }
        EngineClass::Foreign { verifier, bounds } => json!({
            "class": class,
            "verifier": verifier.to_string(),
            "drift_ppm": bounds.drift.get(),
            "margin_micro": bounds.margin_micro,
            "outside_ppm": bounds.outside.get(),
        }),
    };
    let (workers, price) = state.hub.market(model.id, model.kind);
    let price = price.unwrap_or(model.price_max);
    // Of nothing that shapes an answer is it clear elsewhere that everyone draws alike.
    let is_exact = matches!(profile.engine, EngineClass::Canonical { .. });
    let is_chat = profile.task == ModelTask::Chat;
    let mut shown = json!({
        "id": profile.name,
        "object": "model",
        "created": state.created_s,
        "owned_by": "inferium",
        "task": profile.task.name(),
        "context_length": context,
        "max_model_len": context,
        "pricing": {
            "prompt": ifr(price.prompt_token),
            "completion": ifr(price.completion_token),
            // The cheapest worker may be busy: no request costs more than this a token.
            "prompt_max": ifr(model.price_max.prompt_token.max(price.prompt_token)),
            "completion_max": ifr(model.price_max.completion_token.max(price.completion_token)),
            "currency": "IFR",
        },
        "quantization": model.quantization(),
        "capabilities": {
            "chat": is_chat,
            "completions": is_chat && !matches!(profile.engine, EngineClass::Foreign { .. }),
            "tools": is_chat && is_exact,
            "structured_outputs": is_chat && is_exact,
            "logprobs": is_chat && is_exact,
            "embeddings": matches!(profile.task, ModelTask::Embed { .. }),
            "classifications": matches!(profile.task, ModelTask::Classify { .. } | ModelTask::ProvePrivate { .. })
                || is_chat && is_exact,
            "proofs": Provers::of(&state.provers, &model.id).is_some() || profile.task.is_proof(),
        },
        "workers_online": workers,
        "model_profile": model.id.to_string(),
        "weights_root": profile.weights_root.to_string(),
        "engine": engine,
        "verification": profile.mode().name(),
        "leases_ready": leases,
    });
    if let (ModelTask::Embed { width }, Some(fields)) = (profile.task, shown.as_object_mut()) {
        fields.insert("dimensions".into(), width.into());
    }
    if let (ModelTask::ProvePrivate { openings }, Model::Prover(prover), Some(fields)) =
        (profile.task, &model.model, shown.as_object_mut())
    {
        let (shape, least, most) = prover.inputs();
        fields.insert("openings".into(), openings.into());
        fields.insert("key".into(), hex::encode(prover.verifying_key().to_bytes().unwrap_or_default()).into());
        fields.insert(
            "input".into(),
            json!({
                "type": "tensor", "elements": shape.elements(), "minimum": least, "maximum": most,
                "channels": shape.channels, "height": shape.height, "width": shape.width,
            }),
        );
    }
    if let (Model::Classifier(classifier), Some(fields)) = (&model.model, shown.as_object_mut()) {
        fields.insert("labels".into(), classifier.model().labels.as_slice().into());
        let input = match classifier.model().reads {
            ClassifierReads::Texts => json!({"type": "text"}),
            ClassifierReads::Tensors { elements, least, most } => {
                let [channels, height, width] = classifier.input_shape();
                json!({
                    "type": "tensor", "elements": elements, "minimum": least, "maximum": most,
                    "channels": channels, "height": height, "width": width,
                })
            }
        };
        fields.insert("input".into(), input);
    }
    shown
}
