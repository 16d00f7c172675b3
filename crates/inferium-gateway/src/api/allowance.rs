//! Headers that tell a client how much its key may still ask for. They are there only where the key has a limit.

use crate::hub::{LimitView, Limited};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

const LIMIT_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const LIMIT_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-limit-tokens");
const REMAINING_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const REMAINING_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-tokens");
const RESET_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");
const RESET_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-reset-tokens");

/// All of them.
pub(super) const NAMES: [HeaderName; 6] =
    [LIMIT_REQUESTS, LIMIT_TOKENS, REMAINING_REQUESTS, REMAINING_TOKENS, RESET_REQUESTS, RESET_TOKENS];

/// Tells of a key's limits.
pub(super) fn tell(headers: &mut HeaderMap, limits: &[LimitView]) {
    for view in limits {
        let [limit, remaining, reset] = match view.limited {
            Limited::Requests => [LIMIT_REQUESTS, REMAINING_REQUESTS, RESET_REQUESTS],
            Limited::Tokens => [LIMIT_TOKENS, REMAINING_TOKENS, RESET_TOKENS],
        };
        headers.insert(limit, view.limit.into());
        headers.insert(remaining, view.remaining.into());
        if let Ok(reset_in) = HeaderValue::from_str(&span(view.reset_ms)) {
            headers.insert(reset, reset_in);
        }
    }
}

/// A time as OpenAI writes it: `20ms`, `1s`, `6m0s`.
fn span(ms: u64) -> String {
    let seconds = ms.div_ceil(1_000);
    match (ms, seconds / 60) {
        (0..1_000, _) => format!("{ms}ms"),
        (_, 0) => format!("{seconds}s"),
        (_, minutes) => format!("{minutes}m{}s", seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_clients_read_them() {
        for (ms, written) in [
            (0, "0ms"),
            (20, "20ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_001, "2s"),
            (59_999, "1m0s"),
            (360_000, "6m0s"),
        ] {
            assert_eq!(span(ms), written, "{ms}");
        }
    }
}
