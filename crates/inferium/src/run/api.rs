//! A server of OpenAI's chat API, as `inferium run` asks it.

use super::{Options, Server};
use crate::admin::refusal;
use crate::cli::Failure;
use inferium_types::Amount;
use reqwest::{Client, Response};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// Time to connect; an answer may take long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one event of a stream at most.
const EVENT_MAX: usize = 16 * 1024 * 1024;

/// The server, the key and the model.
pub(crate) struct Api {
    pub(crate) http: Client,
    pub(crate) base: String,
    pub(crate) key: String,
    pub(crate) model: String,
}

/// An answer, whole.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) stats: Stats,
}

/// What an answer took.
#[derive(Debug, Default)]
pub(super) struct Stats {
    started: Option<Instant>,
    first: Option<Duration>,
    total: Duration,
    finish: Option<String>,
    usage: Value,
    inferium: Value,
}

impl Api {
    pub(crate) fn new(Server { base, key }: Server, model: &str) -> Result<Self, Failure> {
        let http = Client::builder().connect_timeout(CONNECT_TIMEOUT).pool_max_idle_per_host(4_096).build();
        let http = http.map_err(|error| Failure::failed(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self { http, base, key, model: model.to_owned() })
    }

    /// Checks that the server is there, takes the key and has the model.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        let models = self.http.get(format!("{}/models", self.base)).bearer_auth(&self.key);
        let models = crate::admin::answer(models, &self.base).await?;
        let names: Vec<&str> = crate::keys::rows(&models).iter().map(|model| crate::keys::text(model, "id")).collect();
        if names.contains(&self.model.as_str()) {
            return Ok(());
        }
        Err(Failure::refused(format!("{} has no model `{}`; it has {}", self.base, self.model, names.join(", "))))
    }

    /// Asks, and shows the answer as it comes.
    pub(super) async fn ask(
        &self,
        messages: &[Value],
        options: &Options,
        show: &mut (dyn FnMut(&str) -> Result<(), Failure> + Send),
    ) -> Result<Answer, Failure> {
        let started = Instant::now();
        let request = self.http.post(format!("{}/chat/completions", self.base)).bearer_auth(&self.key);
        let sent = request.json(&self.body(messages, options)).send().await;
        let mut response = sent.map_err(|error| {
            Failure::network(format!("{} does not answer (is the network running?): {error}", self.base))
        })?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let mut answer = Answer { stats: Stats { started: Some(started), ..Stats::default() }, ..Answer::default() };
        let mut events = Events::default();
        let broken = |error: reqwest::Error| Failure::network(format!("the answer broke off: {error}"));
        while let Some(bytes) = response.chunk().await.map_err(broken)? {
            for event in events.take(&bytes)? {
                if event == "[DONE]" {
                    answer.stats.total = started.elapsed();
                    return Ok(answer);
                }
                answer.take(&event, show)?;
            }
        }
        // A stream that just ends looks like an answer, and is none.
        Err(Failure::network("the answer broke off before its end"))
    }

    fn body(&self, messages: &[Value], options: &Options) -> Value {
        let mut body = Map::new();
        body.insert("model".into(), self.model.clone().into());
        body.insert("messages".into(), messages.into());
        body.insert("stream".into(), true.into());
        body.insert("stream_options".into(), json!({"include_usage": true}));
        let set = [
            ("temperature", options.temperature.map(Value::from)),
            ("top_p", options.top_p.map(Value::from)),
            ("seed", options.seed.map(Value::from)),
            ("max_tokens", options.max_tokens.map(Value::from)),
        ];
        body.extend(set.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        body.into()
    }
}

async fn refused(response: Response) -> Failure {
    let status = response.status().as_u16();
    match response.json::<Value>().await {
        Ok(body) => refusal(status, &body),
        Err(_) => Failure::failed(format!("the server answered with status {status} and no reason")),
    }
}

impl Answer {
    fn take(&mut self, event: &str, show: &mut (dyn FnMut(&str) -> Result<(), Failure> + Send)) -> Result<(), Failure> {
        let chunk: Value = serde_json::from_str(event)
            .map_err(|error| Failure::failed(format!("the server sent what is no JSON: {error}")))?;
        if chunk.get("error").is_some() {
            let failure = refusal(500, &chunk);
            return Err(failure);
        }
        if let Some(text) = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str)
            && !text.is_empty()
        {
            if self.stats.first.is_none() {
                self.stats.first = self.stats.started.map(|started| started.elapsed());
            }
            self.text.push_str(text);
            show(text)?;
        }
        if let Some(finish) = chunk.pointer("/choices/0/finish_reason").and_then(Value::as_str) {
            self.stats.finish = Some(finish.to_owned());
        }
        for (name, place) in [("usage", &mut self.stats.usage), ("inferium", &mut self.stats.inferium)] {
            if let Some(value) = chunk.get(name).filter(|value| !value.is_null()) {
                place.clone_from(value);
            }
        }
        Ok(())
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "answer": self.text,
            "finish_reason": self.stats.finish,
            "usage": self.stats.usage,
            "inferium": self.stats.inferium,
            "first_token_ms": self.stats.first.map(millis),
            "total_ms": millis(self.stats.total),
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Stats {
    /// Speed, tokens, cost and receipt, one in a line.
    pub(super) fn lines(&self) -> Vec<String> {
        let tokens = |name: &str| self.usage.get(name).and_then(Value::as_u64);
        let mut lines = Vec::new();
        let first = self.first.unwrap_or(self.total);
        lines.push(format!(
            "time      {:.2} s, first token after {:.2} s",
            self.total.as_secs_f64(),
            first.as_secs_f64()
        ));
        if let (Some(prompt), Some(answer)) = (tokens("prompt_tokens"), tokens("completion_tokens")) {
            // The first token is the prompt's work.
            let seconds = self.total.saturating_sub(first).as_secs_f64();
            let after_first = u32::try_from(answer.saturating_sub(1)).unwrap_or(u32::MAX);
            let speed = if seconds > 0.0 {
                format!(", {:.1} tokens/s", f64::from(after_first) / seconds)
            } else {
                String::new()
            };
            lines.push(format!("tokens    {prompt} of the prompt, {answer} of the answer{speed}"));
        }
        let cost = ["cost_nano", "cost"].iter().find_map(|name| self.usage.get(name));
        if let Some(cost) = cost {
            let shown = match cost.as_u64() {
                Some(nano) => Amount::from_nano(nano).to_string(),
                None => cost.as_str().map_or_else(|| cost.to_string(), str::to_owned),
            };
            lines.push(format!("cost      {shown}"));
        }
        if let Some(job) = self.inferium.get("job").and_then(Value::as_str) {
            lines.push(format!("receipt   inferium receipt get {job}"));
        }
        lines
    }
}

/// Server-sent events, from bytes as they come.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Option<String>,
}

impl Events {
    /// The data of the events that end in these bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Vec<String>, Failure> {
        let mut events = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > EVENT_MAX {
                    return Err(Failure::failed("the server sent an event without an end"));
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned();
            self.line.clear();
            if line.is_empty() {
                events.extend(self.data.take());
            } else if let Some(data) = line.strip_prefix("data:") {
                // Comments and other fields mean nothing here.
                let data = data.strip_prefix(' ').unwrap_or(data);
                match &mut self.data {
                    Some(so_far) => {
                        so_far.push('\n');
                        so_far.push_str(data);
                    }
                    None => self.data = Some(data.to_owned()),
                }
            }
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Events};

    #[test]
    fn events_are_the_same_however_their_bytes_come() {
        let text = ": queued\n\ndata: {\"a\":\"ü\"}\n\nevent: x\r\ndata: one\r\ndata: two\r\n\r\ndata: [DONE]\n\n";
        for size in 1..text.len() {
            let mut events = Events::default();
            let found: Vec<String> =
                text.as_bytes().chunks(size).flat_map(|bytes| events.take(bytes).ok()).flatten().collect();
            assert_eq!(found, ["{\"a\":\"ü\"}", "one\ntwo", "[DONE]"], "{size} bytes at a time");
        }
    }

    #[test]
    fn an_error_in_a_stream_is_a_failure() {
        let mut answer = Answer::default();
        let mut shown = String::new();
        let mut show = |text: &str| {
            shown.push_str(text);
            Ok(())
        };
        answer.take("{\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}", &mut show).unwrap();
        let failure = answer.take("{\"error\":{\"message\":\"gone\"}}", &mut show).unwrap_err();
        assert_eq!((failure.to_string(), shown.as_str()), ("gone".to_owned(), "hi"));
    }
}
