//! How long those who are cut take until they have everything again.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::histogram::Latencies;

/// Cuts after which the subscriber comes back at once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Returns {
    pub(crate) cut: u64,
    /// From the cut until the subscription was there again and all that it promised had come.
    pub(crate) latency: Latencies,
}

/// What one subscriber lacks since it was cut.
#[derive(Debug)]
pub(super) struct Lack {
    since: Instant,
    /// The last offset of what it missed; 0 while it missed nothing, as far as is known.
    until: u64,
}

impl Returns {
    pub(super) fn has_all(&mut self, lack: &Lack, now: Instant) {
        let took = now.saturating_duration_since(lack.since);
        self.latency
            .record_ns(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Another thread's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.cut += other.cut;
        self.latency.add(&other.latency);
    }
}

impl Lack {
    pub(super) fn since(since: Instant) -> Self {
        Self { since, until: 0 }
    }

    pub(super) fn until(&mut self, offset: u64) {
        self.until = offset;
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.until == 0
    }

    pub(super) fn ends_with(&self, offset: u64) -> bool {
        offset >= self.until
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_return_lasts_from_the_cut_to_the_last_missed_event() {
        let cut = Instant::now();
        let (mut returns, mut lack) = (Returns::default(), Lack::since(cut));
        assert!(lack.is_nothing());
        lack.until(7);
        assert!(!lack.is_nothing() && !lack.ends_with(6) && lack.ends_with(7));
        returns.has_all(&lack, cut + Duration::from_millis(250));
        let told = returns.latency.summary();
        assert_eq!((told.count, told.max_ms.round()), (1, 250.0));
    }
}
