//! Everything at once: clients that wander between nodes, nodes that freeze and die, holes, outages, failovers that roll
//! back. When it is over, every node and the registry say who is really there.
//!
//! Random by a seed, printed when it fails; `PARLOR_SEED` runs one seed again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parlor_protocol::push::PresenceDiff;
use parlor_protocol::reply::Member;

use super::super::replay::Random;
use super::super::world::{GRACE, channel};
use super::net::{Net, STEP};
use super::registry::Registry;

const CHANNELS: [&str; 3] = ["attic", "hall", "room"];
const NODES: usize = 3;
const CLIENTS: u64 = 10;

#[test]
fn whatever_happens_all_nodes_agree_with_the_truth_in_the_end() {
    match std::env::var("PARLOR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    {
        Some(seed) => run(seed),
        None => (0..40).for_each(run),
    }
}

fn run(seed: u64) {
    let mut play = Play::new(seed);
    for round in 0..3 {
        for _ in 0..120 {
            play.step();
        }
        play.heal();
        play.check(&format!("seed {seed}, round {round}"));
    }
}

/// A client, as it knows itself.
struct Client {
    session: String,
    user: String,
    /// Its node and connection.
    home: Option<(usize, u64)>,
    joined: BTreeSet<&'static str>,
    /// Connections that it has given up and whose nodes do not know it yet.
    stale: Vec<(usize, u64)>,
}

/// Does what the protocol asks of a client that holds a roster.
#[derive(Default)]
struct Watcher {
    version: Option<u64>,
    members: BTreeMap<String, Member>,
}

impl Watcher {
    fn take(&mut self, diff: &PresenceDiff, place: &str) {
        let Some(version) = self.version else { return };
        if diff.version <= version {
            return;
        }
        assert_eq!(diff.version, version + 1, "{place}: a version was skipped");
        self.version = Some(diff.version);
        for member in diff.joined.iter().chain(&diff.updated) {
            self.members.insert(member.user.clone(), member.clone());
        }
        for user in &diff.left {
            self.members.remove(user);
        }
    }
}

struct Play {
    seed: u64,
    net: Net,
    random: Random,
    clients: Vec<Client>,
    watchers: BTreeMap<(usize, &'static str), Watcher>,
    /// What a lagging replica holds.
    replica: Registry,
    /// A node that was frozen while the feed had a hole or began anew.
    missed: BTreeSet<usize>,
    connections: u64,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut net = Net::new(NODES);
        net.random = Random(seed + 1_000);
        net.delay_max = seed % 4 * 20;
        let clients = (0..CLIENTS).map(|number| Client {
            session: format!("s{number:02}"),
            user: format!("user{}", number / 2),
            home: None,
            joined: BTreeSet::new(),
            stale: Vec::new(),
        });
        let mut play = Self {
            seed,
            clients: clients.collect(),
            net,
            random: Random(seed),
            watchers: BTreeMap::new(),
            replica: Registry::default(),
            missed: BTreeSet::new(),
            connections: 0,
        };
        (0..NODES).for_each(|node| play.watch_all(node));
        play
    }

    fn watch_all(&mut self, node: usize) {
        for name in CHANNELS {
            // Of some channels only some nodes want to know.
            if self.random.below(3) > 0 {
                self.net.watch(node, name);
                self.watchers.insert((node, name), Watcher::default());
            }
        }
    }

    fn step(&mut self) {
        let client = self.random.below(CLIENTS) as usize;
        let node = self.random.below(NODES as u64) as usize;
        let name = CHANNELS[self.random.below(3) as usize];
        match self.random.below(40) {
            0..=6 => self.connect(client, node),
            7..=14 => self.join(client, name),
            15..=18 => self.leave(client, name),
            19 | 20 => self.lose_socket(client),
            21 => self.end(client),
            22 | 23 => self.notice_stale(client),
            24 | 25 => self.set_state(client, name),
            26 => self.kill(node),
            27 => self.freeze(node),
            28 | 29 => self.thaw(),
            30 => self.net.set_up(false),
            31 | 32 => self.net.set_up(true),
            33 => self.miss(node),
            34 => self.replica = self.net.registry.clone(),
            35 => self.fail_over(),
            _ => {
                let span = Duration::from_millis(self.random.below(3_000));
                self.pass(span);
            }
        }
        self.pass(STEP);
    }

    fn is_frozen(&self, node: usize) -> bool {
        self.net.nodes[node].is_frozen
    }

    /// Comes to a node, with everything that it has joined. The old node hears of it at once, or later.
    fn connect(&mut self, client: usize, node: usize) {
        if self.is_frozen(node) {
            return;
        }
        self.connections += 1;
        let owner = self.connections;
        let old = self.clients[client].home.replace((node, owner));
        if let Some((old, connection)) = old {
            if self.random.below(2) == 0 && !self.is_frozen(old) {
                self.net
                    .detach(old, &self.clients[client].session, connection);
            } else {
                self.clients[client].stale.push((old, connection));
            }
        }
        let one = &self.clients[client];
        self.net.attach(node, &one.session, owner);
        for name in &one.joined {
            self.net.join(node, name, &one.user, &one.session, owner);
        }
    }

    /// The client's node and connection, if it can speak to it.
    fn home(&self, client: usize) -> Option<(usize, u64)> {
        self.clients[client]
            .home
            .filter(|(node, _)| !self.is_frozen(*node))
    }

    fn join(&mut self, client: usize, name: &'static str) {
        if let Some((node, owner)) = self.home(client) {
            let one = &mut self.clients[client];
            one.joined.insert(name);
            self.net.join(node, name, &one.user, &one.session, owner);
        }
    }

    fn leave(&mut self, client: usize, name: &'static str) {
        if let Some((node, owner)) = self.home(client) {
            let one = &mut self.clients[client];
            one.joined.remove(name);
            self.net.leave(node, name, &one.session, owner);
        }
    }

    fn lose_socket(&mut self, client: usize) {
        if let Some((node, owner)) = self.home(client) {
            self.clients[client].home = None;
            self.net.detach(node, &self.clients[client].session, owner);
        }
    }

    fn end(&mut self, client: usize) {
        if let Some((node, owner)) = self.home(client) {
            let one = &mut self.clients[client];
            one.home = None;
            one.joined.clear();
            self.net.end(node, &one.session, owner);
        }
    }

    fn notice_stale(&mut self, client: usize) {
        let stale = std::mem::take(&mut self.clients[client].stale);
        for (node, owner) in stale {
            if self.is_frozen(node) {
                self.clients[client].stale.push((node, owner));
            } else {
                self.net.detach(node, &self.clients[client].session, owner);
            }
        }
    }

    fn set_state(&mut self, client: usize, name: &'static str) {
        if let Some((node, _)) = self.home(client) {
            let state = self.random.below(3).to_string();
            let _not_present = self
                .net
                .set_state(node, name, &self.clients[client].user, &state);
        }
    }

    fn kill(&mut self, node: usize) {
        self.net.kill(node);
        self.missed.remove(&node);
        for client in &mut self.clients {
            client.home = client.home.filter(|(home, _)| *home != node);
            client.stale.retain(|(home, _)| *home != node);
        }
        self.watchers.retain(|(at, _), _| *at != node);
        self.watch_all(node);
    }

    fn freeze(&mut self, node: usize) {
        self.net.nodes[node].is_frozen = true;
    }

    fn thaw(&mut self) {
        for node in 0..NODES {
            self.net.nodes[node].is_frozen = false;
        }
        for node in std::mem::take(&mut self.missed) {
            self.begin_anew(node);
        }
    }

    /// The feed of a node has a hole.
    fn miss(&mut self, node: usize) {
        self.net.nodes[node].cursor = self.net.feed.len();
        if self.is_frozen(node) {
            self.missed.insert(node);
        } else {
            self.net.nodes[node].presence.resync(|_| true);
        }
    }

    /// A lagging replica is promoted: what it did not have is gone, and what was removed since is back.
    fn fail_over(&mut self) {
        self.net.registry = self.replica.clone();
        for node in 0..NODES {
            self.net.nodes[node].cursor = self.net.feed.len();
            if self.is_frozen(node) {
                self.missed.insert(node);
            } else {
                self.begin_anew(node);
            }
        }
    }

    fn begin_anew(&self, node: usize) {
        let presence = &self.net.nodes[node].presence;
        presence.reincarnate();
        presence.resync(|_| true);
    }

    fn pass(&mut self, span: Duration) {
        self.net.pass(span);
        for node in 0..NODES {
            let diffs = std::mem::take(&mut self.net.nodes[node].diffs);
            for (at, diff) in diffs {
                let watcher = self
                    .watchers
                    .iter_mut()
                    .find(|((of, name), _)| *of == node && *name == at.as_str());
                if let Some((_, watcher)) = watcher {
                    watcher.take(&diff, &format!("seed {}, node {node}, {at:?}", self.seed));
                }
            }
        }
        for ((node, name), watcher) in &mut self.watchers {
            if watcher.version.is_none()
                && let Some(found) = self.net.snapshot(*node, name)
            {
                watcher.version = Some(found.version);
                watcher.members = by_user(found.members);
            }
        }
    }

    /// All faults end, and time passes.
    fn heal(&mut self) {
        self.net.set_up(true);
        self.thaw();
        for client in 0..CLIENTS as usize {
            self.notice_stale(client);
        }
        self.pass(GRACE * 2 + Duration::from_secs(45));
    }

    fn check(&mut self, place: &str) {
        for name in CHANNELS {
            let truth: BTreeMap<String, usize> = self
                .clients
                .iter()
                .filter(|client| client.joined.contains(name))
                .filter_map(|client| Some((client.session.clone(), client.home?.0)))
                .collect();
            let owners: BTreeMap<String, _> = self.net.registry.entries(&channel(name));
            let homes = truth.iter().map(|(session, node)| {
                let id = self.net.nodes[*node].presence.node();
                (session.clone(), id.expect("a shared registry"))
            });
            let homes: BTreeMap<_, _> = homes.collect();
            let names: Vec<_> = self.net.nodes.iter().map(|n| n.presence.node()).collect();
            assert_eq!(owners, homes, "{place}, {name}: the registry; {names:?}");
            let mut seen = Vec::new();
            for node in 0..NODES {
                self.net.users(node, name);
                let found = self.net.snapshot(node, name).expect("a roster");
                let sessions: BTreeSet<_> = found
                    .members
                    .iter()
                    .flat_map(|member| member.sessions.clone())
                    .collect();
                let expected: BTreeSet<_> = truth.keys().cloned().collect();
                assert_eq!(sessions, expected, "{place}, {name}: node {node}");
                assert_eq!(found.connections, truth.len() as u64, "{place}, {name}");
                if let Some(watcher) = self.watchers.get(&(node, name)) {
                    let members = by_user(found.members.clone());
                    assert_eq!(watcher.members, members, "{place}, {name}: a watcher");
                }
                seen.push(found.members);
            }
            assert!(
                seen.iter().all(|members| *members == seen[0]),
                "{place}, {name}: nodes differ: {seen:?}"
            );
        }
    }
}

fn by_user(members: Vec<Member>) -> BTreeMap<String, Member> {
    let pair = |member: Member| (member.user.clone(), member);
    members.into_iter().map(pair).collect()
}
