//! A thread that opens a part of a group's connections and reads for them, on a runtime of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

use crate::checker::Faults;
use crate::dialect::Hello;
use crate::driver::Shared;
use crate::driver::crowd::Crowd;
use crate::driver::open::open;
use crate::driver::subscriber::{Pace, Received, Returns, Subscribers};
use crate::driver::wire::{SCRATCH_BYTES, Wire};
use crate::histogram::Latencies;
use crate::scenario::Scenario;
use crate::scenario::activity::Activity;

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
    pub(crate) returns: Returns,
    pub(crate) faults: Faults,
    pub(crate) foreign: u64,
    pub(crate) misread: u64,
    /// Subscribers that were still waiting for their answer at the end.
    pub(crate) unanswered: u64,
    pub(crate) ends: BTreeMap<String, u64>,
    /// Connections that failed because this side ran out of something.
    pub(crate) own_failures: u64,
    /// How late a timer of this thread ran: what the thread itself may add to a latency.
    pub(crate) loop_lag: Latencies,
}

struct Reader {
    shared: Arc<Shared>,
    /// The tasks of open connections, by index, where some are cut on purpose.
    tasks: RefCell<Vec<Option<AbortHandle>>>,
    slots: Arc<Semaphore>,
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

    /// How many connections it has.
    pub(crate) fn size(&self, scenario: &Scenario) -> u32 {
        let all = scenario.groups[self.group].connections;
        all.saturating_sub(self.first).div_ceil(self.step)
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
        tasks: RefCell::default(),
        slots: Arc::new(Semaphore::new(OPENING_MAX)),
        part,
        scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
        own_failures: RefCell::new(0),
    });
    let local = LocalSet::new();
    let mut loop_lag = Latencies::new();
    local.block_on(&runtime, async {
        let opening = spawn_local(Rc::clone(&reader).lead());
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
    /// Opens the connections that begin, and then does what the stages want.
    async fn lead(self: Rc<Self>) {
        let scenario = &self.shared.scenario;
        let (size, all) = (self.part.size(scenario), scenario.shape.connections());
        let rate = scenario.load.connect_rate * f64::from(size) / f64::from(all);
        let online = scenario
            .activity
            .first()
            .map_or(1.0, |first| first.online.from);
        let began = Instant::now();
        for index in 0..(f64::from(size) * online).round() as u32 {
            sleep_until(began + Duration::from_secs_f64(f64::from(index) / rate)).await;
            Rc::clone(&self).open_when_free(index as usize).await;
        }
        if scenario.activity.iter().any(Activity::moves) {
            self.follow(Crowd::new(size, all)).await;
        }
    }

    /// Cuts, opens and reopens as the stages go.
    async fn follow(self: Rc<Self>, mut crowd: Crowd) {
        let scenario = &self.shared.scenario;
        let size = self.part.size(scenario);
        let start = loop {
            match self.shared.start.get() {
                Some(start) => break *start,
                None => sleep(CROWD_EVERY).await,
            }
        };
        let mut cursor = 0;
        while start.elapsed() < scenario.timeline.length() {
            let change = crowd.change(&scenario.timeline, &scenario.activity, start.elapsed());
            // All cuts of a storm count from its beginning.
            let now = std::time::Instant::now();
            for _ in 0..change.cuts {
                if let Some(index) = self.cut_next(&mut cursor) {
                    self.subscribers.borrow_mut().expect_back(index, now);
                    spawn_local(Rc::clone(&self).open_when_free(index));
                }
            }
            let online = self.subscribers.borrow().wanted_online();
            for _ in change.online..online {
                self.cut_next(&mut cursor);
            }
            for _ in online..change.online {
                let Some(next) = self.subscribers.borrow().next_away(size) else {
                    break;
                };
                spawn_local(Rc::clone(&self).open_when_free(next));
            }
            sleep(CROWD_EVERY).await;
        }
    }

    /// Cuts the next live connection behind the cursor, as a lost network would.
    fn cut_next(&self, cursor: &mut usize) -> Option<usize> {
        let mut subscribers = self.subscribers.borrow_mut();
        let index = subscribers.next_live(*cursor)?;
        *cursor = index + 1;
        subscribers.cut(index);
        if let Some(Some(task)) = self.tasks.borrow_mut().get_mut(index).map(Option::take) {
            task.abort();
        }
        Some(index)
    }

    /// Marks a connection as being opened, at once, so that nobody else opens it too, and opens it when fewer are.
    /// Ready when the opening has begun; it goes on by itself.
    fn open_when_free(self: Rc<Self>, index: usize) -> impl Future<Output = ()> {
        let connection = self.part.first + index as u32 * self.part.step;
        let now = std::time::Instant::now();
        let channel = self.shared.scenario.groups[self.part.group].channel_of(connection);
        let pace = Pace::of(&self.shared.scenario.load, connection, index);
        let mut hello = self.hello(connection);
        let mut subscribers = self.subscribers.borrow_mut();
        let dialect = self.shared.scenario.load.forms.of(connection);
        let opening = subscribers.begin_opening(index, channel, pace, (dialect, &hello), now);
        drop(subscribers);
        async move {
            let Some(position) = opening else { return };
            hello.recover = position;
            // Never closed.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return;
            };
            spawn_local(self.open_one(connection, index, hello, slot));
        }
    }

    /// Apart from [`Self::listen`], so that the handshake's large future is gone while the connection lives.
    async fn open_one(
        self: Rc<Self>,
        connection: u32,
        index: usize,
        hello: Hello,
        slot: OwnedSemaphorePermit,
    ) {
        let scenario = &self.shared.scenario;
        let target = scenario.target_of(self.part.group, connection);
        match open(scenario, target, connection, &hello.channels).await {
            Ok(wire) => {
                let greeting = scenario.load.forms.of(connection).greeting(&hello);
                let listening = Rc::clone(&self).listen(wire, greeting, index, slot);
                let task = spawn_local(listening);
                if scenario.subscribers_return() {
                    self.keep_task(index, task.abort_handle());
                }
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
        let pace = self.subscribers.borrow().pace(index);
        let slow = pace == Pace::Slow;
        let take = if slow { SLOW_READ_BYTES } else { SCRATCH_BYTES };
        let mut result = wire.send(&greeting).await;
        drop(greeting);
        self.subscribers
            .borrow_mut()
            .opened(index, std::time::Instant::now());
        // Where the handshake was all, nobody waits for a first frame.
        drop(slot.take_if(|_| !self.subscribers.borrow().is_opening(index)));
        while result.is_ok() {
            if pace == Pace::Stuck && slot.is_none() {
                // Holds the socket until the run ends, whatever the server does to it.
                pending::<()>().await;
            }
            result = poll_fn(|cx| {
                let (mut scratch, mut subscribers) =
                    (self.scratch.borrow_mut(), self.subscribers.borrow_mut());
                let mut now = None;
                let read = wire.poll_frames(cx, &mut scratch[..take], |frame| {
                    // One look at the clock for each read: all its frames were read at once.
                    let now = *now.get_or_insert_with(std::time::Instant::now);
                    subscribers.take(index, &frame, now, &mut outgoing)
                });
                subscribers.finish_read();
                read
            })
            .await;
            drop(slot.take_if(|_| !self.subscribers.borrow().is_opening(index)));
            // After the last publish it catches up, so that its end can be checked.
            if slow && slot.is_none() && !self.shared.is_over() {
                sleep(SLOW_PAUSE).await;
            }
            if result.is_ok() && !outgoing.is_empty() {
                result = wire.send(&outgoing).await;
                outgoing = Vec::new();
            }
        }
        if let Err(why) = result {
            self.subscribers.borrow_mut().end(index, &why);
        }
        drop((wire, slot));
        if slow {
            // A client that was sent away for being slow waits a little and comes back.
            sleep(SLOW_RETURN).await;
            self.open_when_free(index).await;
        }
    }

    fn keep_task(&self, index: usize, task: AbortHandle) {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.len() <= index {
            tasks.resize(index + 1, None);
        }
        tasks[index] = Some(task);
    }

    fn hello(&self, connection: u32) -> Hello {
        let (scenario, group) = (&self.shared.scenario, self.part.group);
        let name = scenario.groups[group].name;
        let channel = scenario.groups[group].channel_of(connection);
        let channel = channel.map(|channel| scenario.channel(group, channel));
        let own = scenario.load.own_channel;
        let own = own.then(|| format!("{}:own:{name}:{connection}", scenario.load.prefix));
        let user = format!("load-{name}-{connection}");
        Hello {
            token: scenario.load.tokens.of(&user),
            user,
            channels: channel.into_iter().chain(own).collect(),
            recover: None,
        }
    }
}

impl Subscribers {
    fn reading(&mut self, group: usize, own_failures: u64, loop_lag: Latencies) -> Reading {
        Reading {
            group,
            stages: std::mem::take(&mut self.stages),
            opening: self.opening.clone(),
            returns: std::mem::take(&mut self.returns),
            faults: self.faults,
            foreign: self.foreign,
            misread: self.misread,
            unanswered: self.unanswered,
            ends: std::mem::take(&mut self.ends),
            own_failures,
            loop_lag,
        }
    }
}

/// Connections that one thread opens at the same time: well below a server's accept queue.
const OPENING_MAX: usize = 256;
const CONNECTIONS_PER_THREAD_MIN: u32 = 64;
/// What a slow reader takes at once, and how long it then does something else.
const SLOW_READ_BYTES: usize = 512;
const SLOW_PAUSE: Duration = Duration::from_millis(250);
const SLOW_RETURN: Duration = Duration::from_secs(1);
/// How often the crowd is looked after.
const CROWD_EVERY: Duration = Duration::from_millis(50);
const LAG_EVERY: Duration = Duration::from_millis(20);
