//! After a time without Redis: this node learns what others decided meanwhile, before it delivers on.
//!
//! Streams say only that something happened. What must hold before the next event is delivered (whose token was revoked)
//! is state that is read whole; who reads it is not known here.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use tracing::warn;

use super::core::Core;
use crate::broker::Reload;

/// How long delivery waits for it: the part of Redis that holds it may be the one that is away. It goes on being read.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is awaited; nothing before the node is built, when nobody is served.
#[derive(Default)]
pub(super) struct Reloading(OnceLock<Reload>);

impl Core {
    /// The first one stays.
    pub(super) fn reload_with(&self, reload: Reload) {
        let _first = self.reloading.0.set(reload);
    }

    /// Waits until this node knows what it missed, or for too long.
    pub(super) async fn learn_what_was_missed(&self) {
        let Some(reload) = self.reloading.0.get() else {
            return;
        };
        if tokio::time::timeout(PATIENCE, reload()).await.is_err() {
            warn!("What other nodes decided cannot be read yet; delivering on.");
        }
    }
}

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reloading")
            .field(&self.0.get().is_some())
            .finish()
    }
}
