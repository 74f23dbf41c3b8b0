//! What a run plays on: nodes, what they keep their log in, and the networks between them.

use std::net::SocketAddr;
use std::sync::Arc;

use parlor_tests::{Proxy, Redis, RedisCluster, RedisOptions, RedisSentinel, SentinelView};

use crate::recorder::Recorder;

mod node;

pub(crate) use node::{Node, Running};

/// Where nodes keep their log.
#[derive(Debug)]
pub(crate) enum Backing {
    /// Each by itself.
    Embedded,
    /// One Redis, each node through a proxy of its own.
    Redis(Arc<Redis>),
    Sentinel(Arc<RedisSentinel>),
    Cluster(Arc<RedisCluster>),
}

/// The shape of a stage.
#[derive(Clone, Debug)]
pub(crate) enum Topology {
    /// One node with its embedded log.
    Single,
    /// One Redis, with so many copies that no node knows of.
    Standalone {
        nodes: usize,
        copies: usize,
        options: RedisOptions,
    },
    /// A primary with so many replicas.
    Sentinel {
        nodes: usize,
        replicas: usize,
        options: RedisOptions,
    },
    /// The same, and every way can be cut by itself: each node has proxies to Sentinel and to each Redis, and there is a
    /// line before each Redis for everybody else.
    Sundered {
        nodes: usize,
        replicas: usize,
        options: RedisOptions,
    },
    Cluster {
        nodes: usize,
        options: RedisOptions,
    },
}

impl Topology {
    /// Three nodes on one Redis.
    pub(crate) fn three_nodes() -> Self {
        Self::Standalone {
            nodes: 3,
            copies: 0,
            options: RedisOptions::default(),
        }
    }
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) nodes: Vec<Node>,
    pub(crate) backing: Backing,
    /// Copies of the one Redis.
    pub(crate) copies: Vec<Arc<Redis>>,
    /// Between the one Redis and each of the copies that were there from the start.
    pub(crate) lines: Vec<Proxy>,
    /// Of each node, where every way can be cut by itself.
    pub(crate) views: Vec<SentinelView>,
}

impl Stage {
    /// Starts everything and waits until it serves.
    pub(crate) fn set(topology: &Topology, settings: &Settings, recorder: &Recorder) -> Self {
        let (mut copies, mut lines, mut views) = (Vec::new(), Vec::new(), Vec::new());
        let (count, backing) = match topology {
            Topology::Single => (1, Backing::Embedded),
            Topology::Standalone {
                nodes,
                copies: some,
                options,
            } => {
                let redis = Redis::start_with(options.clone());
                for _ in 0..*some {
                    let line = Proxy::start(redis.address());
                    let port = line.address().port();
                    copies.push(Arc::new(redis.start_replica_through(port)));
                    lines.push(line);
                }
                (*nodes, Backing::Redis(Arc::new(redis)))
            }
            Topology::Sentinel {
                nodes,
                replicas,
                options,
            } => {
                let group = RedisSentinel::start_with(*replicas, options.clone());
                (*nodes, Backing::Sentinel(Arc::new(group)))
            }
            Topology::Sundered {
                nodes,
                replicas,
                options,
            } => {
                let group = Arc::new(RedisSentinel::start_behind_lines(*replicas, options));
                views.extend((0..*nodes).map(|_| SentinelView::of(&group)));
                (*nodes, Backing::Sentinel(group))
            }
            Topology::Cluster { nodes, options } => (
                *nodes,
                Backing::Cluster(Arc::new(RedisCluster::start_with(options))),
            ),
        };
        let nodes = (1..=count)
            .map(|number| {
                let (url, proxy) = match views.get(number - 1) {
                    Some(view) => (Some(view.url()), None),
                    None => backing.way(),
                };
                let settings = Settings {
                    redis: url,
                    ..settings.clone()
                };
                Node::start(format!("node-{number}"), settings, proxy, recorder.clone())
            })
            .collect();
        Self {
            nodes,
            backing,
            copies,
            lines,
            views,
        }
    }

    /// Where clients dial: before the nodes' own proxies.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.front.address()).collect()
    }

    /// What all nodes logged.
    pub(crate) fn logs(&self) -> String {
        let logs = self
            .nodes
            .iter()
            .map(|node| format!("{}:\n{}", node.name, node.log()));
        logs.collect()
    }

    /// The one Redis.
    pub(crate) fn redis(&self) -> Arc<Redis> {
        match &self.backing {
            Backing::Redis(redis) => redis.clone(),
            other => panic!("this row needs one Redis, not {other:?}"),
        }
    }

    pub(crate) fn sentinel(&self) -> Arc<RedisSentinel> {
        match &self.backing {
            Backing::Sentinel(group) => group.clone(),
            other => panic!("this row needs Sentinels, not {other:?}"),
        }
    }

    pub(crate) fn cluster(&self) -> Arc<RedisCluster> {
        match &self.backing {
            Backing::Cluster(cluster) => cluster.clone(),
            other => panic!("this row needs a Cluster, not {other:?}"),
        }
    }
}

impl Backing {
    /// A node's address of it, and the proxy in between where there can be one.
    fn way(&self) -> (Option<String>, Option<Proxy>) {
        match self {
            Self::Embedded => (None, None),
            Self::Redis(redis) => {
                let proxy = Proxy::start(redis.address());
                (Some(redis.url_at(proxy.address())), Some(proxy))
            }
            // These tell their own addresses, past any proxy.
            Self::Sentinel(group) => (Some(group.url()), None),
            Self::Cluster(cluster) => (Some(cluster.url()), None),
        }
    }
}

/// How the nodes of a stage are configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) redis: Option<String>,
    /// Of the keys in Redis: several Parlors share one.
    pub(crate) prefix: Option<&'static str>,
    /// A fault that the nodes have built in.
    pub(crate) planted: Option<&'static str>,
    /// Whether what each node flushes is kept beside it, for a power cut.
    pub(crate) keeps_shadow: bool,
    /// Further variables of the environment.
    pub(crate) environment: Vec<(&'static str, String)>,
}
