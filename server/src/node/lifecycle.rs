//! Whether the node takes newcomers, and whether its broker is well.

use std::sync::atomic::{AtomicBool, Ordering};

/// Starts ready; once draining, never back. Degraded comes and goes.
#[derive(Debug, Default)]
pub struct Lifecycle {
    draining: AtomicBool,
    degraded: AtomicBool,
}

impl Lifecycle {
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// True for the first caller.
    pub fn begin_drain(&self) -> bool {
        !self.draining.swap(true, Ordering::AcqRel)
    }

    /// Whether the broker could not keep or pass on events when it was last asked.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Acquire)
    }

    /// True when that is a change.
    pub fn set_degraded(&self, degraded: bool) -> bool {
        self.degraded.swap(degraded, Ordering::AcqRel) != degraded
    }
}
