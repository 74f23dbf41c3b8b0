//! Nodes, the registry between them, and everything that can go wrong there, in one thread and with time held still.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use parlor_protocol::ChannelName;
use parlor_protocol::push::PresenceDiff;
use parlor_protocol::reply::Members;

use super::super::super::registry::{Errand, Failed, NodeId};
use super::super::super::{Interest, Presence, PresenceConfig};
use super::super::replay::Random;
use super::super::world::{GRACE, TICK, channel, entry, json};
use super::registry::{Registry, Told};
use crate::hub::{ConnectionId, Hub};

pub(crate) const HEARTBEAT: Duration = Duration::from_millis(500);
pub(crate) const STEP: Duration = Duration::from_millis(10);

pub(crate) struct Net {
    pub(crate) registry: Registry,
    pub(crate) feed: Vec<Told>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Instant,
    pub(crate) random: Random,
    /// Whether the registry answers.
    pub(crate) is_up: bool,
    pub(crate) config: PresenceConfig,
    started: u64,
    /// Milliseconds at most between an errand and its doing, and its answer.
    pub(crate) delay_max: u64,
}

pub(crate) struct Node {
    pub(crate) presence: Arc<Presence>,
    /// How far it has read the feed.
    pub(crate) cursor: usize,
    pub(crate) is_frozen: bool,
    beat_at: Instant,
    errands: Vec<UnderWay>,
    pub(crate) interests: Vec<Interest>,
    /// What its watchers were told.
    pub(crate) diffs: Vec<(ChannelName, PresenceDiff)>,
}

struct UnderWay {
    errand: Errand,
    at: Instant,
}

impl Net {
    pub(crate) fn new(nodes: usize) -> Self {
        Self::with(
            nodes,
            PresenceConfig {
                grace: GRACE,
                tick: TICK,
                ..PresenceConfig::default()
            },
        )
    }

    pub(crate) fn with(nodes: usize, config: PresenceConfig) -> Self {
        let mut net = Self {
            registry: Registry::default(),
            feed: Vec::new(),
            nodes: Vec::new(),
            now: Instant::now(),
            random: Random(1),
            is_up: true,
            config,
            started: 0,
            delay_max: 0,
        };
        for _ in 0..nodes {
            let node = net.start();
            net.nodes.push(node);
        }
        net.pass(HEARTBEAT);
        net
    }

    fn start(&mut self) -> Node {
        self.started += 1;
        let process = format!("p{:02}", self.started);
        let hub = Arc::new(Hub::new(1));
        let presence = Arc::new(Presence::shared(self.config, hub, &process, self.now));
        presence.set_healthy(self.is_up, self.now);
        Node {
            presence,
            cursor: self.feed.len(),
            is_frozen: false,
            beat_at: self.now,
            errands: Vec::new(),
            interests: Vec::new(),
            diffs: Vec::new(),
        }
    }

    /// The process dies, and a fresh one takes its place.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node] = self.start();
    }

    pub(crate) fn set_up(&mut self, is_up: bool) {
        self.is_up = is_up;
        for node in &self.nodes {
            node.presence.set_healthy(is_up, self.now);
        }
    }

    pub(crate) fn join(&self, node: usize, at: &str, user: &str, session: &str, owner: u64) {
        self.nodes[node].presence.join(
            &channel(at),
            ConnectionId(owner),
            &entry(user, session),
            self.now,
        );
    }

    pub(crate) fn attach(&self, node: usize, session: &str, owner: u64) {
        self.nodes[node]
            .presence
            .attach(&session.into(), ConnectionId(owner), self.now);
    }

    pub(crate) fn detach(&self, node: usize, session: &str, owner: u64) {
        self.nodes[node]
            .presence
            .detach(&session.into(), ConnectionId(owner), self.now);
    }

    pub(crate) fn leave(&self, node: usize, at: &str, session: &str, owner: u64) {
        self.nodes[node].presence.leave(
            &channel(at),
            ConnectionId(owner),
            &session.into(),
            self.now,
        );
    }

    pub(crate) fn end(&self, node: usize, session: &str, owner: u64) {
        self.nodes[node]
            .presence
            .end(&session.into(), ConnectionId(owner), self.now);
    }

    pub(crate) fn set_state(&self, node: usize, at: &str, user: &str, state: &str) -> bool {
        self.nodes[node]
            .presence
            .set_state(&channel(at), &user.into(), Some(json(state)))
            .is_ok()
    }

    /// A subscriber of the node wants diffs of the channel.
    pub(crate) fn watch(&mut self, node: usize, at: &str) {
        let node = &mut self.nodes[node];
        let interest = node.presence.watch(&channel(at));
        node.interests.push(interest);
        self.pass(STEP);
    }

    /// The channel's members as the node knows them; none while it does not.
    pub(crate) fn snapshot(&self, node: usize, at: &str) -> Option<Members> {
        let presence = &self.nodes[node].presence;
        presence
            .ready(&channel(at), self.now)
            .now_or_never()?
            .ok()?;
        presence.snapshot(&channel(at), usize::MAX, None).ok()
    }

    pub(crate) fn users(&mut self, node: usize, at: &str) -> Vec<String> {
        for _ in 0..200 {
            if let Some(found) = self.snapshot(node, at) {
                return found.members.into_iter().map(|one| one.user).collect();
            }
            self.pass(STEP);
        }
        panic!("the roster did not come");
    }

    /// What a node's watchers were told since the last call.
    pub(crate) fn told(&mut self, node: usize) -> Vec<String> {
        let diffs = std::mem::take(&mut self.nodes[node].diffs);
        diffs
            .iter()
            .map(|(_, diff)| super::super::world::brief(diff))
            .collect()
    }

    /// Lets time pass, in steps.
    pub(crate) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.now = (self.now + STEP).min(until);
            for index in 0..self.nodes.len() {
                if !self.nodes[index].is_frozen {
                    self.turn(index);
                }
            }
        }
    }

    /// One node does everything that is due.
    fn turn(&mut self, index: usize) {
        if self.is_up {
            self.heartbeat(index);
            self.read_feed(index);
        }
        self.run_errands(index);
        let node = &mut self.nodes[index];
        if self.is_up && node.presence.is_lapsed(self.now) {
            node.presence.reincarnate();
        }
        node.presence.beat(self.now);
        node.presence.expire(self.now);
        while let Some(channel) = node.presence.agenda.pop_flush(self.now) {
            let diff = node.presence.flush(&channel, self.now);
            node.diffs.extend(diff.map(|diff| (channel, diff)));
        }
    }

    fn heartbeat(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.beat_at <= self.now {
            node.beat_at = self.now + HEARTBEAT;
            self.feed.extend(node.presence.node().map(Told::Heartbeat));
        }
    }

    fn read_feed(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        // Some reads come late, and bring less than there is.
        let there = self.feed.len().saturating_sub(node.cursor) as u64;
        let count = if self.delay_max == 0 {
            there
        } else {
            self.random.below(there + 1)
        };
        for told in &self.feed[node.cursor..node.cursor + count as usize] {
            match told {
                Told::Heartbeat(id) => node.presence.node_seen(id, self.now),
                Told::Applied {
                    channel,
                    version,
                    applied,
                } => node.presence.apply(*version, channel, applied, self.now),
            }
        }
        node.cursor += count as usize;
    }

    fn run_errands(&mut self, index: usize) {
        while let Some(errand) = self.nodes[index].presence.errand(self.now) {
            let delay = Duration::from_millis(self.random.below(self.delay_max + 1));
            let at = self.now + delay;
            if self.delay_max == 0 {
                self.run(index, errand);
            } else {
                self.nodes[index].errands.push(UnderWay { errand, at });
            }
        }
        let now = self.now;
        let due: Vec<_> = self.nodes[index]
            .errands
            .extract_if(.., |one| one.at <= now)
            .collect();
        for UnderWay { errand, .. } in due {
            self.run(index, errand);
        }
    }

    fn run(&mut self, index: usize, errand: Errand) {
        let (is_up, now) = (self.is_up, self.now);
        // Some answers get lost after the deed.
        let is_answered = is_up && (self.delay_max == 0 || self.random.below(20) > 0);
        let presence = Arc::clone(&self.nodes[index].presence);
        match errand {
            Errand::Submit(submission) => {
                if is_up {
                    self.feed.extend(self.registry.submit(&submission, now));
                }
                presence.submitted(&submission.channel, answer((), is_answered));
            }
            Errand::Load(load) => {
                let page = self.registry.page(&load);
                presence.loaded(load, answer(page, is_answered), now);
            }
            Errand::Reap(node) if is_up => {
                let (reaped, told) = self.registry.reap(&node, now);
                self.feed.extend(told);
                presence.reaped(node, answer(reaped, is_answered), now);
            }
            Errand::Reap(node) => presence.reaped(node, Err(Failed), now),
            Errand::ListNodes => {
                let names: Vec<NodeId> = self.registry.names();
                presence.listed(answer(names, is_answered), now);
            }
            Errand::Release(_) => {}
        }
    }
}

fn answer<T>(outcome: T, is_answered: bool) -> Result<T, Failed> {
    if is_answered {
        Ok(outcome)
    } else {
        Err(Failed)
    }
}
