//! One channel that goes on whatever else there is: some listen to it on all nodes, and how late each message comes is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::histogram::{Latencies, Summary};
use crate::latency::{due_in, publish};
use crate::light::Light;
use crate::line::{Dialect, Line};

/// Those who listen.
pub(super) struct Pulse {
    /// Where it is published.
    node: SocketAddr,
    listeners: usize,
    start: Instant,
    seen: Arc<Mutex<Latencies>>,
    all: JoinSet<String>,
}

impl Pulse {
    /// Spreads listeners over these nodes; the first one is published to.
    pub(super) async fn open(nodes: &[SocketAddr], listeners: usize) -> anyhow::Result<Self> {
        let (start, seen) = (Instant::now(), Arc::new(Mutex::new(Latencies::new())));
        let mut all = JoinSet::new();
        for (number, node) in nodes.iter().cycle().take(listeners).enumerate() {
            let hello = format!(
                r#"{{"id":1,"connect":{{"user":"l{number}","subscriptions":[{{"channel":"{CHANNEL}"}}]}}}}"#
            );
            let light = Light::open(*node, &hello).await?;
            all.spawn(listen(light, start, Arc::clone(&seen)));
        }
        Ok(Self {
            node: nodes[0],
            listeners,
            start,
            seen,
            all,
        })
    }

    /// Publishes by the clock for a while: from when each message was due to when each listener had it.
    ///
    /// # Errors
    /// A listener was lost, or not everything came to all of them in time.
    pub(super) async fn measure(&mut self, rate: f64, seconds: f64) -> anyhow::Result<Summary> {
        *self.seen.lock() = Latencies::new();
        let count = (rate * seconds) as usize;
        let mut publisher = Line::open(self.node, Dialect::Parlor, "pulse").await?;
        publish(&mut publisher, CHANNEL, self.start, count, rate).await?;
        let expected = (count * self.listeners) as u64;
        let give_up = Instant::now() + PATIENCE;
        loop {
            let count = self.seen.lock().len();
            if count >= expected {
                ensure!(count == expected, "messages came twice");
                return Ok(self.seen.lock().summary());
            }
            if let Some(lost) = self.all.try_join_next() {
                anyhow::bail!("a listener was lost: {}", lost?);
            }
            ensure!(
                Instant::now() < give_up,
                "{count} of {expected} deliveries came"
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Returns why the connection ended.
async fn listen(mut light: Light, start: Instant, seen: Arc<Mutex<Latencies>>) -> String {
    let mut take = |text: &str| {
        if let Some(due) = due_in(text) {
            let late = start.elapsed().saturating_sub(due);
            seen.lock().record_ns(late.as_nanos() as u64);
        }
    };
    loop {
        if let Err(reason) = light.hear_and_answer(&mut take).await {
            return reason;
        }
    }
}

const CHANNEL: &str = "plain:pulse";
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
