//! Until when a worker must have shown something: for its first token, between two tokens, and
//! after a cancellation. One task ends what is overdue.

use super::{Ending, Hub, Inner};
use inferium_types::JobId;
use std::time::Duration;
use tokio::time::Instant;

/// Time for the first token, whatever the prompt; and for each of its tokens.
const FIRST_TOKEN: Duration = Duration::from_secs(10);
const PER_PROMPT_TOKEN: Duration = Duration::from_millis(20);
/// Part of the time for the first token after which another worker is tried as well (SPEC T7).
const HEDGE_PART: u32 = 4;
/// Longest silence between two tokens, and from the last one to the result.
pub(super) const NEXT_TOKEN: Duration = Duration::from_secs(20);
/// Time for a worker to end a job that was cancelled.
pub(super) const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// Time for the first token after a prompt of this length.
pub(super) const fn first_token(prompt_tokens: u32) -> Duration {
    FIRST_TOKEN.saturating_add(PER_PROMPT_TOKEN.saturating_mul(prompt_tokens))
}

/// Time after which a request without a first token is hedged.
pub(super) const fn hedge_after(prompt_tokens: u32) -> Duration {
    match first_token(prompt_tokens).checked_div(HEDGE_PART) {
        Some(part) => part,
        None => FIRST_TOKEN,
    }
}

impl Inner {
    /// Gives a running job a new deadline; true when it is before every other that was known.
    pub(super) fn set_deadline(&mut self, job: JobId, at: Instant) -> bool {
        let earliest = self.deadlines.first().map(|(at, _)| *at);
        let Some(running) = self.running.get_mut(&job) else { return false };
        self.deadlines.remove(&(running.deadline, job));
        self.deadlines.insert((at, job));
        running.deadline = at;
        earliest.is_none_or(|earliest| at < earliest)
    }
}

impl Hub {
    /// Ends jobs whose time is over, for as long as the gateway runs.
    pub(crate) async fn watch_deadlines(&self) {
        loop {
            let earliest = self.lock().deadlines.first().map(|(at, _)| *at);
            let Some(earliest) = earliest else {
                self.sooner.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(earliest) => self.end_overdue(),
                () = self.sooner.notified() => {}
            }
        }
    }

    fn end_overdue(&self) {
        let now = Instant::now();
        let overdue: Vec<JobId> =
            self.lock().deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, job)| *job).collect();
        for job in overdue {
            self.end(job, &Ending::Late);
        }
    }
}
