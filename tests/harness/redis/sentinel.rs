//! Three Sentinels watching a primary and its replicas.
//!
//! They know one another from the start (otherwise it takes seconds until they met), call a node down after one second, and two of
//! them are enough.

use std::fmt::Write as _;
use std::net::SocketAddr;

use ::redis::from_redis_value;

use super::ask::eventually;
use super::{Redis, RedisOptions};

const SENTINELS: usize = 3;
const NAME: &str = "mymaster";

/// The group. `nodes[0]` is the first primary; who it is later says [`Self::primary`].
#[derive(Debug)]
pub struct RedisSentinel {
    pub nodes: Vec<Redis>,
    pub sentinels: Vec<Redis>,
}

impl RedisSentinel {
    /// A primary with so many replicas, watched. Waits until a failover could happen.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(replicas: usize) -> Self {
        Self::start_with(replicas, RedisOptions::default())
    }

    /// The nodes with options. A password is not supported.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_with(replicas: usize, options: RedisOptions) -> Self {
        let mut nodes = vec![Redis::start_with(options)];
        for _ in 0..replicas {
            nodes.push(nodes[0].start_replica());
        }
        let group = Self {
            sentinels: sentinels_for(&nodes[0]),
            nodes,
        };
        group.wait_until_settled();
        group
    }

    /// What a Parlor node is given.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self
            .sentinels
            .iter()
            .map(|sentinel| sentinel.address().to_string())
            .collect();
        format!("redis+sentinel://{}/{NAME}", addresses.join(","))
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
        let mut nodes = self.nodes.iter();
        nodes
            .find(|node| node.address() == address)
            .expect("one of the nodes")
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
        eventually("another primary", || {
            let said: Vec<_> = self.sentinels.iter().filter_map(primary_by).collect();
            let new = self
                .nodes
                .iter()
                .find(|node| Some(&node.address()) == said.first())?;
            let agreed = said.iter().all(|address| *address == new.address());
            (agreed && new.port() != old.port() && new.is_primary()).then_some(new)
        })
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
                (node.address() == primary && node.is_primary()) || (linked && follows)
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

fn sentinels_for(primary: &Redis) -> Vec<Redis> {
    let sentinels: Vec<_> = (0..SENTINELS)
        .map(|_| Redis::new(RedisOptions::default().sentinel()))
        .collect();
    let ports: Vec<_> = sentinels.iter().map(Redis::port).collect();
    for (number, sentinel) in sentinels.iter().enumerate() {
        let text = sentinel.options.file(sentinel.port(), sentinel.directory())
            + &watching(primary.port(), number, &ports);
        std::fs::write(sentinel.directory().join(super::CONFIG), text).expect("written");
        sentinel.spawn();
        assert!(sentinel.answers(), "a Sentinel did not start");
    }
    sentinels
}

/// The lines of a Sentinel's file that say whom it watches and who else does.
fn watching(primary: u16, number: usize, ports: &[u16]) -> String {
    let mut text = format!("sentinel myid {}\n", id(number));
    text += &format!("sentinel monitor {NAME} 127.0.0.1 {primary} 2\n");
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
