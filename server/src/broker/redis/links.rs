//! The links of a node: one per primary and purpose, made when needed, and made anew when they broke.
//!
//! Purposes do not share a link: `WAIT` holds up everything behind it, a long page must not delay an append.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::runtime::Handle;
use tracing::{debug, info};

use super::attached::Attached;
use super::config::{Address, RedisConfig};
use super::fault::Fault;
use super::link::Link;
use super::stats::RedisStats;
use super::topology::Topology;
use crate::planted::{self, Bug};

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    Append,
    /// Appends that wait for replicas.
    Replicate,
    Read,
}

impl Purpose {
    fn timeout(self) -> Duration {
        match self {
            Self::Append => Duration::from_millis(1_000),
            // `WAIT` itself may take 1 s.
            Self::Replicate => Duration::from_millis(2_000),
            Self::Read => Duration::from_millis(2_000),
        }
    }
}

/// A dial that took longer may have been answered by a primary that was frozen, and thawed after another took its place.
const PROMPT: Duration = Duration::from_millis(100);

/// Held by who dials; holds when the last dial failed, and why.
type Turn = tokio::sync::Mutex<Option<(Instant, Fault)>>;

#[derive(Debug)]
pub(super) struct Links {
    config: RedisConfig,
    topology: Topology,
    open: Mutex<HashMap<(Address, Purpose), Arc<Link>>>,
    /// One dial per address and purpose at a time: a broken primary must not meet a crowd of dialers.
    dialling: Mutex<HashMap<(Address, Purpose), Arc<Turn>>>,
    /// The replicas of each primary: what is known of them outlives a link.
    attached: Mutex<HashMap<Address, Arc<Attached>>>,
    /// Where the links' own tasks run.
    runtime: Handle,
    stats: Arc<RedisStats>,
}

impl Links {
    pub(super) fn new(config: RedisConfig, runtime: Handle, stats: Arc<RedisStats>) -> Self {
        Self {
            config,
            topology: Topology::default(),
            open: Mutex::default(),
            dialling: Mutex::default(),
            attached: Mutex::default(),
            runtime,
            stats,
        }
    }

    pub(super) fn config(&self) -> &RedisConfig {
        &self.config
    }

    /// The link to a slot's primary.
    ///
    /// # Errors
    /// It cannot be reached now.
    pub(super) async fn get(&self, purpose: Purpose, slot: u16) -> Result<Arc<Link>, Fault> {
        let asked = Instant::now();
        loop {
            let address = self.topology.primary_of(&self.config, slot).await?;
            if let Some(link) = self.held(purpose, &address) {
                return Ok(link);
            }
            let turn = self.turn(&address, purpose);
            let mut last = turn.lock().await;
            if let Some(link) = self.held(purpose, &address) {
                return Ok(link);
            }
            // Whoever waited while a dial failed has its answer: a queue of dials to a silent Redis would take minutes.
            if let Some((at, fault)) = &*last
                && *at >= asked
            {
                return Err(fault.clone());
            }
            // Who waited here may have waited for dials to a primary that is none any more.
            if self.topology.primary_of(&self.config, slot).await? != address {
                continue;
            }
            let dialled = self.dial(&address, purpose.timeout()).await.map(Arc::new);
            match &dialled {
                Ok(link) => {
                    let key = (address, purpose);
                    self.open.lock().insert(key, Arc::clone(link));
                }
                Err(fault) => *last = Some((Instant::now(), fault.clone())),
            }
            return dialled;
        }
    }

    /// What a slot's primary answers to one command.
    ///
    /// # Errors
    /// It cannot be reached now, or answers an error. A link that broke is not used again.
    pub(super) async fn ask(
        &self,
        purpose: Purpose,
        slot: u16,
        command: &Cmd,
    ) -> Result<Value, Fault> {
        let link = self.get(purpose, slot).await?;
        let answer = link.query(command).await.map_err(Fault::from);
        answer.inspect_err(|fault| self.heed(&link, fault))
    }

    fn turn(&self, address: &Address, purpose: Purpose) -> Arc<Turn> {
        let mut dialling = self.dialling.lock();
        Arc::clone(dialling.entry((address.clone(), purpose)).or_default())
    }

    /// The link to a primary, if there is one now.
    pub(super) fn held(&self, purpose: Purpose, address: &Address) -> Option<Arc<Link>> {
        self.open.lock().get(&(address.clone(), purpose)).cloned()
    }

    /// A link of the caller's own, for blocking reads.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) async fn own(&self, slot: u16, timeout: Duration) -> Result<Link, Fault> {
        let address = self.topology.primary_of(&self.config, slot).await?;
        self.dial(&address, timeout).await
    }

    /// All primaries.
    ///
    /// # Errors
    /// The topology is not known.
    pub(super) async fn primaries(&self) -> Result<Vec<Address>, Fault> {
        self.topology.primaries(&self.config).await
    }

    /// The primary of a slot as last heard; none while nobody knows.
    pub(super) fn known_primary(&self, slot: u16) -> Option<Address> {
        self.topology.known_primary(slot)
    }

    /// Drops a link on which something failed, where the fault asks for that.
    pub(super) fn heed(&self, link: &Link, fault: &Fault) {
        if fault.needs_new_link() {
            self.drop_link(link, fault);
        }
    }

    /// A link failed: the next caller dials anew, with fresh topology.
    pub(super) fn drop_link(&self, link: &Link, fault: &Fault) {
        self.topology.forget();
        let mut open = self.open.lock();
        let before = open.len();
        open.retain(|_, held| held.id != link.id);
        if open.len() < before {
            info!(address = %link.address, %fault, "A connection to Redis ended.");
        }
    }

    /// Whether the primaries of these slots are others than before, as asked now.
    pub(super) async fn have_moved(&self, slots: &[u16]) -> bool {
        self.topology.has_changed(&self.config, slots).await
    }

    /// Everything is suspect: all links are made anew.
    pub(super) fn drop_all(&self) {
        self.topology.forget();
        self.open.lock().clear();
    }

    async fn dial(&self, address: &Address, timeout: Duration) -> Result<Link, Fault> {
        let (config, to) = (self.config.clone(), address.clone());
        let attached = Arc::clone(self.attached.lock().entry(to.clone()).or_default());
        let begun = Instant::now();
        // On our own runtime: the task that drives a connection lives where it was dialled.
        let dialled = self
            .runtime
            .spawn(async move { Link::open(&config, &to, timeout, attached).await });
        let dialled = dialled
            .await
            .unwrap_or_else(|_| Err(Fault::Unreachable("the server is shutting down".to_owned())));
        self.stats.dials.fetch_add(1, Ordering::Relaxed);
        let is_late = dialled.is_ok() && begun.elapsed() > PROMPT;
        let dialled = match is_late && self.topology.is_past(&self.config, address).await {
            true => Err(Fault::Elsewhere(format!(
                "another took the place of {address} while it was dialled"
            ))),
            false => dialled,
        };
        match &dialled {
            Ok(link) => debug!(%address, lineage = link.lineage, "Connected to Redis."),
            Err(fault) => {
                debug!(%address, %fault, "Unable to connect to Redis.");
                self.topology.forget();
                if planted::has(Bug::WedgeAfterRefusedDial) {
                    std::future::pending().await
                }
            }
        }
        dialled
    }
}
