//! Open-loop load on a gateway: requests leave on a schedule, whatever the answers do.
//!
//! `cargo run --release -p inferium --example load -- URL KEY MODEL RATE SECONDS MAX_TOKENS PROMPT_WORDS` prints one line of
//! JSON: how many answers, errors, and percentiles of the time to the first token and to the last, in milliseconds, counted
//! from when a request was sent, and how late it was sent: timers here tick once a millisecond.

#![expect(clippy::print_stdout, reason = "the measurement is the output")]

use futures::StreamExt as _;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// How late a request left, and what it took from then on to its first and last token; `None` when it failed.
type Sample = Option<(Duration, Duration, Duration)>;

fn main() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(run())
}

async fn run() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, key, model, rate, seconds, max_tokens, words] = arguments.as_slice() else {
        return Err("usage: load URL KEY MODEL RATE SECONDS MAX_TOKENS PROMPT_WORDS".into());
    };
    let number = |text: &str| text.parse::<f64>().map_err(|_| format!("{text:?} is not a number"));
    let (rate, seconds) = (number(rate)?, number(seconds)?);
    let max_tokens: u32 = max_tokens.parse().map_err(|_| "MAX_TOKENS is not a number")?;
    let words: usize = words.parse().map_err(|_| "PROMPT_WORDS is not a number")?;
    let body = json!({
        "model": model, "stream": true, "max_tokens": max_tokens, "temperature": 0.7,
        "messages": [{"role": "user", "content": vec!["water"; words.max(1)].join(" ")}],
    })
    .to_string();
    let client = reqwest::Client::builder().pool_max_idle_per_host(4_096).build().map_err(|e| e.to_string())?;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut running = tokio::task::JoinSet::new();
    loop {
        let due = ticks.tick().await;
        if due >= until {
            break;
        }
        running.spawn(ask(client.clone(), url.clone(), key.clone(), body.clone(), due));
    }
    let samples: Vec<Sample> = running.join_all().await;
    report(rate, &samples);
    Ok(())
}

async fn ask(client: reqwest::Client, url: String, key: String, body: String, due: Instant) -> Sample {
    let (late, sent) = (due.elapsed(), Instant::now());
    let request = client.post(format!("{url}/chat/completions")).bearer_auth(key).body(body);
    let response = request.send().await.ok()?.error_for_status().ok()?;
    let mut stream = response.bytes_stream();
    let (mut first, mut ended) = (None, false);
    while let Some(piece) = stream.next().await {
        let piece = piece.ok()?;
        let text = String::from_utf8_lossy(&piece);
        if first.is_none() && text.contains("\"content\":\"") && !text.contains("\"content\":\"\"") {
            first = Some(sent.elapsed());
        }
        ended |= text.contains("[DONE]");
    }
    ended.then_some((late, first?, sent.elapsed()))
}

fn report(rate: f64, samples: &[Sample]) {
    let mut first: Vec<Duration> = samples.iter().flatten().map(|(_, first, _)| *first).collect();
    let mut last: Vec<Duration> = samples.iter().flatten().map(|(_, _, last)| *last).collect();
    let mut late: Vec<Duration> = samples.iter().flatten().map(|(late, _, _)| *late).collect();
    late.sort_unstable();
    first.sort_unstable();
    last.sort_unstable();
    let errors = samples.len() - first.len();
    let line = json!({
        "rate": rate,
        "answers": first.len(),
        "errors": errors,
        "late_ms": percentiles(&late),
        "first_token_ms": percentiles(&first),
        "last_token_ms": percentiles(&last),
    });
    println!("{line}");
}

fn percentiles(sorted: &[Duration]) -> serde_json::Value {
    let at = |percent: usize| {
        let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(index).map(|value| (value.as_secs_f64() * 1e6).round() / 1e3)
    };
    json!({"p50": at(50), "p90": at(90), "p99": at(99)})
}
