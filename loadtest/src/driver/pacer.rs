//! Publishes by the clock: each publish goes out when it is due, or as soon after as the socket takes it.
//!
//! A plain thread, since its sleep is exact to some 60 µs where a runtime's timer is exact to 1 ms. It never waits
//! for answers; a server that does not keep up shows in latencies, which count from the due time.

use std::io::{ErrorKind, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::dialect::{Dialect, parlor};
use crate::driver::Shared;
use crate::driver::acks::PublishLine;
use crate::driver::stream::Writing;
use crate::histogram::Latencies;
use crate::schedule::Schedule;
use crate::stamp::{self, Stamp};

/// One group's publishes.
#[derive(Debug)]
pub(crate) struct Pacer {
    shared: Arc<Shared>,
    schedule: Schedule,
    lines: Vec<PublishLine>,
    channels: Vec<String>,
    /// Publishes so far, by channel.
    counts: Vec<u64>,
    pacing: Pacing,
}

/// What was sent, and how punctually.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pacing {
    pub(crate) group: usize,
    /// By stage.
    pub(crate) sent: Vec<u64>,
    /// Due publishes that the server's sockets did not take before the end.
    pub(crate) unsent: u64,
    /// How late this thread woke for a due publish: the generator's own unpunctuality.
    pub(crate) slip: Latencies,
}

/// Why the pacer stopped before its last publish.
enum Stop {
    TooLate,
    Lost,
}

impl Pacer {
    pub(crate) fn new(shared: &Arc<Shared>, group: usize, lines: Vec<PublishLine>) -> Self {
        let scenario = &shared.scenario;
        let stages = scenario.timeline.stages().len();
        Self {
            shared: Arc::clone(shared),
            schedule: scenario.timeline.schedule(group),
            lines,
            channels: (0..scenario.groups[group].channels)
                .map(|channel| scenario.channel(group, channel))
                .collect(),
            counts: vec![0; scenario.groups[group].channels as usize],
            pacing: Pacing {
                group,
                sent: vec![0; stages],
                unsent: 0,
                slip: Latencies::new(),
            },
        }
    }

    pub(crate) fn run(mut self) -> Pacing {
        let start = *self.shared.start.wait();
        let end = start + self.shared.scenario.timeline.length() + LATE_MAX;
        let (share, all) = (self.shared.scenario.share, self.schedule.len());
        for number in (u64::from(share.first)..all).step_by(share.of as usize) {
            let Some(due_ns) = self.schedule.due_ns(number) else {
                break;
            };
            self.await_due(start + Duration::from_nanos(due_ns));
            if self.shared.is_given_up() {
                break;
            }
            match self.publish(number, due_ns, end) {
                Ok(()) => self.pacing.sent[self.shared.scenario.timeline.stage_of(due_ns)] += 1,
                Err(Stop::Lost) => self.pacing.unsent += 1,
                Err(Stop::TooLate) => {
                    self.pacing.unsent += (all - number).div_ceil(u64::from(share.of));
                    break;
                }
            }
        }
        self.pacing
    }

    /// Sleeps until `due` or until the run is given up, answering pings on the way.
    fn await_due(&mut self, due: Instant) {
        loop {
            let now = Instant::now();
            if now >= due || self.shared.is_given_up() {
                return;
            }
            self.answer_pings();
            let nap = due - now;
            thread::sleep(nap.min(NAP_MAX));
            if nap <= NAP_MAX {
                // Only a wake-up that was slept for shows this thread's own lateness.
                let late = Instant::now().saturating_duration_since(due);
                self.pacing
                    .slip
                    .record_ns(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
            }
        }
    }

    fn publish(&mut self, number: u64, due_ns: u64, end: Instant) -> Result<(), Stop> {
        let progress = &self.shared.progress;
        while progress.published.count()
            > progress.acknowledged.count() + progress.refused.count() + IN_FLIGHT_MAX
        {
            retry_until(&self.shared, end)?;
        }
        let sent_ns = self.shared.since_start_ns(Instant::now());
        let group = &self.shared.scenario.groups[self.pacing.group];
        // The scenario made sure that all numbers fit.
        let channel = group.channel_of_publish(number as u32) as usize;
        let stamp = Stamp {
            due_ns,
            sent_ns,
            number: self.counts[channel] + 1,
        };
        let acknowledges = self.shared.scenario.load.dialect().acknowledges();
        // Without offsets the order of a channel is that of its only publisher.
        let turn = if acknowledges {
            (number / u64::from(self.shared.scenario.share.of)) as usize
        } else {
            channel
        };
        let line = turn % self.lines.len();
        let frame = self.frame(self.lines[line].dialect, number, channel, stamp);
        write_whole(&mut self.lines[line].stream, &frame, &self.shared, end)?;
        self.counts[channel] += 1;
        self.shared.progress.published.add(1);
        if !acknowledges {
            self.count_written(line, channel, due_ns);
        }
        Ok(())
    }

    /// A server that does not answer: what its socket took is owed to the channel's members.
    fn count_written(&self, line: usize, channel: usize, due_ns: u64) {
        let (scenario, progress) = (&self.shared.scenario, &self.shared.progress);
        let group = self.pacing.group;
        self.lines[line].written[scenario.timeline.stage_of(due_ns)]
            .fetch_add(1, Ordering::Relaxed);
        self.shared
            .acknowledged(group, channel as u32, self.counts[channel]);
        // First what is owed: who sees the publish as answered waits for its deliveries too.
        progress
            .owed
            .add(u64::from(scenario.groups[group].members(channel as u32)));
        progress.acknowledged.add(1);
    }

    fn frame(&self, dialect: Dialect, number: u64, channel: usize, stamp: Stamp) -> Vec<u8> {
        let load = &self.shared.scenario.load;
        let channel = &self.channels[channel];
        let data = stamp::payload(stamp, load.payload_sizes.of(number));
        match dialect {
            Dialect::Parlor(form) => {
                let id = load
                    .publish_ids
                    .then(|| format!("{}-{number}", load.prefix));
                parlor::publish(form, number, id, channel, &data)
            }
            peer => peer.publish(number, channel, &data),
        }
    }

    fn answer_pings(&mut self) {
        for line in &mut self.lines {
            if line.pong_due.swap(false, Ordering::Relaxed) {
                // A lost connection shows at its next publish.
                drop(write_whole(
                    &mut line.stream,
                    &line.dialect.pong(),
                    &self.shared,
                    Instant::now() + NAP_MAX,
                ));
            }
        }
    }
}

/// Writes all of a frame to a non-blocking socket, waiting where the server does not read.
fn write_whole(
    stream: &mut Writing,
    mut frame: &[u8],
    shared: &Shared,
    end: Instant,
) -> Result<(), Stop> {
    loop {
        // What TLS has encrypted may still wait.
        let done = match frame {
            [] => stream.flush().map(|()| 0),
            frame => stream.write(frame),
        };
        match done {
            Ok(_) if frame.is_empty() => return Ok(()),
            Ok(written) => frame = &frame[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => retry_until(shared, end)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(Stop::Lost),
        }
    }
}

fn retry_until(shared: &Shared, end: Instant) -> Result<(), Stop> {
    if Instant::now() >= end || shared.is_given_up() {
        return Err(Stop::TooLate);
    }
    thread::sleep(RETRY);
    Ok(())
}

/// The longest sleep: a ping waits no longer than this for its answer.
const NAP_MAX: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(1);
/// Publishes without an answer at which the pacer holds back, to bound the server's and its own queues.
const IN_FLIGHT_MAX: u64 = 20_000;
/// How long after the last stage a late publish may still be sent.
const LATE_MAX: Duration = Duration::from_secs(5);
