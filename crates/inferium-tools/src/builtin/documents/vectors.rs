//! Passages ranked by vectors, which an endpoint for embeddings computes.

use super::passages::Passage;
use crate::host::Embeddings;
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Mutex;

/// Bytes of a text that a vector is made of.
const READ_BYTES: usize = 500;

/// Texts in one request.
const BATCH: usize = 64;

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(25);

/// Characters of an error that models are told.
const ERROR_CHARS: usize = 300;

pub(super) struct Vectors {
    client: Client,
    endpoint: Embeddings,
    /// By text, so that a passage is asked for once in a run.
    known: Mutex<BTreeMap<String, Vec<f32>>>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    index: usize,
    embedding: Vec<f32>,
}

impl Vectors {
    pub(super) fn new(endpoint: Embeddings) -> Result<Self, String> {
        let client = Client::builder().timeout(TIMEOUT).no_proxy().redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| format!("cannot make a client for embeddings: {error}"))?;
        Ok(Self { client, endpoint, known: Mutex::default() })
    }

    /// The cosine of each passage with the question: (number of the passage, -1 to 1).
    pub(super) async fn rank(&self, query: &str, passages: &[Passage]) -> Result<Vec<(usize, f64)>, String> {
        let mut known = self.known.lock().await;
        let texts = passages.iter().map(|passage| passage.text.as_str()).chain([query]);
        let mut missing: Vec<&str> = texts.filter(|text| !known.contains_key(*text)).collect();
        missing.sort_unstable();
        missing.dedup();
        for batch in missing.chunks(BATCH) {
            let vectors = self.ask(batch).await?;
            known.extend(batch.iter().map(|text| (*text).to_owned()).zip(vectors));
        }
        let of = |text: &str| known.get(text).map(Vec::as_slice).unwrap_or_default();
        let question = of(query);
        Ok(passages.iter().map(|passage| cosine(question, of(&passage.text))).enumerate().collect())
    }

    /// A vector for each text, in their order.
    async fn ask(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        let wrong = |reason: String| format!("the endpoint for embeddings: {reason}");
        let address = format!("{}/embeddings", self.endpoint.base_url.trim_end_matches('/'));
        // The beginning of a passage says what it is about, and encoders read no more than so much.
        let read: Vec<&str> =
            texts.iter().filter_map(|text| text.get(..text.floor_char_boundary(READ_BYTES))).collect();
        let body = json!({"model": self.endpoint.model, "input": read, "encoding_format": "float"});
        let request = self.client.post(address).bearer_auth(self.endpoint.key.expose()).json(&body);
        let response = request.send().await.map_err(|error| wrong(error.without_url().to_string()))?;
        let status = response.status();
        if !status.is_success() {
            let text = response.text().await.unwrap_or_default();
            let text: String = text.chars().take(ERROR_CHARS).collect();
            return Err(wrong(format!("{status}: {text}")));
        }
        let mut answer: Answer = response.json().await.map_err(|error| wrong(error.without_url().to_string()))?;
        answer.data.sort_by_key(|row| row.index);
        let is_whole = answer.data.iter().map(|row| row.index).eq(0..texts.len());
        let sizes = answer.data.first().map_or(0, |row| row.embedding.len());
        if !is_whole || sizes == 0 || answer.data.iter().any(|row| row.embedding.len() != sizes) {
            return Err(wrong(format!("it sent no vector for each of {} texts", texts.len())));
        }
        Ok(answer.data.into_iter().map(|row| row.embedding).collect())
    }
}

/// 0 where one of them has no direction.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let length = (dot(a, a) * dot(b, b)).sqrt();
    if length > 0.0 { dot(a, b) / length } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::cosine;

    #[test]
    fn cosines_are_those_of_angles() {
        assert!((cosine(&[1.0, 0.0], &[2.0, 0.0]) - 1.0).abs() < 1e-12);
        assert!((cosine(&[1.0, 0.0], &[1.0, 1.0]) - 0.5_f64.sqrt()).abs() < 1e-12);
        assert!(cosine(&[1.0, 0.0], &[0.0, 1.0]).abs() < 1e-12);
        assert!(cosine(&[0.0, 0.0], &[0.0, 1.0]).abs() < 1e-12, "nothing points nowhere");
    }
}
