//! The run itself: threads that read, threads that publish by the clock, and a conductor that watches.
//!
//! Threads share nothing but [`Shared`]: the scenario, counters for the progress line, the start of the clock and
//! the highest acknowledged offsets. Each returns what it measured when it ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::oneshot;

use crate::driver::acks::Acks;
use crate::driver::pacer::{Pacer, Pacing};
use crate::driver::readers::{Part, Reading};
use crate::files;
use crate::progress::{Line, Progress, say};
use crate::scenario::Scenario;
use crate::server_watch::{Sample, ServerWatch, own_task, thread_times};

mod acks;
mod handshake;
mod open;
mod pacer;
mod readers;
mod subscriber;
mod wire;

/// What all threads of a run see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) scenario: Scenario,
    pub(crate) progress: Progress,
    /// Set once, when every subscriber is ready: all due times count from here.
    start: OnceLock<Instant>,
    /// By group and channel.
    tops: Vec<Vec<AtomicU64>>,
    /// Name and /proc id of each thread of the generator.
    threads: Mutex<Vec<(String, String)>>,
}

/// Everything that was measured, not yet judged.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) files_allowed: u64,
    pub(crate) server_pid: Option<u32>,
    pub(crate) before: Sample,
    pub(crate) connected: Sample,
    /// From the first attempt to the last answer.
    pub(crate) opening: Duration,
    /// At the start, and at the end of each stage.
    pub(crate) boundaries: Vec<Boundary>,
    pub(crate) readings: Vec<Reading>,
    pub(crate) pacings: Vec<Pacing>,
    pub(crate) acks: Acks,
    pub(crate) ready: u64,
    pub(crate) failed: u64,
    pub(crate) closed: u64,
}

/// One look at both sides between two stages.
#[derive(Debug)]
pub(crate) struct Boundary {
    pub(crate) server: Sample,
    /// Name, CPU time and time waited for a core in s, of each thread of the generator.
    pub(crate) threads: Vec<(String, f64, f64)>,
}

/// Makes the run. Bounded: opening, stages and draining each have their time.
///
/// # Errors
/// When the run cannot begin: limits, threads, publishers. What goes wrong later is part of the outcome.
pub(crate) fn run(scenario: &Scenario) -> anyhow::Result<Outcome> {
    let files_allowed = files::allow(scenario.connections() + scenario.publishers())?;
    let watch = ServerWatch::new(
        scenario.server_pid,
        scenario.target.address,
        scenario.metrics_url.as_deref(),
    )?;
    let shared = Arc::new(Shared::new(scenario.clone()));
    let before = watch.sample();
    say(&format!(
        "Opening {} connections to {}.",
        scenario.shape.connections(),
        scenario.target.url
    ));

    let readers = start_readers(&shared)?;
    let (began, mut teller) = (Instant::now(), Teller::new(&watch));
    await_subscribers(&shared, &mut teller);
    let opening = began.elapsed();
    let publishers = start_publishers(&shared)?;
    thread::sleep(SETTLE);
    let connected = watch.sample();

    let boundaries = conduct(&shared, &watch, &mut teller);
    // A publisher that is late has its time first: what it still writes is owed to the subscribers.
    let pacings = publishers
        .pacers
        .into_iter()
        .map(join)
        .collect::<anyhow::Result<_>>()?;
    drain(&shared, &mut teller);
    let closed = shared.progress.closed.count();
    let acks = publishers.acks.finish()?;
    let readings = readers
        .into_iter()
        .map(Running::finish)
        .collect::<anyhow::Result<_>>()?;
    let (ready, failed) = (
        shared.progress.ready.count(),
        shared.progress.failed.count(),
    );
    Ok(Outcome {
        files_allowed,
        server_pid: watch.pid(),
        before,
        connected,
        opening,
        boundaries,
        readings,
        pacings,
        acks,
        ready,
        failed,
        closed,
    })
}

impl Shared {
    fn new(scenario: Scenario) -> Self {
        let tops = scenario
            .groups
            .iter()
            .map(|group| (0..group.channels).map(|_| AtomicU64::new(0)).collect())
            .collect();
        Self {
            scenario,
            progress: Progress::default(),
            start: OnceLock::new(),
            tops,
            threads: Mutex::default(),
        }
    }

    /// Nanoseconds from the start to `now`; 0 before the start.
    pub(crate) fn since_start_ns(&self, now: Instant) -> u64 {
        let elapsed = self.start.get().map_or(Duration::ZERO, |start| {
            now.saturating_duration_since(*start)
        });
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// An answered publish: its offset is owed to every member of the channel.
    pub(crate) fn acknowledged(&self, group: usize, channel: u32, offset: u64) {
        self.tops[group][channel as usize].fetch_max(offset, Ordering::Relaxed);
    }

    /// The highest acknowledged offset of a channel.
    pub(crate) fn top(&self, group: usize, channel: u32) -> u64 {
        self.tops[group][channel as usize].load(Ordering::Relaxed)
    }

    /// Every thread calls this first, so that its CPU time can be watched.
    fn enrol(&self, name: &str) {
        if let Some(task) = own_task() {
            self.threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((name.to_owned(), task));
        }
    }

    fn boundary(&self, watch: &ServerWatch) -> Boundary {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let threads = threads.iter().filter_map(|(name, task)| {
            let (cpu, wait) = thread_times(task)?;
            Some((name.clone(), cpu, wait))
        });
        Boundary {
            threads: threads.collect(),
            server: watch.sample(),
        }
    }
}

/// A thread with a runtime, and the word that ends it.
struct Running<T> {
    finish: oneshot::Sender<()>,
    thread: thread::JoinHandle<anyhow::Result<T>>,
}

impl<T> Running<T> {
    fn start(
        shared: &Arc<Shared>,
        name: String,
        body: impl FnOnce(Arc<Shared>, oneshot::Receiver<()>) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<Self>
    where
        T: Send + 'static,
    {
        let (finish, finished) = oneshot::channel();
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            shared.enrol(&name);
            body(shared, finished)
        })?;
        Ok(Self { finish, thread })
    }

    fn finish(self) -> anyhow::Result<T> {
        // Fails when the thread has ended already: joining it tells why.
        self.finish.send(()).ok();
        join(self.thread).and_then(|result| result)
    }
}

struct Publishers {
    acks: Running<Acks>,
    pacers: Vec<thread::JoinHandle<Pacing>>,
}

fn start_readers(shared: &Arc<Shared>) -> anyhow::Result<Vec<Running<Reading>>> {
    let parts = Part::all(&shared.scenario);
    parts
        .into_iter()
        .map(|part| {
            Running::start(
                shared,
                part.name(&shared.scenario),
                move |shared, finished| readers::read(shared, part, finished),
            )
        })
        .collect()
}

/// Opens the publishers' connections; their pacers wait for the start.
fn start_publishers(shared: &Arc<Shared>) -> anyhow::Result<Publishers> {
    let (opened, sockets) = oneshot::channel();
    let acks = Running::start(shared, "acks".to_owned(), |shared, finished| {
        acks::read(shared, opened, finished)
    })?;
    let Ok(lines) = sockets.blocking_recv() else {
        return Err(acks
            .finish()
            .err()
            .unwrap_or_else(|| anyhow::anyhow!("the publishers ended early")));
    };
    let mut pacers = Vec::new();
    for (group, lines) in lines.into_iter().enumerate() {
        let (shared, name) = (
            Arc::clone(shared),
            format!("publish-{}", shared.scenario.groups[group].name),
        );
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            shared.enrol(&name);
            Pacer::new(&shared, group, lines).run()
        });
        pacers.push(thread.context("unable to start a publishing thread")?);
    }
    Ok(Publishers { acks, pacers })
}

fn await_subscribers(shared: &Shared, teller: &mut Teller<'_>) {
    let wanted = shared.scenario.shape.connections();
    let patience = Duration::from_secs_f64(f64::from(wanted) / shared.scenario.load.connect_rate)
        + OPENING_GRACE;
    let began = Instant::now();
    while !shared.progress.all_settled(wanted) && began.elapsed() < patience {
        thread::sleep(LOOK);
        teller.tell_if_due(&shared.progress, "opening");
    }
}

/// Starts the clock and stays until the last stage has ended.
fn conduct(shared: &Shared, watch: &ServerWatch, teller: &mut Teller<'_>) -> Vec<Boundary> {
    let start = *shared.start.get_or_init(|| Instant::now() + START_DELAY);
    thread::sleep(start.saturating_duration_since(Instant::now()));
    let mut boundaries = vec![shared.boundary(watch)];
    for (index, stage) in shared.scenario.timeline.stages().iter().enumerate() {
        let end = start + shared.scenario.timeline.end_of(index);
        while Instant::now() < end {
            thread::sleep(
                end.min(teller.due)
                    .saturating_duration_since(Instant::now()),
            );
            teller.tell_if_due(&shared.progress, stage.name);
        }
        boundaries.push(shared.boundary(watch));
    }
    boundaries
}

/// Waits for what is still owed; gives up when nothing has come for a while.
fn drain(shared: &Shared, teller: &mut Teller<'_>) {
    let progress = &shared.progress;
    let (began, mut seen, mut moved_at) = (Instant::now(), 0, Instant::now());
    while began.elapsed() < DRAIN_MAX && moved_at.elapsed() < DRAIN_QUIET {
        let answered = progress.acknowledged.count() + progress.refused.count();
        if answered >= progress.published.count()
            && progress.deliveries.count() >= progress.owed.count()
        {
            return;
        }
        let now = answered + progress.deliveries.count();
        if now != seen {
            (seen, moved_at) = (now, Instant::now());
        }
        teller.tell_if_due(progress, "draining");
        thread::sleep(LOOK);
    }
}

/// One line each second, whatever the phase.
struct Teller<'a> {
    watch: &'a ServerWatch,
    began: Instant,
    due: Instant,
    line: Line,
    glance: Option<(Instant, f64)>,
}

impl<'a> Teller<'a> {
    fn new(watch: &'a ServerWatch) -> Self {
        let began = Instant::now();
        Self {
            watch,
            began,
            due: began + TELL,
            line: Line::default(),
            glance: None,
        }
    }

    fn tell_if_due(&mut self, progress: &Progress, phase: &str) {
        let now = Instant::now();
        if now < self.due {
            return;
        }
        // After a pause the next line comes a whole second later, so that its figures are rates.
        self.due = now + TELL;
        let server = self.watch.glance(&mut self.glance);
        self.line
            .say(progress, phase, (now - self.began).as_secs_f64(), &server);
    }
}

fn join<T>(thread: thread::JoinHandle<T>) -> anyhow::Result<T> {
    thread
        .join()
        .map_err(|_| anyhow::anyhow!("a thread of the generator panicked"))
}

/// How often the conductor looks whether a phase is over.
const LOOK: Duration = Duration::from_millis(20);
const TELL: Duration = Duration::from_secs(1);
/// Between the last subscriber's answer and the look at the server's memory.
const SETTLE: Duration = Duration::from_secs(2);
/// Gives the pacers time to sleep towards the first due publish.
const START_DELAY: Duration = Duration::from_millis(100);
/// Beyond the time that the connect rate needs.
const OPENING_GRACE: Duration = Duration::from_secs(30);
const DRAIN_MAX: Duration = Duration::from_secs(30);
const DRAIN_QUIET: Duration = Duration::from_secs(3);
