//! How a subscriber reads.

use crate::scenario::Load;
use crate::spread;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// What is there, at once.
    Prompt,
    /// Only a little now and then.
    Slow,
    /// Nothing any more once it has joined.
    Stuck,
}

impl Pace {
    /// Whether a run's end waits for its answer: who is slow on purpose may be on the way back at any time.
    pub(crate) fn is_waited_for(self) -> bool {
        self != Self::Slow
    }

    /// Of this connection of its group, which is its thread's `index`th.
    pub(crate) fn of(load: &Load, connection: u32, index: usize) -> Self {
        if connection < load.stuck_readers {
            return Self::Stuck;
        }
        let slow = load.slow_readers;
        spread::pick(
            &[(Self::Slow, slow), (Self::Prompt, 1.0 - slow)],
            index as u64,
        )
    }
}
