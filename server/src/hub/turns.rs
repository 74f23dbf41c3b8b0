//! Turns at reading a channel's log. After a restart or a cut everybody who listens to a channel comes back at once: one
//! of them reads, and the others, when it is their turn, find what they want in the channel's tail.

use parlor_protocol::Alias;
use tokio::sync::{Semaphore, SemaphorePermit};

/// One turn for each channel at a time. Channels share turns by their alias, so that none has to keep one.
#[derive(Debug)]
pub(super) struct Turns(Box<[Semaphore]>);

impl Turns {
    pub(super) fn new() -> Self {
        Self((0..TURNS).map(|_| Semaphore::new(1)).collect())
    }

    /// Waits for the channel's turn, in the order of asking; it ends when what this returns is dropped.
    pub(super) async fn take(&self, alias: Alias) -> Option<SemaphorePermit<'_>> {
        // Only a closed semaphore fails, and nobody closes these.
        self.0[alias.0 as usize % TURNS].acquire().await.ok()
    }
}

/// Far more than reads that a log answers at the same time.
const TURNS: usize = 1_024;
