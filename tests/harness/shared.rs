//! The broker that several servers of one test share: a real Redis.

use std::sync::Arc;
use std::time::Duration;

use parlor::app::Opened;
use parlor::broker::redis::{Redis, RedisConfig};
use parlor::hub::Hub;
use parlor_protocol::limits::DEDUP_WINDOW_MS;

/// Joins whoever is on the Redis at this URL.
pub(crate) fn open(url: &str, hub: &Arc<Hub>) -> Opened {
    let config = RedisConfig {
        url: url.parse().expect("a URL of Redis"),
        user: None,
        password: None,
        tls_ca: None,
        prefix: "test".to_owned(),
        confirmations: 0,
        dedup_window: Duration::from_millis(DEDUP_WINDOW_MS),
        replicates: false,
    };
    let redis = Redis::open(config, Arc::clone(hub)).expect("Redis answers and can be relied on");
    Opened {
        session_secret: Some(redis.shared_secret()),
        broker: Box::new(redis),
        stats: None,
    }
}
