//! The gateway's clock: expiry of keys, days of usage, ages.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Whole days (UTC) since 1970.
pub(crate) fn unix_day() -> u32 {
    u32::try_from(unix_ms() / 86_400_000).unwrap_or(u32::MAX)
}
