//! What a shard is told by others: which channels advanced, and a few orders about its connections.

use std::net::TcpStream;

use parking_lot::Mutex;
use parlor_protocol::{Alias, ChannelName, CloseCode};
use tokio::sync::Notify;

use super::ids::{ConnectionId, ShardId};

/// Orders that may wait at one shard; more are refused, and their sender answers `busy`.
const CONTROLS_MAX: usize = 65_536;

/// An order to a shard about one of its connections. The one list of everything that reaches a shard from outside.
#[derive(Debug)]
pub enum Control {
    /// End it with this code.
    Disconnect {
        connection: ConnectionId,
        code: CloseCode,
    },
    /// Subscribe it by a backend's order, with the backend's rights.
    Subscribe {
        connection: ConnectionId,
        channel: ChannelName,
    },
    /// End its subscription.
    Unsubscribe {
        connection: ConnectionId,
        channel: ChannelName,
    },
    /// A fresh socket from a shard that owns clearly more connections.
    Accept { socket: TcpStream },
    /// A user's connection: end it if its token was revoked.
    CheckToken { connection: ConnectionId },
    /// The same for every connection.
    CheckTokens,
    /// The broker's health changed: tell every client that was told otherwise.
    TellStatus,
    /// Begin to send every client away.
    Drain,
}

/// A shard's letter box. Channel advances are a set, so it is bounded by the number of channels.
#[derive(Debug)]
pub struct Inbox {
    id: ShardId,
    letters: Mutex<Letters>,
    bell: Notify,
}

#[derive(Debug, Default)]
pub struct Letters {
    /// Each channel at most once: its `Channel` remembers whether it waits here.
    pub advanced: Vec<Alias>,
    pub controls: Vec<Control>,
}

/// The inbox is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxFull;

impl Inbox {
    pub(super) fn new(id: ShardId) -> Self {
        Self {
            id,
            letters: Mutex::default(),
            bell: Notify::new(),
        }
    }

    pub fn id(&self) -> ShardId {
        self.id
    }

    pub(super) fn advanced(&self, alias: Alias) {
        let was_empty = {
            let mut letters = self.letters.lock();
            letters.advanced.push(alias);
            letters.advanced.len() == 1 && letters.controls.is_empty()
        };
        if was_empty {
            self.bell.notify_one();
        }
    }

    /// # Errors
    /// [`InboxFull`] when too many orders wait already.
    pub fn order(&self, control: Control) -> Result<(), InboxFull> {
        {
            let mut letters = self.letters.lock();
            if letters.controls.len() >= CONTROLS_MAX {
                return Err(InboxFull);
            }
            letters.controls.push(control);
        }
        self.bell.notify_one();
        Ok(())
    }

    /// Takes what is there, if anything.
    pub fn take_now(&self, into: &mut Letters) {
        into.advanced.clear();
        into.controls.clear();
        std::mem::swap(&mut *self.letters.lock(), into);
    }

    /// Waits until something is there and takes it all, swapping in the emptied `into`.
    pub async fn take(&self, into: &mut Letters) {
        into.advanced.clear();
        into.controls.clear();
        loop {
            {
                let mut letters = self.letters.lock();
                if !letters.advanced.is_empty() || !letters.controls.is_empty() {
                    std::mem::swap(&mut *letters, into);
                    return;
                }
            }
            self.bell.notified().await;
        }
    }
}
