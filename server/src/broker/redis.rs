//! The broker on Redis: many nodes, one order. Redis keeps the logs; this node appends in batches and follows streams.
//!
//! It knows no user's rights, no connections, no wire forms, and writes no consensus: what is proven lost is told, by
//! tags in the data itself.
//!
//! Reading order: `keys` (what is kept where), `lua` (what happens in Redis), `append` and `batch` (the way in), `tail`
//! (the way out), `read` (joins and pages), `settle` (which history is appended to), `resync` (after a hole), `probe`
//! (whether all this works). `docs/cluster.md` tells it from Redis's side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use parlor_protocol::{ChannelName, Position};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};
use tracing::info;

use super::{Append, Appended, Broker, Erase, Error, LogPage, RETRY_AFTER, Read, Reload, random};
use crate::hub::{EphemeralBody, Hub};
use crate::kind::{ChannelKind, Durability};

mod append;
mod attached;
mod batch;
mod begun;
mod complaint;
mod config;
mod core;
mod entry;
mod erase;
mod fault;
mod fence;
mod head;
mod keys;
mod known;
mod link;
mod links;
mod members;
mod outcome;
mod partition;
mod probe;
mod read;
mod readers;
mod reload;
mod resync;
mod roster;
mod scripts;
mod secure;
mod settle;
mod share;
mod startup;
mod stats;
mod tail;
mod topology;
mod watch;

pub use config::{Address, BadUrl, Mode, RedisConfig, RedisUrl};
pub use members::{MemberRow, MembersLink, MembersPage, MembersWatcher};
pub use secure::Authorities;
pub use startup::OpenError;
pub use stats::{BATCH_SIZES, BatchSizes, LATENCY_SECONDS, Latency, RedisStats};

use append::LaneId;
use batch::Item;
use complaint::Complaint;
use core::Core;
use fault::Fault;
use keys::Keys;
use links::Links;
use members::Members;
use partition::Partition;
use probe::Probes;
use readers::Readers;
use reload::Reloading;
use roster::Roster;
use share::Share;

/// How long a stop waits for appends that were accepted.
const STOP_PATIENCE: Duration = Duration::from_secs(6);

/// Logs in Redis, shared with other nodes.
pub struct Redis {
    core: Arc<Core>,
    secret: [u8; 32],
    is_closed: AtomicBool,
    /// Ends the thread that runs everything here.
    stop: Mutex<Option<(oneshot::Sender<()>, thread::JoinHandle<()>)>>,
}

impl Redis {
    /// Connects, looks at Redis's settings, agrees with the other nodes, and starts the tasks. Blocks meanwhile.
    ///
    /// # Errors
    /// Redis cannot be reached (`Away`: that may pass), or cannot be relied on.
    pub fn open(config: RedisConfig, hub: Arc<Hub>) -> Result<Self, OpenError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .thread_name("redis")
            .build()?;
        let agreed = thread::scope(|scope| {
            // The caller may stand inside a runtime of its own, which must not be blocked upon.
            scope
                .spawn(|| runtime.block_on(startup::check(&config)))
                .join()
        });
        let agreed = match agreed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Ok(agreed) => agreed,
            Err(error) => {
                // The caller may stand inside a runtime, where another must not be waited for.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let core = Arc::new(build(
            config,
            hub,
            agreed.partitions,
            runtime.handle().clone(),
        ));
        let (stop, stopped) = oneshot::channel();
        let running = Arc::clone(&core);
        let thread = thread::Builder::new()
            .name("redis".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    start(&running);
                    // A dropped handle stops it too.
                    let _dropped = stopped.await;
                });
            })?;
        info!(node = %core.node, partitions = agreed.partitions, "Joined the other nodes on Redis.");
        Ok(Self {
            core,
            secret: agreed.secret,
            is_closed: AtomicBool::new(false),
            stop: Mutex::new(Some((stop, thread))),
        })
    }

    /// The counters of this broker, for the metrics page.
    pub fn stats(&self) -> &Arc<RedisStats> {
        &self.core.stats
    }

    /// A secret that all nodes share.
    pub fn shared_secret(&self) -> [u8; 32] {
        self.secret
    }

    /// What presence shares with other nodes goes through this.
    pub fn members(&self) -> MembersLink {
        MembersLink::new(Arc::clone(&self.core))
    }

    /// The name of this start of this process.
    pub fn node(&self) -> &Arc<str> {
        &self.core.node
    }
}

fn build(config: RedisConfig, hub: Arc<Hub>, count: usize, runtime: Handle) -> Core {
    let stats = Arc::new(RedisStats::default());
    let partition = |index| {
        Arc::new(Partition::new(
            index,
            Keys::new(&config.prefix, index, count),
            Share::of(count),
        ))
    };
    let partitions: Vec<_> = (0..count).map(partition).collect();
    let readers = Readers::new(&partitions, config.url.mode == Mode::Cluster);
    let replicates = config.replicates;
    Core {
        node: format!("{:016x}", random::tag().0).into(),
        hub,
        probes: Probes::new(readers.all().len()),
        links: Links::new(config, runtime, Arc::clone(&stats)),
        partitions,
        readers,
        roster: Roster::new(),
        reloading: Reloading::default(),
        complaint: Complaint::default(),
        stats,
        waiting: Default::default(),
        waiting_bytes: Default::default(),
        in_flight: Default::default(),
        replicates,
        members: Members::default(),
        erasing: Semaphore::new(erase::AT_ONCE),
    }
}

/// Starts everything that runs for ever. On the runtime.
fn start(core: &Arc<Core>) {
    for partition in &core.partitions {
        for lane in LaneId::ALL.into_iter().filter(|lane| core.uses(*lane)) {
            tokio::spawn(append::run(Arc::clone(core), Arc::clone(partition), lane));
        }
    }
    for reader in core.readers.all() {
        tokio::spawn(tail::run(Arc::clone(core), Arc::clone(reader)));
        tokio::spawn(tail::ring(Arc::clone(core), Arc::clone(reader)));
    }
    tokio::spawn(append::answer(Arc::clone(core)));
    tokio::spawn(probe::run(Arc::clone(core)));
    tokio::spawn(watch::run(Arc::clone(core)));
}

/// Puts an append into its partition's queue.
fn accept(
    core: &Core,
    append: Append,
) -> Result<oneshot::Receiver<Result<Appended, Error>>, Error> {
    if core.is_full() {
        stats::add(&core.stats.busy, 1);
        return Err(Error::Busy {
            retry_after: RETRY_AFTER,
        });
    }
    let partition = Arc::clone(core.partition(&append.channel));
    let reader = core.readers.of(partition.index);
    if core.probes.is_away(core, reader) {
        // It would only wait in vain.
        stats::add(&core.stats.failures, 1);
        return Err(unavailable(Fault::Unreachable("Redis is away".to_owned())));
    }
    let lane = match append.kind.durability {
        Durability::Memory | Durability::Disk => LaneId::Plain,
        Durability::Replicated => LaneId::Replicated,
    };
    let (answer, outcome) = oneshot::channel();
    core.enqueue(&partition, lane, Item::log(append, answer));
    Ok(outcome)
}

/// Refuses at once what would only wait in vain, one dial after the other: a client that names many channels would give up
/// before its `connect` is answered, and never be told why. The probes go on dialling; the first answer ends this.
///
/// What nodes tell each other is tried all the same: no client waits for it, and delivery waits until it was read.
fn check_is_read(core: &Core, channel: &ChannelName) -> Result<(), Error> {
    let reader = core.readers.of(core.partition(channel).index);
    if channel.is_reserved() || !core.probes.is_unread(core, reader) {
        return Ok(());
    }
    Err(unavailable(Fault::Unreachable("Redis is away".to_owned())))
}

impl Broker for Redis {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<Appended, Error>> {
        if self.is_closed.load(Ordering::Acquire) {
            return ready(Err(Error::Closed)).boxed();
        }
        match accept(&self.core, append) {
            Ok(outcome) => async move { outcome.await.unwrap_or(Err(Error::Closed)) }.boxed(),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn join(
        &self,
        channel: &ChannelName,
        kind: &Arc<ChannelKind>,
    ) -> BoxFuture<'static, Result<Position, Error>> {
        let (core, channel, kind) = (Arc::clone(&self.core), channel.clone(), Arc::clone(kind));
        async move {
            check_is_read(&core, &channel)?;
            core.join(&channel, &kind).await.map_err(unavailable)
        }
        .boxed()
    }

    fn broadcast(&self, channel: &ChannelName, body: EphemeralBody) {
        let EphemeralBody::Signal { event, from } = body else {
            return;
        };
        let Some(payload) = &event.payload else {
            return;
        };
        let origin = from.map_or_else(
            || "-".to_owned(),
            |from| format!("{}/{}", self.core.node, from.0),
        );
        let words = format!("S {channel} {} {origin}", event.time.0);
        let body = entry::encode_parts(
            &event.kind,
            None,
            event.user.as_deref(),
            &event.tags,
            payload,
        );
        self.core.enqueue_signal(
            self.core.partition(channel),
            Item::Ephemeral { words, body },
        );
    }

    fn leave(&self, channel: &ChannelName) {
        self.core
            .partition(channel)
            .unlisten(channel, &self.core.hub);
    }

    fn read(&self, read: Read) -> BoxFuture<'static, Result<LogPage, Error>> {
        let core = Arc::clone(&self.core);
        async move {
            check_is_read(&core, &read.channel)?;
            core.page(&read).await.map_err(unavailable)
        }
        .boxed()
    }

    fn erase(&self, erase: Erase) -> BoxFuture<'static, Result<Appended, Error>> {
        if self.is_closed.load(Ordering::Acquire) {
            return ready(Err(Error::Closed)).boxed();
        }
        let core = Arc::clone(&self.core);
        async move { erase::run(&core, erase).await }.boxed()
    }

    fn reload_with(&self, reload: Reload) {
        self.core.reload_with(reload);
    }

    fn health(&self) -> Result<(), String> {
        self.core.probes.health()
    }

    fn shut_down(&self) {
        self.is_closed.store(true, Ordering::Release);
        let give_up = Instant::now() + STOP_PATIENCE;
        while self.core.has_waiting() && Instant::now() < give_up {
            thread::sleep(Duration::from_millis(5));
        }
        if let Some((stop, thread)) = self.stop.lock().take() {
            // An error means that it ended already.
            let _ended = stop.send(());
            let _ended = thread.join();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("node", &self.core.node)
            .finish_non_exhaustive()
    }
}

fn unavailable(fault: Fault) -> Error {
    Error::Unavailable {
        reason: fault.to_string(),
        retry_after: RETRY_AFTER,
    }
}
