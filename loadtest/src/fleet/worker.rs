//! `worker`: waits for a coordinator and makes the share of a load that it is told.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;

use super::{Answer, Line, Order};
use crate::clockwork::{Moment, walk};
use crate::driver::{Drain, Run};
use crate::progress::say;
use crate::scenario::Scenario;

#[derive(Debug, Args)]
pub(crate) struct WorkerArguments {
    /// Where to wait for the coordinator.
    #[arg(long, default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Listen for other machines, and load other machines, where the coordinator says so. Whoever reaches this port can
    /// make this machine load any server: use it in a network of your own only.
    #[arg(long)]
    allow_remote: bool,
    /// End after one run.
    #[arg(long)]
    once: bool,
}

/// Serves one coordinator after the other.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) fn serve(arguments: &WorkerArguments) -> anyhow::Result<u8> {
    ensure!(
        arguments.listen.ip().is_loopback() || arguments.allow_remote,
        "{} is not on loopback; give --allow-remote if this is what you want",
        arguments.listen
    );
    let listener = TcpListener::bind(arguments.listen)
        .with_context(|| format!("unable to listen on {}", arguments.listen))?;
    say(&format!(
        "Waiting for a coordinator on {}.",
        listener.local_addr()?
    ));
    loop {
        let (stream, peer) = listener.accept()?;
        say(&format!("A coordinator came from {peer}."));
        if let Err(error) = converse(stream, arguments.allow_remote) {
            say(&format!("The run failed: {error:#}"));
        }
        if arguments.once {
            return Ok(0);
        }
    }
}

fn converse(stream: TcpStream, allow_remote: bool) -> anyhow::Result<()> {
    let mut line = Line::new(stream)?;
    let (epoch, mut run) = (Instant::now(), None);
    while let Some(order) = line.hear()? {
        let done = obey(order, &mut run, epoch, allow_remote, &mut line);
        match done {
            Ok(answer) => line.say(&answer)?,
            Err(error) => {
                line.say(&Answer::Failed(format!("{error:#}")))?;
                return Err(error);
            }
        }
    }
    Ok(())
}

fn obey(
    order: Order,
    run: &mut Option<Run>,
    epoch: Instant,
    allow_remote: bool,
    line: &mut Line,
) -> anyhow::Result<Answer> {
    Ok(match order {
        Order::Clock => Answer::Clock {
            ns: u64::try_from(epoch.elapsed().as_nanos())?,
        },
        Order::Open {
            mut options,
            share,
            prefix,
        } => {
            ensure!(
                share.of > 0 && share.first < share.of && share.of <= SHARES_MAX,
                "a share that cannot be"
            );
            options.allow_remote &= allow_remote;
            let mut scenario = Scenario::part(*options, share)?;
            scenario.load.prefix = prefix;
            *run = Some(open(scenario)?);
            Answer::Opened
        }
        Order::Start { at_ns } => {
            let run = run.as_mut().context("told to start before opening")?;
            load(run, epoch + Duration::from_nanos(at_ns), line)?;
            Answer::Tops(run.tops())
        }
        Order::Finish { tops } => {
            let run = run.take().context("told to finish before opening")?;
            run.raise_tops(&tops);
            Answer::Measured(Box::new(run.finish()?))
        }
    })
}

fn open(scenario: Scenario) -> anyhow::Result<Run> {
    let mut run = Run::open(scenario)?;
    while !run.is_settled() {
        thread::sleep(LOOK);
    }
    run.open_publishers()?;
    Ok(run)
}

fn load(run: &mut Run, start: Instant, line: &mut Line) -> anyhow::Result<()> {
    run.start(start);
    let timeline = run.shared.scenario.timeline.clone();
    let mut told = Ok(());
    walk(&timeline, start, |moment| {
        run.take(moment);
        if let (Moment::Second(_), Ok(())) = (moment, &told) {
            told = line.say(&Answer::Tick(run.shared.tick()));
        }
    });
    told?;
    let mut drain = Drain::begin();
    while !run.is_drained(&mut drain) {
        thread::sleep(LOOK);
    }
    Ok(())
}

const LOOK: Duration = Duration::from_millis(20);
const SHARES_MAX: u32 = 1_024;
