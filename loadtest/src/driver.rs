//! The load itself: threads that read, and threads that publish by the clock. Whoever conducts a run calls
//! [`Run`]'s methods in their order.
//!
//! Threads share nothing but [`Shared`]: the scenario, counters for the live view, the start of the clock, the
//! highest acknowledged offsets and the latencies of each second. Each returns what it measured when it ends.
//! Knows nothing of the server's insides, of reports or of other workers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::clockwork::Moment;
use crate::driver::errands::Errands;
use crate::driver::outcome::{Outcome, Tick};
use crate::driver::positions::Positions;
use crate::driver::readers::Reading;
use crate::driver::series::Series;
use crate::driver::threads::{
    Publishers, Running, join, start_errands, start_publishers, start_readers,
};
use crate::files;
use crate::proc::{own_cpu_seconds, own_task, thread_times};
use crate::progress::Progress;
use crate::scenario::Scenario;
use crate::verdict::ThreadUse;

mod acks;
mod crowd;
pub(crate) mod errands;
mod handshake;
mod open;
pub(crate) mod outcome;
mod pacer;
mod positions;
pub(crate) mod readers;
mod series;
mod stream;
pub(crate) mod subscriber;
mod threads;
mod wire;

/// What all threads of a run see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) scenario: Scenario,
    pub(crate) progress: Progress,
    pub(crate) series: Series,
    /// Where subscribers come back from; empty where nobody does.
    pub(crate) positions: Positions,
    /// Set once, when every subscriber is ready: all due times count from here.
    start: OnceLock<Instant>,
    /// Nobody conducts the run any more.
    given_up: AtomicBool,
    /// By group and channel.
    tops: Vec<Vec<AtomicU64>>,
    /// Name and /proc id of each thread of the generator.
    threads: Mutex<Vec<(String, String)>>,
}

/// One generator's part of a run, from opening to the outcome.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) shared: Arc<Shared>,
    files_allowed: u64,
    began: Instant,
    opening: Duration,
    readers: Vec<Running<Reading>>,
    publishers: Option<Publishers>,
    errands: Option<Running<Errands>>,
    /// Name, CPU time and time waited for a core in s, of each thread, at the last stage's end.
    boundary: Option<(Instant, Vec<ThreadTimes>)>,
    uses: Vec<Vec<ThreadUse>>,
    ticks: Vec<Tick>,
    _hold: Hold,
}

/// A run's hand on its threads: where it goes before they have ended, they end too.
#[derive(Debug)]
struct Hold(Arc<Shared>);

type ThreadTimes = (String, f64, f64);

/// How far the rest of a finished load has come.
#[derive(Debug)]
pub(crate) struct Drain {
    began: Instant,
    moved_at: Instant,
    seen: u64,
}

impl Run {
    /// Begins to open the subscribers' connections.
    ///
    /// # Errors
    /// When there are not enough ports, files or threads.
    pub(crate) fn open(scenario: Scenario) -> anyhow::Result<Self> {
        scenario.check_ports()?;
        let files_allowed = files::allow(scenario.connections() + scenario.publishers())?;
        let shared = Arc::new(Shared::new(scenario));
        Ok(Self {
            readers: start_readers(&shared)?,
            _hold: Hold(Arc::clone(&shared)),
            shared,
            files_allowed,
            began: Instant::now(),
            opening: Duration::ZERO,
            publishers: None,
            errands: None,
            boundary: None,
            uses: Vec::new(),
            ticks: Vec::new(),
        })
    }

    /// Whether every subscriber has begun or given up, or there is no more hope.
    pub(crate) fn is_settled(&self) -> bool {
        let scenario = &self.shared.scenario;
        let wanted = scenario.own_begins_with();
        let patience = Duration::from_secs_f64(f64::from(wanted) / scenario.load.connect_rate);
        self.shared.progress.all_settled(wanted) || self.began.elapsed() > patience + OPENING_GRACE
    }

    /// Opens the publishers; to be called when the subscribers have settled.
    ///
    /// # Errors
    /// When a publisher cannot connect.
    pub(crate) fn open_publishers(&mut self) -> anyhow::Result<()> {
        self.opening = self.began.elapsed();
        self.publishers = Some(start_publishers(&self.shared)?);
        self.errands = start_errands(&self.shared)?;
        Ok(())
    }

    /// Starts the clock, which all threads wait for.
    pub(crate) fn start(&self, at: Instant) {
        self.shared.start.get_or_init(|| at);
    }

    /// To be called at each moment of the timeline.
    pub(crate) fn take(&mut self, moment: Moment) {
        match moment {
            Moment::Second(_) => self.ticks.push(self.shared.tick()),
            Moment::Boundary(_) => {
                let (now, times) = (Instant::now(), self.shared.thread_times());
                if let Some((from, before)) = self.boundary.replace((now, times.clone())) {
                    let seconds = (now - from).as_secs_f64();
                    self.uses.push(uses(&before, &times, seconds));
                }
            }
        }
    }

    /// Whether all that is owed has come; gives up when nothing has come for a while.
    pub(crate) fn is_drained(&self, drain: &mut Drain) -> bool {
        // A publisher that is late has its time first: what it still writes is owed to the subscribers.
        let mut pacers = self
            .publishers
            .iter()
            .flat_map(|publishers| &publishers.pacers);
        if !pacers.all(|pacer| pacer.is_finished()) {
            return false;
        }
        let progress = &self.shared.progress;
        let answered = progress.acknowledged.count() + progress.refused.count();
        let answered_all = answered >= progress.published.count();
        let opening = progress.opening.load(Ordering::Relaxed);
        // Where other workers publish too, or members come and go, what is owed is not known here.
        let whole = self.shared.scenario.knows_what_is_owed() && opening == 0;
        if whole && answered_all && progress.deliveries.count() >= progress.owed.count() {
            return true;
        }
        drain.is_over(answered + progress.deliveries.count(), opening)
    }

    /// The highest acknowledged offset of each channel, by group.
    pub(crate) fn tops(&self) -> Vec<Vec<u64>> {
        let read = |top: &AtomicU64| top.load(Ordering::Relaxed);
        let groups = self.shared.tops.iter();
        groups.map(|tops| tops.iter().map(read).collect()).collect()
    }

    /// What other workers know of the tops.
    pub(crate) fn raise_tops(&self, tops: &[Vec<u64>]) {
        for (own, others) in self.shared.tops.iter().zip(tops) {
            for (own, other) in own.iter().zip(others) {
                own.fetch_max(*other, Ordering::Relaxed);
            }
        }
    }

    /// Ends all threads and gathers what they measured.
    ///
    /// # Errors
    /// When a thread could not do its work at all.
    pub(crate) fn finish(self) -> anyhow::Result<Outcome> {
        let progress = &self.shared.progress;
        let (ready, failed, closed) = (
            progress.ready.count(),
            progress.failed.count(),
            progress.closed.count(),
        );
        let publishers = self
            .publishers
            .ok_or_else(|| anyhow::anyhow!("the publishers were never opened"))?;
        let pacings = publishers.pacers.into_iter().map(join);
        let pacings = pacings.collect::<anyhow::Result<_>>()?;
        let acks = publishers.acks.finish()?;
        let errands = self.errands.map(Running::finish).transpose()?;
        let readings = self.readers.into_iter().map(Running::finish);
        let readings = readings.collect::<anyhow::Result<_>>()?;
        Ok(Outcome {
            files_allowed: self.files_allowed,
            opening_s: self.opening.as_secs_f64(),
            readings,
            pacings,
            acks,
            errands: errands.unwrap_or_default(),
            ready,
            failed,
            closed,
            uses: self.uses,
            latencies: self.shared.series.take(),
            ticks: self.ticks,
        })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

impl Drain {
    pub(crate) fn begin() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            moved_at: now,
            seen: 0,
        }
    }

    /// While so many wait for the answer to their `connect`, it is not quiet: what they have missed comes behind it.
    fn is_over(&mut self, seen: u64, opening: u64) -> bool {
        if seen != self.seen || opening > 0 {
            (self.seen, self.moved_at) = (seen, Instant::now());
        }
        self.began.elapsed() >= DRAIN_MAX || self.moved_at.elapsed() >= DRAIN_QUIET
    }
}

impl Shared {
    fn new(scenario: Scenario) -> Self {
        let tops = scenario
            .groups
            .iter()
            .map(|group| (0..group.channels).map(|_| AtomicU64::new(0)).collect())
            .collect();
        let returning = scenario.subscribers_return();
        let remembered = scenario.groups.iter().filter(|_| returning);
        Self {
            positions: Positions::new(remembered.map(|group| group.channels)),
            series: Series::new(scenario.groups.len()),
            scenario,
            progress: Progress::default(),
            start: OnceLock::new(),
            given_up: AtomicBool::new(false),
            tops,
            threads: Mutex::default(),
        }
    }

    /// Nobody takes any more what the run measures: whoever loads by the clock ends.
    fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        // Wakes those who wait for the clock; they look at the word above before they do anything.
        self.start.get_or_init(Instant::now);
    }

    fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Nanoseconds from the start to `now`; 0 before the start.
    pub(crate) fn since_start_ns(&self, now: Instant) -> u64 {
        let elapsed = self.start.get().map_or(Duration::ZERO, |start| {
            now.saturating_duration_since(*start)
        });
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether the last stage has ended.
    pub(crate) fn is_over(&self) -> bool {
        let length = self.scenario.timeline.length();
        self.start
            .get()
            .is_some_and(|start| start.elapsed() >= length)
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

    fn thread_times(&self) -> Vec<ThreadTimes> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let times = threads.iter().filter_map(|(name, task)| {
            let (cpu, wait) = thread_times(task)?;
            Some((name.clone(), cpu, wait))
        });
        times.collect()
    }

    pub(crate) fn tick(&self) -> Tick {
        let progress = &self.progress;
        Tick {
            published: progress.published.count(),
            acknowledged: progress.acknowledged.count(),
            refused: progress.refused.count(),
            deliveries: progress.deliveries.count(),
            online: progress.online(),
            faults: progress.faults.count(),
            cpu_s: own_cpu_seconds().unwrap_or(0.0),
        }
    }
}

fn uses(before: &[ThreadTimes], after: &[ThreadTimes], seconds: f64) -> Vec<ThreadUse> {
    let use_of = |(name, cpu, waiting): &ThreadTimes| {
        let (_, cpu_before, waiting_before) =
            before.iter().find(|(earlier, ..)| earlier == name)?;
        Some(ThreadUse {
            name: name.clone(),
            cpu: (cpu - cpu_before) / seconds,
            waiting: (waiting - waiting_before) / seconds,
        })
    };
    after.iter().filter_map(use_of).collect()
}

/// Beyond the time that the connect rate needs.
const OPENING_GRACE: Duration = Duration::from_secs(30);
const DRAIN_MAX: Duration = Duration::from_secs(30);
const DRAIN_QUIET: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
