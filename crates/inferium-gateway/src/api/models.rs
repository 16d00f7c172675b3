//! What this gateway serves.

use super::{ApiState, error::ApiError};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use inferium_types::EngineClass;
use serde_json::{Value, json};

pub(super) async fn list(State(state): State<ApiState>) -> Json<Value> {
    Json(json!({"object": "list", "data": [model(&state)]}))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let Path(id) = id.map_err(|rejection| ApiError::invalid("model", rejection.body_text()))?;
    if id != state.profile.name {
        return Err(ApiError::ModelNotFound { model: id, served: state.profile.name.clone() });
    }
    Ok(Json(model(&state)))
}

fn model(state: &ApiState) -> Value {
    let profile = &state.profile;
    let (leases, measured) = state.hub.open_leases(state.profile_id);
    let context = if leases > 0 { measured } else { state.context_tokens };
    let engine = match &profile.engine {
        EngineClass::Canonical { build, tier } => {
            json!({"class": "canonical", "build": build.to_string(), "tier": tier})
        }
        EngineClass::Tolerance { verifier, .. } => json!({"class": "tolerance", "verifier": verifier.to_string()}),
    };
    json!({
        "id": profile.name,
        "object": "model",
        "created": state.created_s,
        "owned_by": "inferium",
        "context_length": context,
        "model_profile": state.profile_id.to_string(),
        "weights_root": profile.weights_root.to_string(),
        "engine": engine,
        "leases_ready": leases,
    })
}
