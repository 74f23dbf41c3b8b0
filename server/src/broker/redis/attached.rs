//! How many replicas of a primary must confirm, where all of them shall.
//!
//! A replica that left may have been promoted: what only the others confirm would be lost with it. So a replica that is gone
//! counts for a while yet, in which a promotion is noticed; meanwhile `replicated` publishes wait.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a replica counts that is gone. Sentinels turn the others away from the old primary within one or two seconds.
const STAYS_FOR: Duration = Duration::from_secs(5);

/// Of one primary, over all links to it.
#[derive(Debug, Default)]
pub(super) struct Attached(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// That must confirm.
    needed: usize,
    /// As last looked at.
    seen: usize,
    /// When the last of those that are missing left.
    left_at: Option<Instant>,
}

impl Attached {
    pub(super) fn needed(&self) -> usize {
        self.0.lock().needed
    }

    /// So many are attached now.
    pub(super) fn look(&self, count: usize, now: Instant) {
        let mut state = self.0.lock();
        let has_fallen = count < state.seen;
        state.seen = count;
        if count >= state.needed {
            state.needed = count;
            state.left_at = None;
            return;
        }
        match state.left_at {
            Some(left_at) if !has_fallen && now.duration_since(left_at) >= STAYS_FOR => {
                state.needed = count;
                state.left_at = None;
            }
            Some(_) if !has_fallen => {}
            Some(_) | None => state.left_at = Some(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_left_counts_until_a_promotion_would_have_been_noticed() {
        let (attached, start) = (Attached::default(), Instant::now());
        let look = |count, ms| {
            attached.look(count, start + Duration::from_millis(ms));
            attached.needed()
        };
        assert_eq!(look(2, 0), 2);
        assert_eq!(look(1, 400), 2);
        assert_eq!(look(1, 5_300), 2);
        assert_eq!(look(1, 5_400), 1);
        assert_eq!(look(2, 6_000), 2, "one that comes counts at once");
    }

    #[test]
    fn each_that_leaves_is_waited_for_anew() {
        let (attached, start) = (Attached::default(), Instant::now());
        let look = |count, ms| {
            attached.look(count, start + Duration::from_millis(ms));
            attached.needed()
        };
        look(2, 0);
        look(1, 400);
        assert_eq!(look(0, 5_000), 2);
        assert_eq!(look(0, 9_900), 2);
        assert_eq!(look(0, 10_000), 0);
    }
}
