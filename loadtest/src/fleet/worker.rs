//! `worker`: waits for a coordinator and makes the share of a load that it is told.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;

use super::{Answer, Line, Order};
use crate::clockwork::{Moment, try_walk};
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
                // Fails where it is the coordinator that has gone.
                line.say(&Answer::Failed(format!("{error:#}"))).ok();
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
            *run = Some(open(scenario, line)?);
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

fn open(scenario: Scenario, line: &Line) -> anyhow::Result<Run> {
    let mut run = Run::open(scenario)?;
    while !run.is_settled() {
        line.ensure_open()?;
        thread::sleep(LOOK);
    }
    run.open_publishers()?;
    Ok(run)
}

/// Ends as soon as the coordinator does, but for a second: nobody would know what the server is loaded for.
fn load(run: &mut Run, start: Instant, line: &mut Line) -> anyhow::Result<()> {
    run.start(start);
    let timeline = run.shared.scenario.timeline.clone();
    try_walk(&timeline, start, |moment| {
        run.take(moment);
        line.ensure_open()?;
        match moment {
            Moment::Second(_) => line.say(&Answer::Tick(run.shared.tick())),
            Moment::Boundary(_) => Ok(()),
        }
    })?;
    let mut drain = Drain::begin();
    while !run.is_drained(&mut drain) {
        line.ensure_open()?;
        thread::sleep(LOOK);
    }
    Ok(())
}

const LOOK: Duration = Duration::from_millis(20);
const SHARES_MAX: u32 = 1_024;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use tokio_tungstenite::tungstenite::accept;

    use super::*;
    use crate::cli::Options;
    use crate::scenario::Share;

    /// A worker that has opened its share.
    struct Led {
        /// The coordinator's end.
        line: Line,
        worker: thread::JoinHandle<anyhow::Result<()>>,
        /// A word for each of the [`CONNECTIONS`] that has ended, seen by the server.
        ended: Receiver<()>,
    }

    /// A server that lets everybody in and listens.
    fn serve() -> (SocketAddr, Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, ended) = sync_channel(CONNECTIONS);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut socket, tell) = (accept(stream.unwrap()).unwrap(), tell.clone());
                thread::spawn(move || {
                    while socket.read().is_ok() {}
                    tell.send(()).ok();
                });
            }
        });
        (address, ended)
    }

    fn lead() -> Led {
        let (server, ended) = serve();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let worker = thread::spawn(move || converse(listener.accept()?.0, false));
        let mut line = Line::new(stream).unwrap();
        // A server that is not asked for answers need not give any.
        let options = Options {
            form: Some("raw".to_owned()),
            url: Some(format!("ws://{server}/sub/{{channel}}")),
            publish_url: Some(format!("ws://{server}/pub/{{channel}}")),
            shape: Some("rooms=1x1".to_owned()),
            warmup: Some("0s".parse().unwrap()),
            duration: Some("60s".parse().unwrap()),
            ..Options::default()
        };
        let open = Order::Open {
            options: Box::new(options),
            share: Share::WHOLE,
            prefix: "load:led".to_owned(),
        };
        line.say(&open).unwrap();
        assert!(matches!(line.hear().unwrap(), Some(Answer::Opened)));
        Led {
            line,
            worker,
            ended,
        }
    }

    fn assert_all_end(ended: &Receiver<()>) {
        for _ in 0..CONNECTIONS {
            ended.recv_timeout(PATIENCE).expect("a connection is held");
        }
    }

    #[test]
    fn a_coordinator_that_goes_before_the_start_leaves_no_connection_open() {
        let led = lead();
        drop(led.line);
        led.worker.join().unwrap().unwrap();
        assert_all_end(&led.ended);
    }

    #[test]
    fn a_coordinator_that_goes_in_the_middle_ends_the_load() {
        let mut led = lead();
        led.line.say(&Order::Start { at_ns: 0 }).unwrap();
        assert!(matches!(led.line.hear().unwrap(), Some(Answer::Tick(_))));
        drop(led.line);
        let gone = Instant::now();
        assert!(led.worker.join().unwrap().is_err());
        assert!(gone.elapsed() < PATIENCE, "{:?}", gone.elapsed());
        assert_all_end(&led.ended);
    }

    /// A subscriber's and a publisher's.
    const CONNECTIONS: usize = 2;
    /// Far below the minute that the load would last.
    const PATIENCE: Duration = Duration::from_secs(15);
}
