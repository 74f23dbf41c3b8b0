//! The newest positions of each channel, as the answers to publishes tell them, for subscribers that come back.
//!
//! A position is the same for all subscribers of an event, so nothing has to be kept for each delivery.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// By group and channel; nothing is kept where nobody comes back.
#[derive(Debug)]
pub(crate) struct Positions {
    channels: Vec<Vec<Mutex<BTreeMap<u64, String>>>>,
}

impl Positions {
    /// For so many channels in each group.
    pub(crate) fn new(channels: impl Iterator<Item = u32>) -> Self {
        let group = |channels| (0..channels).map(|_| Mutex::default()).collect();
        Self {
            channels: channels.map(group).collect(),
        }
    }

    pub(crate) fn remember(&self, group: usize, channel: u32, offset: u64, position: &str) {
        let Some(known) = self.of(group, channel) else {
            return;
        };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(offset, position.to_owned());
        if known.len() > KEPT_MAX {
            known.pop_first();
        }
    }

    /// This offset, or the nearest one before it, whose answer has come already; and its position.
    pub(crate) fn at(&self, group: usize, channel: u32, offset: u64) -> Option<(u64, String)> {
        let known = self.of(group, channel)?;
        let known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let (offset, position) = known.range(..=offset).next_back()?;
        Some((*offset, position.clone()))
    }

    fn of(&self, group: usize, channel: u32) -> Option<&Mutex<BTreeMap<u64, String>>> {
        self.channels.get(group)?.get(channel as usize)
    }
}

/// Of each channel: who was away for longer asks from the oldest of them that is not too new.
const KEPT_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_earlier_position_will_do() {
        let positions = Positions::new([1].into_iter());
        for offset in [10, 12] {
            positions.remember(0, 0, offset, &offset.to_string());
        }
        let at = |offset| positions.at(0, 0, offset);
        assert_eq!(at(12), Some((12, "12".to_owned())));
        assert_eq!(at(11), Some((10, "10".to_owned())));
        assert_eq!((at(9), positions.at(0, 7, 9)), (None, None));
    }
}
