//! Presence: who is in a channel, per user with all their connections. An entry lives by its lease, not by a
//! socket, so a reload or a lost radio is no flap, and a poller can be present without a socket.
//!
//! It has no clock and no timers: `now` comes in, and [`Presence::next_tick`] says when [`Presence::tick`] is due.
//! It knows no broker, no transport and no rights: whoever calls it was allowed to.
//!
//! Reading order: `leases` (what a session holds, and how long), `roster` (who is in one channel), `changes` (what
//! the next diff tells), `page` (how a roster is read), `agenda` (what falls due when). Among several nodes, on top:
//! `registry` (what nodes say to each other), `cluster` and its `desk` (what this one says), `following` and its
//! `mirror` (what it hears), `nodes` (who is alive), `errands` (what is asked when).
//!
//! # Locks
//! Each operation holds the guards of at most one session and one roster, taken in this order and let go inside
//! one function: `ticking` → `sessions` (map guard) → `rosters` (map guard) → a roster's mutex → the agenda's mutex.
//! The hub is called with none of them but `ticking`, which only `tick` takes and which keeps diffs in order.
//!
//! Among nodes, also: `sessions` → a desk (map guard) → errands; `mirrors` (map guard) → a mirror's mutex →
//! { `rosters` and on, a desk and on, nodes, idle }; rebirth → a desk and on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use parlor_protocol::push::PresenceDiff;
use parlor_protocol::reply::Members;
use parlor_protocol::{ChannelName, ErrorCode, Payload, WireError};

use crate::hub::{ConnectionId, EphemeralBody, Hub};

pub mod redis;
pub mod registry;

mod agenda;
mod changes;
mod cluster;
mod desk;
mod errands;
mod following;
mod leases;
mod mirror;
mod nodes;
mod page;
mod roster;

#[cfg(test)]
mod tests;

pub use following::Interest;

use agenda::Agenda;
use cluster::Cluster;
use leases::Session;
use registry::{NodeId, Why};
use roster::Roster;

/// Sessions and leaves that one tick looks at (a session is never split), and diffs that it pushes: so a mass death
/// does not hold a shard. What is left over is due at once, in the next tick.
const LEASES_PER_TICK_MAX: usize = 2_048;
const DIFFS_PER_TICK_MAX: usize = 1_024;

/// Channels whose diffs carry only counts are the large ones: they gather their changes for this many ticks.
const COUNTS_TICKS: u32 = 10;

/// How presence behaves.
#[derive(Clone, Copy, Debug)]
pub struct PresenceConfig {
    /// How long an entry outlives its socket.
    pub grace: Duration,
    /// How long changes of a channel are gathered into one diff.
    pub tick: Duration,
    /// In channels with more users than this, diffs carry only counts, and clients page when they need names.
    pub members_pushed_max: usize,
    /// How long a node is believed to live on when its heartbeats cease, among nodes that share a registry. Shorter than
    /// the five seconds within which its users are gone, by a heartbeat's interval.
    pub node_lease: Duration,
    /// Users that one channel lists. Those beyond are counted, each connection as a user of its own, but not listed
    /// and without state, until they join anew.
    pub users_listed_max: usize,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(5),
            tick: Duration::from_millis(50),
            members_pushed_max: 200,
            node_lease: Duration::from_secs(4),
            users_listed_max: 100_000,
        }
    }
}

/// Who enters a channel. A session belongs to one user for its whole life: the caller has checked that.
#[derive(Clone, Debug)]
pub struct Entry {
    pub user: Arc<str>,
    pub session: Arc<str>,
    /// Shown to others; that of the user's newest entry counts.
    pub info: Option<Payload>,
}

/// The rosters of all channels of this node.
///
/// A session obeys one connection, its owner: the one that attached last. Calls from any other are too late and do
/// nothing, so an old socket that dies slowly cannot take away what its successor holds.
///
/// # Versions
/// Each pushed diff is one version above the one before. A snapshot shows the live members, so it may already hold
/// changes that only the next diff tells: diffs *set* members (`joined` and `updated` put the whole member, `left`
/// removes it), and a change that a snapshot has seen is told even if it has been undone since. Applying all diffs
/// above a snapshot's version therefore gives the truth at each version; over several pages: above the first one's.
/// A diff without names carries counts only: a list that a client holds is out of date from there.
#[derive(Debug)]
pub struct Presence {
    config: PresenceConfig,
    hub: Arc<Hub>,
    /// What each session holds, by its id. Client ids meet dashmap's keyed hasher.
    sessions: DashMap<Arc<str>, Session>,
    rosters: DashMap<ChannelName, Mutex<Roster>>,
    agenda: Agenda,
    /// The highest version of any roster that was dropped: new ones start here. A subscriber who still knows an
    /// earlier roster of the channel so meets either its true next version or a gap, never a false neighbour.
    versions_used: AtomicU64,
    ticking: Mutex<()>,
    /// What is shared with other nodes; none on a node of its own.
    cluster: Option<Cluster>,
}

impl Presence {
    pub fn new(config: PresenceConfig, hub: Arc<Hub>) -> Self {
        Self {
            config,
            hub,
            sessions: DashMap::new(),
            rosters: DashMap::new(),
            agenda: Agenda::default(),
            versions_used: AtomicU64::new(0),
            ticking: Mutex::new(()),
            cluster: None,
        }
    }

    /// As one of several nodes that share a registry. The name of the process must be random, without a dot.
    pub fn shared(config: PresenceConfig, hub: Arc<Hub>, process: &str, now: Instant) -> Self {
        let me = NodeId::first(process);
        Self {
            cluster: Some(Cluster::new(me, config.node_lease, now)),
            ..Self::new(config, hub)
        }
    }

    /// How long an entry outlives its socket.
    pub fn grace(&self) -> Duration {
        self.config.grace
    }

    /// The session has a socket (again): `owner` speaks for it from now on. What it held stays for the grace, within
    /// which `owner` joins anew what it still wants; nobody sees a leave or a join.
    pub fn attach(&self, session: &Arc<str>, owner: ConnectionId, now: Instant) {
        let mut held = self.sessions.entry(Arc::clone(session)).or_default();
        let until = now + self.config.grace;
        if held.attach(owner, until) {
            self.due_by(session, &mut held, until);
        }
    }

    /// Enters a channel, or confirms an entry after a resume. Where no connection speaks for the session, `owner` does
    /// from now on; an entry for another user than the session's does nothing.
    pub fn join(&self, channel: &ChannelName, owner: ConnectionId, entry: &Entry, now: Instant) {
        let mut held = self.sessions.entry(Arc::clone(&entry.session)).or_default();
        if held.is_of(&entry.user) && held.claim(owner) {
            let is_new = held.join(channel);
            self.enter(channel, entry, None, is_new, now);
        }
    }

    /// Enters a channel without a socket, at least until then: for pollers and suspended phones. An earlier `until`
    /// does not shorten a later one.
    pub fn hold(&self, channel: &ChannelName, entry: &Entry, until: Instant, now: Instant) {
        let mut held = self.sessions.entry(Arc::clone(&entry.session)).or_default();
        if held.is_of(&entry.user) {
            let is_new = held.hold(channel, until);
            self.enter(channel, entry, Some(until), is_new, now);
            self.due_by(&entry.session, &mut held, until);
        }
    }

    /// Leaves a channel at once.
    pub fn leave(
        &self,
        channel: &ChannelName,
        owner: ConnectionId,
        session: &Arc<str>,
        now: Instant,
    ) {
        let Some(mut held) = self.sessions.get_mut(session) else {
            return;
        };
        if held.obeys(owner) && held.leave(channel) {
            self.exit(channel, &held, session, Why::Left, now);
        }
    }

    /// The socket is lost: everything the session holds lives on for the grace.
    pub fn detach(&self, session: &Arc<str>, owner: ConnectionId, now: Instant) {
        {
            let Some(mut held) = self.sessions.get_mut(session) else {
                return;
            };
            if !held.obeys(owner) {
                return;
            }
            let until = now + self.config.grace;
            held.detach(until);
            if !held.is_over() {
                self.due_by(session, &mut held, until);
            }
        }
        self.forget(session);
    }

    /// The session ends in good order: it leaves everywhere at once.
    pub fn end(&self, session: &Arc<str>, owner: ConnectionId, now: Instant) {
        {
            let Some(mut held) = self.sessions.get_mut(session) else {
                return;
            };
            if !held.obeys(owner) {
                return;
            }
            // The session's guard is held throughout: a new entry under the same id waits, and is not swept away.
            for channel in held.end() {
                self.exit(&channel, &held, session, Why::Left, now);
            }
        }
        self.forget(session);
    }

    /// Sets or removes the user's state in a channel. It lives until the user's last entry there leaves.
    ///
    /// # Errors
    /// `not_present`: also for a user who is present on another node only, unless the channel is
    /// [`ready`](Self::ready) here. `storage_unavailable` while the registry is away.
    pub fn set_state(
        &self,
        channel: &ChannelName,
        user: &Arc<str>,
        state: Option<Payload>,
    ) -> Result<(), WireError> {
        if let Some(cluster) = &self.cluster {
            return self.set_shared_state(cluster, channel, user, state);
        }
        let found = self.rosters.get(channel).ok_or(ErrorCode::NotPresent)?;
        let mut roster = found.lock();
        roster.set_state(user, state, &self.config)?;
        // Commands bring no clock: one tick after the last diff is early enough to be soon, and late enough to gather.
        let at = roster.flushed_at() + self.pace(&roster);
        self.flush_by(channel, &mut roster, at);
        Ok(())
    }

    /// A page of a channel's members in the order of their user ids, from behind the cursor; counts alone for
    /// `limit` 0. Pages are also bounded in bytes, so a page may be shorter than `limit` although `next` is there.
    ///
    /// # Errors
    /// `bad_request` for a cursor that no page gave; `storage_unavailable` for a channel that is not
    /// [`ready`](Self::ready).
    pub fn snapshot(
        &self,
        channel: &ChannelName,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Members, WireError> {
        let after = cursor.map(page::user_of_cursor).transpose()?;
        // Read before the roster is looked for: if one comes and goes in between, the version is too low (a gap), not
        // too high (a missed diff).
        let version = self.versions_used.load(Ordering::Acquire);
        Ok(match self.rosters.get(channel) {
            Some(found) => found.lock().snapshot(limit, after.as_deref()),
            None if self.cluster.is_some() => return Err(cluster::unavailable()),
            None => Members {
                members: Vec::new(),
                users: 0,
                connections: 0,
                version,
                next: None,
            },
        })
    }

    /// How many users and connections are in the channel.
    pub fn counts(&self, channel: &ChannelName) -> (u64, u64) {
        self.rosters
            .get(channel)
            .map_or((0, 0), |found| found.lock().counts())
    }

    /// When the next tick has something to do; in the past if it is overdue.
    pub fn next_tick(&self) -> Option<Instant> {
        let beat = self.next_beat();
        self.agenda.earliest().into_iter().chain(beat).min()
    }

    /// Resolves when [`next_tick`](Self::next_tick) has become earlier since the last call (or did while nobody
    /// waited). For one waiter: the task that ticks.
    pub async fn rescheduled(&self) {
        self.agenda.hurried().await;
    }

    /// Ends the leases that are over and pushes one diff for each channel whose changes have waited long enough.
    /// A bounded piece of work: call again while [`next_tick`](Self::next_tick) is not in the future.
    pub fn tick(&self, now: Instant) {
        let _in_order = self.ticking.lock();
        self.beat(now);
        self.expire(now);
        for _ in 0..DIFFS_PER_TICK_MAX {
            let Some(channel) = self.agenda.pop_flush(now) else {
                return;
            };
            if let Some(diff) = self.flush(&channel, now) {
                self.hub
                    .deliver_ephemeral(&channel, EphemeralBody::Presence(diff));
            }
        }
    }

    fn expire(&self, now: Instant) {
        let mut looked_at = 0;
        while looked_at < LEASES_PER_TICK_MAX
            && let Some(session) = self.agenda.pop_lease(now)
        {
            looked_at += 1;
            if let Some(mut held) = self.sessions.get_mut(&session) {
                for channel in held.expire(now) {
                    looked_at += 1;
                    self.exit(&channel, &held, &session, Why::Lapsed, now);
                }
                self.agenda
                    .move_lease(&session, held.queued, held.next_deadline());
                held.queued = held.next_deadline();
            }
            self.forget(&session);
        }
    }

    /// Takes the channel's diff, and drops the roster if nobody is left in it.
    fn flush(&self, channel: &ChannelName, now: Instant) -> Option<PresenceDiff> {
        let (diff, is_empty) = {
            let found = self.rosters.get(channel)?;
            let mut roster = found.lock();
            (roster.flush(&self.config, now), roster.is_empty())
        };
        // Among nodes a roster is dropped when nobody follows the channel: see `following`.
        if is_empty && self.cluster.is_none() {
            self.rosters.remove_if(channel, |_, roster| {
                let roster = roster.lock();
                // Inside the map's guard: whoever makes the channel's next roster reads the new value.
                roster.is_spent() && {
                    self.versions_used
                        .fetch_max(roster.version(), Ordering::AcqRel);
                    true
                }
            });
        }
        diff
    }

    fn enter(
        &self,
        channel: &ChannelName,
        entry: &Entry,
        until: Option<Instant>,
        is_new: bool,
        now: Instant,
    ) {
        if let Some(cluster) = &self.cluster {
            return cluster.want(channel, entry, until);
        }
        let found = match self.rosters.get(channel) {
            Some(found) => found,
            None => {
                let made =
                    || Mutex::new(Roster::new(self.versions_used.load(Ordering::Acquire), now));
                self.rosters
                    .entry(channel.clone())
                    .or_insert_with(made)
                    .downgrade()
            }
        };
        let mut roster = found.lock();
        if is_new {
            roster.join(entry, &self.config);
        } else {
            roster.rejoin(entry, &self.config);
        }
        let at = now + self.pace(&roster);
        self.flush_by(channel, &mut roster, at);
    }

    fn exit(
        &self,
        channel: &ChannelName,
        held: &Session,
        session: &Arc<str>,
        why: Why,
        now: Instant,
    ) {
        if let Some(cluster) = &self.cluster {
            return cluster.unwant(channel, session, why);
        }
        let (Some(found), Some(user)) = (self.rosters.get(channel), held.user()) else {
            return;
        };
        let mut roster = found.lock();
        roster.leave(user, session, &self.config);
        let at = now + self.pace(&roster);
        self.flush_by(channel, &mut roster, at);
    }

    /// How long this channel's changes are gathered.
    fn pace(&self, roster: &Roster) -> Duration {
        if roster.names_are_pushed(&self.config) {
            self.config.tick
        } else {
            self.config.tick * COUNTS_TICKS
        }
    }

    /// Puts a changed roster on the agenda, once.
    fn flush_by(&self, channel: &ChannelName, roster: &mut Roster, at: Instant) {
        if roster.wants_flush() {
            roster.flush_is_planned = true;
            self.agenda.add_flush(channel, at);
        }
    }

    /// Makes sure that the session is looked at by then; earlier is fine.
    fn due_by(&self, session: &Arc<str>, held: &mut Session, at: Instant) {
        if held.queued.is_none_or(|queued| at < queued) {
            self.agenda.move_lease(session, held.queued, Some(at));
            held.queued = Some(at);
        }
    }

    /// Drops the record of a session that has neither an owner with a socket nor an entry.
    fn forget(&self, session: &Arc<str>) {
        if let Some((_, held)) = self.sessions.remove_if(session, |_, held| held.is_over()) {
            self.agenda.move_lease(session, held.queued, None);
        }
    }
}
