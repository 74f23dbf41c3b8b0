//! The publishers' connections, read side: opens them, gives the write side to the pacers, and takes the answers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use parlor_protocol::codec::{ServerMessage, decode_server};
use parlor_protocol::{Push, Reply, WireError};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use crate::driver::Shared;
use crate::driver::open::open;
use crate::driver::subscriber::{CONNECT_ID, connect};
use crate::driver::wire::{SCRATCH_BYTES, Wire};
use crate::frames::{BadFrame, Frame};
use crate::histogram::Latencies;
use crate::schedule::Schedule;

/// The write side of one publishing connection.
#[derive(Debug)]
pub(crate) struct PublishLine {
    pub(crate) stream: std::net::TcpStream,
    /// The server has pinged: the pacer owns the writing, so it answers.
    pub(crate) pong_due: Arc<AtomicBool>,
}

/// What the server answered, by group and stage.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Acks {
    pub(crate) groups: Vec<Vec<Answered>>,
    /// Refusals and lost connections, and how often.
    pub(crate) troubles: BTreeMap<String, u64>,
}

/// One stage's answers to publishes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// From the due time to the answer.
    pub(crate) latency: Latencies,
}

impl Acks {
    /// Another worker's answers to the same schedule.
    pub(crate) fn add(&mut self, other: Self) {
        let own = self.groups.iter_mut().flatten();
        for (one, more) in own.zip(other.groups.into_iter().flatten()) {
            one.acknowledged += more.acknowledged;
            one.refused += more.refused;
            one.latency.add(&more.latency);
        }
        for (what, count) in other.troubles {
            *self.troubles.entry(what).or_default() += count;
        }
    }
}

struct AckReader {
    shared: Arc<Shared>,
    schedules: Vec<Schedule>,
    acks: RefCell<Acks>,
    scratch: RefCell<Vec<u8>>,
}

/// Opens all publishers, hands them out through `opened`, and reads answers until `finished`.
///
/// # Errors
/// When a publisher cannot connect: a load without them would measure nothing.
pub(crate) fn read(
    shared: Arc<Shared>,
    opened: oneshot::Sender<Vec<Vec<PublishLine>>>,
    finished: oneshot::Receiver<()>,
) -> anyhow::Result<Acks> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("unable to start a runtime")?;
    let reader = Rc::new(AckReader::new(shared));
    LocalSet::new().block_on(&runtime, async {
        let mut groups = Vec::new();
        let publishes = reader.shared.scenario.shape.publishes();
        for group in 0..reader.shared.scenario.groups.len() {
            let mut lines = Vec::new();
            for number in 0..if publishes {
                reader.shared.scenario.publishers_of_group()
            } else {
                0
            } {
                let share = reader.shared.scenario.share;
                let number = number * share.of + share.first;
                lines.push(Rc::clone(&reader).open(group, number).await?);
            }
            groups.push(lines);
        }
        // The conductor that asked for them waits for nothing else.
        drop(opened.send(groups));
        drop(finished.await);
        anyhow::Ok(())
    })?;
    let mut acks = reader.acks.borrow_mut();
    Ok(Acks {
        groups: std::mem::take(&mut acks.groups),
        troubles: std::mem::take(&mut acks.troubles),
    })
}

impl AckReader {
    fn new(shared: Arc<Shared>) -> Self {
        let timeline = &shared.scenario.timeline;
        let answered = || Answered {
            acknowledged: 0,
            refused: 0,
            latency: Latencies::new(),
        };
        let stages = || timeline.stages().iter().map(|_| answered()).collect();
        let groups = shared.scenario.groups.iter().map(|_| stages()).collect();
        let schedules = (0..shared.scenario.groups.len())
            .map(|group| timeline.schedule(group))
            .collect();
        Self {
            schedules,
            acks: RefCell::new(Acks {
                groups,
                troubles: BTreeMap::new(),
            }),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
            shared,
        }
    }

    async fn open(self: Rc<Self>, group: usize, number: u32) -> anyhow::Result<PublishLine> {
        let scenario = &self.shared.scenario;
        let stream = open(scenario, &scenario.publish_target, number)
            .await
            .map_err(|error| anyhow::anyhow!("unable to open a publisher; {}", error.what))?;
        let stream = stream.into_std()?;
        let writing = stream.try_clone()?;
        let mut wire = Wire::new(TcpStream::from_std(stream)?);
        let user = format!("load-publisher-{group}-{number}");
        let first = connect(scenario.load.form, scenario.load.token.clone(), user, None);
        wire.send(&first).await.map_err(anyhow::Error::msg)?;
        let answered = timeout(CONNECT_TIMEOUT, self.connected(&mut wire)).await;
        answered.context("a publisher's connect was not answered")??;
        let pong_due = Arc::new(AtomicBool::new(false));
        spawn_local(Rc::clone(&self).listen(wire, group, Arc::clone(&pong_due)));
        Ok(PublishLine {
            stream: writing,
            pong_due,
        })
    }

    async fn connected(&self, wire: &mut Wire) -> anyhow::Result<()> {
        let mut answer = None;
        while answer.is_none() {
            let read = poll_fn(|cx| {
                wire.poll_frames(cx, &mut self.scratch.borrow_mut(), |frame| {
                    let Frame::Data(payload) = frame else {
                        return Ok(());
                    };
                    for message in self.decode(payload)? {
                        if let ServerMessage::Reply {
                            id: CONNECT_ID,
                            result,
                        } = message
                        {
                            answer = Some(result);
                        }
                    }
                    Ok(())
                })
            });
            read.await.map_err(anyhow::Error::msg)?;
        }
        match answer {
            Some(Err(error)) => bail!("a publisher was refused; {}", error.text),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    async fn listen(self: Rc<Self>, mut wire: Wire, group: usize, pong_due: Arc<AtomicBool>) {
        let mut result = Ok(());
        while result.is_ok() {
            let read = poll_fn(|cx| {
                wire.poll_frames(cx, &mut self.scratch.borrow_mut(), |frame| {
                    self.take(group, &frame, &pong_due)
                })
            });
            result = read.await;
        }
        if let Err(why) = result {
            self.trouble(format!("a publisher's connection ended: {why}"));
        }
    }

    fn take(&self, group: usize, frame: &Frame<'_>, pong_due: &AtomicBool) -> Result<(), BadFrame> {
        let payload = match frame {
            Frame::Data(payload) => payload,
            // Any frame in time will do, so the pacer's `pong` command answers this one too.
            Frame::Ping(_) => {
                pong_due.store(true, Ordering::Relaxed);
                return Ok(());
            }
            Frame::Pong | Frame::Close(None) => return Ok(()),
            Frame::Close(Some(code)) => {
                self.trouble(format!("a publisher was closed with {code}"));
                return Ok(());
            }
        };
        for message in self.decode(payload)? {
            match message {
                ServerMessage::Reply { id, result } => self.answered(group, id, result),
                ServerMessage::Push(Push::Ping) => pong_due.store(true, Ordering::Relaxed),
                ServerMessage::Push(Push::Disconnect(push)) => {
                    self.trouble(format!("a publisher was disconnected: {}", push.name))
                }
                ServerMessage::Push(_) => {}
            }
        }
        Ok(())
    }

    /// A command's number is the publish's number, and that alone tells its due time and channel.
    fn answered(&self, group: usize, id: u32, result: Result<Reply, WireError>) {
        let Some(due_ns) = self.schedules[group].due_ns(u64::from(id)) else {
            return;
        };
        let (scenario, progress) = (&self.shared.scenario, &self.shared.progress);
        let mut acks = self.acks.borrow_mut();
        let stage = &mut acks.groups[group][scenario.timeline.stage_of(due_ns)];
        match result {
            Ok(Reply::Publish(published)) => {
                stage.acknowledged += 1;
                stage.latency.record_ns(
                    self.shared
                        .since_start_ns(Instant::now())
                        .saturating_sub(due_ns),
                );
                let channel = scenario.groups[group].channel_of_publish(id);
                self.shared.acknowledged(group, channel, published.offset);
                progress.acknowledged.add(1);
                progress
                    .owed
                    .add(u64::from(scenario.groups[group].members(channel)));
            }
            Ok(_) => {}
            Err(error) => {
                stage.refused += 1;
                progress.refused.add(1);
                *acks
                    .troubles
                    .entry(format!("a publish was refused: {}", error.text))
                    .or_default() += 1;
            }
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<Vec<ServerMessage>, BadFrame> {
        decode_server(self.shared.scenario.load.form, payload)
            .map_err(|_| BadFrame("a frame that the codec does not read"))
    }

    fn trouble(&self, what: String) {
        *self.acks.borrow_mut().troubles.entry(what).or_default() += 1;
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
