//! What deliveries cost, counted on a shard's thread.

use crate::outbox::Frame;

/// What the deliveries of one advance cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub deliveries: u64,
    pub bytes: u64,
    pub overflows: u64,
    /// Logged events that a subscriber did not get, by the policy "skip to latest".
    pub skipped: u64,
    /// Signals and presence diffs dropped under pressure.
    pub ephemerals_dropped: u64,
}

impl Tally {
    pub(super) fn count(&mut self, frame: &Frame, deliveries: usize) {
        self.deliveries += deliveries as u64;
        self.bytes += frame.len() as u64;
    }
}
