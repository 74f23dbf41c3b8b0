//! `coordinate`: shares a load out to workers, starts their clocks together and merges what they measured.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use super::{Answer, Line, Order};
use crate::cli::{Arguments, Options};
use crate::clockwork::{Moment, walk};
use crate::driver::outcome::{Outcome, Tick};
use crate::progress::{View, say};
use crate::report::Report;
use crate::report::build::Fleet;
use crate::scenario::{Scenario, Share};
use crate::watch::{Looks, ServerWatch};

#[derive(Debug, Args)]
pub(crate) struct CoordinateArguments {
    /// HOST:PORT of each `worker`, with commas between.
    #[arg(long, value_delimiter = ',', required = true)]
    workers: Vec<String>,
    #[command(flatten)]
    run: Arguments,
}

/// A worker as the coordinator sees it.
struct Worker {
    name: String,
    line: Line,
    /// Its clock's zero on ours, and how wrong that may be.
    epoch: Instant,
    clock_error: Duration,
}

/// What a worker's thread and the main one tell each other.
struct Talk {
    tick: Arc<Mutex<Tick>>,
    tops: Receiver<anyhow::Result<Vec<Vec<u64>>>>,
    finish: SyncSender<Vec<Vec<u64>>>,
    thread: thread::JoinHandle<anyhow::Result<Outcome>>,
}

/// Makes the run and reports as `run` does.
///
/// # Errors
/// When a worker cannot be reached or cannot do its share.
pub(crate) fn coordinate(arguments: CoordinateArguments) -> anyhow::Result<u8> {
    let options = arguments.run.resolve()?;
    let scenario = Scenario::from_options(options.clone())?;
    let watch = ServerWatch::new(&scenario.watched, &scenario.targets)?;
    let mut looks = Looks::begin(&watch);
    let mut workers = connect(&arguments.workers, options.allow_remote)?;
    open_all(&mut workers, &options, &scenario.load.prefix)?;
    thread::sleep(SETTLE);
    looks.connected(&watch);

    let fleet = Fleet {
        workers: u32::try_from(workers.len())?,
        clock_error_ms: workers
            .iter()
            .map(|worker| worker.clock_error.as_secs_f64() * 1e3)
            .fold(0.0, f64::max),
    };
    let start = Instant::now() + START_DELAY;
    let talks: Vec<Talk> = workers
        .into_iter()
        .map(|worker| begin(worker, start))
        .collect::<anyhow::Result<_>>()?;
    let mut view = View::new(&scenario.timeline);
    walk(&scenario.timeline, start, |moment| {
        looks.take(&watch, moment);
        if let Moment::Second(second) = moment {
            view.second(second, &sum(&talks), None, &looks);
        }
    });
    view.end();
    let outcome = gather(talks)?;
    let report = Report::of(&scenario, &outcome, &looks, fleet);
    report.write(&scenario.outputs)?;
    Ok(report.verdict.exit_code())
}

fn connect(names: &[String], allow_remote: bool) -> anyhow::Result<Vec<Worker>> {
    let connect = |(index, name): (usize, &String)| {
        let address = name.to_socket_addrs()?.next().context("no such address")?;
        ensure!(
            address.ip().is_loopback() || allow_remote,
            "not this machine; give --allow-remote"
        );
        let stream = TcpStream::connect_timeout(&address, CONNECT_MAX)?;
        let mut line = Line::new(stream)?;
        let (epoch, clock_error) = look_at_clock(&mut line)?;
        say(&format!(
            "Worker {} at {name}: clock known within {clock_error:?}.",
            index + 1
        ));
        anyhow::Ok(Worker {
            name: format!("worker {}", index + 1),
            line,
            epoch,
            clock_error,
        })
    };
    let all = names.iter().enumerate();
    all.map(|(index, name)| {
        connect((index, name)).with_context(|| format!("unable to use the worker {name}"))
    })
    .collect()
}

/// Asks the time several times; the fastest answer tells most.
fn look_at_clock(line: &mut Line) -> anyhow::Result<(Instant, Duration)> {
    let mut best: Option<(Instant, Duration)> = None;
    for _ in 0..CLOCK_LOOKS {
        let asked = Instant::now();
        line.say(&Order::Clock)?;
        let Some(Answer::Clock { ns }) = line.hear()? else {
            bail!("the worker did not tell its time");
        };
        let round = asked.elapsed();
        // The worker looked somewhere between: half-way is wrong by half the round at most.
        let epoch = (asked + round / 2)
            .checked_sub(Duration::from_nanos(ns))
            .context("a clock beyond ours")?;
        if best.is_none_or(|(_, error)| round / 2 < error) {
            best = Some((epoch, round / 2));
        }
    }
    best.context("the clock was never asked")
}

fn open_all(workers: &mut [Worker], options: &Options, prefix: &str) -> anyhow::Result<()> {
    let of = u32::try_from(workers.len())?;
    let options = Options {
        json: None,
        markdown: None,
        html: None,
        junit: None,
        server_pid: Vec::new(),
        metrics_url: Vec::new(),
        redis: None,
        // Each opens its part of the connections each second.
        connect_rate: Some(options.connect_rate.unwrap_or(CONNECT_RATE) / f64::from(of)),
        ..options.clone()
    };
    for (first, worker) in (0..of).zip(workers.iter_mut()) {
        let share = Share { first, of };
        worker.line.say(&Order::Open {
            options: Box::new(options.clone()),
            share,
            prefix: prefix.to_owned(),
        })?;
    }
    for worker in workers {
        match worker.line.hear()? {
            Some(Answer::Opened) => {}
            Some(Answer::Failed(why)) => bail!("{}: {why}", worker.name),
            _ => bail!("{} did not open its share", worker.name),
        }
    }
    Ok(())
}

/// A thread that leads one worker through the rest of its run.
fn begin(mut worker: Worker, start: Instant) -> anyhow::Result<Talk> {
    let at = start
        .checked_duration_since(worker.epoch)
        .context("the clocks are too far apart")?;
    worker.line.say(&Order::Start {
        at_ns: u64::try_from(at.as_nanos())?,
    })?;
    let (tell_tops, tops) = sync_channel(1);
    let (finish, all_tops) = sync_channel(1);
    let tick = Arc::new(Mutex::new(Tick::default()));
    let seen = Arc::clone(&tick);
    let thread = thread::spawn(move || {
        let own = hear_tops(&mut worker, &seen);
        // Fails when the main thread has given up, which the next line tells too.
        tell_tops.send(own).ok();
        let tops = all_tops.recv().context("another worker failed")?;
        worker.line.say(&Order::Finish { tops })?;
        match worker.line.hear()? {
            Some(Answer::Measured(mut outcome)) => {
                outcome.label(&worker.name);
                Ok(*outcome)
            }
            Some(Answer::Failed(why)) => bail!("{}: {why}", worker.name),
            _ => bail!("{} went without a result", worker.name),
        }
    });
    Ok(Talk {
        tick,
        tops,
        finish,
        thread,
    })
}

fn hear_tops(worker: &mut Worker, seen: &Mutex<Tick>) -> anyhow::Result<Vec<Vec<u64>>> {
    loop {
        match worker.line.hear()? {
            Some(Answer::Tick(tick)) => *seen.lock().unwrap_or_else(PoisonError::into_inner) = tick,
            Some(Answer::Tops(tops)) => return Ok(tops),
            Some(Answer::Failed(why)) => bail!("{}: {why}", worker.name),
            _ => bail!("{} went in the middle of the run", worker.name),
        }
    }
}

fn sum(talks: &[Talk]) -> Tick {
    let mut all = Tick::default();
    for talk in talks {
        all.add(&talk.tick.lock().unwrap_or_else(PoisonError::into_inner));
    }
    all
}

/// What is acknowledged to one worker is owed to the subscribers of all.
fn gather(talks: Vec<Talk>) -> anyhow::Result<Outcome> {
    let mut all: Vec<Vec<u64>> = Vec::new();
    for talk in &talks {
        let tops = talk
            .tops
            .recv()
            .context("a worker's thread ended early")??;
        if all.is_empty() {
            all = tops;
            continue;
        }
        for (top, other) in all.iter_mut().flatten().zip(tops.into_iter().flatten()) {
            *top = (*top).max(other);
        }
    }
    let mut outcome: Option<Outcome> = None;
    for talk in talks {
        talk.finish.send(all.clone()).ok();
        let one = talk
            .thread
            .join()
            .map_err(|_| anyhow::anyhow!("a worker's thread panicked"))??;
        match &mut outcome {
            Some(outcome) => outcome.add(one),
            None => outcome = Some(one),
        }
    }
    outcome.context("there were no workers")
}

const CLOCK_LOOKS: u32 = 32;
const CONNECT_MAX: Duration = Duration::from_secs(5);
const CONNECT_RATE: f64 = 2_000.0;
const SETTLE: Duration = Duration::from_secs(2);
/// Long enough for the word to reach every worker.
const START_DELAY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A worker whose clock runs `ahead`; tells its clock's true zero on ours.
    fn worker(ahead: Duration) -> (TcpStream, thread::JoinHandle<anyhow::Result<Instant>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let thread = thread::spawn(move || {
            let mut line = Line::new(listener.accept()?.0)?;
            let zero = Instant::now();
            while let Some(Order::Clock) = line.hear()? {
                let ns = u64::try_from((zero.elapsed() + ahead).as_nanos())?;
                line.say(&Answer::Clock { ns })?;
            }
            zero.checked_sub(ahead).context("a clock beyond ours")
        });
        (line, thread)
    }

    #[test]
    fn a_clock_that_is_hours_off_is_corrected() {
        for ahead in [Duration::ZERO, Duration::from_secs(3 * 3_600)] {
            let (line, worker) = worker(ahead);
            let mut line = Line::new(line).unwrap();
            let (epoch, error) = look_at_clock(&mut line).unwrap();
            drop(line);
            let truth = worker.join().unwrap().unwrap();
            let off = epoch.max(truth) - epoch.min(truth);
            assert!(
                off <= error && error < Duration::from_secs(1),
                "{off:?} {error:?}"
            );
        }
    }
}
