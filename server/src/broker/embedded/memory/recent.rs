//! A channel's publish ids of the last minutes.

use std::collections::{HashMap, VecDeque};

use parlor_protocol::{Position, Time};

use crate::broker::Dedup;
use crate::broker::content::ContentHash;

/// Where a publish with an id was logged, and what it said.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) content: ContentHash,
    pub(super) position: Position,
    pub(super) time: Time,
    pub(super) until: Time,
}

/// Ids in the order in which they came, which is that in which they are forgotten.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Keyed hashing: senders choose the ids.
    firsts: HashMap<Dedup, First>,
    order: VecDeque<Dedup>,
}

impl Recent {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The first publish under this id, if it was inside the window.
    pub(super) fn find(&self, dedup: &Dedup, now: Time) -> Option<First> {
        self.firsts
            .get(dedup)
            .copied()
            .filter(|first| first.until > now)
    }

    /// Remembers an id that is not known, or whose window ended.
    pub(super) fn insert(&mut self, dedup: Dedup, first: First) {
        if self.firsts.insert(dedup.clone(), first).is_none() {
            self.order.push_back(dedup);
        }
    }

    /// Forgets ids whose window ended, and `more` of the oldest others.
    pub(super) fn forget(&mut self, now: Time, mut more: usize) {
        while let Some(oldest) = self.order.front() {
            let is_over = self
                .firsts
                .get(oldest)
                .is_none_or(|first| first.until <= now);
            if !is_over {
                if more == 0 {
                    break;
                }
                more -= 1;
            }
            self.firsts.remove(oldest);
            self.order.pop_front();
        }
        if self.order.is_empty() {
            // An idle channel gives its blocks back.
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use parlor_protocol::{Epoch, Tag};

    use super::*;

    fn dedup(id: &str) -> Dedup {
        Dedup {
            sender: "u:ann".into(),
            id: id.into(),
        }
    }

    fn first(until: u64) -> First {
        let position = Position {
            epoch: Epoch(1),
            offset: 1,
            tag: Tag(1),
        };
        First {
            content: ContentHash([0; 16]),
            position,
            time: Time(1),
            until: Time(until),
        }
    }

    fn recent() -> Recent {
        let mut recent = Recent::default();
        recent.insert(dedup("a"), first(10));
        recent.insert(dedup("b"), first(20));
        recent.insert(dedup("c"), first(30));
        recent
    }

    #[test]
    fn an_id_is_known_until_the_moment_its_window_ends() {
        assert!(recent().find(&dedup("a"), Time(9)).is_some());
        assert!(recent().find(&dedup("a"), Time(10)).is_none());
    }

    #[test]
    fn what_is_over_is_forgotten_and_more_when_asked() {
        let mut recent = recent();
        recent.forget(Time(10), 0);
        assert_eq!(recent.len(), 2);
        recent.forget(Time(10), 1);
        assert_eq!(recent.len(), 1);
        assert!(recent.find(&dedup("c"), Time(10)).is_some());
    }
}
