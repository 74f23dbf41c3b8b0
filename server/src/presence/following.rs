//! Which channels' rosters this node keeps, and how they follow the registry.
//!
//! A node keeps a roster while somebody here watches the channel or has asked for it lately. The rest of the feed passes
//! by.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use parlor_protocol::{ChannelName, WireError};

use super::Presence;
use super::cluster::{Cluster, unavailable};
use super::mirror::{Edit, Mirror};
use super::registry::{Applied, Failed, Load, NodeId, Page};
use super::roster::Roster;

/// How long a roster is kept that nobody watches any more.
const LINGER: Duration = Duration::from_secs(30);

/// Changes that a roster takes under one lock: readers wait no longer.
const EDITS_MAX: usize = 1_024;

/// Somebody's wish to know who is in a channel. The roster is kept while it lives, and a while longer.
#[derive(Debug)]
pub struct Interest {
    /// None on a node of its own, which keeps all rosters anyway.
    kept: Option<(Arc<Presence>, ChannelName)>,
}

impl Drop for Interest {
    fn drop(&mut self) {
        let Some((presence, channel)) = self.kept.take() else {
            return;
        };
        let Some(cluster) = &presence.cluster else {
            return;
        };
        let is_last = cluster.mirror(&channel).is_some_and(|mirror| {
            let mut mirror = mirror.lock();
            mirror.watchers = mirror.watchers.saturating_sub(1);
            // There is no clock here: the next beat says from when on it lingers.
            mirror.keep_until = None;
            mirror.watchers == 0
        });
        if is_last {
            cluster.idle.lock().insert(channel);
        }
    }
}

impl Cluster {
    fn mirror(&self, channel: &ChannelName) -> Option<Arc<Mutex<Mirror>>> {
        self.mirrors.get(channel).map(|found| Arc::clone(&found))
    }

    /// Does something to the channel's mirror, which is made and begins to read if there is none.
    fn at_mirror<T>(&self, channel: &ChannelName, act: impl Fn(&mut Mirror) -> T) -> T {
        loop {
            let (found, is_new) = match self.mirror(channel) {
                Some(found) => (found, false),
                None => {
                    let mut is_new = false;
                    let made = self.mirrors.entry(channel.clone()).or_insert_with(|| {
                        is_new = true;
                        Arc::new(Mutex::new(Mirror::new()))
                    });
                    (Arc::clone(&made), is_new)
                }
            };
            let mut mirror = found.lock();
            if is_new {
                self.read_anew(channel, &mut mirror);
            }
            if !mirror.is_dropped {
                return act(&mut mirror);
            }
        }
    }

    fn read_anew(&self, channel: &ChannelName, mirror: &mut Mirror) {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        mirror.read_anew(run);
        self.errands.next_page(channel, run, None);
    }
}

impl Presence {
    /// Keeps the channel's roster while the answer lives.
    pub fn watch(self: &Arc<Self>, channel: &ChannelName) -> Interest {
        let kept = self.cluster.as_ref().map(|cluster| {
            cluster.at_mirror(channel, |mirror| mirror.watchers += 1);
            (Arc::clone(self), channel.clone())
        });
        Interest { kept }
    }

    /// Resolves when the channel's roster can be read here, now and for a while. May take as long as the registry
    /// does: the caller sets a bound.
    ///
    /// # Errors
    /// `storage_unavailable` when the registry is away.
    pub async fn ready(&self, channel: &ChannelName, now: Instant) -> Result<(), WireError> {
        let Some(cluster) = &self.cluster else {
            return Ok(());
        };
        loop {
            let (is_live, bell) = cluster.at_mirror(channel, |mirror| {
                mirror.keep_until = mirror.keep_until.max(Some(now + LINGER));
                if mirror.watchers == 0 {
                    cluster.idle.lock().insert(channel.clone());
                }
                (mirror.is_live(), Arc::clone(&mirror.bell))
            });
            // Looked at once more when the bell is in hand: it may have rung in between.
            let rung = bell.notified();
            let mut rung = std::pin::pin!(rung);
            rung.as_mut().enable();
            if is_live
                || cluster
                    .mirror(channel)
                    .is_some_and(|one| one.lock().is_live())
            {
                return Ok(());
            }
            if cluster.is_away() {
                return Err(unavailable());
            }
            rung.await;
        }
    }

    /// Takes what the feed tells of a channel: in the order of versions, each once. After a hole in the feed comes
    /// [`resync`](Self::resync), before anything else is told.
    pub fn apply(&self, version: u64, channel: &ChannelName, changes: &[Applied], now: Instant) {
        let Some(cluster) = &self.cluster else { return };
        for applied in changes {
            self.hear(cluster, channel, applied);
        }
        if let Some(mirror) = cluster.mirror(channel) {
            let mut mirror = mirror.lock();
            let mut edits = Vec::new();
            for applied in changes {
                let is_dead = cluster.is_of_dead(applied, now);
                mirror.apply(version, applied, is_dead, &mut edits);
            }
            self.edit(channel, edits, now);
            if mirror.is_overrun() {
                cluster.read_anew(channel, &mut mirror);
            }
        }
    }

    /// Answers [`Errand::Load`](super::registry::Errand::Load).
    pub fn loaded(&self, load: Load, outcome: Result<Page, Failed>, now: Instant) {
        let Some(cluster) = &self.cluster else { return };
        cluster.errands.load_done();
        let Some(mirror) = cluster.mirror(&load.channel) else {
            return;
        };
        let mut mirror = mirror.lock();
        if mirror.is_dropped || !mirror.is_reading(load.run) {
            return;
        }
        let Ok(page) = outcome else {
            cluster.errands.load_failed(load);
            return;
        };
        {
            let mut nodes = cluster.nodes.lock();
            let owners = page.rows.iter().map(|row| &row.owner);
            owners.for_each(|owner| nodes.mention(owner, now));
        }
        mirror.add(&page);
        match page.next {
            Some(cursor) => cluster
                .errands
                .next_page(&load.channel, load.run, Some(cursor)),
            None => self.finish(cluster, &load.channel, &mut mirror, now),
        }
    }

    fn finish(&self, cluster: &Cluster, channel: &ChannelName, mirror: &mut Mirror, now: Instant) {
        let mut edits = Vec::new();
        let was_live = mirror.is_live();
        mirror.finish(|node| cluster.nodes.lock().is_dead(node), &mut edits);
        if was_live {
            self.edit(channel, edits, now);
        } else {
            let version = self.versions_used.load(Ordering::Acquire);
            let mut roster = Roster::new(version, now);
            for edit in edits {
                roster.edit(edit, &self.config);
            }
            // Nobody was shown an earlier one: there is nothing to tell.
            roster.forget_changes();
            self.rosters.insert(channel.clone(), Mutex::new(roster));
        }
        let me = cluster.nodes.lock().me().clone();
        cluster.disown(channel, &mirror.of_process(&me));
        mirror.bell.notify_waiters();
    }

    /// The feed of these channels had a hole, or began anew: reads them again, and says again what is alive here.
    /// Rosters stay in use, and only true differences are told.
    pub fn resync(&self, which: impl Fn(&ChannelName) -> bool) {
        let Some(cluster) = &self.cluster else { return };
        for (channel, mirror) in cluster.all_mirrors() {
            if which(&channel) {
                let mut mirror = mirror.lock();
                if !mirror.is_dropped {
                    cluster.read_anew(&channel, &mut mirror);
                }
            }
        }
        self.repeat(which);
    }

    /// A node that was thought to be dead is not: what was left out because of it is read again.
    pub(super) fn read_anew_without(&self, node: &NodeId) {
        let Some(cluster) = &self.cluster else { return };
        for (channel, mirror) in cluster.all_mirrors() {
            let mut mirror = mirror.lock();
            if !mirror.is_dropped && mirror.misses(node) {
                cluster.read_anew(&channel, &mut mirror);
            }
        }
    }

    /// Everything that only this node's sockets held leaves at once.
    pub(super) fn bury(&self, node: &NodeId, now: Instant) {
        let Some(cluster) = &self.cluster else { return };
        for (channel, mirror) in cluster.all_mirrors() {
            let mut mirror = mirror.lock();
            let mut edits = Vec::new();
            mirror.bury(node, &mut edits);
            self.edit(&channel, edits, now);
        }
    }

    /// Called with the mirror's lock, so that a roster takes its edits in their order.
    fn edit(&self, channel: &ChannelName, edits: Vec<Edit>, now: Instant) {
        if edits.is_empty() {
            return;
        }
        let Some(found) = self.rosters.get(channel) else {
            return;
        };
        let mut edits = edits.into_iter().peekable();
        while edits.peek().is_some() {
            let mut roster = found.lock();
            for edit in edits.by_ref().take(EDITS_MAX) {
                roster.edit(edit, &self.config);
            }
            let at = now + self.pace(&roster);
            self.flush_by(channel, &mut roster, at);
        }
    }

    /// Whoever waits for a roster looks again.
    pub(super) fn wake_all(&self) {
        let Some(cluster) = &self.cluster else { return };
        for (_, mirror) in cluster.all_mirrors() {
            mirror.lock().bell.notify_waiters();
        }
    }

    /// Drops the rosters that nobody has wanted for a while.
    pub(super) fn let_go(&self, now: Instant) {
        let Some(cluster) = &self.cluster else { return };
        let idle = std::mem::take(&mut *cluster.idle.lock());
        let mut later = Vec::new();
        for channel in idle {
            let Some(mirror) = cluster.mirror(&channel) else {
                continue;
            };
            let until = {
                let mut mirror = mirror.lock();
                if mirror.watchers > 0 {
                    continue;
                }
                *mirror.keep_until.get_or_insert(now + LINGER)
            };
            if until > now {
                later.push(channel);
            } else {
                self.let_go_of(cluster, &channel, now);
            }
        }
        cluster.idle.lock().extend(later);
    }

    fn let_go_of(&self, cluster: &Cluster, channel: &ChannelName, now: Instant) {
        cluster.mirrors.remove_if(channel, |_, mirror| {
            let mut mirror = mirror.lock();
            if mirror.watchers > 0 || mirror.keep_until.is_some_and(|until| until > now) {
                return false;
            }
            mirror.is_dropped = true;
            // Before anybody can make the channel's next mirror.
            if let Some((_, roster)) = self.rosters.remove(channel) {
                let beyond = roster.into_inner().version() + 1;
                self.versions_used.fetch_max(beyond, Ordering::AcqRel);
            }
            cluster.errands.release(channel);
            true
        });
    }
}

impl Cluster {
    fn all_mirrors(&self) -> Vec<(ChannelName, Arc<Mutex<Mirror>>)> {
        self.mirrors
            .iter()
            .map(|found| (found.key().clone(), Arc::clone(found.value())))
            .collect()
    }

    /// Whether an entry was put by a node that has died since. (The feed of a channel may lag behind that of heartbeats,
    /// so only a heartbeat proves that a node lives.)
    fn is_of_dead(&self, applied: &Applied, now: Instant) -> bool {
        let Applied::Put(row) = applied else {
            return false;
        };
        let mut nodes = self.nodes.lock();
        nodes.mention(&row.owner, now);
        nodes.is_dead(&row.owner)
    }
}
