//! What waits to be asked of the registry, and how much of it may be under way at once.
//!
//! It holds names only: what a channel has to say is on its desk when its turn comes.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;
use parlor_protocol::ChannelName;
use tokio::sync::Notify;

use super::registry::{Cursor, Load, NodeId};

/// Submissions and pages under way.
const SUBMISSIONS_MAX: usize = 128;
const LOADS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Errands {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Channels whose desk has something to say; each at most once (`Desk::is_listed`).
    desks: VecDeque<ChannelName>,
    submissions: usize,
    pages: VecDeque<Load>,
    loads: usize,
    releases: HashSet<ChannelName>,
    reaps: VecDeque<NodeId>,
    is_reaping: bool,
    wants_list: bool,
    is_listing: bool,
    /// What failed: tried again with the next beat.
    failed_desks: Vec<ChannelName>,
    failed_pages: Vec<Load>,
    failed_reaps: Vec<NodeId>,
}

impl Errands {
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    fn add(&self, add: impl FnOnce(&mut Waiting)) {
        add(&mut self.waiting.lock());
        self.bell.notify_one();
    }

    pub(super) fn desk(&self, channel: &ChannelName) {
        self.add(|waiting| waiting.desks.push_back(channel.clone()));
    }

    /// A desk whose turn it is. [`desk_done`](Self::desk_done) makes room for another.
    pub(super) fn take_desk(&self) -> Option<ChannelName> {
        let mut waiting = self.waiting.lock();
        if waiting.submissions >= SUBMISSIONS_MAX {
            return None;
        }
        let channel = waiting.desks.pop_front()?;
        waiting.submissions += 1;
        Some(channel)
    }

    pub(super) fn desk_done(&self) {
        self.add(|waiting| waiting.submissions = waiting.submissions.saturating_sub(1));
    }

    pub(super) fn desk_failed(&self, channel: &ChannelName) {
        self.waiting.lock().failed_desks.push(channel.clone());
    }

    /// Pages are read to the end channel by channel: the next one goes first.
    pub(super) fn next_page(&self, channel: &ChannelName, run: u64, cursor: Option<Cursor>) {
        let load = Load {
            channel: channel.clone(),
            cursor,
            run,
        };
        self.add(|waiting| match load.cursor {
            Some(_) => waiting.pages.push_front(load),
            None => {
                waiting.releases.remove(&load.channel);
                waiting.pages.push_back(load);
            }
        });
    }

    pub(super) fn take_load(&self) -> Option<Load> {
        let mut waiting = self.waiting.lock();
        if waiting.loads >= LOADS_MAX {
            return None;
        }
        let load = waiting.pages.pop_front()?;
        waiting.loads += 1;
        Some(load)
    }

    pub(super) fn load_done(&self) {
        self.add(|waiting| waiting.loads = waiting.loads.saturating_sub(1));
    }

    pub(super) fn load_failed(&self, load: Load) {
        self.waiting.lock().failed_pages.push(load);
    }

    pub(super) fn release(&self, channel: &ChannelName) {
        self.add(|waiting| {
            // What was to be read of it need not be read any more.
            waiting.pages.retain(|load| load.channel != *channel);
            waiting.failed_pages.retain(|load| load.channel != *channel);
            waiting.releases.insert(channel.clone());
        });
    }

    pub(super) fn take_release(&self) -> Option<ChannelName> {
        let mut waiting = self.waiting.lock();
        let channel = waiting.releases.iter().next()?.clone();
        waiting.releases.take(&channel)
    }

    pub(super) fn reap(&self, node: NodeId) {
        self.add(|waiting| {
            if !waiting.reaps.contains(&node) && !waiting.failed_reaps.contains(&node) {
                waiting.reaps.push_back(node);
            }
        });
    }

    pub(super) fn take_reap(&self) -> Option<NodeId> {
        let mut waiting = self.waiting.lock();
        if waiting.is_reaping {
            return None;
        }
        let node = waiting.reaps.pop_front()?;
        waiting.is_reaping = true;
        Some(node)
    }

    pub(super) fn reap_done(&self) {
        self.add(|waiting| waiting.is_reaping = false);
    }

    pub(super) fn reap_failed(&self, node: NodeId) {
        self.waiting.lock().failed_reaps.push(node);
    }

    pub(super) fn list(&self) {
        self.add(|waiting| waiting.wants_list = true);
    }

    pub(super) fn take_list(&self) -> bool {
        let mut waiting = self.waiting.lock();
        let is_due = waiting.wants_list && !waiting.is_listing;
        if is_due {
            waiting.wants_list = false;
            waiting.is_listing = true;
        }
        is_due
    }

    pub(super) fn list_done(&self) {
        self.add(|waiting| waiting.is_listing = false);
    }

    /// Everything that failed is tried again.
    pub(super) fn retry(&self) {
        let mut waiting = self.waiting.lock();
        let waiting = &mut *waiting;
        if waiting.failed_desks.is_empty()
            && waiting.failed_pages.is_empty()
            && waiting.failed_reaps.is_empty()
        {
            return;
        }
        waiting.desks.extend(waiting.failed_desks.drain(..));
        waiting.pages.extend(waiting.failed_pages.drain(..));
        waiting.reaps.extend(waiting.failed_reaps.drain(..));
        self.bell.notify_one();
    }

    /// Rings although nothing new waits: what waited may be done now.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }
}
