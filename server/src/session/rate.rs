//! A token bucket: so many a second, with a burst of twice as many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::kind::ChannelKind;

/// By how many the refusals may outweigh what was granted; then the limit is being abused rather than met.
const REFUSALS_MAX: u32 = 1_000;

#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u32,
    tokens: f32,
    filled: Instant,
    refusals: u32,
}

impl Bucket {
    /// `per_second` 0 means no limit.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second,
            tokens: burst(per_second),
            filled: now,
            refusals: 0,
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long to wait until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if self.per_second == 0 {
            return Ok(());
        }
        let rate = self.per_second as f32;
        let since = now.saturating_duration_since(self.filled).as_secs_f32();
        self.tokens = (self.tokens + since * rate).min(burst(self.per_second));
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            // Not zero: at a thousand times the limit, too, one in a thousand is granted.
            self.refusals = self.refusals.saturating_sub(1);
            return Ok(());
        }
        self.refusals += 1;
        Err(Duration::from_secs_f32((1.0 - self.tokens) / rate))
    }

    /// Whether the other side goes on as if it did not hear.
    pub(super) fn is_abused(&self) -> bool {
        self.refusals >= REFUSALS_MAX
    }
}

/// One bucket for each kind of channel that a connection published in: bounded by the configured kinds.
#[derive(Debug, Default)]
pub(super) struct Publishes(Vec<(Arc<ChannelKind>, Bucket)>);

impl Publishes {
    /// # Errors
    /// How long to wait until the kind's rate allows one more.
    pub(super) fn take(&mut self, kind: &Arc<ChannelKind>, now: Instant) -> Result<(), Duration> {
        let index = match self
            .0
            .iter()
            .position(|(known, _)| Arc::ptr_eq(known, kind))
        {
            Some(index) => index,
            None => {
                self.0
                    .push((Arc::clone(kind), Bucket::new(kind.publish_rate_max, now)));
                self.0.len() - 1
            }
        };
        self.0[index].1.take(now)
    }
}

fn burst(per_second: u32) -> f32 {
    2.0 * per_second as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_twice_the_rate_passes_then_the_wait_is_told() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        assert!((0..20).all(|_| bucket.take(start).is_ok()));
        let wait = bucket.take(start).unwrap_err();
        assert_eq!(wait.as_millis(), 100);
        assert!(bucket.take(start + wait).is_ok());
    }

    #[test]
    fn what_is_granted_meanwhile_hides_no_flood() {
        let start = Instant::now();
        let mut bucket = Bucket::new(500, start);
        // 5,000 a second, of which every tenth is granted.
        let flood = |bucket: &mut Bucket, ms| {
            let now = start + Duration::from_millis(ms);
            (0..5).for_each(|_| {
                let _granted = bucket.take(now);
            });
        };
        (0..200).for_each(|ms| flood(&mut bucket, ms));
        assert!(!bucket.is_abused(), "a burst, and what comes of one");
        (200..600).for_each(|ms| flood(&mut bucket, ms));
        assert!(bucket.is_abused());
        // Who slows down to the limit is forgiven in time.
        (0..2_000).for_each(|number| {
            let now = start + Duration::from_secs(10) + Duration::from_millis(4 * number);
            bucket.take(now).expect("within the limit");
        });
        assert!(!bucket.is_abused());
    }

    #[test]
    fn going_on_after_a_thousand_refusals_is_abuse() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1, start);
        while bucket.take(start).is_ok() {}
        assert!(!bucket.is_abused());
        (0..REFUSALS_MAX).for_each(|_| assert!(bucket.take(start).is_err()));
        assert!(bucket.is_abused());
    }
}
