//! Three Sentinels watching a primary and its replicas.
//!
//! They know one another from the start (otherwise it takes seconds until they met), call a node down after one second, and two of
//! them are enough.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ::redis::from_redis_value;

use super::ask::eventually;
use super::{Redis, RedisOptions};
use crate::proxy::Proxy;

const SENTINELS: usize = 3;
pub(super) const NAME: &str = "mymaster";
/// A failover takes a second or two; one that takes longer was given up.
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// The group. `nodes[0]` is the first primary; who it is later says [`Self::primary`].
#[derive(Debug)]
pub struct RedisSentinel {
    pub nodes: Vec<Redis>,
    pub sentinels: Vec<Redis>,
    /// Before each node, where the group was started behind lines: the way by which Sentinels and the other nodes reach it.
    lines: Vec<Proxy>,
}

impl RedisSentinel {
    /// A primary with so many replicas, watched. Waits until a failover could happen.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(replicas: usize) -> Self {
        Self::start_with(replicas, RedisOptions::default())
    }

    /// The nodes with options. Sentinels log in at them as tests do.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_with(replicas: usize, options: RedisOptions) -> Self {
        let mut nodes = vec![Redis::start_with(options)];
        for _ in 0..replicas {
            nodes.push(nodes[0].start_replica());
        }
        let group = Self {
            sentinels: sentinels_for(nodes[0].port(), &nodes[0].options),
            nodes,
            lines: Vec::new(),
        };
        group.wait_until_settled();
        group
    }

    /// The same with a proxy before each node, which Sentinels and the other nodes use.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_behind_lines(replicas: usize, options: &RedisOptions) -> Self {
        let (mut nodes, mut lines) = (Vec::<Redis>::new(), Vec::<Proxy>::new());
        for _ in 0..=replicas {
            // It leads to its node once that has a port.
            let line = Proxy::start((Ipv4Addr::LOCALHOST, 1).into());
            let options = options.clone().announced_at(line.address().port());
            let node = Redis::start_with(options);
            line.lead_to(node.address());
            if let Some(first) = lines.first() {
                node.follow_port(first.address().port());
                node.wait_until_linked();
            }
            nodes.push(node);
            lines.push(line);
        }
        let group = Self {
            sentinels: sentinels_for(lines[0].address().port(), options),
            nodes,
            lines,
        };
        group.wait_until_settled();
        group
    }

    /// The way by which Sentinels and the other nodes reach this one.
    ///
    /// # Panics
    /// When the group was not started behind lines.
    pub fn line(&self, node: &Redis) -> &Proxy {
        let mut lines = self.nodes.iter().zip(&self.lines);
        let found = lines.find(|(one, _)| one.port() == node.port());
        found.expect("a line before each of the nodes").1
    }

    /// Where the others know a node.
    fn known_at(&self, index: usize) -> SocketAddr {
        let line = self.lines.get(index).map(Proxy::address);
        line.unwrap_or_else(|| self.nodes[index].address())
    }

    fn index_at(&self, address: SocketAddr) -> Option<usize> {
        (0..self.nodes.len()).find(|index| self.known_at(*index) == address)
    }

    /// The primary by the Sentinel with the newest configuration: that configuration's epoch, and the index of the node.
    pub fn newest(&self) -> Option<(u64, usize)> {
        let said = self.sentinels.iter().filter_map(|sentinel| {
            let state = state_by(sentinel);
            let field = |name: &str| {
                let found = state.iter().find(|(key, _)| key == name);
                found.map(|(_, value)| value.as_str())
            };
            let address = format!("{}:{}", field("ip")?, field("port")?);
            let index = self.index_at(address.parse().ok()?)?;
            Some((field("config-epoch")?.parse().ok()?, index))
        });
        said.max()
    }

    /// A next failover may begin this soon after one, instead of six seconds.
    ///
    /// # Panics
    /// When a Sentinel refuses.
    pub fn fail_over_quickly(&self) {
        for sentinel in &self.sentinels {
            sentinel.ask(&["SENTINEL", "SET", NAME, "failover-timeout", "1000"]);
        }
    }

    /// Makes everybody follow the primary at once, where Sentinels would take ten seconds.
    ///
    /// # Panics
    /// When a node does not obey.
    pub fn follow_primary(&self) {
        let primary = self.primary();
        let port = self.port_of(primary);
        for node in self
            .nodes
            .iter()
            .filter(|node| node.port() != primary.port())
        {
            if node.info("master_port") != Some(port.to_string()) {
                node.follow_port(port);
            }
        }
    }

    fn port_of(&self, node: &Redis) -> u16 {
        let index = self.nodes.iter().position(|one| one.port() == node.port());
        index.map_or(node.port(), |index| self.known_at(index).port())
    }

    /// What a Parlor node is given.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self
            .sentinels
            .iter()
            .map(|sentinel| sentinel.address().to_string())
            .collect();
        let scheme = self.nodes[0].options.scheme();
        format!("{scheme}+sentinel://{}/{NAME}", addresses.join(","))
    }

    /// Whom the Sentinels call the primary: what most of those that answer say.
    pub fn primary_address(&self) -> Option<SocketAddr> {
        let said: Vec<_> = self.sentinels.iter().filter_map(primary_by).collect();
        said.iter()
            .copied()
            .max_by_key(|one| said.iter().filter(|other| *other == one).count())
    }

    /// The primary among the nodes.
    ///
    /// # Panics
    /// When no Sentinel answers.
    pub fn primary(&self) -> &Redis {
        let address = self.primary_address().expect("a Sentinel that answers");
        let index = self.index_at(address).expect("one of the nodes");
        &self.nodes[index]
    }

    /// The nodes that are not the primary.
    ///
    /// # Panics
    /// When no Sentinel answers.
    pub fn replicas(&self) -> Vec<&Redis> {
        let primary = self.primary().port();
        self.nodes
            .iter()
            .filter(|node| node.port() != primary)
            .collect()
    }

    /// `SENTINEL FAILOVER`: a change of the primary without a need. Does not wait.
    ///
    /// # Panics
    /// When it refuses.
    pub fn failover(&self) {
        self.sentinels[0].ask(&["SENTINEL", "FAILOVER", NAME]);
    }

    /// Waits until all Sentinels name somebody else than this one, and that one takes writes. Returns who it is.
    ///
    /// # Panics
    /// When that does not happen.
    pub fn wait_for_primary_other_than(&self, old: &Redis) -> &Redis {
        eventually("another primary", || self.primary_other_than(old))
    }

    /// `SENTINEL FAILOVER`, asked for again while it comes to nothing: one that a pause of the machine holds up (TILT) is given
    /// up in silence. Returns the new primary.
    ///
    /// # Panics
    /// When there is none.
    pub fn fail_over_from(&self, old: &Redis) -> &Redis {
        let mut asked: Option<Instant> = None;
        eventually("another primary", || {
            if asked.is_none_or(|at| at.elapsed() > ASK_AGAIN) {
                // Refused while one is under way.
                let _refused = self.sentinels[0].try_ask(&["SENTINEL", "FAILOVER", NAME]);
                asked = Some(Instant::now());
            }
            self.primary_other_than(old)
        })
    }

    fn primary_other_than(&self, old: &Redis) -> Option<&Redis> {
        let said: Vec<_> = self.sentinels.iter().filter_map(primary_by).collect();
        let first = *said.first()?;
        let new = &self.nodes[self.index_at(first)?];
        let agreed = said.iter().all(|address| *address == first);
        (agreed && new.port() != old.port() && new.is_primary()).then_some(new)
    }

    /// Waits until every Sentinel sees every running node in its place and the other Sentinels, and no failover is under way.
    ///
    /// # Panics
    /// When that never is so.
    pub fn wait_until_settled(&self) {
        let replicas = self.nodes.len() - 1;
        eventually("the Sentinels to see everything", || {
            let all = self.sentinels.iter().all(|sentinel| {
                let state = state_by(sentinel);
                let count = |name: &str| {
                    state
                        .iter()
                        .find(|(key, _)| key == name)?
                        .1
                        .parse::<usize>()
                        .ok()
                };
                let flags = state.iter().find(|(key, _)| key == "flags");
                count("num-slaves") == Some(replicas)
                    && count("num-other-sentinels") == Some(SENTINELS - 1)
                    && flags.is_some_and(|(_, flags)| flags == "master")
            });
            (all && self.all_linked()).then_some(())
        });
    }

    fn all_linked(&self) -> bool {
        let Some(primary) = self.primary_address() else {
            return false;
        };
        self.nodes
            .iter()
            .filter(|node| node.is_running())
            .all(|node| {
                let linked = node
                    .info("master_link_status")
                    .is_some_and(|status| status == "up");
                let follows = node.info("master_port") == Some(primary.port().to_string());
                (self.port_of(node) == primary.port() && node.is_primary()) || (linked && follows)
            })
    }
}

/// `SENTINEL MASTER`, as pairs.
fn state_by(sentinel: &Redis) -> Vec<(String, String)> {
    let answer = sentinel.try_ask(&["SENTINEL", "MASTER", NAME]);
    answer
        .ok()
        .and_then(|answer| from_redis_value(answer).ok())
        .unwrap_or_default()
}

fn primary_by(sentinel: &Redis) -> Option<SocketAddr> {
    let answer = sentinel.try_ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
    let (host, port): (String, u16) = from_redis_value(answer.ok()?).ok()?;
    format!("{host}:{port}").parse().ok()
}

fn sentinels_for(primary: u16, watched: &RedisOptions) -> Vec<Redis> {
    let sentinels: Vec<_> = (0..SENTINELS)
        .map(|_| Redis::new(watched.sentinel()))
        .collect();
    let ports: Vec<_> = sentinels.iter().map(Redis::port).collect();
    for (number, sentinel) in sentinels.iter().enumerate() {
        let text = sentinel.options.file(sentinel.port(), sentinel.directory())
            + &watching(primary, watched, number, &ports);
        std::fs::write(sentinel.directory().join(super::CONFIG), text).expect("written");
        sentinel.spawn();
        assert!(sentinel.answers(), "a Sentinel did not start");
    }
    sentinels
}

/// The lines of a Sentinel's file that say whom it watches and who else does.
fn watching(primary: u16, watched: &RedisOptions, number: usize, ports: &[u16]) -> String {
    let mut text = format!("sentinel myid {}\n", id(number));
    text += &format!("sentinel monitor {NAME} 127.0.0.1 {primary} 2\n");
    if let Some((user, password)) = watched.login() {
        text += &format!("sentinel auth-user {NAME} {user}\n");
        text += &format!("sentinel auth-pass {NAME} {password}\n");
    }
    text += &format!("sentinel down-after-milliseconds {NAME} 1000\n");
    // A second failover soon after the first is what tests want; the default is three minutes.
    text += &format!("sentinel failover-timeout {NAME} 3000\n");
    text += &format!("sentinel parallel-syncs {NAME} 5\n");
    for (other, port) in ports
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != number)
    {
        writeln!(
            text,
            "sentinel known-sentinel {NAME} 127.0.0.1 {port} {}",
            id(other)
        )
        .expect("a String takes everything");
    }
    text
}

fn id(number: usize) -> String {
    format!("{:040x}", number + 1)
}
