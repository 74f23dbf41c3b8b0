//! A channel's publish ids of the last minutes.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use parlor_protocol::Time;

use crate::broker::Dedup;
use crate::broker::embedded::outcome::First;

/// Below this many ids, blocks that are too large are kept.
const ROOM_MIN: usize = 64;

/// A first publish, for as long as its id is remembered.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    first: First,
    until: Time,
}

/// Ids in the order in which they came, which is that in which they are forgotten.
#[derive(Debug, Default)]
pub(super) struct Recent {
    firsts: HashMap<Key, Remembered>,
    order: VecDeque<Key>,
}

impl Recent {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The first publish under this id, if it was inside the window.
    pub(super) fn find(&self, key: Key, now: Time) -> Option<First> {
        let known = self.firsts.get(&key)?;
        (known.until > now).then_some(known.first)
    }

    /// Remembers an id that is not known, or whose window ended.
    pub(super) fn insert(&mut self, key: Key, first: First, until: Time) {
        let remembered = Remembered { first, until };
        if self.firsts.insert(key, remembered).is_none() {
            self.order.push_back(key);
        }
    }

    /// Forgets ids whose window ended, and `more` of the oldest others. Returns how many others there were to forget.
    pub(super) fn forget(&mut self, now: Time, more: usize) -> usize {
        let mut early = 0;
        while let Some(oldest) = self.order.front() {
            let is_over = self
                .firsts
                .get(oldest)
                .is_none_or(|known| known.until <= now);
            if !is_over {
                if early == more {
                    break;
                }
                early += 1;
            }
            self.firsts.remove(oldest);
            self.order.pop_front();
        }
        self.give_back();
        early
    }

    /// After a burst the blocks become as small as what is left.
    fn give_back(&mut self) {
        let len = self.order.len();
        if self.firsts.capacity().max(self.order.capacity()) > ROOM_MIN.max(len * 4) {
            self.firsts.shrink_to(len * 2);
            self.order.shrink_to(len * 2);
        }
    }
}

/// Sender and id in 128 bits, a fifth of what the texts would take. The hashes are keyed by this process: nobody can choose
/// ids that collide, and by chance a million ids do so once in 10^26 times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u64, u64);

impl Key {
    pub(super) fn of(dedup: &Dedup) -> Self {
        static HALVES: LazyLock<[RandomState; 2]> =
            LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        Self(HALVES[0].hash_one(dedup), HALVES[1].hash_one(dedup))
    }
}

#[cfg(test)]
mod tests {
    use parlor_protocol::Tag;

    use super::*;
    use crate::broker::content::ContentHash;

    fn key(id: &str) -> Key {
        Key::of(&Dedup {
            sender: "u:ann".into(),
            id: id.into(),
        })
    }

    fn first() -> First {
        First {
            content: ContentHash([0; 16]),
            offset: 1,
            tag: Tag(1),
            time: Time(1),
        }
    }

    fn recent() -> Recent {
        let mut recent = Recent::default();
        recent.insert(key("a"), first(), Time(10));
        recent.insert(key("b"), first(), Time(20));
        recent.insert(key("c"), first(), Time(30));
        recent
    }

    #[test]
    fn an_id_is_known_until_the_moment_its_window_ends() {
        assert!(recent().find(key("a"), Time(9)).is_some());
        assert!(recent().find(key("a"), Time(10)).is_none());
    }

    #[test]
    fn what_is_over_is_forgotten_and_more_when_asked() {
        let mut recent = recent();
        assert_eq!(recent.forget(Time(10), 0), 0);
        assert_eq!(recent.len(), 2);
        assert_eq!(recent.forget(Time(10), 1), 1);
        assert_eq!(recent.len(), 1);
        assert!(recent.find(key("c"), Time(10)).is_some());
    }

    #[test]
    fn a_sender_has_ids_of_its_own() {
        let others = Key::of(&Dedup {
            sender: "u:bob".into(),
            id: "a".into(),
        });
        assert!(recent().find(others, Time(9)).is_none());
    }

    #[test]
    fn blocks_that_a_burst_needed_are_given_back() {
        let mut recent = recent();
        for id in 0..10_000_u64 {
            recent.insert(key(&id.to_string()), first(), Time(100 + id));
        }
        recent.forget(Time(10_000), 0);
        assert_eq!(recent.len(), 99);
        let kept = recent.firsts.capacity().max(recent.order.capacity());
        assert!(kept < 1_000, "room for {kept} ids");
    }

    #[test]
    fn what_is_over_is_not_among_what_had_to_go_early() {
        assert_eq!(recent().forget(Time(20), 1), 1);
        assert_eq!(recent().forget(Time(30), 1), 0);
        assert_eq!(recent().forget(Time(0), 9), 3);
    }
}
