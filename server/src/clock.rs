//! The wall clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use parlor_protocol::Time;

/// Now, in event time. Zero before 1970.
pub fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time(u64::try_from(since.as_nanos() / 100).unwrap_or(u64::MAX))
}

/// The time of a channel's next event: never back, never the same twice, whatever the clock does.
pub fn next_after(last: Time) -> Time {
    now().max(Time(last.0 + 1))
}
