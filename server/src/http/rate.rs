//! How often one user may publish over HTTP: as often as over one connection. Backends are not limited.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use parlor_protocol::{ChannelName, WireError};

use crate::commands::{Caller, rate_limited};
use crate::kind::ChannelKinds;

/// Users that are remembered; those who publish slowest are forgotten first.
const USERS_MAX: usize = 65_536;

/// When each user's next publish in a kind is on time: a bucket as one instant (GCRA).
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<(Arc<str>, usize), Instant>>);

impl Rates {
    /// Takes one publish from what the user may.
    ///
    /// # Errors
    /// `rate_limited`, with how long to wait.
    pub(super) fn take(
        &self,
        caller: &Caller,
        kinds: &ChannelKinds,
        channel: &str,
        now: Instant,
    ) -> Result<(), WireError> {
        let Some(user) = caller.identity.user() else {
            return Ok(());
        };
        // What is no channel is refused by the command, in its own words.
        let Ok(name) = ChannelName::parse(channel) else {
            return Ok(());
        };
        let Some((place, kind)) = kinds
            .0
            .iter()
            .enumerate()
            .find(|(_, kind)| kind.pattern.matches(name.as_str()))
        else {
            return Ok(());
        };
        if kind.publish_rate_max == 0 {
            return Ok(());
        }
        let each = Duration::from_secs(1) / kind.publish_rate_max;
        // Twice as many as in a second may come at once.
        let burst = Duration::from_secs(2).saturating_sub(each);
        self.take_at((Arc::clone(user), place), each, burst, now)
            .map_err(rate_limited)
    }

    fn take_at(
        &self,
        key: (Arc<str>, usize),
        each: Duration,
        burst: Duration,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut due = self.0.lock();
        if due.len() >= USERS_MAX && !due.contains_key(&key) {
            // Whose time has come has a full bucket, like one who is not known.
            due.retain(|_, at| *at > now);
            if due.len() >= USERS_MAX {
                return Err(each);
            }
        }
        let at = due.entry(key).or_insert(now);
        let next = (*at).max(now);
        let wait = next.saturating_duration_since(now + burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        *at = next + each;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_twice_the_rate_passes_and_then_the_wait_is_told() {
        let rates = Rates::default();
        let key = || (Arc::from("ann"), 0);
        let (each, burst) = (Duration::from_millis(100), Duration::from_millis(1_900));
        let start = Instant::now();
        let passed = (0..100)
            .filter(|_| rates.take_at(key(), each, burst, start).is_ok())
            .count();
        assert_eq!(passed, 20);
        let wait = rates
            .take_at(key(), each, burst, start)
            .expect_err("the burst is over");
        assert!(wait <= each, "{wait:?}");
        assert!(rates.take_at(key(), each, burst, start + wait).is_ok());
        assert!(
            rates
                .take_at((Arc::from("bob"), 0), each, burst, start)
                .is_ok(),
            "others are not held up"
        );
    }

    #[test]
    fn those_who_are_remembered_are_bounded() {
        let rates = Rates::default();
        let each = Duration::from_millis(1);
        let start = Instant::now();
        for number in 0..2 * USERS_MAX {
            let now = start + Duration::from_millis(number as u64);
            assert!(
                rates
                    .take_at((number.to_string().into(), 0), each, each, now)
                    .is_ok()
            );
            assert!(rates.0.lock().len() <= USERS_MAX);
        }
    }
}
