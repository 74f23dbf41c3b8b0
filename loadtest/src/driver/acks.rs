//! The publishers' connections, read side: opens them, gives the write side to the pacers, and takes the answers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use parlor_protocol::codec::{ServerMessage, decode_server};
use parlor_protocol::{Push, Reply, WireError};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use crate::dialect::parlor::CONNECT_ID;
use crate::dialect::{Dialect, Ear, Heard, Hello, Talk};
use crate::driver::Shared;
use crate::driver::open::open;
use crate::driver::stream::Writing;
use crate::driver::wire::{SCRATCH_BYTES, Wire};
use crate::frames::{BadFrame, Frame};
use crate::histogram::Latencies;
use crate::schedule::Schedule;

/// The write side of one publishing connection.
#[derive(Debug)]
pub(crate) struct PublishLine {
    pub(crate) stream: Writing,
    /// What is spoken on it.
    pub(crate) dialect: Dialect,
    /// The server has pinged: the pacer owns the writing, so it answers.
    pub(crate) pong_due: Arc<AtomicBool>,
    /// By stage: publishes that were written where the server does not answer them.
    pub(crate) written: Arc<[AtomicU64]>,
}

/// What the server answered, by group and stage.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Acks {
    pub(crate) groups: Vec<Vec<Answered>>,
    /// Refusals and lost connections, and how often.
    pub(crate) troubles: BTreeMap<String, u64>,
}

/// One stage's answers to publishes.
#[derive(Debug, Default, Serialize, Deserialize)]
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
    /// With the group.
    written: RefCell<Vec<(usize, Arc<[AtomicU64]>)>>,
}

/// What must be known of a connection to understand what comes on it.
struct Listening {
    dialect: Dialect,
    foreign: Option<Foreign>,
    group: usize,
    pong_due: Arc<AtomicBool>,
}

/// A publisher's connection to a server that is not Parlor.
struct Foreign {
    ear: Ear,
    talk: Talk,
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
                reader.publishers(group)
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
    reader.count_written();
    let mut acks = reader.acks.borrow_mut();
    Ok(Acks {
        groups: std::mem::take(&mut acks.groups),
        troubles: std::mem::take(&mut acks.troubles),
    })
}

impl AckReader {
    fn new(shared: Arc<Shared>) -> Self {
        let timeline = &shared.scenario.timeline;
        let empty = |_| Answered::default();
        let stages = || timeline.stages().iter().map(empty).collect();
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
            written: RefCell::default(),
            shared,
        }
    }

    /// Connections of a group: one for each channel where the URL names it.
    fn publishers(&self, group: usize) -> u32 {
        let scenario = &self.shared.scenario;
        if scenario.load.dialect().names_channels_in_url() {
            scenario.groups[group].channels
        } else {
            scenario.publishers_of_group()
        }
    }

    fn hello(&self, group: usize, number: u32) -> Hello {
        let (scenario, dialect) = (&self.shared.scenario, self.shared.scenario.load.dialect());
        let joins = dialect.publishes_as_member() || dialect.names_channels_in_url();
        let mine =
            (number..scenario.groups[group].channels).step_by(self.publishers(group) as usize);
        let user = format!("load-publisher-{group}-{number}");
        Hello {
            token: scenario.load.tokens.of(&user),
            user,
            channels: mine
                .filter(|_| joins)
                .map(|channel| scenario.channel(group, channel))
                .collect(),
            recover: None,
        }
    }

    /// Where nothing is answered, what was written counts.
    fn count_written(&self) {
        let mut acks = self.acks.borrow_mut();
        for (group, written) in self.written.borrow().iter() {
            for (stage, count) in acks.groups[*group].iter_mut().zip(written.iter()) {
                stage.acknowledged += count.load(Ordering::Relaxed);
            }
        }
    }

    async fn open(self: Rc<Self>, group: usize, number: u32) -> anyhow::Result<PublishLine> {
        let scenario = &self.shared.scenario;
        let hello = self.hello(group, number);
        let (target, dialect) = (
            scenario.publish_target_of(number),
            scenario.load.forms.of(number),
        );
        let wire = open(scenario, target, number, &hello.channels)
            .await
            .map_err(|error| error.fatal("a publisher"))?;
        let (mut wire, writing) = wire.split()?;
        let greeting = dialect.greeting(&hello);
        wire.send(&greeting).await.map_err(anyhow::Error::msg)?;
        let mut foreign = (!dialect.acknowledges()).then(|| Foreign {
            ear: Ear::new(dialect),
            talk: Talk::new(hello),
        });
        let answered = timeout(
            CONNECT_TIMEOUT,
            self.connected(&mut wire, dialect, &mut foreign),
        )
        .await;
        answered.context("a publisher's connect was not answered")??;
        let line = PublishLine {
            stream: writing,
            dialect,
            pong_due: Arc::default(),
            written: scenario
                .timeline
                .stages()
                .iter()
                .map(|_| AtomicU64::new(0))
                .collect(),
        };
        self.written
            .borrow_mut()
            .push((group, Arc::clone(&line.written)));
        let listening = Listening {
            dialect,
            foreign,
            group,
            pong_due: Arc::clone(&line.pong_due),
        };
        spawn_local(Rc::clone(&self).listen(wire, listening));
        Ok(line)
    }

    async fn connected(
        &self,
        wire: &mut Wire,
        dialect: Dialect,
        foreign: &mut Option<Foreign>,
    ) -> anyhow::Result<()> {
        let mut answer = dialect.names_channels_in_url().then_some(Ok(()));
        while answer.is_none() {
            let mut outgoing = Vec::new();
            let read = poll_fn(|cx| {
                wire.poll_frames(cx, &mut self.scratch.borrow_mut(), |frame| {
                    let Frame::Data(payload) = frame else {
                        return Ok(());
                    };
                    match foreign {
                        Some(foreign) => foreign.hear(payload, &mut answer, &mut outgoing),
                        None => hear(dialect, payload, &mut answer)?,
                    }
                    Ok(())
                })
            });
            read.await.map_err(anyhow::Error::msg)?;
            wire.send(&outgoing).await.map_err(anyhow::Error::msg)?;
        }
        match answer {
            Some(Err(why)) => bail!("a publisher was refused; {why}"),
            Some(Ok(())) | None => Ok(()),
        }
    }

    async fn listen(self: Rc<Self>, mut wire: Wire, mut listening: Listening) {
        let mut result = Ok(());
        while result.is_ok() {
            let read = poll_fn(|cx| {
                wire.poll_frames(cx, &mut self.scratch.borrow_mut(), |frame| {
                    self.take(&mut listening, &frame)
                })
            });
            result = read.await;
        }
        if let Err(why) = result {
            self.trouble(format!("a publisher's connection ended: {why}"));
        }
    }

    fn take(&self, listening: &mut Listening, frame: &Frame<'_>) -> Result<(), BadFrame> {
        let pong_due = &listening.pong_due;
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
        if let Some(foreign) = &mut listening.foreign {
            let (mut answer, mut outgoing) = (None, Vec::new());
            foreign.hear(payload, &mut answer, &mut outgoing);
            // Nothing but pings is answered by now.
            pong_due.fetch_or(!outgoing.is_empty(), Ordering::Relaxed);
            if let Some(Err(why)) = answer {
                self.trouble(format!("a publish was refused: {why}"));
            }
            return Ok(());
        }
        for message in decode(listening.dialect, payload)? {
            match message {
                ServerMessage::Reply { id, result } => self.answered(listening.group, id, result),
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
        let refusal = match result {
            Ok(Reply::Publish(published)) if !published.duplicate => {
                stage.acknowledged += 1;
                stage.latency.record_ns(
                    self.shared
                        .since_start_ns(Instant::now())
                        .saturating_sub(due_ns),
                );
                let channel = scenario.groups[group].channel_of_publish(id);
                self.shared.acknowledged(group, channel, published.offset);
                let positions = &self.shared.positions;
                positions.remember(group, channel, published.offset, &published.position);
                progress.acknowledged.add(1);
                progress
                    .owed
                    .add(u64::from(scenario.groups[group].members(channel)));
                return;
            }
            // Each id is sent once: nothing here publishes again. So it is not this publish that is in the log.
            Ok(Reply::Publish(_)) => "a publish was taken for a repetition".to_owned(),
            Ok(_) => return,
            Err(error) => format!("a publish was refused: {}", error.text),
        };
        stage.refused += 1;
        progress.refused.add(1);
        *acks.troubles.entry(refusal).or_default() += 1;
    }

    fn trouble(&self, what: String) {
        *self.acks.borrow_mut().troubles.entry(what).or_default() += 1;
    }
}

/// Looks for Parlor's answer to `connect`.
fn hear(
    dialect: Dialect,
    payload: &[u8],
    answer: &mut Option<Result<(), String>>,
) -> Result<(), BadFrame> {
    for message in decode(dialect, payload)? {
        if let ServerMessage::Reply {
            id: CONNECT_ID,
            result,
        } = message
        {
            *answer = Some(result.map(drop).map_err(|error| error.text));
        }
    }
    Ok(())
}

fn decode(dialect: Dialect, payload: &[u8]) -> Result<Vec<ServerMessage>, BadFrame> {
    let Dialect::Parlor(form) = dialect else {
        return Ok(Vec::new());
    };
    decode_server(form, payload).map_err(|_| BadFrame("a frame that the codec does not read"))
}

impl Foreign {
    fn hear(
        &mut self,
        payload: &[u8],
        answer: &mut Option<Result<(), String>>,
        outgoing: &mut Vec<u8>,
    ) {
        self.ear
            .listen(&mut self.talk, payload, |heard| match heard {
                Heard::Ready => *answer = Some(Ok(())),
                Heard::Refused(why) => *answer = Some(Err(why)),
                Heard::Answer(frame) => outgoing.extend(frame),
                // A publisher that had to join hears nothing of its own, and no two publish to one channel.
                Heard::Delivery(_) => {}
            });
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
