//! Requests, and how long they take.

use crate::cli::Arrivals;
use crate::progress::CountBar;
use crate::run::{Api, Events};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What prompts are made of: words of one token in most vocabularies.
const WORDS: [&str; 32] = [
    "water", "stone", "river", "house", "light", "green", "morning", "winter", "music", "paper", "garden", "window",
    "ship", "mountain", "letter", "bread", "silver", "forest", "engine", "story", "number", "cloud", "island",
    "market", "road", "glass", "horse", "summer", "bridge", "table", "fire", "ocean",
];

/// The prompts of a run: equal for equal seeds, different for each request but for what they all begin with.
#[derive(Debug, Clone)]
pub(super) struct Prompts {
    seed: u64,
    words: u32,
    shared: String,
}

impl Prompts {
    /// Prompts of `words`, of which all have the first `shared` ones.
    pub(super) fn new(seed: u64, words: u32, shared: u32) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self { seed, words: words - shared, shared: some_words(&mut rng, shared) }
    }

    pub(super) fn of(&self, number: u64) -> String {
        let mut rng = StdRng::seed_from_u64(self.seed.wrapping_add(1 + number).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        format!("{}{}", self.shared, some_words(&mut rng, self.words)).trim_end().to_owned()
    }
}

fn some_words(rng: &mut StdRng, count: u32) -> String {
    (0..count).map(|_| format!("{} ", WORDS[rng.random_range(0..WORDS.len())])).collect()
}

/// What one request took.
#[derive(Debug, Default, Clone)]
pub(super) struct Sample {
    /// How much later than planned it left.
    pub(super) late: Duration,
    /// From sending it to the first text.
    pub(super) first: Option<Duration>,
    /// From one piece of text to the next.
    pub(super) gaps: Vec<Duration>,
    /// From sending it to the end of the stream.
    pub(super) total: Duration,
    pub(super) prompt_tokens: u64,
    pub(super) answer_tokens: u64,
    /// Why there is no whole answer: the server's error code, or what happened instead.
    pub(super) error: Option<String>,
}

/// A source of requests.
#[derive(Clone)]
pub(super) struct Load {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    url: String,
    key: String,
    model: String,
    prompts: Prompts,
    max_tokens: u32,
    temperature: f64,
}

impl Load {
    pub(super) fn new(api: &Api, prompts: Prompts, max_tokens: u32, temperature: f64) -> Self {
        let inner = Inner {
            http: api.http.clone(),
            url: format!("{}/chat/completions", api.base),
            key: api.key.clone(),
            model: api.model.clone(),
            prompts,
            max_tokens,
            temperature,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Requests that leave on a schedule, whatever the answers do; returns what they took, each and all.
    pub(super) async fn open(
        &self,
        first: u64,
        count: u32,
        (rate, arrivals, seed): (f64, Arrivals, u64),
        bar: &CountBar,
    ) -> (Vec<Sample>, Duration) {
        let mut rng = StdRng::seed_from_u64(seed);
        let started = tokio::time::Instant::now();
        let mut due = started;
        let mut running = JoinSet::new();
        let mut samples = Vec::new();
        for number in 0..count {
            tokio::time::sleep_until(due).await;
            let (load, late) = (self.clone(), due.elapsed());
            running.spawn(async move { load.ask(first + u64::from(number), late).await });
            let gap = match arrivals {
                Arrivals::Constant => 1.0,
                // The time to the next arrival of independent clients; never the logarithm of zero.
                Arrivals::Poisson => -(1.0 - rng.random::<f64>()).ln(),
            };
            due += Duration::from_secs_f64(gap / rate);
            while let Some(done) = running.try_join_next() {
                samples.extend(done);
                bar.set(samples.len());
            }
        }
        while let Some(done) = running.join_next().await {
            samples.extend(done);
            bar.set(samples.len());
        }
        (samples, started.elapsed())
    }

    /// Clients that ask one request after the other; returns what they took, each and all.
    pub(super) async fn closed(&self, first: u64, count: u32, clients: u32, bar: &CountBar) -> (Vec<Sample>, Duration) {
        let started = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let (told, mut done) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..clients.min(count) {
            let (load, next, told) = (self.clone(), Arc::clone(&next), told.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= u64::from(count) {
                        return;
                    }
                    let sample = load.ask(first + number, Duration::ZERO).await;
                    if told.send(sample).is_err() {
                        return;
                    }
                }
            });
        }
        drop(told);
        let mut samples = Vec::new();
        while let Some(sample) = done.recv().await {
            samples.push(sample);
            bar.set(samples.len());
        }
        (samples, started.elapsed())
    }

    /// Asks one request, which leaves `late`.
    pub(super) async fn ask(&self, number: u64, late: Duration) -> Sample {
        let load = &self.inner;
        let body = json!({
            "model": load.model,
            "messages": [{"role": "user", "content": load.prompts.of(number)}],
            "max_tokens": load.max_tokens,
            "temperature": load.temperature,
            "seed": number,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        let sent = Instant::now();
        let mut sample = Sample { late, ..Sample::default() };
        if let Err(error) = load.read(body.to_string(), sent, &mut sample).await {
            sample.error = Some(error);
        }
        sample.total = sent.elapsed();
        sample
    }
}

/// What is read of a chunk.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(default, borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default, borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize, Default)]
struct Delta<'a> {
    #[serde(default, borrow)]
    content: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Inner {
    /// Sends a request and reads its answer; an error is a code, or a few words.
    async fn read(&self, body: String, sent: Instant, sample: &mut Sample) -> Result<(), String> {
        let request = self.http.post(&self.url).bearer_auth(&self.key).header("content-type", "application/json");
        let mut response = request.body(body).send().await.map_err(|_| "no connection".to_owned())?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            let body = response.json::<Value>().await.unwrap_or_default();
            return Err(code(&body).unwrap_or_else(|| status.to_string()));
        }
        let mut events = Events::default();
        let mut last = None;
        while let Some(bytes) = response.chunk().await.map_err(|_| "the connection broke".to_owned())? {
            for event in events.take(&bytes).map_err(|failure| failure.to_string())? {
                if event == "[DONE]" {
                    return if sample.first.is_some() { Ok(()) } else { Err("an empty answer".to_owned()) };
                }
                let chunk: Chunk<'_> = serde_json::from_str(&event).map_err(|_| "no JSON".to_owned())?;
                if let Some(error) = chunk.error {
                    return Err(code(&json!({"error": error})).unwrap_or_else(|| "an error in the stream".to_owned()));
                }
                if chunk.choices.iter().any(|choice| choice.delta.content.as_ref().is_some_and(|text| !text.is_empty()))
                {
                    let now = sent.elapsed();
                    match last.replace(now) {
                        Some(before) => sample.gaps.push(now.saturating_sub(before)),
                        None => sample.first = Some(now),
                    }
                }
                if let Some(usage) = chunk.usage {
                    (sample.prompt_tokens, sample.answer_tokens) = (usage.prompt_tokens, usage.completion_tokens);
                }
            }
        }
        // A stream that just ends looks like an answer, and is none.
        Err("the answer broke off".to_owned())
    }
}

/// What an error is called by its server.
fn code(body: &Value) -> Option<String> {
    let of = |name: &str| body.pointer(&format!("/error/{name}")).and_then(Value::as_str).map(str::to_owned);
    of("code").or_else(|| of("type")).or_else(|| of("message"))
}
