//! When to come back: exponential with full jitter, unless the server advises.

use std::time::Duration;

/// Counts the attempts since the last stable life.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    attempts: u32,
    random: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            attempts: 0,
            random: seed,
        }
    }

    /// A connection ended after this long. A short life does not count as success: a server that accepts
    /// and then fails must not be met by all its clients at once, again and again.
    pub(super) fn lived(&mut self, life: Duration) {
        if life >= STABLE_LIFE {
            self.attempts = 0;
        }
    }

    /// How long to wait now.
    pub(super) fn next(&mut self, advice: Option<Duration>) -> Duration {
        let ceiling = FIRST
            .saturating_mul(1 << self.attempts.min(16))
            .min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        let jittered = ceiling.mul_f64(self.unit());
        advice.unwrap_or(jittered)
    }

    /// The next number of splitmix64, as a fraction of one.
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The first wait is below this.
const FIRST: Duration = Duration::from_millis(500);
/// No wait of our own is longer.
const LONGEST: Duration = Duration::from_secs(20);
/// A connection that lived this long was a good one.
const STABLE_LIFE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_are_spread() {
        let mut sums = [0.0; 8];
        for seed in 0..2_000 {
            let mut backoff = Backoff::new(seed);
            for (attempt, sum) in sums.iter_mut().enumerate() {
                let wait = backoff.next(None);
                assert!(wait <= LONGEST.min(FIRST * (1 << attempt)));
                *sum += wait.as_secs_f64() / 2_000.0;
            }
        }
        for (attempt, mean) in sums.into_iter().enumerate() {
            let half = LONGEST.min(FIRST * (1 << attempt)).as_secs_f64() / 2.0;
            assert!(
                (mean - half).abs() < half * 0.1,
                "attempt {attempt}: {mean}"
            );
        }
    }

    #[test]
    fn only_a_stable_life_resets_the_attempts() {
        let mut backoff = Backoff::new(1);
        for _ in 0..10 {
            backoff.next(None);
        }
        backoff.lived(STABLE_LIFE - Duration::from_millis(1));
        assert_eq!(backoff.attempts, 10);
        backoff.lived(STABLE_LIFE);
        assert!(backoff.next(None) <= FIRST);
    }

    #[test]
    fn the_servers_advice_is_followed() {
        assert_eq!(
            Backoff::new(1).next(Some(Duration::from_secs(90))),
            Duration::from_secs(90)
        );
    }
}
