//! Which broker: the embedded one, or Redis where the config names one; and what is shown of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parlor_protocol::limits;
use tracing::warn;

use super::Error;
use crate::broker::embedded::{COMMIT_SECONDS, EmbeddedConfig, Stats};
use crate::broker::redis::{
    BATCH_SIZES, LATENCY_SECONDS, MembersLink, OpenError, RedisConfig, RedisStats,
};
use crate::broker::{Broker, Embedded, Redis};
use crate::config::Config;
use crate::hub::Hub;
use crate::metrics::{Histogram, Metrics, NodeHistogram, NodeMetric};

/// Between two looks at a Redis that is away.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A broker and what comes with it.
#[derive(Debug)]
pub struct Opened {
    pub broker: Box<dyn Broker>,
    /// The counters that the metrics page shows.
    pub stats: Option<BrokerStats>,
    /// A secret that all nodes share; none: there is only one node.
    pub secret: Option<[u8; 32]>,
    /// The way by which presence is shared with other nodes, where there are any.
    pub members: Option<MembersLink>,
}

#[derive(Clone, Debug)]
pub enum BrokerStats {
    Embedded(Arc<Stats>),
    Redis(Arc<RedisStats>),
}

/// Opens what the config names. Waits for a Redis that is away.
pub(super) async fn open(config: &Config, hub: &Arc<Hub>) -> Result<Opened, Error> {
    match &config.redis {
        None => {
            let broker = Embedded::open(storage(config), Arc::clone(hub))?;
            let stats = Some(BrokerStats::Embedded(Arc::clone(broker.stats())));
            Ok(Opened {
                broker: Box::new(broker),
                stats,
                secret: None,
                members: None,
            })
        }
        Some(redis) => {
            let broker = reach(redis, hub).await?;
            let stats = Some(BrokerStats::Redis(Arc::clone(broker.stats())));
            let secret = Some(broker.shared_secret());
            let members = Some(broker.members());
            Ok(Opened {
                broker: Box::new(broker),
                stats,
                secret,
                members,
            })
        }
    }
}

/// The broker on Redis, once that is there: nodes and Redis may be started in any order. What would be waited for in vain,
/// a wrong password or setting, is an error at once.
async fn reach(config: &RedisConfig, hub: &Arc<Hub>) -> Result<Redis, OpenError> {
    let mut told = String::new();
    loop {
        let (url, reason) = match Redis::open(config.clone(), Arc::clone(hub)) {
            Err(OpenError::Away { url, reason }) => (url, reason),
            opened => return opened,
        };
        if reason != told {
            warn!(%url, %reason, "Waiting for Redis.");
            told = reason;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn storage(config: &Config) -> EmbeddedConfig {
    EmbeddedConfig {
        data_dir: config.storage.data_dir.clone(),
        disk_bytes_max: config.storage.disk_bytes_max,
        memory_bytes_max: config.storage.memory_bytes_max,
        dedup_window: Duration::from_millis(limits::DEDUP_WINDOW_MS),
        ..EmbeddedConfig::default()
    }
}

/// Tells the metrics page where the broker's figures are.
pub(super) fn read_figures(metrics: &Metrics, stats: &BrokerStats) {
    match stats {
        BrokerStats::Embedded(stats) => read_embedded(metrics, stats),
        BrokerStats::Redis(stats) => read_redis(metrics, stats),
    }
}

fn read_embedded(metrics: &Metrics, stats: &Arc<Stats>) {
    let read = |metric, figure: fn(&Stats) -> &AtomicU64| {
        let stats = Arc::clone(stats);
        metrics.read_from(metric, move || figure(&stats).load(Ordering::Relaxed));
    };
    read(NodeMetric::BrokerAppends, |stats| &stats.appends);
    read(NodeMetric::BrokerDuplicates, |stats| &stats.dedup_hits);
    read(NodeMetric::BrokerIdsForgottenEarly, |stats| {
        &stats.ids_forgotten_early
    });
    read(NodeMetric::BrokerBusy, |stats| &stats.busy);
    read(NodeMetric::BrokerFailures, |stats| &stats.failed_batches);
    read(NodeMetric::BrokerWaiting, |stats| &stats.queue_len);
    read(NodeMetric::BrokerWaitingBytes, |stats| &stats.queue_bytes);
    read(NodeMetric::BrokerPages, |stats| &stats.pages);
    read(NodeMetric::BrokerTrimmed, |stats| &stats.trimmed);
    read(NodeMetric::BrokerDiskBytes, |stats| &stats.disk_bytes);
    read(NodeMetric::BrokerMemoryBytes, |stats| &stats.memory_bytes);
    let stats = Arc::clone(stats);
    metrics.read_histogram_from(NodeHistogram::BrokerCommit, move || {
        let commits = &stats.commits;
        let sum = in_seconds(&commits.sum_ns);
        histogram(&COMMIT_SECONDS, &commits.buckets, sum)
    });
}

fn read_redis(metrics: &Metrics, stats: &Arc<RedisStats>) {
    let read = |metric, figure: fn(&RedisStats) -> &AtomicU64| {
        let stats = Arc::clone(stats);
        metrics.read_from(metric, move || figure(&stats).load(Ordering::Relaxed));
    };
    read(NodeMetric::BrokerAppends, |stats| &stats.appends);
    read(NodeMetric::BrokerDuplicates, |stats| &stats.dedup_hits);
    read(NodeMetric::BrokerIdsForgottenEarly, |stats| {
        &stats.ids_forgotten_early
    });
    read(NodeMetric::BrokerBusy, |stats| &stats.busy);
    read(NodeMetric::BrokerFailures, |stats| &stats.failures);
    read(NodeMetric::BrokerWaiting, |stats| &stats.waiting);
    read(NodeMetric::BrokerWaitingBytes, |stats| &stats.waiting_bytes);
    read(NodeMetric::BrokerPages, |stats| &stats.pages);
    read(NodeMetric::RedisBatches, |stats| &stats.batches);
    read(NodeMetric::RedisRetries, |stats| &stats.retries);
    read(NodeMetric::RedisTailed, |stats| &stats.tailed);
    read(NodeMetric::RedisHoles, |stats| &stats.holes);
    read(NodeMetric::RedisEpochChanges, |stats| &stats.epoch_changes);
    read(NodeMetric::RedisLost, |stats| &stats.lost);
    read(NodeMetric::RedisDials, |stats| &stats.dials);
    let tails = Arc::clone(stats);
    metrics.read_by_label_from(NodeMetric::RedisTailLag, move || {
        let lags = tails.tail_lags.lock();
        let shown = lags.iter().map(|(index, lag)| (index.to_string(), *lag));
        shown.collect()
    });
    let probes = Arc::clone(stats);
    metrics.read_by_label_from(NodeMetric::RedisProbeAge, move || {
        let ages = probes.probe_ages_ms.lock();
        let shown = ages.iter().map(|(redis, age)| (redis.to_string(), *age));
        shown.collect()
    });
    let batches = Arc::clone(stats);
    metrics.read_histogram_from(NodeHistogram::RedisBatchPublishes, move || {
        let sizes = &batches.batch_sizes;
        let sum = sizes.sum.load(Ordering::Relaxed) as f64;
        histogram(&BATCH_SIZES, &sizes.buckets, sum)
    });
    let stats = Arc::clone(stats);
    metrics.read_histogram_from(NodeHistogram::BrokerCommit, move || {
        let latency = &stats.latency;
        let sum = in_seconds(&latency.sum_ns);
        histogram(&LATENCY_SECONDS, &latency.buckets, sum)
    });
}

fn in_seconds(ns: &AtomicU64) -> f64 {
    Duration::from_nanos(ns.load(Ordering::Relaxed)).as_secs_f64()
}

fn histogram(bounds: &[f64], counts: &[AtomicU64], sum: f64) -> Histogram {
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    let counts = counts.iter().map(|bucket| bucket.load(Ordering::Relaxed));
    Histogram {
        buckets: bounds.zip(counts).collect(),
        sum,
    }
}
