//! What those say of an agent who paid for a run of it: one review for each run that the network approved.
//!
//! A review stands at this gateway, and names its run; the chain has that run, what was paid for it and whom. It is the word of who paid, which may be
//! the creator.

use super::super::ApiState;
use super::super::error::{ApiError, REVIEW, RUN};
use super::super::fields::text;
use super::super::{object, whole_body};
use super::kept;
use crate::store::{ReviewRecord, SegmentStatus};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State, rejection::BytesRejection, rejection::PathRejection};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use inferium_types::{AgentId, JobId, LeaseId};
use serde_json::{Value, json};

/// Bytes of a review at most.
pub(in super::super) const TEXT_MAX: usize = 2_000;
/// Lines of one at most.
const LINES_MAX: usize = 20;
/// The best; one is the worst.
pub(in super::super) const RATING_MAX: u64 = 5;
/// Reviews that an agent is shown with.
const SHOWN_MAX: usize = 20;

/// A body of `PUT /v1/runs/{run_id}/review`.
#[derive(Debug, PartialEq, Eq)]
struct Review {
    rating: u8,
    text: String,
}

impl Review {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let (mut rating, mut words) = (None, String::new());
        for (name, value) in &object(body)? {
            match name.as_str() {
                _ if value.is_null() => {}
                "rating" => rating = value.as_u64().filter(|rating| (1..=RATING_MAX).contains(rating)),
                "text" => text(name, value)?.trim().clone_into(&mut words),
                other => return Err(ApiError::Unsupported { param: other.to_owned() }),
            }
        }
        let rating = rating.and_then(|rating| u8::try_from(rating).ok());
        let wrong = || ApiError::invalid("rating", format!("`rating` is a whole number from 1 to {RATING_MAX}"));
        let rating = rating.ok_or_else(wrong)?;
        if words.len() > TEXT_MAX {
            let message = format!("`text` has {} bytes; at most {TEXT_MAX} are allowed", words.len());
            return Err(ApiError::invalid("text", message));
        }
        if words.chars().any(is_hidden) || words.lines().count() > LINES_MAX {
            let message = format!("`text` is plain: at most {LINES_MAX} lines, without control characters");
            return Err(ApiError::invalid("text", message));
        }
        Ok(Self { rating, text: words })
    }
}

/// True for characters that move others about.
fn is_hidden(letter: char) -> bool {
    (letter.is_control() && letter != '\n')
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Which run of a key, of which agent, and by which job.
async fn of_run(
    state: &ApiState,
    headers: &HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<(LeaseId, AgentId, JobId, u64), ApiError> {
    let payer = state.key(headers)?.hash;
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let missing = || ApiError::Missing { what: RUN, id: id.clone() };
    let run = LeaseId::from_hex(&id).ok_or_else(missing)?;
    let shown = kept(state, payer, run).await?.ok_or_else(missing)?;
    let field = |path: &str| shown.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let job = JobId::from_hex(field("/inferium/job"));
    let job = job.ok_or_else(|| ApiError::invalid("run_id", "this run gave no answer, and cost nothing to review"))?;
    let agent = AgentId::from_hex(field("/agent/id"));
    let agent = agent.ok_or_else(|| ApiError::Internal("a run is kept without its agent".to_owned()))?;
    let version = shown.pointer("/agent/version").and_then(Value::as_u64).unwrap_or_default();
    Ok((run, agent, job, version))
}

/// True once a committee has approved the job, and as long as nobody has shown it to be wrong.
async fn is_approved(state: &ApiState, job: JobId) -> Result<bool, ApiError> {
    let status = state.hub.disk(move |hub| {
        let Some((segment, _)) = hub.store.job(job)? else { return Ok(None) };
        Ok(hub.store.segment(segment)?.map(|record| record.status))
    });
    Ok(matches!(status.await?, Some(SegmentStatus::Approved(_))))
}

pub(in super::super) async fn put(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let (run, agent, job, version) = of_run(&state, &headers, id).await?;
    let Review { rating, text } = Review::parse(&whole_body(body)?)?;
    if !is_approved(&state, job).await? {
        let message =
            "a run can be reviewed once the network has approved it: its receipt is not final, or never will be";
        return Err(ApiError::invalid("run_id", message));
    }
    let payer = state.key(&headers)?.hash;
    let record = ReviewRecord { payer, rating, text, at_ms: crate::clock::unix_ms(), job, version };
    let kept = state.hub.disk(move |hub| hub.store.put_review(agent, run, record)).await?;
    Ok(Json(shown(run, &kept)).into_response())
}

pub(in super::super) async fn delete(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    // Not by the key's runs, of which old ones are forgotten: who said it takes it back whenever.
    let payer = state.key(&headers)?.hash;
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let missing = || ApiError::Missing { what: REVIEW, id: id.clone() };
    let run = LeaseId::from_hex(&id).ok_or_else(missing)?;
    if !state.hub.disk(move |hub| hub.store.remove_review(run, payer)).await? {
        return Err(missing());
    }
    Ok(Json(json!({"object": "review", "run": run.to_string(), "deleted": true})).into_response())
}

fn shown(run: LeaseId, record: &ReviewRecord) -> Value {
    json!({
        "object": "review",
        "run": run.to_string(),
        "job": record.job.to_string(),
        "receipt_url": format!("/v1/receipts/{}", record.job),
        "version": record.version,
        "rating": record.rating,
        "text": record.text,
        "at": record.at_ms / 1_000,
    })
}

/// What an agent is shown with: how many reviews there are, their mean in hundredths, and the newest.
pub(super) async fn of_agent(state: &ApiState, agent: AgentId) -> Result<Value, ApiError> {
    let mut reviews = state.hub.disk(move |hub| hub.store.reviews(agent)).await?;
    let count = u64::try_from(reviews.len()).unwrap_or(u64::MAX);
    let sum: u64 = reviews.iter().map(|(_, review)| u64::from(review.rating)).sum();
    reviews.sort_by_key(|(run, review)| (std::cmp::Reverse(review.at_ms), *run));
    let newest: Vec<Value> = reviews.iter().take(SHOWN_MAX).map(|(run, record)| shown(*run, record)).collect();
    Ok(json!({"count": count, "mean_hundredths": sum.saturating_mul(100).checked_div(count), "newest": newest}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &Value) -> String {
        match Review::parse(body.to_string().as_bytes()) {
            Err(ApiError::Invalid { param, .. } | ApiError::Unsupported { param }) => param,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_review_is_a_rating_and_perhaps_words() {
        let read = |body: &Value| Review::parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(read(&json!({"rating": 1})), Review { rating: 1, text: String::new() });
        let words = "a".repeat(TEXT_MAX);
        assert_eq!(
            read(&json!({"rating": 5, "text": format!(" {words}\n")})),
            Review { rating: 5, text: words.clone() }
        );
        assert_eq!(read(&json!({"rating": 3, "text": null})).text, "");
        assert_eq!(read(&json!({"rating": 3, "text": "two\nlines"})).text, "two\nlines");
        for rating in [json!(0), json!(6), json!(2.5), json!("5"), json!(null), json!(-1)] {
            assert_eq!(refused(&json!({"rating": rating})), "rating");
        }
        assert_eq!(refused(&json!({"text": "good"})), "rating");
        assert_eq!(refused(&json!({"rating": 5, "text": format!("{words}a")})), "text");
        for hidden in ["a\u{7}b", "a\tb", "\u{202e}a", "\u{2066}a"] {
            assert_eq!(refused(&json!({"rating": 5, "text": hidden})), "text", "{hidden:?}");
        }
        assert_eq!(
            read(&json!({"rating": 5, "text": vec!["a"; LINES_MAX].join("\n")})).text.lines().count(),
            LINES_MAX
        );
        assert_eq!(refused(&json!({"rating": 5, "text": vec!["a"; LINES_MAX + 1].join("\n")})), "text");
        assert_eq!(refused(&json!({"rating": 5, "stars": 5})), "stars");
    }
}
