//! Which agents there are: the chain says what they are, their creators bring the manifests.

use super::super::ApiState;
use super::super::choices::ifr;
use super::super::error::ApiError;
use super::open::Opener;
use super::reviews;
use crate::store::{AGENTS_MAX, AgentRecord};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{
    Path, Query, State, rejection::BytesRejection, rejection::PathRejection, rejection::QueryRejection,
};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use inferium_agent::Manifest;
use inferium_ledger::{Agent, StateKey};
use inferium_types::{AgentId, Digest, limits};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// How long a manifest waits for the block that its agent is in.
const NEWS_PATIENCE: Duration = Duration::from_secs(3);
/// Agents of a page at most.
pub(in super::super) const PAGE_MAX: usize = 100;
/// Agents that are looked up at once.
const LOOKUPS: usize = 16;

/// An agent of the chain, with its manifest.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: AgentId,
    pub(super) agent: Agent,
    pub(super) manifest: String,
}

impl Opener {
    pub(super) async fn entry(&self, id: AgentId) -> Result<Option<Agent>, ApiError> {
        self.chain.entry(&StateKey::Agent(id)).await.map_err(|error| ApiError::Chain(error.to_string()))
    }

    /// The agent of this id or name, with the manifest of its version.
    pub(super) async fn find(&self, state: &ApiState, name: &str) -> Result<Found, ApiError> {
        let id = match AgentId::from_hex(name) {
            Some(id) => id,
            None => by_name(state, name).await?,
        };
        let unknown = || ApiError::AgentNotFound(format!("there is no agent {name:?}"));
        let agent = self.entry(id).await?.ok_or_else(unknown)?;
        if agent.retired {
            return Err(ApiError::AgentNotFound(format!("the agent {name:?} is retired")));
        }
        let record = state.hub.disk(move |hub| hub.store.agent(id)).await?;
        let manifest = record.map(|record| record.manifest);
        let manifest = manifest.filter(|text| Digest::sha256(text.as_bytes()) == agent.terms.manifest);
        let manifest = manifest.ok_or_else(|| {
            ApiError::AgentNotFound(format!(
                "this gateway does not have the manifest of {name:?} as it is now; its creator brings it with `inferium studio publish`"
            ))
        })?;
        Ok(Found { id, agent, manifest })
    }
}

/// The one agent of this name that the gateway has the manifest of.
async fn by_name(state: &ApiState, name: &str) -> Result<AgentId, ApiError> {
    let asked = name.to_owned();
    let ids = state.hub.disk(move |hub| hub.store.agents_called(&asked)).await?;
    match ids.as_slice() {
        [id] => Ok(*id),
        [] => Err(ApiError::AgentNotFound(format!("no agent that this gateway knows is called {name:?}"))),
        several => {
            let ids: Vec<String> = several.iter().map(AgentId::to_string).collect();
            let message = format!("several agents are called {name:?}; give an id: {}", ids.join(", "));
            Err(ApiError::invalid("agent", message))
        }
    }
}

pub(super) fn opener(state: &ApiState) -> Result<&Opener, ApiError> {
    state.runs.as_deref().ok_or_else(|| ApiError::Internal("this gateway follows no chain".to_owned()))
}

/// The agent once the chain has it with this manifest, or as it is after a while: whoever published it may have heard of the block
/// before this gateway.
async fn settled_entry(state: &ApiState, id: AgentId, manifest: Digest) -> Result<Option<Agent>, ApiError> {
    let (opener, mut head) = (opener(state)?, state.head.clone());
    let until = Instant::now() + NEWS_PATIENCE;
    loop {
        head.mark_unchanged();
        let entry = opener.entry(id).await?;
        let is_there = entry.as_ref().is_some_and(|agent| agent.terms.manifest == manifest);
        if is_there || tokio::time::timeout_at(until, head.changed()).await.is_err() {
            return Ok(entry);
        }
    }
}

/// Takes the manifest of an agent that the chain has by its hash: nobody can bring another.
pub(in super::super) async fn put_manifest(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    state.key(&headers)?;
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let unknown = || ApiError::AgentNotFound(format!("there is no agent {id:?}"));
    let agent_id = AgentId::from_hex(&id).ok_or_else(unknown)?;
    let bytes = super::super::whole_body(body)?;
    if bytes.len() > limits::MANIFEST_SIZE_MAX {
        return Err(ApiError::TooLarge);
    }
    let given = Digest::sha256(&bytes);
    let agent = settled_entry(&state, agent_id, given).await?.ok_or_else(unknown)?;
    if given != agent.terms.manifest {
        let message =
            format!("the manifest has the hash {given}; the chain has {} of this agent", agent.terms.manifest);
        return Err(ApiError::invalid("manifest", message));
    }
    let manifest = String::from_utf8(bytes.into()).map_err(|_| ApiError::invalid("manifest", "no text in UTF-8"))?;
    let read = Manifest::read(&manifest).map_err(|error| ApiError::invalid("manifest", error))?;
    let terms = read.terms(given, agent.terms.model).map_err(|error| ApiError::invalid("manifest", error))?;
    if terms.version_digest() != agent.terms.version_digest() {
        let message = "the chain has another price or other limits of this agent than the manifest says";
        return Err(ApiError::invalid("manifest", message));
    }
    let record = AgentRecord { creator: agent.creator, name: agent.name.clone(), manifest };
    if !state.hub.disk(move |hub| hub.store.put_agent(agent_id, &record)).await? {
        let message = format!("this gateway has the manifests of {AGENTS_MAX} agents, and no room for more");
        return Err(ApiError::invalid("manifest", message));
    }
    Ok(Json(shown(agent_id, &agent, &read)).into_response())
}

pub(in super::super) async fn show(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let found = opener(&state)?.find(&state, &id).await?;
    let manifest = Manifest::read(&found.manifest).map_err(ApiError::Internal)?;
    let mut agent = shown(found.id, &found.agent, &manifest);
    if let Some(fields) = agent.as_object_mut() {
        fields.insert("readme".to_owned(), json!(manifest.readme));
        fields.insert("secrets".to_owned(), json!(manifest.secrets));
        fields.insert("manifest".to_owned(), json!(found.manifest));
        fields.insert("reviews".to_owned(), reviews::of_agent(&state, found.id).await?);
    }
    Ok(Json(agent).into_response())
}

/// Which page of the agents.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

/// Agents that can be run here: those whose manifest is here, as it is now.
pub(in super::super) async fn list(
    State(state): State<ApiState>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, ApiError> {
    let opener = opener(&state)?;
    let Query(Page { after, limit }) =
        page.map_err(|rejection| ApiError::invalid("limit", format!("`after` and `limit`: {rejection}")))?;
    let wrong = || ApiError::invalid("limit", format!("`limit` is from 1 to {PAGE_MAX}"));
    let limit = limit.or(Some(PAGE_MAX)).filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or_else(wrong)?;
    let after = match after.as_deref().map(AgentId::from_hex) {
        None => None,
        Some(Some(id)) => Some(id),
        Some(None) => return Err(ApiError::invalid("after", "`after` is the id of an agent")),
    };
    let first = after.unwrap_or(AgentId::new(Digest::ZERO));
    let known = state.hub.disk(move |hub| hub.store.agents_from(first, limit + 2)).await?;
    let mut known: Vec<_> = known.into_iter().filter(|(id, _)| Some(*id) != after).collect();
    let has_more = known.len() > limit;
    known.truncate(limit);
    let last_id = known.last().map(|(id, _)| id.to_string());
    let entries = known.into_iter().map(|(id, record)| async move { (id, record, opener.entry(id).await) });
    let mut entries = futures::stream::iter(entries).buffered(LOOKUPS);
    let mut data: Vec<Value> = Vec::new();
    while let Some((id, record, entry)) = entries.next().await {
        let Some(agent) = entry?.filter(|agent| !agent.retired) else { continue };
        if Digest::sha256(record.manifest.as_bytes()) == agent.terms.manifest
            && let Ok(manifest) = Manifest::read(&record.manifest)
        {
            data.push(shown(id, &agent, &manifest));
        }
    }
    Ok(Json(json!({"object": "list", "data": data, "has_more": has_more, "last_id": last_id})).into_response())
}

fn shown(id: AgentId, agent: &Agent, manifest: &Manifest) -> Value {
    let terms = &agent.terms;
    json!({
        "id": id.to_string(),
        "object": "agent",
        "name": agent.name,
        "model_name": format!("studio/{}", agent.name),
        "summary": manifest.summary,
        "creator": agent.creator.to_string(),
        "account": id.account().to_string(),
        "version": agent.version,
        "version_digest": terms.version_digest().to_string(),
        "manifest_sha256": terms.manifest.to_string(),
        "model": manifest.model,
        "price": ifr(terms.price),
        "price_nano": terms.price.nano(),
        "tools": manifest.tools.keys().collect::<Vec<_>>(),
        "limits": {
            "steps": terms.limits.steps,
            "tokens": terms.limits.tokens,
            "tool_calls": terms.limits.tool_calls,
            "seconds": terms.limits.run_ms / 1_000,
        },
        "runs": agent.earned.runs,
        "earned": ifr(agent.earned.creator),
    })
}
