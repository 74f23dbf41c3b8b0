//! How often one user may ask and publish over HTTP: as often as over one connection. Backends are not limited.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use parlor_protocol::{ChannelName, WireError};
use sha2::{Digest as _, Sha256};

use crate::auth::Who;
use crate::commands::rate_limited;
use crate::kind::ChannelKinds;

/// Rates that are remembered, one or a few for each payer; whose are not used up are forgotten first.
const KNOWN_MAX: usize = 65_536;

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Payer {
    User(Arc<str>),
    /// One token without a user, by the hash of what was signed in it.
    Token([u8; 32]),
}

impl Payer {
    /// None for a backend.
    pub(super) fn of(who: &Who, bearer: &str) -> Option<Self> {
        match who {
            Who::User(user) => Some(Self::User(Arc::clone(user))),
            Who::Anonymous => {
                // Without the signature: some algorithms let the bearer write one in several ways.
                let signed = bearer.rsplit_once('.').map_or(bearer, |(signed, _)| signed);
                Some(Self::Token(Sha256::digest(signed.as_bytes()).into()))
            }
            Who::Backend(_) => None,
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    Commands,
    /// In the kind at this place.
    Publishes(usize),
}

/// When each payer's next command, or next publish in a kind, is on time: a bucket as one instant (GCRA).
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<(Payer, Counted), Instant>>);

impl Rates {
    /// Takes one request, whatever it asks for, from what the payer may. 0 per second means no limit.
    ///
    /// # Errors
    /// `rate_limited`, with how long to wait.
    pub(super) fn take_command(
        &self,
        payer: Option<&Payer>,
        per_second_max: u32,
        now: Instant,
    ) -> Result<(), WireError> {
        match payer {
            Some(payer) => self.take(payer, Counted::Commands, per_second_max, now),
            None => Ok(()),
        }
    }

    /// Takes one publish from what the payer may in the channel's kind.
    ///
    /// # Errors
    /// `rate_limited`, with how long to wait.
    pub(super) fn take_publish(
        &self,
        payer: Option<&Payer>,
        kinds: &ChannelKinds,
        channel: &str,
        now: Instant,
    ) -> Result<(), WireError> {
        let Some(payer) = payer else {
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
        self.take(payer, Counted::Publishes(place), kind.publish_rate_max, now)
    }

    fn take(
        &self,
        payer: &Payer,
        counted: Counted,
        per_second_max: u32,
        now: Instant,
    ) -> Result<(), WireError> {
        if per_second_max == 0 {
            return Ok(());
        }
        let each = Duration::from_secs(1) / per_second_max;
        // Twice as many as in a second may come at once.
        let burst = Duration::from_secs(2).saturating_sub(each);
        self.take_at((payer.clone(), counted), each, burst, now)
            .map_err(rate_limited)
    }

    fn take_at(
        &self,
        key: (Payer, Counted),
        each: Duration,
        burst: Duration,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut due = self.0.lock();
        if due.len() >= KNOWN_MAX && !due.contains_key(&key) {
            // Whose time has come has a full bucket, like one who is not known.
            due.retain(|_, at| *at > now);
            if due.len() >= KNOWN_MAX {
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

    fn user(name: &str) -> (Payer, Counted) {
        (Payer::User(name.into()), Counted::Commands)
    }

    #[test]
    fn a_burst_of_twice_the_rate_passes_and_then_the_wait_is_told() {
        let rates = Rates::default();
        let (each, burst) = (Duration::from_millis(100), Duration::from_millis(1_900));
        let start = Instant::now();
        let passed = (0..100)
            .filter(|_| rates.take_at(user("ann"), each, burst, start).is_ok())
            .count();
        assert_eq!(passed, 20);
        let wait = rates
            .take_at(user("ann"), each, burst, start)
            .expect_err("the burst is over");
        assert!(wait <= each, "{wait:?}");
        assert!(
            rates
                .take_at(user("ann"), each, burst, start + wait)
                .is_ok()
        );
        assert!(
            rates.take_at(user("bob"), each, burst, start).is_ok(),
            "others are not held up"
        );
    }

    #[test]
    fn those_who_are_remembered_are_bounded() {
        let rates = Rates::default();
        let each = Duration::from_millis(1);
        let start = Instant::now();
        for number in 0..2 * KNOWN_MAX {
            let now = start + Duration::from_millis(number as u64);
            let key = user(&number.to_string());
            assert!(rates.take_at(key, each, each, now).is_ok());
            assert!(rates.0.lock().len() <= KNOWN_MAX);
        }
    }

    #[test]
    fn everybody_but_a_backend_pays() {
        let of = Payer::of;
        assert_eq!(of(&Who::Backend("key".into()), "key"), None);
        let ann = Who::User("ann".into());
        assert_eq!(of(&ann, "h.one.s"), of(&ann, "h.two.s"), "one user");
        let nobody = Who::Anonymous;
        assert_ne!(of(&nobody, "h.one.s"), None);
        assert_ne!(of(&nobody, "h.one.s"), of(&nobody, "h.two.s"), "two tokens");
        assert_eq!(of(&nobody, "h.one.s"), of(&nobody, "h.one.t"), "one token");
    }
}
