//! What one Redis does for Parlor: publishes through the broker on Redis, from one node to another, with history and ids.
//! The workload is that of `loadtest/peers/centrifuge`, which measures the same with the library under Centrifugo.
//!
//! ```sh
//! redis-server --port 16379 --save "" --appendonly no &     # nothing else may use it: it is flushed
//! cargo run --release -p parlor-loadtest --example redis_publishes -- 127.0.0.1:16379 1 16 256
//! ```
#![allow(clippy::print_stdout, reason = "the report is what it is run for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use parlor::broker::redis::{Authorities, RedisConfig};
use parlor::broker::{Append, Broker as _, Dedup, Redis};
use parlor::hub::{Channel, Hub, Letters, ShardId};
use parlor::kind::{ChannelKind, Durability, SlowPolicy};
use parlor::pattern::Pattern;
use parlor_protocol::{ChannelName, EventKind, Form, Format, Payload, Position, Tags};

const CHANNELS: usize = 100;
const PAYLOAD: usize = 128;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(10);
/// How long an acknowledged publish may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(address) = arguments.next() else {
        bail!("usage: redis_publishes HOST:PORT CONCURRENCY...")
    };
    for concurrency in arguments {
        measure(
            &address,
            concurrency.parse().context("a number of publishers")?,
        )
        .await?;
    }
    Ok(())
}

/// Counts and times of one run.
#[derive(Debug)]
struct Figures {
    counts: AtomicBool,
    is_over: AtomicBool,
    published: AtomicU64,
    received: AtomicU64,
    measured: AtomicU64,
    publish_us: Mutex<Histogram<u64>>,
    receive_us: Mutex<Histogram<u64>>,
}

async fn measure(address: &str, concurrency: usize) -> anyhow::Result<()> {
    let monitor = Monitor::open(address).await?;
    monitor.ask("FLUSHALL").await?;
    let (publisher, subscriber) = (node(address)?, node(address)?);
    let figures = Arc::new(Figures {
        counts: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        published: AtomicU64::new(0),
        received: AtomicU64::new(0),
        measured: AtomicU64::new(0),
        publish_us: Mutex::new(Histogram::new(3)?),
        receive_us: Mutex::new(Histogram::new(3)?),
    });
    let receiving = tokio::spawn(receive(
        subscriber.clone(),
        subscribe(&subscriber).await?,
        Arc::clone(&figures),
    ));
    let publishing: Vec<_> = (0..concurrency)
        .map(|index| {
            tokio::spawn(publish(
                publisher.clone(),
                index,
                concurrency,
                Arc::clone(&figures),
            ))
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (before, started) = (monitor.cpu().await?, Instant::now());
    figures.counts.store(true, Ordering::Release);
    tokio::time::sleep(MEASURED).await;
    figures.counts.store(false, Ordering::Release);
    let (after, took) = (monitor.cpu().await?, started.elapsed());
    figures.is_over.store(true, Ordering::Release);
    for done in join_all(publishing).await {
        done??;
    }
    let give_up = Instant::now() + PATIENCE;
    while figures.received.load(Ordering::Acquire) < figures.published.load(Ordering::Acquire)
        && Instant::now() < give_up
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    receiving.abort();
    report(concurrency, &figures, took, after - before);
    let (published, received) = (
        figures.published.load(Ordering::Acquire),
        figures.received.load(Ordering::Acquire),
    );
    ensure!(
        received == published,
        "{published} publishes were acknowledged and {received} arrived"
    );
    Ok(())
}

#[derive(Clone)]
struct Node {
    hub: Arc<Hub>,
    broker: Arc<Redis>,
    kind: Arc<ChannelKind>,
}

fn node(address: &str) -> anyhow::Result<Node> {
    let hub = Arc::new(Hub::new(1));
    let config = RedisConfig {
        url: format!("redis://{address}").parse()?,
        user: None,
        password: None,
        authorities: Authorities::default(),
        prefix: "bench".to_owned(),
        confirmations: 0,
        dedup_window: Duration::from_secs(300),
        replicates: false,
    };
    let kind = ChannelKind {
        name: "bench".to_owned(),
        pattern: Pattern::new("*"),
        durability: Durability::Disk,
        history_len_max: 1_000,
        history_age_max: Duration::from_secs(3_600),
        presence: false,
        slow: SlowPolicy::Close,
        allowed: Vec::new(),
        publish_rate_max: 0,
    };
    Ok(Node {
        broker: Arc::new(Redis::open(config, Arc::clone(&hub))?),
        hub,
        kind: Arc::new(kind),
    })
}

fn channel(number: usize) -> anyhow::Result<ChannelName> {
    Ok(ChannelName::parse(&format!("room:{}", number % CHANNELS))?)
}

async fn subscribe(node: &Node) -> anyhow::Result<Vec<(Arc<Channel>, Position)>> {
    let mut subscribed = Vec::new();
    for number in 0..CHANNELS {
        let name = channel(number)?;
        let live = node.hub.enter(&name, ShardId(0));
        let top = live.learn_top(node.broker.join(&name, &node.kind).await?);
        subscribed.push((live, top));
    }
    Ok(subscribed)
}

/// The second node's only shard: takes what was delivered and makes the frame that a socket would be given.
async fn receive(node: Node, mut subscribed: Vec<(Arc<Channel>, Position)>, figures: Arc<Figures>) {
    let mut letters = Letters::default();
    loop {
        node.hub.inbox(ShardId(0)).take(&mut letters).await;
        for (channel, at) in subscribed
            .iter_mut()
            .filter(|(channel, _)| letters.advanced.contains(&channel.alias()))
        {
            loop {
                let pull = channel.pull(ShardId(0), *at, 0);
                for entry in &pull.entries {
                    let frame = entry.frame(channel.alias(), Form::Json);
                    std::hint::black_box(&frame);
                    *at = entry.position();
                    took(&figures, entry.payload.bytes.as_ref());
                }
                if !pull.more {
                    break;
                }
            }
        }
    }
}

fn took(figures: &Figures, payload: &[u8]) {
    figures.received.fetch_add(1, Ordering::AcqRel);
    if figures.counts.load(Ordering::Acquire) {
        let sent: u64 = std::str::from_utf8(&payload[1..17])
            .ok()
            .and_then(|mark| mark.parse().ok())
            .unwrap_or(0);
        // A full histogram only misses a value.
        let _full = figures
            .receive_us
            .lock()
            .record(now_us().saturating_sub(sent));
    }
}

async fn publish(
    node: Node,
    index: usize,
    concurrency: usize,
    figures: Arc<Figures>,
) -> anyhow::Result<()> {
    let mut number = index;
    while !figures.is_over.load(Ordering::Acquire) {
        let started = Instant::now();
        let body = format!("\"{:016}{}\"", now_us(), "x".repeat(PAYLOAD - 18));
        let append = Append {
            channel: channel(number)?,
            kind: Arc::clone(&node.kind),
            event: EventKind::Message,
            dedup: Some(Dedup {
                sender: "k:bench".into(),
                id: format!("{number}").into(),
            }),
            user: None,
            tags: Tags::new(),
            payload: Payload {
                format: Format::Json,
                bytes: Bytes::from(body),
            },
            no_echo_to: None,
        };
        node.broker.append(append).await?;
        figures.published.fetch_add(1, Ordering::AcqRel);
        if figures.counts.load(Ordering::Acquire) {
            figures.measured.fetch_add(1, Ordering::AcqRel);
            let _full = figures
                .publish_us
                .lock()
                .record(started.elapsed().as_micros() as u64);
        }
        number += concurrency;
    }
    Ok(())
}

fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros() as u64
}

fn report(concurrency: usize, figures: &Figures, took: Duration, cpu_s: f64) {
    let published = figures.measured.load(Ordering::Acquire) as f64;
    println!(
        "{CHANNELS} channels, {concurrency} publishers, {PAYLOAD} B, history 1000 for 1h, ids"
    );
    println!(
        "  publishes/s                         {:10.0}",
        published / took.as_secs_f64()
    );
    println!(
        "  Redis CPU s per 1,000 publishes     {:10.4}   ({:.2} cores, {:.0} publishes per CPU second)",
        cpu_s / published * 1_000.0,
        cpu_s / took.as_secs_f64(),
        published / cpu_s
    );
    for (what, histogram) in [
        ("publish", &figures.publish_us),
        ("publish to receive", &figures.receive_us),
    ] {
        let histogram = histogram.lock();
        let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        println!(
            "  {:<22} p50 {:8.2}   p99 {:8.2}   max {:8.2}",
            format!("{what}, ms"),
            ms(0.5),
            ms(0.99),
            ms(1.0)
        );
    }
}

/// What Redis says of itself.
struct Monitor(redis::aio::MultiplexedConnection);

impl Monitor {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let client = redis::Client::open(format!("redis://{address}"))?;
        Ok(Self(client.get_multiplexed_async_connection().await?))
    }

    async fn ask(&self, what: &str) -> anyhow::Result<redis::Value> {
        Ok(redis::cmd(what).query_async(&mut self.0.clone()).await?)
    }

    /// Seconds of CPU that Redis has used.
    async fn cpu(&self) -> anyhow::Result<f64> {
        let text: String = redis::cmd("INFO")
            .arg("cpu")
            .query_async(&mut self.0.clone())
            .await?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
        };
        field("used_cpu_user:")
            .zip(field("used_cpu_sys:"))
            .map(|(user, sys)| user + sys)
            .context("INFO cpu")
    }
}
