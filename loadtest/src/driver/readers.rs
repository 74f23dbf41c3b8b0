//! A thread that opens a part of a group's connections and reads for them, on a runtime of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep_until};

use crate::checker::Faults;
use crate::dialect::Hello;
use crate::driver::Shared;
use crate::driver::open::open;
use crate::driver::subscriber::{Received, Subscribers};
use crate::driver::wire::{SCRATCH_BYTES, Wire};
use crate::histogram::Latencies;
use crate::scenario::Scenario;

/// The connections of one thread: every `step`th of its group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    group: usize,
    thread: u32,
    first: u32,
    step: u32,
}

/// What a thread measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) group: usize,
    pub(crate) stages: Vec<Received>,
    pub(crate) opening: Latencies,
    pub(crate) faults: Faults,
    pub(crate) foreign: u64,
    pub(crate) misread: u64,
    pub(crate) ends: BTreeMap<String, u64>,
    /// Connections that failed because this side ran out of something.
    pub(crate) own_failures: u64,
    /// How late a timer of this thread ran: what the thread itself may add to a latency.
    pub(crate) loop_lag: Latencies,
}

struct Reader {
    shared: Arc<Shared>,
    part: Part,
    scratch: RefCell<Vec<u8>>,
    subscribers: RefCell<Subscribers>,
    own_failures: RefCell<u64>,
}

impl Part {
    /// All parts of a scenario: each group has threads of its own, so that no group waits behind another here.
    pub(crate) fn all(scenario: &Scenario) -> Vec<Self> {
        let parts_of = |(group, of): (usize, &crate::shape::Group)| {
            let share = scenario.share;
            // A thread for fewer connections than this would only cost context switches.
            let threads = scenario.load.threads.min(
                share
                    .count(of.connections)
                    .div_ceil(CONNECTIONS_PER_THREAD_MIN),
            );
            (0..threads).map(move |thread| Self {
                group,
                thread,
                first: share.first + share.of * thread,
                step: share.of * threads,
            })
        };
        scenario
            .groups
            .iter()
            .enumerate()
            .flat_map(parts_of)
            .collect()
    }

    pub(crate) fn name(&self, scenario: &Scenario) -> String {
        format!("read-{}-{}", scenario.groups[self.group].name, self.thread)
    }
}

/// Opens, reads, and returns what was measured once `finished` says so.
///
/// # Errors
/// When there is no runtime to be had.
pub(crate) fn read(
    shared: Arc<Shared>,
    part: Part,
    finished: oneshot::Receiver<()>,
) -> anyhow::Result<Reading> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("unable to start a runtime")?;
    let reader = Rc::new(Reader {
        subscribers: RefCell::new(Subscribers::new(Arc::clone(&shared), part.group)),
        shared,
        part,
        scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
        own_failures: RefCell::new(0),
    });
    let local = LocalSet::new();
    let mut loop_lag = Latencies::new();
    local.block_on(&runtime, async {
        let opening = spawn_local(Rc::clone(&reader).open_all());
        tokio::select! {
            _ = finished => opening.abort(),
            () = measure_lag(&reader.shared, &mut loop_lag) => {}
        }
    });
    let mut subscribers = reader.subscribers.borrow_mut();
    subscribers.finish();
    let own_failures = *reader.own_failures.borrow();
    Ok(subscribers.reading(part.group, own_failures, loop_lag))
}

/// Runs forever; begins with the clock, so that opening does not count.
async fn measure_lag(shared: &Shared, lag: &mut Latencies) {
    loop {
        let due = Instant::now() + LAG_EVERY;
        sleep_until(due).await;
        if shared.start.get().is_some() {
            let late = Instant::now() - due;
            lag.record_ns(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
        }
    }
}

impl Reader {
    async fn open_all(self: Rc<Self>) {
        let scenario = &self.shared.scenario;
        let group = &scenario.groups[self.part.group];
        let share = f64::from(group.connections.div_ceil(self.part.step))
            / f64::from(scenario.shape.connections());
        let (began, rate) = (Instant::now(), scenario.load.connect_rate * share);
        let slots = Arc::new(Semaphore::new(OPENING_MAX));
        for (count, connection) in (self.part.first..group.connections)
            .step_by(self.part.step as usize)
            .enumerate()
        {
            sleep_until(began + Duration::from_secs_f64(count as f64 / rate)).await;
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            spawn_local(Rc::clone(&self).open_one(connection, slot));
        }
    }

    /// Apart from [`Self::listen`], so that the handshake's large future is gone while the connection lives.
    async fn open_one(self: Rc<Self>, connection: u32, slot: OwnedSemaphorePermit) {
        let channel = self.shared.scenario.groups[self.part.group].channel_of(connection);
        let hello = self.hello(connection);
        let index = self
            .subscribers
            .borrow_mut()
            .add(channel, &hello, std::time::Instant::now());
        let scenario = &self.shared.scenario;
        match open(scenario, &scenario.target, connection, &hello.channels).await {
            Ok(wire) => {
                let greeting = scenario.load.dialect.greeting(&hello);
                spawn_local(self.listen(wire, greeting, index, slot));
            }
            Err(error) => {
                *self.own_failures.borrow_mut() += u64::from(error.own);
                self.subscribers.borrow_mut().end(index, &error.what);
            }
        }
    }

    /// Says what it wants and reads until the connection ends. Holds its slot until the server has answered.
    async fn listen(
        self: Rc<Self>,
        mut wire: Wire,
        greeting: Vec<u8>,
        index: usize,
        slot: OwnedSemaphorePermit,
    ) {
        let (mut outgoing, mut slot) = (Vec::new(), Some(slot));
        let mut result = wire.send(&greeting).await;
        drop(greeting);
        self.subscribers
            .borrow_mut()
            .opened(index, std::time::Instant::now());
        while result.is_ok() {
            result = poll_fn(|cx| {
                let (mut scratch, mut subscribers) =
                    (self.scratch.borrow_mut(), self.subscribers.borrow_mut());
                let mut now = None;
                let read = wire.poll_frames(cx, &mut scratch, |frame| {
                    // One look at the clock for each read: all its frames were read at once.
                    let now = *now.get_or_insert_with(std::time::Instant::now);
                    subscribers.take(index, &frame, now, &mut outgoing)
                });
                subscribers.finish_read();
                read
            })
            .await;
            if slot.is_some() && !self.subscribers.borrow().is_opening(index) {
                slot = None;
            }
            if result.is_ok() && !outgoing.is_empty() {
                result = wire.send(&outgoing).await;
                outgoing = Vec::new();
            }
        }
        if let Err(why) = result {
            self.subscribers.borrow_mut().end(index, &why);
        }
    }

    fn hello(&self, connection: u32) -> Hello {
        let (scenario, group) = (&self.shared.scenario, self.part.group);
        let name = scenario.groups[group].name;
        let channel = scenario.groups[group].channel_of(connection);
        let channel = channel.map(|channel| scenario.channel(group, channel));
        let own = scenario.load.own_channel;
        let own = own.then(|| format!("{}:own:{name}:{connection}", scenario.load.prefix));
        Hello {
            user: format!("load-{name}-{connection}"),
            token: scenario.load.token.clone(),
            channels: channel.into_iter().chain(own).collect(),
        }
    }
}

impl Subscribers {
    fn reading(&mut self, group: usize, own_failures: u64, loop_lag: Latencies) -> Reading {
        Reading {
            group,
            stages: std::mem::take(&mut self.stages),
            opening: self.opening.clone(),
            faults: self.faults,
            foreign: self.foreign,
            misread: self.misread,
            ends: std::mem::take(&mut self.ends),
            own_failures,
            loop_lag,
        }
    }
}

/// Connections that one thread opens at the same time: well below a server's accept queue.
const OPENING_MAX: usize = 256;
const CONNECTIONS_PER_THREAD_MIN: u32 = 64;
const LAG_EVERY: Duration = Duration::from_millis(20);
