//! How a subscriber reads.

use crate::scenario::Load;

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
    /// Of this connection of its group, which is its thread's `index`th.
    pub(crate) fn of(load: &Load, connection: u32, index: usize) -> Self {
        if connection < load.stuck_readers {
            Self::Stuck
        } else if (index as f64 * GOLDEN).fract() < load.slow_readers {
            Self::Slow
        } else {
            Self::Prompt
        }
    }
}

/// The most even stride through 0 to 1.
const GOLDEN: f64 = 0.618_033_988_749_894_9;
