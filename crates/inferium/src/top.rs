//! `inferium top`: a running network at a glance, second by second.

mod screen;

use crate::admin::Admin;
use crate::cli::{Failure, WatchArgs};
use crate::output;
use crate::progress::print;
use inferium_types::Amount;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Looks that are remembered: what a wide terminal has room for.
const HISTORY: usize = 240;

pub(crate) async fn run(arguments: WatchArgs) -> Result<(), Failure> {
    let admin = Admin::of(arguments.network.data)?;
    let mut seen = Seen::default();
    seen.take(Instant::now(), admin.get("/status").await?);
    if output::is_json() || !std::io::stdout().is_terminal() {
        // Rates take two looks.
        tokio::time::sleep(PERIOD).await;
        seen.take(Instant::now(), admin.get("/status").await?);
        return if output::is_json() { output::print_json(&seen.json()) } else { print(&seen.text()) };
    }
    screen::watch(&admin, seen).await
}

/// What was seen of a network.
#[derive(Debug, Default)]
struct Seen {
    last: Option<(Instant, Value)>,
    rates: Rates,
    /// Tokens of answers in each second, the newest last.
    tokens: VecDeque<u64>,
    /// Jobs that ended in each second.
    jobs: VecDeque<u64>,
    /// Why the last look failed, if it did.
    trouble: Option<String>,
}

/// What happens in a second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Rates {
    blocks: f64,
    jobs: f64,
    tokens: f64,
}

impl Seen {
    fn take(&mut self, now: Instant, status: Value) {
        if let Some((then, before)) = &self.last {
            let seconds = now.saturating_duration_since(*then).as_secs_f64();
            self.rates = Rates::between(before, &status, seconds);
            push(&mut self.tokens, self.rates.tokens);
            push(&mut self.jobs, self.rates.jobs);
        }
        self.trouble = None;
        self.last = Some((now, status));
    }

    fn status(&self) -> &Value {
        self.last.as_ref().map_or(&Value::Null, |(_, status)| status)
    }

    fn json(&self) -> Value {
        let Rates { blocks, jobs, tokens } = self.rates;
        json!({"status": self.status(), "blocks_per_s": blocks, "jobs_per_s": jobs, "completion_tokens_per_s": tokens})
    }

    /// Names and values of what has one value.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let status = self.status();
        let Rates { blocks, jobs, tokens } = self.rates;
        let age_s = number(status, "head_age_ms") as f64 / 1_000.0;
        vec![
            ("block", format!("{} ({blocks:.1}/s, {age_s:.1} s old)", number(status, "height"))),
            (
                "jobs",
                format!(
                    "{} ({jobs:.1}/s), {} running, {} queued",
                    number(status, "jobs"),
                    number(status, "running"),
                    number(status, "queued")
                ),
            ),
            (
                "tokens",
                format!(
                    "{} of answers ({tokens:.1}/s), {} of prompts",
                    number(status, "completion_tokens"),
                    number(status, "prompt_tokens")
                ),
            ),
            (
                "segments",
                format!("{} final, {} rejected", number(status, "segments_final"), number(status, "segments_rejected")),
            ),
            (
                "spent",
                format!(
                    "{} by all keys (inferium earnings NODE says who earned it)",
                    Amount::from_nano(number(status, "spent_nano"))
                ),
            ),
        ]
    }

    /// A snapshot.
    fn text(&self) -> String {
        let facts = self.facts();
        let lines: Vec<String> = facts.iter().map(|(name, value)| format!("{name:<9} {value}")).collect();
        format!("{}\n{}", lines.join("\n"), crate::ps::table(self.status()))
    }
}

impl Rates {
    /// From two looks, so many seconds apart.
    fn between(before: &Value, after: &Value, seconds: f64) -> Self {
        let rate = |field: &str| {
            // What counts anew since a restart has no rate.
            let more = number(after, field).saturating_sub(number(before, field));
            if seconds > 0.0 { more as f64 / seconds } else { 0.0 }
        };
        Self { blocks: rate("height"), jobs: rate("jobs"), tokens: rate("completion_tokens") }
    }
}

fn push(history: &mut VecDeque<u64>, rate: f64) {
    if history.len() >= HISTORY {
        history.pop_front();
    }
    history.push_back(rate.round() as u64);
}

fn number(status: &Value, field: &str) -> u64 {
    status.get(field).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{HISTORY, Rates, Seen};
    use serde_json::json;
    use std::time::{Duration, Instant};

    #[test]
    fn rates_are_differences_by_time() {
        let (before, after) = (
            json!({"height": 5, "jobs": 1, "completion_tokens": 10}),
            json!({"height": 9, "jobs": 2, "completion_tokens": 70}),
        );
        assert_eq!(Rates::between(&before, &after, 2.0), Rates { blocks: 2.0, jobs: 0.5, tokens: 30.0 });
        // A restart counts anew.
        assert_eq!(Rates::between(&after, &before, 2.0), Rates::default());
        assert_eq!(Rates::between(&before, &after, 0.0), Rates::default());
    }

    #[test]
    fn a_snapshot_says_what_is_served_and_how_busy_it_is() {
        let model = json!({"model": "m", "workers": ["a", "b"], "leases": 4, "slots": 8, "running": 2});
        let status = json!({"height": 7, "jobs": 3, "running": 2, "queued": 1, "models": [model]});
        let mut seen = Seen::default();
        let start = Instant::now();
        for second in 0..HISTORY + 10 {
            seen.take(start + Duration::from_secs(u64::try_from(second).unwrap()), status.clone());
        }
        let text = seen.text();
        for part in ["block     7", "2 running, 1 queued", "│ m "] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert_eq!(seen.tokens.len(), HISTORY);
    }
}
