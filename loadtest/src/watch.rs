//! The server seen from outside: its processes in /proc, counters from its metrics pages, its Redis, the machine and its network.
//!
//! Only looks. What the figures mean is the report's matter.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::clockwork::Moment;
use crate::network::{Network, SendQueues};
use crate::proc::{Machine, Process, Thread, listener_of, open_files, threads};
use crate::target::Target;
use crate::watch::metrics::{Counters, MetricsPage};
use crate::watch::redis::{RedisFigures, RedisPage};

pub(crate) mod metrics;
pub(crate) mod redis;

/// Where to look. Everything is optional: a server on another machine has no /proc here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    /// Process ids of all nodes; none: the processes that listen on the targets' ports.
    pub(crate) pids: Vec<u32>,
    pub(crate) metrics_urls: Vec<String>,
    /// `host:port` of the nodes' Redis.
    pub(crate) redis: Option<String>,
    /// What the network carries in one direction, where the interface does not tell.
    pub(crate) network_mbit_s: Option<f64>,
}

/// Looks at all nodes of a server.
#[derive(Debug)]
pub(crate) struct ServerWatch {
    pids: Vec<u32>,
    /// Of the nodes on this machine.
    ports: Vec<u16>,
    metrics: Vec<MetricsPage>,
    redis: Option<RedisPage>,
}

/// One look, summed over nodes.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) process: Option<Process>,
    pub(crate) counters: Option<Counters>,
    pub(crate) redis: Option<RedisFigures>,
    pub(crate) machine: Option<Machine>,
    pub(crate) network: Option<Network>,
}

/// A closer look, where a stage begins or ends.
#[derive(Debug)]
pub(crate) struct Boundary {
    pub(crate) sample: Sample,
    /// Of the server.
    pub(crate) threads: Vec<Thread>,
    pub(crate) send_queues: SendQueues,
}

/// A run's looks at its server.
#[derive(Debug)]
pub(crate) struct Looks {
    pub(crate) pids: Vec<u32>,
    pub(crate) before: Sample,
    pub(crate) connected: Sample,
    pub(crate) open_files_connected: Option<u64>,
    /// At the start, and at the end of each stage.
    pub(crate) boundaries: Vec<Boundary>,
    /// At the end of each second.
    pub(crate) seconds: Vec<Sample>,
}

impl ServerWatch {
    /// # Errors
    /// When a named process does not exist, or a page does not answer.
    pub(crate) fn new(watched: &Watched, targets: &[Target]) -> anyhow::Result<Self> {
        let listener = |target: &Target| {
            let local = target.address.ip().is_loopback();
            local.then(|| listener_of(target.address.port())).flatten()
        };
        let pids = match watched.pids.as_slice() {
            [] => targets.iter().filter_map(listener).collect(),
            named => named.to_vec(),
        };
        for pid in &watched.pids {
            ensure!(
                Process::read(*pid).is_some(),
                "unable to watch process {pid}; it is not there"
            );
        }
        let pages = watched.metrics_urls.iter();
        let metrics: Vec<_> = pages
            .map(|url| MetricsPage::parse(url))
            .collect::<anyhow::Result<_>>()?;
        for page in &metrics {
            page.read().context("unable to read the server's metrics")?;
        }
        let redis = watched.redis.as_deref().map(RedisPage::parse).transpose()?;
        if let Some(redis) = &redis {
            redis.read().context("unable to ask Redis")?;
        }
        Ok(Self {
            pids,
            ports: ports(targets),
            metrics,
            redis,
        })
    }

    pub(crate) fn sample(&self) -> Sample {
        let processes = self.pids.iter().map(|pid| Process::read(*pid));
        // A page that fails in the middle of a run costs its figures, not the run.
        let counters = self.metrics.iter().map(|page| page.read().ok());
        Sample {
            at: Instant::now(),
            process: sum(processes, Process::plus),
            counters: sum(counters, Counters::plus),
            redis: self.redis.as_ref().and_then(|page| page.read().ok()),
            machine: Machine::read(),
            network: Network::read(),
        }
    }

    /// Files that the nodes hold open together.
    pub(crate) fn open_files(&self) -> Option<u64> {
        let files = self.pids.iter().map(|pid| open_files(*pid));
        sum(files, |one, two| one + two)
    }

    fn boundary(&self) -> Boundary {
        // First what is gone in a moment.
        let send_queues = SendQueues::read(&self.ports);
        Boundary {
            sample: self.sample(),
            threads: self.pids.iter().flat_map(|pid| threads(*pid)).collect(),
            send_queues,
        }
    }
}

/// All of them together. `None` where one is missing: the difference to a look at all of them would be somebody's loss.
fn sum<T>(all: impl Iterator<Item = Option<T>>, plus: impl Fn(T, T) -> T) -> Option<T> {
    let all: Option<Vec<T>> = all.collect();
    all?.into_iter().reduce(plus)
}

fn ports(targets: &[Target]) -> Vec<u16> {
    let local = targets
        .iter()
        .filter(|target| target.address.ip().is_loopback());
    local.map(|target| target.address.port()).collect()
}

impl Looks {
    pub(crate) fn begin(watch: &ServerWatch) -> Self {
        let before = watch.sample();
        Self {
            pids: watch.pids.clone(),
            connected: before.clone(),
            open_files_connected: None,
            before,
            boundaries: Vec::new(),
            seconds: Vec::new(),
        }
    }

    /// To be called when all connections are open and have settled.
    pub(crate) fn connected(&mut self, watch: &ServerWatch) {
        self.connected = watch.sample();
        self.open_files_connected = watch.open_files();
    }

    /// To be called at each moment of the timeline.
    pub(crate) fn take(&mut self, watch: &ServerWatch, moment: Moment) {
        match moment {
            Moment::Boundary(_) => self.boundaries.push(watch.boundary()),
            Moment::Second(_) => self.seconds.push(watch.sample()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A page that tells of so many deliveries each time it is asked.
    fn page(deliveries: u32) -> MetricsPage {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let page = page_at(&listener);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut line = String::new();
                // A socket that is closed with something unread takes the answer back.
                while reader.read_line(&mut line).unwrap() > 2 {
                    line.clear();
                }
                let text = format!("HTTP/1.0 200 OK\r\n\r\nparlor_deliveries_total {deliveries}\n");
                reader.get_mut().write_all(text.as_bytes()).unwrap();
            }
        });
        page
    }

    fn page_at(listener: &TcpListener) -> MetricsPage {
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        MetricsPage::parse(&url).unwrap()
    }

    /// One of a server that has stopped.
    fn gone() -> MetricsPage {
        page_at(&TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn look(pids: &[u32], metrics: Vec<MetricsPage>) -> Sample {
        let watch = ServerWatch {
            pids: pids.to_vec(),
            ports: Vec::new(),
            metrics,
            redis: None,
        };
        watch.sample()
    }

    #[test]
    fn a_look_that_misses_one_of_several_has_no_sum() {
        let deliveries = |pages| look(&[], pages).counters.and_then(|all| all.deliveries);
        assert_eq!(deliveries(vec![page(40), page(2)]), Some(42.0));
        assert_eq!(deliveries(vec![page(40), gone()]), None);
        assert_eq!(deliveries(Vec::new()), None);
        let (own, nobody) = (std::process::id(), u32::MAX);
        assert!(look(&[own, own], Vec::new()).process.is_some());
        assert!(look(&[own, nobody], Vec::new()).process.is_none());
    }
}
