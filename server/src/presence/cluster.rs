//! Presence among nodes that share a registry: what this node says to it, and which nodes are alive.
//!
//! Sessions and leases stay with the node that has the socket; they decide when an entry begins and ends. With a
//! registry they write that on the channel's *desk* instead of into its roster, and the roster changes when the change
//! comes back by the feed, like everybody else's: one path for all. No IO here: [`Presence::errand`] says what to ask
//! of the registry, and the answers come in by calls.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use parlor_protocol::{ChannelName, ErrorCode, Payload, WireError};

use super::desk::{Aftermath, Desk};
use super::errands::Errands;
use super::mirror::Mirror;
use super::nodes::Nodes;
use super::registry::{Applied, Errand, Failed, NodeId, Reaped, Submission, Why};
use super::{Entry, Presence};

/// How often failed errands are tried again, and what is idle is looked for.
const BEAT: Duration = Duration::from_millis(500);

/// Beats between two looks at the registry's list of nodes: it also names those that died unseen.
const LIST_BEATS: u64 = 60;

/// What a node has of the registry that it shares with others.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) nodes: Mutex<Nodes>,
    desks: DashMap<ChannelName, Desk>,
    pub(super) mirrors: DashMap<ChannelName, Arc<Mutex<Mirror>>>,
    pub(super) errands: Errands,
    /// Channels whose roster is kept though nobody watches them.
    pub(super) idle: Mutex<HashSet<ChannelName>>,
    /// Numbers the readings of channels, of all of them.
    pub(super) runs: AtomicU64,
    /// Somebody has cleared away what is alive here.
    is_denied: AtomicBool,
    rebirth: Mutex<Rebirth>,
    beats: Mutex<Beats>,
}

/// A new incarnation repeats everything; only then is what the one before left behind cleared away.
#[derive(Debug, Default)]
struct Rebirth {
    repeating: HashSet<ChannelName>,
    earlier: Vec<NodeId>,
}

#[derive(Debug)]
struct Beats {
    next: Instant,
    count: u64,
    /// Dead nodes that leave entries with deadlines.
    reap_again: Vec<(Instant, NodeId)>,
}

impl Cluster {
    pub(super) fn new(me: NodeId, lease: Duration, now: Instant) -> Self {
        Self {
            nodes: Mutex::new(Nodes::new(me, lease)),
            desks: DashMap::new(),
            mirrors: DashMap::new(),
            errands: Errands::default(),
            idle: Mutex::default(),
            runs: AtomicU64::new(0),
            is_denied: AtomicBool::new(false),
            rebirth: Mutex::default(),
            beats: Mutex::new(Beats {
                next: now,
                count: 0,
                reap_again: Vec::new(),
            }),
        }
    }

    pub(super) fn want(&self, channel: &ChannelName, entry: &Entry, until: Option<Instant>) {
        let mut desk = self.desks.entry(channel.clone()).or_default();
        desk.want(entry, until);
        self.list(channel, &mut desk);
    }

    pub(super) fn unwant(&self, channel: &ChannelName, session: &Arc<str>, why: Why) {
        self.at_desk(channel, |desk| {
            desk.unwant(session, why);
        });
    }

    /// Puts a desk that has something to say on the list, once.
    fn list(&self, channel: &ChannelName, desk: &mut Desk) {
        if desk.has_news() && !std::mem::replace(&mut desk.is_listed, true) {
            self.errands.desk(channel);
        }
    }

    /// Changes a desk that is there; one that has nothing left to remember goes.
    fn at_desk<T>(&self, channel: &ChannelName, change: impl FnOnce(&mut Desk) -> T) -> Option<T> {
        let (outcome, is_over) = {
            let mut desk = self.desks.get_mut(channel)?;
            let outcome = change(&mut desk);
            self.list(channel, &mut desk);
            (outcome, desk.is_over())
        };
        if is_over {
            self.desks.remove_if(channel, |_, desk| desk.is_over());
        }
        Some(outcome)
    }

    /// Takes back what the registry holds as ours, of these sessions and users, and is not here.
    pub(super) fn disown(&self, channel: &ChannelName, entries: &[(Arc<str>, Arc<str>)]) {
        if entries.is_empty() {
            return;
        }
        let mut desk = self.desks.entry(channel.clone()).or_default();
        for (session, user) in entries {
            desk.disown(session, user);
        }
        self.list(channel, &mut desk);
    }

    fn is_healthy(&self) -> bool {
        self.nodes.lock().is_healthy()
    }

    pub(super) fn is_away(&self) -> bool {
        self.nodes.lock().is_away()
    }

    fn submission(&self, now: Instant) -> Option<Submission> {
        while let Some(channel) = self.errands.take_desk() {
            let owner = self.nodes.lock().me().clone();
            let changes = self.at_desk(&channel, |desk| {
                desk.is_listed = false;
                desk.take(now)
            });
            match changes.flatten() {
                Some(changes) if changes.is_empty() => self.submitted(&channel, Ok(())),
                Some(changes) => {
                    return Some(Submission {
                        channel,
                        owner,
                        changes,
                    });
                }
                None => self.errands.desk_done(),
            }
        }
        None
    }

    fn submitted(&self, channel: &ChannelName, outcome: Result<(), Failed>) {
        let has_mark = self.at_desk(channel, |desk| {
            let has_mark = desk.answered(outcome.is_ok());
            if outcome.is_err() && !std::mem::replace(&mut desk.is_listed, true) {
                self.errands.desk_failed(channel);
            }
            has_mark
        });
        self.errands.desk_done();
        if has_mark == Some(true) {
            self.repeated(channel);
        }
    }

    /// The channel's desk has said everything that was wished when the present incarnation began.
    fn repeated(&self, channel: &ChannelName) {
        self.rebirth.lock().repeating.remove(channel);
        self.clear_up(Vec::new());
    }

    /// Has earlier incarnations of this process cleared away, once everything was repeated.
    fn clear_up(&self, more: Vec<NodeId>) {
        let mut rebirth = self.rebirth.lock();
        rebirth.earlier.extend(more);
        if rebirth.repeating.is_empty() {
            let earlier = rebirth.earlier.drain(..);
            earlier.for_each(|node| self.errands.reap(node));
        }
    }

    fn repeat(&self, which: impl Fn(&ChannelName) -> bool) {
        for mut desk in self.desks.iter_mut().filter(|desk| which(desk.key())) {
            let channel = desk.key().clone();
            desk.repeat(false);
            self.list(&channel, &mut desk);
        }
    }
}

impl Presence {
    /// The next thing to ask of the registry, if there is one that may be asked now: while the registry is known to be
    /// away, there is not. For one driver, which may have several errands under way.
    pub fn errand(&self, now: Instant) -> Option<Errand> {
        let cluster = self.cluster.as_ref()?;
        if let Some(channel) = cluster.errands.take_release() {
            return Some(Errand::Release(channel));
        }
        if !cluster.is_healthy() {
            return None;
        }
        if let Some(submission) = cluster.submission(now) {
            return Some(Errand::Submit(submission));
        }
        if let Some(load) = cluster.errands.take_load() {
            return Some(Errand::Load(load));
        }
        if let Some(node) = cluster.errands.take_reap() {
            return Some(Errand::Reap(node));
        }
        cluster.errands.take_list().then_some(Errand::ListNodes)
    }

    /// Resolves when there may be a new errand since the last call (or when there was while nobody waited). Never on a
    /// node of its own.
    pub async fn errands_wait(&self) {
        match &self.cluster {
            Some(cluster) => cluster.errands.rung().await,
            None => std::future::pending().await,
        }
    }

    /// Answers [`Errand::Submit`].
    pub fn submitted(&self, channel: &ChannelName, outcome: Result<(), Failed>) {
        if let Some(cluster) = &self.cluster {
            cluster.submitted(channel, outcome);
        }
    }

    /// Answers [`Errand::Reap`].
    pub fn reaped(&self, node: NodeId, outcome: Result<Reaped, Failed>, now: Instant) {
        let Some(cluster) = &self.cluster else { return };
        match outcome {
            Ok(Reaped::Wholly) => {}
            Ok(Reaped::Partly) => cluster.errands.reap(node),
            Ok(Reaped::UntilLater(wait)) => {
                let mut beats = cluster.beats.lock();
                beats.reap_again.push((now + wait, node));
            }
            Err(Failed) => cluster.errands.reap_failed(node),
        }
        cluster.errands.reap_done();
    }

    /// Answers [`Errand::ListNodes`].
    pub fn listed(&self, outcome: Result<Vec<NodeId>, Failed>, now: Instant) {
        let Some(cluster) = &self.cluster else { return };
        let (mut overdue, mut own) = (Vec::new(), Vec::new());
        {
            let mut nodes = cluster.nodes.lock();
            for node in outcome.into_iter().flatten() {
                nodes.mention(&node, now);
                let is_for_us = nodes.is_reaper() && nodes.is_dead(&node);
                if is_for_us || nodes.is_overdue(&node, now) {
                    overdue.push(node);
                } else if node.is_same_process(nodes.me()) && node != *nodes.me() {
                    own.push(node);
                }
            }
        }
        for node in overdue {
            cluster.errands.reap(node);
        }
        cluster.clear_up(own);
        cluster.errands.list_done();
    }

    /// The name under which this node sends heartbeats and owns entries; none on a node of its own.
    pub fn node(&self) -> Option<NodeId> {
        let cluster = self.cluster.as_ref()?;
        Some(cluster.nodes.lock().me().clone())
    }

    /// A heartbeat came by the feed, this node's own included: without that nobody is ever held for dead.
    pub fn node_seen(&self, node: &NodeId, now: Instant) {
        let Some(cluster) = &self.cluster else { return };
        let (was_dead, died) = {
            let mut nodes = cluster.nodes.lock();
            (nodes.seen(node, now), nodes.judge())
        };
        if was_dead {
            self.read_anew_without(node);
        }
        for node in died {
            self.bury(&node, now);
            if cluster.nodes.lock().is_reaper() {
                cluster.errands.reap(node);
            }
        }
    }

    /// Our own probe of the registry turned green or red. While it is red (and before the first call) nothing is asked,
    /// and nobody dies.
    pub fn set_healthy(&self, is_healthy: bool, now: Instant) {
        let Some(cluster) = &self.cluster else { return };
        cluster.nodes.lock().set_healthy(is_healthy, now);
        if is_healthy {
            cluster.errands.retry();
        } else {
            self.wake_all();
        }
        cluster.errands.ring();
    }

    /// Whether others think this node dead, or have cleared away what it holds: then it must begin anew with
    /// [`reincarnate`](Self::reincarnate), before it serves on.
    pub fn is_lapsed(&self, now: Instant) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| {
            cluster.is_denied.load(Ordering::Acquire) || cluster.nodes.lock().is_lapsed(now)
        })
    }

    /// Goes on under a new name: says again everything that is alive here, and then has cleared away what is left
    /// under the old one. Also the remedy when the registry may have lost or brought back something.
    pub fn reincarnate(&self) -> Option<NodeId> {
        let cluster = self.cluster.as_ref()?;
        let (before, me) = {
            let mut nodes = cluster.nodes.lock();
            (nodes.reincarnate(), nodes.me().clone())
        };
        cluster.is_denied.store(false, Ordering::Release);
        // A registry that was set back may have brought back what still earlier ones left.
        cluster.errands.list();
        {
            // Held throughout, so that the first desk that is done does not look like the last.
            let mut rebirth = cluster.rebirth.lock();
            rebirth.earlier.push(before);
            for mut desk in cluster.desks.iter_mut() {
                let channel = desk.key().clone();
                desk.repeat(true);
                rebirth.repeating.insert(channel.clone());
                cluster.list(&channel, &mut desk);
            }
        }
        cluster.clear_up(Vec::new());
        Some(me)
    }

    /// Says everything again that is alive here in these channels, without a new name.
    pub(super) fn repeat(&self, which: impl Fn(&ChannelName) -> bool) {
        if let Some(cluster) = &self.cluster {
            cluster.repeat(which);
        }
    }

    /// What the feed tells about sessions that are here, or were.
    pub(super) fn hear(&self, cluster: &Cluster, channel: &ChannelName, applied: &Applied) {
        let me = cluster.nodes.lock().me().clone();
        match applied {
            Applied::Put(row) => {
                let is_ours = row.owner.is_same_process(&me);
                let is_known = cluster.at_desk(channel, |desk| {
                    desk.heard_put(&row.session, &row.user, is_ours);
                });
                if is_ours && is_known.is_none() {
                    // It came too late: who asked for it has left.
                    let late = (Arc::clone(&row.session), Arc::clone(&row.user));
                    cluster.disown(channel, &[late]);
                }
            }
            Applied::State { user, state } => {
                cluster.at_desk(channel, |desk| desk.heard_state(user, state.as_ref()));
            }
            Applied::Removed {
                session,
                owner,
                why,
            } => {
                let is_ours = owner.is_same_process(&me);
                let heard =
                    cluster.at_desk(channel, |desk| desk.heard_removed(session, is_ours, *why));
                self.follow_up(
                    cluster,
                    channel,
                    session,
                    heard.unwrap_or(Aftermath::Nothing),
                );
            }
        }
    }

    fn follow_up(
        &self,
        cluster: &Cluster,
        channel: &ChannelName,
        session: &Arc<str>,
        aftermath: Aftermath,
    ) {
        // The session's guard is held throughout, as by everything that changes what a session holds.
        let mut held = self.sessions.get_mut(session);
        let has_socket = held.as_ref().is_some_and(|held| held.is_by_socket(channel));
        match aftermath {
            Aftermath::Nothing => return,
            Aftermath::Denied => {
                cluster.is_denied.store(true, Ordering::Release);
                cluster.at_desk(channel, |desk| desk.reclaim(session));
            }
            Aftermath::Orphaned if has_socket => {
                cluster.at_desk(channel, |desk| desk.reclaim(session));
            }
            Aftermath::Orphaned | Aftermath::Ended => {
                if let Some(held) = &mut held {
                    held.leave(channel);
                }
                cluster.unwant(channel, session, Why::Lapsed);
            }
        }
        drop(held);
        self.forget(session);
    }

    /// # Errors
    /// `not_present`, `storage_unavailable` while the registry is away.
    pub(super) fn set_shared_state(
        &self,
        cluster: &Cluster,
        channel: &ChannelName,
        user: &Arc<str>,
        state: Option<Payload>,
    ) -> Result<(), WireError> {
        if cluster.is_away() {
            return Err(unavailable());
        }
        let is_here = cluster
            .desks
            .get(channel)
            .is_some_and(|desk| desk.has_user(user));
        let is_elsewhere = || {
            let roster = self.rosters.get(channel);
            roster.is_some_and(|roster| roster.lock().has_user(user))
        };
        if !is_here && !is_elsewhere() {
            return Err(ErrorCode::NotPresent.into());
        }
        let mut desk = cluster.desks.entry(channel.clone()).or_default();
        desk.set_state(user, state);
        cluster.list(channel, &mut desk);
        Ok(())
    }

    /// When the next beat is due; never on a node of its own.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        let cluster = self.cluster.as_ref()?;
        Some(cluster.beats.lock().next)
    }

    /// Work that is due now and then.
    pub(super) fn beat(&self, now: Instant) {
        let Some(cluster) = &self.cluster else { return };
        let again = {
            let mut beats = cluster.beats.lock();
            if beats.next > now {
                return;
            }
            beats.next = now + BEAT;
            if beats.count.is_multiple_of(LIST_BEATS) {
                cluster.errands.list();
            }
            beats.count += 1;
            let due = |(at, _): &mut (Instant, NodeId)| *at <= now;
            beats.reap_again.extract_if(.., due).collect::<Vec<_>>()
        };
        for (_, node) in again {
            cluster.errands.reap(node);
        }
        cluster.nodes.lock().forget(now);
        cluster.errands.retry();
        self.let_go(now);
    }
}

/// The answer while the registry is away, or slow.
pub(super) fn unavailable() -> WireError {
    WireError::from(ErrorCode::StorageUnavailable).retry_after_ms(1_000)
}

#[cfg(test)]
impl Presence {
    /// Desks that are kept.
    pub(super) fn desks_len(&self) -> usize {
        self.cluster
            .as_ref()
            .map_or(0, |cluster| cluster.desks.len())
    }

    /// What waits on a channel's desk.
    pub(super) fn desk_items(&self, channel: &ChannelName) -> usize {
        let desk = self
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.desks.get(channel));
        desk.map_or(0, |desk| desk.items_len())
    }
}
