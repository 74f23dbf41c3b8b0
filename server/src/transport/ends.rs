//! Turns at ending a connection. When a balancer dies, all of its connections end at once: what each end costs (channels,
//! presence, the socket) adds up to the better part of a second, in which nobody else would get the shard.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Ends between two looks for news from sockets: some hundred microseconds.
const ENDS_PER_ROUND: usize = 16;

/// A few turns per round of the runtime.
#[derive(Debug)]
pub(super) struct Ends(Semaphore);

impl Ends {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(ENDS_PER_ROUND))
    }

    /// Waits for a turn, in the order of asking; it ends when what this returns is dropped.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Only a closed semaphore fails, and nobody closes this one.
        let turn = self.0.acquire().await.ok();
        // Holding it meanwhile is what makes the others wait: ending takes no pause.
        tokio::task::yield_now().await;
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;

    use super::*;

    #[test]
    fn a_crowd_that_ends_lets_others_in_between() {
        let runtime = Builder::new_current_thread()
            .build_local(LocalOptions::default())
            .expect("a runtime");
        runtime.block_on(async {
            let (ends, ended) = (Rc::new(Ends::new()), Rc::new(Cell::new(0)));
            for _ in 0..1_000 {
                let (ends, ended) = (Rc::clone(&ends), Rc::clone(&ended));
                spawn_local(async move {
                    let _turn = ends.turn().await;
                    ended.set(ended.get() + 1);
                });
            }
            let mut before = 0;
            while ended.get() < 1_000 {
                tokio::task::yield_now().await;
                let now = ended.get();
                assert!(now - before <= ENDS_PER_ROUND, "{before} to {now}");
                before = now;
            }
        });
    }
}
