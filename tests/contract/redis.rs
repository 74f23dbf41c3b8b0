//! The broker on Redis under test: one Redis of each topology serves all tests that run at the same time, each broker
//! under a prefix of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

use parlor::broker::redis::{Authorities, RedisConfig, RedisStats};
use parlor::broker::{Error, Redis};
use parlor::hub::Hub;
use parlor::kind::Durability;
use parlor_protocol::Position;
use parlor_tests::{Redis as Server, RedisCluster, RedisSentinel, eventually};

use crate::subject::{SHARDS, Settings, Subject, kind};

/// Kept by whoever uses it: the last one ends it.
struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    fn get(&self, start: impl FnOnce() -> T) -> Arc<T> {
        let mut held = self.0.lock().unwrap();
        held.upgrade().unwrap_or_else(|| {
            let started = Arc::new(start());
            *held = Arc::downgrade(&started);
            started
        })
    }
}

static STANDALONE: LazyLock<Shared<Server>> = LazyLock::new(Shared::new);
static SENTINEL: LazyLock<Shared<RedisSentinel>> = LazyLock::new(Shared::new);
static CLUSTER: LazyLock<Shared<RedisCluster>> = LazyLock::new(Shared::new);

pub(crate) fn redis(settings: Settings) -> Subject {
    let server = STANDALONE.get(Server::start);
    subject(&server.url(), settings, Durability::Disk, server)
}

pub(crate) fn redis_sentinel(settings: Settings) -> Subject {
    let server = SENTINEL.get(|| RedisSentinel::start(1));
    subject(&server.url(), settings, Durability::Replicated, server)
}

pub(crate) fn redis_cluster(settings: Settings) -> Subject {
    let server = CLUSTER.get(RedisCluster::start);
    subject(&server.url(), settings, Durability::Memory, server)
}

/// A broker on a Redis of the test's own.
pub(crate) fn on_server(server: &Arc<Server>, durability: Durability) -> Subject {
    subject(
        &server.url(),
        Settings::default(),
        durability,
        Arc::clone(server),
    )
}

/// The same where another address leads to it.
pub(crate) fn on_address(address: SocketAddr) -> Subject {
    let url = format!("redis://{address}");
    subject(&url, Settings::default(), Durability::Disk, Arc::new(()))
}

pub(crate) fn on_cluster(cluster: &Arc<RedisCluster>) -> Subject {
    subject(
        &cluster.url(),
        Settings::default(),
        Durability::Disk,
        Arc::clone(cluster),
    )
}

/// The key of the stream that carries a channel's events. Some of it must have been published.
pub(crate) fn stream_key<'a>(
    servers: impl IntoIterator<Item = &'a Server>,
    channel: &str,
) -> String {
    let wanted = format!("*:l:{channel}");
    let logs = |server: &Server| {
        let answer = server.ask(&["KEYS", &wanted]);
        redis::from_redis_value::<Vec<String>>(answer).unwrap()
    };
    let log = servers
        .into_iter()
        .flat_map(logs)
        .next()
        .expect("the channel has a log");
    log.replace(&format!("l:{channel}"), "s")
}

fn subject<T: Send + Sync + 'static>(
    url: &str,
    settings: Settings,
    durability: Durability,
    server: Arc<T>,
) -> Subject {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let prefix = format!("contract-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let config = RedisConfig {
        dedup_window: settings.dedup_window,
        replicates: durability == Durability::Replicated,
        ..config_of(url, &prefix)
    };
    let subject = over(config);
    Subject {
        kind: kind(durability, 100_000, Duration::from_secs(3_600)),
        _store: Some(server),
        ..subject
    }
}

/// A config that only says where and under which prefix.
pub(crate) fn config_of(url: &str, prefix: &str) -> RedisConfig {
    RedisConfig {
        url: url.parse().unwrap(),
        user: None,
        password: None,
        authorities: Authorities::default(),
        prefix: prefix.to_owned(),
        confirmations: 0,
        dedup_window: Duration::from_secs(300),
        replicates: false,
    }
}

/// A broker by this config.
pub(crate) fn over(config: RedisConfig) -> Subject {
    over_counting(config).0
}

/// The same, with what it counts.
pub(crate) fn over_counting(config: RedisConfig) -> (Subject, Arc<RedisStats>) {
    let hub = Arc::new(Hub::new(SHARDS));
    let broker = Arc::new(Redis::open(config, Arc::clone(&hub)).unwrap());
    let stats = Arc::clone(broker.stats());
    let subject = Subject {
        broker,
        hub,
        kind: kind(Durability::Disk, 100_000, Duration::from_secs(3_600)),
        _store: None,
    };
    (subject, stats)
}

/// Appends until Redis takes it again.
pub(crate) async fn append_again(subject: &Subject, channel: &str) -> Position {
    for _ in 0..200 {
        match subject.append(subject.message(channel, "again")).await {
            Ok(appended) => return appended.position,
            Err(Error::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("appends never succeeded again");
}

/// How often a Redis has run a command since it started, inside scripts too.
pub(crate) fn calls(server: &Server, command: &str) -> u64 {
    let stats = server.ask(&["INFO", "commandstats"]);
    let stats: String = redis::from_redis_value(stats).unwrap();
    let name = format!("cmdstat_{command}:calls=");
    let calls = stats.split_once(&name);
    let calls = calls.and_then(|(_, rest)| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// Waits until a Redis has taken more than so many heartbeats from here on.
pub(crate) fn wait_for_heartbeats(server: &Server, count: u64) {
    let before = heartbeats(server).unwrap();
    eventually("more heartbeats", || {
        (heartbeats(server)? > before + count).then_some(())
    });
}

/// The next entry of each partition's stream seems to follow on something else: a hole, in which nothing is missing but that entry.
pub(crate) fn tear(server: &Server) {
    const TEAR: &str = r"
for _, key in ipairs(redis.call('KEYS', '*}:meta')) do
  redis.call('SETRANGE', key, '1', 'feedfeedfeedfeed')
end
";
    server.ask(&["EVAL", TEAR, "0"]);
}

/// Heartbeats that a Redis took.
fn heartbeats(server: &Server) -> Option<u64> {
    const COUNT: &str = r"
local count = 0
for _, stream in ipairs(redis.call('KEYS', '*:s')) do
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+')) do
    if string.find(entry[2][2], 'H %x+ %d') then
      count = count + 1
    end
  end
end
return count
";
    let count = server.try_ask(&["EVAL", COUNT, "0"]).ok()?;
    redis::from_redis_value(count).ok()
}
