//! The idle connections of one node: each has two channels and answers pings. They live in this process or in one of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, block_in_place};

use crate::hosted::Hosted;
use crate::light::Light;

/// Whom a process hosts: `count` users from number `first` on.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct HostOptions {
    pub(super) node: SocketAddr,
    /// Where they come from: an address of the loopback that nobody else uses.
    pub(super) source: Ipv4Addr,
    pub(super) first: usize,
    pub(super) count: usize,
    pub(super) ping_interval_s: u64,
}

/// What happened to idle connections so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) connected: u64,
    pub(crate) pings: u64,
    /// Ended, or never begun.
    pub(crate) lost: u64,
}

impl Counts {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            connected: self.connected + other.connected,
            pings: self.pings + other.pings,
            lost: self.lost + other.lost,
        }
    }

    fn line(self) -> String {
        format!("{} {} {}", self.connected, self.pings, self.lost)
    }

    fn parse(line: &str) -> anyhow::Result<Self> {
        let numbers: Result<Vec<u64>, _> = line.split(' ').map(str::parse).collect();
        let [connected, pings, lost] = numbers?[..] else {
            anyhow::bail!("these are no counts: {line}");
        };
        Ok(Self {
            connected,
            pings,
            lost,
        })
    }
}

/// Some idle connections.
pub(super) enum Part {
    Here(Idle),
    Process(Box<Hosted>),
}

impl Part {
    pub(super) async fn open(options: HostOptions, in_a_process: bool) -> anyhow::Result<Self> {
        if !in_a_process {
            return Ok(Self::Here(Idle::open(options).await?));
        }
        let numbers = [
            options.first as u64,
            options.count as u64,
            options.ping_interval_s,
        ];
        let mut arguments = vec![options.node.to_string(), options.source.to_string()];
        arguments.extend(numbers.map(|number| number.to_string()));
        let hosted = Hosted::start("idle-host", &arguments)?;
        Ok(Self::Process(Box::new(hosted)))
    }

    pub(super) fn counts(&mut self) -> anyhow::Result<Counts> {
        match self {
            Self::Here(idle) => Ok(idle.counts()),
            Self::Process(hosted) => Counts::parse(&hosted.ask("counts")?),
        }
    }

    /// The process, where it is one of its own.
    pub(super) fn id(&self) -> Option<u32> {
        match self {
            Self::Here(_) => None,
            Self::Process(hosted) => Some(hosted.id()),
        }
    }
}

/// Idle connections of this process. Cut when dropped.
pub(super) struct Idle {
    shared: Arc<Shared>,
    _all: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    connected: AtomicU64,
    pings: AtomicU64,
    lost: AtomicU64,
}

impl Idle {
    async fn open(options: HostOptions) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let slots = Arc::new(Semaphore::new(OPENING_MAX));
        let mut all = JoinSet::new();
        for (port, user) in (PORT_FIRST..).zip(options.first..options.first + options.count) {
            let slot = Arc::clone(&slots).acquire_owned().await?;
            let shared = Arc::clone(&shared);
            all.spawn(async move {
                let hello = hello(user, options.ping_interval_s);
                let source = (options.source, port).into();
                let opened = Light::open_from(source, options.node, &hello).await;
                drop(slot);
                let light = match opened {
                    Ok(light) => light,
                    Err(error) => return shared.lose(&error.to_string()),
                };
                shared.connected.fetch_add(1, Ordering::AcqRel);
                let reason = live(light, &shared).await;
                shared.lose(&reason);
            });
        }
        let idle = Self { shared, _all: all };
        let give_up = Instant::now() + PATIENCE;
        while idle.counts().connected + idle.counts().lost < options.count as u64 {
            ensure!(Instant::now() < give_up, "gave up at {:?}", idle.counts());
            tokio::time::sleep(LOOK).await;
        }
        Ok(idle)
    }

    fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Counts {
            connected: read(&self.shared.connected),
            pings: read(&self.shared.pings),
            lost: read(&self.shared.lost),
        }
    }
}

impl Shared {
    /// Says why, of the first few.
    fn lose(&self, reason: &str) {
        if self.lost.fetch_add(1, Ordering::AcqRel) < REASONS_MAX {
            eprintln!("an idle connection was refused or lost: {reason}");
        }
    }
}

/// A room of ten and a hall of a hundred.
fn hello(user: usize, ping_interval_s: u64) -> String {
    let (room, hall) = (user / 10, user / 100);
    format!(
        r#"{{"id":1,"connect":{{"user":"u{user}","ping_interval_ms":{},"subscriptions":[{{"channel":"plain:room-{room}"}},{{"channel":"plain:hall-{hall}"}}]}}}}"#,
        ping_interval_s * 1_000
    )
}

/// Returns why the connection ended.
async fn live(mut light: Light, shared: &Shared) -> String {
    loop {
        match light.hear_and_answer(|_| {}).await {
            Ok(true) => drop(shared.pings.fetch_add(1, Ordering::AcqRel)),
            Ok(false) => {}
            Err(reason) => return reason,
        }
    }
}

/// Hosts idle connections until its input ends.
pub(crate) async fn host(options: &HostOptions) -> anyhow::Result<()> {
    let idle = Idle::open(*options).await?;
    println!("{}", idle.counts().line());
    let mut told = std::io::stdin().lines();
    while let Some(line) = block_in_place(|| told.next()) {
        line.context("its input is a pipe")?;
        println!("{}", idle.counts().line());
    }
    Ok(())
}

/// Below those that the kernel hands out.
const PORT_FIRST: u16 = 10_000;
/// Connections that are being opened at the same time: well below a server's accept queue.
const OPENING_MAX: usize = 128;
const REASONS_MAX: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(5);
