//! Labels of metrics: closed sets of values, each with its own counter.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use parlor_protocol::reply::NotRecovered;
use parlor_protocol::{CloseCode, ErrorCode};

use super::Readable;

/// A label whose values are known at build time.
pub trait Label: Copy + 'static {
    const ALL: &'static [Self];

    /// The value as a scrape shows it.
    fn name(self) -> &'static str;

    /// Its place in [`Self::ALL`].
    fn index(self) -> usize;
}

/// One counter for each value of a label.
#[derive(Debug)]
pub struct By<L> {
    counts: Box<[AtomicU64]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label> Default for By<L> {
    fn default() -> Self {
        Self {
            counts: L::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            label: PhantomData,
        }
    }
}

impl<L: Label> By<L> {
    /// The counter of one value.
    pub fn of(&self, value: L) -> &AtomicU64 {
        &self.counts[value.index()]
    }
}

impl<L: Label> Readable for By<L> {
    fn add_to(&self, into: &mut Vec<(&'static str, u64)>) {
        for (value, count) in L::ALL.iter().zip(&self.counts) {
            match count.load(Ordering::Relaxed) {
                0 => {}
                count => add_sample(into, value.name(), count),
            }
        }
    }
}

/// Adds to the sample of this label value, or begins it.
pub(super) fn add_sample(into: &mut Vec<(&'static str, u64)>, value: &'static str, count: u64) {
    match into.iter_mut().find(|(name, _)| *name == value) {
        Some((_, sum)) => *sum += count,
        None => into.push((value, count)),
    }
}

impl Label for CloseCode {
    const ALL: &'static [Self] = Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Label for ErrorCode {
    const ALL: &'static [Self] = Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Label for NotRecovered {
    const ALL: &'static [Self] = &[
        Self::EpochChanged,
        Self::Diverged,
        Self::TooMany,
        Self::NotPermitted,
        Self::BadPosition,
        Self::Expired,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::EpochChanged => "epoch_changed",
            Self::Diverged => "diverged",
            Self::TooMany => "too_many",
            Self::NotPermitted => "not_permitted",
            Self::BadPosition => "bad_position",
            Self::Expired => "expired",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// A command without its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandName {
    Connect,
    Subscribe,
    Unsubscribe,
    Publish,
    Signal,
    History,
    Presence,
    PresenceSet,
    Refresh,
    Ping,
    Pong,
}

impl CommandName {
    /// The command with this name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        <Self as Label>::ALL
            .iter()
            .copied()
            .find(|command| command.name() == name)
    }
}

impl Label for CommandName {
    const ALL: &'static [Self] = &[
        Self::Connect,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Publish,
        Self::Signal,
        Self::History,
        Self::Presence,
        Self::PresenceSet,
        Self::Refresh,
        Self::Ping,
        Self::Pong,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Publish => "publish",
            Self::Signal => "signal",
            Self::History => "history",
            Self::Presence => "presence",
            Self::PresenceSet => "presence_set",
            Self::Refresh => "refresh",
            Self::Ping => "ping",
            Self::Pong => "pong",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<L: Label>() {
        for (place, value) in L::ALL.iter().enumerate() {
            assert_eq!(value.index(), place, "{}", value.name());
        }
    }

    #[test]
    fn every_value_knows_its_place() {
        check::<CloseCode>();
        check::<ErrorCode>();
        check::<NotRecovered>();
        check::<CommandName>();
    }
}
