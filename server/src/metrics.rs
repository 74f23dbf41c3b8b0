//! Every metric: name, meaning, unit. The only file in which a metric is named.
//!
//! Shards count with plain relaxed atomics of their own, so a hot path never shares a cache line with another
//! core; a scrape sums them. It knows no channel and no user: labels have few values, known at build time (but for the
//! addresses of Redis and the numbers of its partitions).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::hub::ShardId;

mod encode;
mod labels;
mod process;

pub use labels::{By, CommandName, Label};

use parlor_protocol::reply::NotRecovered;
use parlor_protocol::{CloseCode, ErrorCode};

/// Adds one.
pub fn incr(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Adds `n`.
pub fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Takes one from a gauge.
pub fn decr(gauge: &AtomicU64) {
    gauge.fetch_sub(1, Ordering::Relaxed);
}

/// How a metric behaves over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name gets the suffix `_total`.
    Counter,
    Gauge,
}

/// One row of the table of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Without the prefix `parlor_` and the suffix `_total`.
    pub name: &'static str,
    pub kind: Kind,
    /// The one label's name; empty: no label.
    pub label: &'static str,
    /// Its meaning, as the scrape tells it.
    pub help: &'static str,
}

/// A field of [`ShardCounters`] as the encoder reads it.
trait Readable {
    /// Adds each (label value, count) to `into`.
    fn add_to(&self, into: &mut Vec<(&'static str, u64)>);
}

impl Readable for AtomicU64 {
    fn add_to(&self, into: &mut Vec<(&'static str, u64)>) {
        labels::add_sample(into, "", self.load(Ordering::Relaxed));
    }
}

type ReadField = fn(&ShardCounters, &mut Vec<(&'static str, u64)>);

macro_rules! shard_counters {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $kind:ident, $name:literal, $label:literal;)*) => {
        /// What one shard counts. The shard writes, a scrape reads.
        #[derive(Debug, Default)]
        pub struct ShardCounters { $($(#[doc = $doc])+ pub $field: $type,)* }

        /// Every metric that shards count, with the way to its field.
        const SHARD_ROWS: &[(Row, ReadField)] = &[$((
            Row { name: $name, kind: Kind::$kind, label: $label, help: concat!($($doc),+) },
            |counters, into| Readable::add_to(&counters.$field, into),
        ),)*];
    };
}

shard_counters! {
    /// Open WebSocket connections.
    connections_open: AtomicU64 = Gauge, "connections", "";
    /// WebSocket handshakes that succeeded.
    connections_accepted: AtomicU64 = Counter, "connections_accepted", "";
    /// WebSocket connections that the server closed, by close code.
    connections_closed: By<CloseCode> = Counter, "connections_closed", "code";
    /// WebSocket connections that the client ended.
    connections_left: AtomicU64 = Counter, "connections_left", "";
    /// Sockets turned away before or during the handshake.
    handshakes_refused: AtomicU64 = Counter, "handshakes_refused", "";
    /// TLS handshakes that were finished.
    tls_handshakes: AtomicU64 = Counter, "tls_handshakes", "";
    /// TLS handshakes that took up an earlier session, which costs less.
    tls_resumed: AtomicU64 = Counter, "tls_handshakes_resumed", "";
    /// Commands received over WebSockets, by command.
    commands: By<CommandName> = Counter, "commands", "command";
    /// Commands answered with an error, by error.
    command_errors: By<ErrorCode> = Counter, "command_errors", "error";
    /// WebSocket messages received.
    frames_in: AtomicU64 = Counter, "frames_received", "";
    /// Bytes of WebSocket messages received.
    bytes_in: AtomicU64 = Counter, "received_bytes", "";
    /// Frames put into subscribers' outboxes.
    deliveries: AtomicU64 = Counter, "deliveries", "";
    /// Bytes of frames put into subscribers' outboxes.
    delivery_bytes: AtomicU64 = Counter, "delivery_bytes", "";
    /// Write calls to sockets; several frames may leave with one.
    write_calls: AtomicU64 = Counter, "write_calls", "";
    /// Times a connection's own task had to wait until its socket took more.
    write_wakeups: AtomicU64 = Counter, "write_wakeups", "";
    /// Connections closed because their outbox was full.
    outbox_overflows: AtomicU64 = Counter, "outbox_overflows", "";
    /// Logged events not sent to a slow subscriber, which was told so.
    events_skipped: AtomicU64 = Counter, "events_skipped", "";
    /// Signals and presence diffs dropped under pressure.
    ephemerals_dropped: AtomicU64 = Counter, "ephemerals_dropped", "";
    /// Subscriptions that asked to recover and got everything they missed.
    resumes_recovered: AtomicU64 = Counter, "resumes_recovered", "";
    /// Subscriptions that asked to recover and could not, by reason.
    resumes_refused: By<NotRecovered> = Counter, "resumes_refused", "reason";
}

impl ShardCounters {
    /// Counts a command by its name on the wire; an unknown name is not counted.
    pub fn command(&self, name: &str) {
        if let Some(command) = CommandName::parse(name) {
            incr(self.commands.of(command));
        }
    }

    /// Counts an error by its code on the wire; an unknown code is not counted.
    pub fn command_error(&self, code: u16) {
        if let Some(error) = ErrorCode::ALL.iter().find(|error| error.number() == code) {
            incr(self.command_errors.of(*error));
        }
    }

    /// Counts a connection that the server closes.
    pub fn closed(&self, code: CloseCode) {
        incr(self.connections_closed.of(code));
    }
}

macro_rules! node_metrics {
    ($($(#[doc = $doc:literal])+ $variant:ident = $kind:ident, $name:literal $(, $label:literal)?;)*) => {
        /// A figure that is read from its owner when a scrape asks: see [`Metrics::read_from`] and, where it has a label,
        /// [`Metrics::read_by_label_from`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum NodeMetric { $($(#[doc = $doc])+ $variant,)* }

        /// Every such metric, in the order of its variants.
        const NODE_ROWS: &[Row] = &[$(
            Row { name: $name, kind: Kind::$kind, label: concat!("" $(, $label)?), help: concat!($($doc),+) },
        )*];
    };
}

node_metrics! {
    /// Channels with at least one subscriber.
    Channels = Gauge, "channels";
    /// Users with at least one connection.
    UsersConnected = Gauge, "users_connected";
    /// Users and tokens of which a revocation is remembered.
    Revocations = Gauge, "revocations";
    /// 1 while the server sends its clients away.
    Draining = Gauge, "draining";
    /// 1 while the message log takes publishes.
    BrokerHealthy = Gauge, "broker_healthy";
    /// Events appended to logs.
    BrokerAppends = Counter, "broker_appends";
    /// Publishes recognised as retries.
    BrokerDuplicates = Counter, "broker_duplicates";
    /// Publish ids forgotten before their window was over, since there were too many.
    BrokerIdsForgottenEarly = Counter, "broker_ids_forgotten_early";
    /// Appends refused because too many waited.
    BrokerBusy = Counter, "broker_busy";
    /// Appends that failed for lack of storage.
    BrokerFailures = Counter, "broker_failures";
    /// Appends waiting to be written.
    BrokerWaiting = Gauge, "broker_waiting";
    /// Bytes of appends waiting to be written.
    BrokerWaitingBytes = Gauge, "broker_waiting_bytes";
    /// Pages of history read from logs.
    BrokerPages = Counter, "broker_pages";
    /// Events removed because their retention ended.
    BrokerTrimmed = Counter, "broker_trimmed";
    /// Bytes of the log on disk.
    BrokerDiskBytes = Gauge, "broker_disk_bytes";
    /// Bytes of history in memory.
    BrokerMemoryBytes = Gauge, "broker_memory_bytes";
    /// Batches appended to Redis, with publishes or without.
    RedisBatches = Counter, "redis_batches";
    /// Times a batch went to Redis again because its outcome was unknown.
    RedisRetries = Counter, "redis_retries";
    /// Entries of Redis's streams that came in.
    RedisTailed = Counter, "redis_entries";
    // Of the partitions that the node follows: one that is left is not shown any more.
    /// Entries of this partition's stream that were not delivered here yet, as last looked at.
    RedisTailLag = Gauge, "redis_tail_lag", "partition";
    /// Times a stream did not continue where it had ended, and logs were read back.
    RedisHoles = Counter, "redis_holes";
    /// Channels that began a new life, as noticed here.
    RedisEpochChanges = Counter, "redis_epoch_changes";
    /// Acknowledged or delivered events that a failover lost.
    RedisLost = Counter, "redis_lost_events";
    /// Connections to Redis dialled.
    RedisDials = Counter, "redis_dials";
    // Of the primaries that the node follows: one that is left is not shown any more.
    /// Age of the oldest probe that came back through this Redis, in milliseconds.
    RedisProbeAge = Gauge, "redis_probe_age_milliseconds", "redis";
}

macro_rules! http_counters {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal;)*) => {
        /// What the HTTP API counts.
        #[derive(Debug, Default)]
        pub struct HttpCounters { $($(#[doc = $doc])+ pub $field: AtomicU64,)* }

        const HTTP_ROWS: &[(Row, fn(&HttpCounters) -> &AtomicU64)] = &[$((
            Row { name: $name, kind: Kind::Counter, label: "", help: concat!($($doc),+) },
            |counters| &counters.$field,
        ),)*];
    };
}

http_counters! {
    /// HTTP API requests answered with success.
    succeeded = "http_requests_succeeded";
    /// HTTP API requests refused for a fault of the caller (4xx).
    refused = "http_requests_refused";
    /// HTTP API requests that the server failed (5xx).
    failed = "http_requests_failed";
}

/// A distribution that is read from its owner when a scrape asks: see [`Metrics::read_histogram_from`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeHistogram {
    /// How long a transaction took until it was as safe as promised, in seconds.
    BrokerCommit,
    /// How many publishes share the cost of one call of Redis.
    RedisBatchPublishes,
}

impl NodeHistogram {
    /// Its name, without the prefix `parlor_`, and its meaning, as the scrape tells it.
    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::BrokerCommit => (
                "broker_commit_seconds",
                "Time until appended events were as safe as promised",
            ),
            Self::RedisBatchPublishes => (
                "redis_batch_publishes",
                "Publishes that one batch carried to Redis, of the batches that carried any",
            ),
        }
    }
}

/// A histogram as its owner counts it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bound of each bucket and what fell into it, not cumulative; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    pub sum: f64,
}

/// The first bucket with one of these upper bounds that holds the value: the one behind them where none does.
pub fn bucket_of(bounds: &[f64], value: f64) -> usize {
    let first = bounds.iter().position(|bound| value <= *bound);
    first.unwrap_or(bounds.len())
}

/// Reads one figure from its owner, by the values of its label; without one there is a single figure.
type Reader = Box<dyn Fn() -> Vec<(String, u64)> + Send + Sync>;

/// Reads one distribution from its owner.
type HistogramReader = Box<dyn Fn() -> Histogram + Send + Sync>;

/// All counters of a process.
pub struct Metrics {
    shards: Box<[Arc<ShardCounters>]>,
    pub http: HttpCounters,
    readers: parking_lot::Mutex<Vec<(NodeMetric, Reader)>>,
    histograms: parking_lot::Mutex<Vec<(NodeHistogram, HistogramReader)>>,
}

impl Metrics {
    pub fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Arc::default()).collect(),
            http: HttpCounters::default(),
            readers: parking_lot::Mutex::default(),
            histograms: parking_lot::Mutex::default(),
        }
    }

    /// The counters of one shard, below the number given to [`Self::new`].
    pub fn shard(&self, shard: ShardId) -> &Arc<ShardCounters> {
        &self.shards[shard.0]
    }

    /// Open WebSocket connections of all shards.
    pub fn connections_open(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.connections_open.load(Ordering::Relaxed))
            .sum()
    }

    /// Tells where a figure is to be read; a metric without a reader is not shown.
    pub fn read_from(&self, metric: NodeMetric, read: impl Fn() -> u64 + Send + Sync + 'static) {
        self.read_by_label_from(metric, move || vec![(String::new(), read())]);
    }

    /// The same for one with a label: each value that is to be shown now, with its figure.
    pub fn read_by_label_from(
        &self,
        metric: NodeMetric,
        read: impl Fn() -> Vec<(String, u64)> + Send + Sync + 'static,
    ) {
        self.readers.lock().push((metric, Box::new(read)));
    }

    /// The same for a distribution.
    pub fn read_histogram_from(
        &self,
        histogram: NodeHistogram,
        read: impl Fn() -> Histogram + Send + Sync + 'static,
    ) {
        self.histograms.lock().push((histogram, Box::new(read)));
    }

    /// All metrics in the OpenMetrics text form.
    pub fn encode(self: &Arc<Self>) -> String {
        encode::encode(self)
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

/// Every row of the table, for the docs and for tests.
pub fn table() -> impl Iterator<Item = Row> {
    let shard = SHARD_ROWS.iter().map(|(row, _)| *row);
    let http = HTTP_ROWS.iter().map(|(row, _)| *row);
    shard.chain(NODE_ROWS.iter().copied()).chain(http)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_sums_the_shards() {
        let metrics = Arc::new(Metrics::new(2));
        add(&metrics.shard(ShardId(0)).deliveries, 40);
        add(&metrics.shard(ShardId(1)).deliveries, 2);
        incr(&metrics.shard(ShardId(1)).connections_open);
        let text = metrics.encode();
        assert!(text.contains("\nparlor_deliveries_total 42\n"), "{text}");
        assert!(text.contains("\nparlor_connections 1\n"), "{text}");
    }

    #[test]
    fn a_labelled_counter_shows_only_values_that_occurred() {
        let metrics = Arc::new(Metrics::new(1));
        incr(
            metrics
                .shard(ShardId(0))
                .connections_closed
                .of(CloseCode::Slow),
        );
        let text = metrics.encode();
        assert!(
            text.contains("parlor_connections_closed_total{code=\"slow\"} 1\n"),
            "{text}"
        );
        assert!(!text.contains("code=\"no_pong\""), "{text}");
    }

    #[test]
    fn a_figure_with_a_reader_is_shown() {
        let metrics = Arc::new(Metrics::new(1));
        metrics.read_from(NodeMetric::Channels, || 7);
        let text = metrics.encode();
        assert!(text.contains("\nparlor_channels 7\n"), "{text}");
        assert!(!text.contains("parlor_broker_waiting"), "{text}");
    }

    #[test]
    fn commit_times_are_a_histogram() {
        let metrics = Arc::new(Metrics::new(1));
        let buckets = vec![(0.001, 3), (f64::INFINITY, 1)];
        let read = move || Histogram {
            buckets: buckets.clone(),
            sum: 2.5,
        };
        metrics.read_histogram_from(NodeHistogram::BrokerCommit, read);
        let text = metrics.encode();
        for line in [
            "_count 4",
            "_sum 2.5",
            "_bucket{le=\"0.001\"} 3",
            "_bucket{le=\"+Inf\"} 4",
        ] {
            assert!(
                text.contains(&format!("\nparlor_broker_commit_seconds{line}\n")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_probe_stands_beside_its_redis() {
        let metrics = Arc::new(Metrics::new(1));
        let ages = || vec![("a:6379".to_owned(), 7), ("b:6380".to_owned(), 900)];
        metrics.read_by_label_from(NodeMetric::RedisProbeAge, ages);
        let text = metrics.encode();
        for line in ["{redis=\"a:6379\"} 7", "{redis=\"b:6380\"} 900"] {
            assert!(
                text.contains(&format!("\nparlor_redis_probe_age_milliseconds{line}\n")),
                "{text}"
            );
        }
    }

    #[test]
    fn names_are_unique_and_plain() {
        let mut names: Vec<_> = table().map(|row| row.name).collect();
        assert!(names.iter().all(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        }));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
