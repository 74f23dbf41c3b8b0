//! What clients ask now and then: signals, pages of history and of presence, channels joined and left.
//!
//! One thread with a few connections of its own. Each errand is due by the clock, and its latency counts from
//! there to its answer.

use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use parlor_protocol::codec::{ServerMessage, decode_server, encode_command};
use parlor_protocol::command::{Direction, History, Presence, Signal, Subscribe, Unsubscribe};
use parlor_protocol::{Command, Envelope, Form, Format, Payload, Push};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, sleep_until};

use crate::dialect::parlor::{self, CONNECT_ID};
use crate::dialect::{Dialect, Hello};
use crate::driver::Shared;
use crate::driver::open::open;
use crate::driver::wire::{SCRATCH_BYTES, Wire};
use crate::frames::{self, BadFrame, Frame};
use crate::histogram::Latencies;
use crate::scenario::activity::Errand;
use crate::schedule::Schedule;

/// One kind of errand in one stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ran {
    pub(crate) answered: u64,
    /// Refused, or never answered.
    pub(crate) failed: u64,
    pub(crate) latency: Latencies,
}

/// By stage and errand.
pub(crate) type Errands = Vec<Vec<Ran>>;

/// The way to one connection.
#[derive(Clone)]
struct Line {
    form: Form,
    frames: mpsc::Sender<Vec<u8>>,
}

struct Runner {
    shared: Arc<Shared>,
    schedules: [Schedule; Errand::ALL.len()],
    errands: RefCell<Errands>,
    scratch: RefCell<Vec<u8>>,
}

impl Ran {
    fn none() -> Self {
        Self {
            answered: 0,
            failed: 0,
            latency: Latencies::new(),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.latency.add(&other.latency);
    }
}

/// Opens the connections, runs all errands by the clock and returns when `finished` says so.
///
/// # Errors
/// When there is no runtime, or a connection cannot be opened.
pub(crate) fn run(
    shared: Arc<Shared>,
    opened: oneshot::Sender<()>,
    finished: oneshot::Receiver<()>,
) -> anyhow::Result<Errands> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("unable to start a runtime")?;
    let runner = Rc::new(Runner::new(shared));
    LocalSet::new().block_on(&runtime, async {
        let mut lines = Vec::new();
        for number in 0..runner.shared.scenario.errand_connections() {
            lines.push(Rc::clone(&runner).open(number).await?);
        }
        for errand in Errand::ALL {
            spawn_local(Rc::clone(&runner).pace(errand, lines.clone()));
        }
        // The conductor that asked for them waits for nothing else.
        opened.send(()).ok();
        drop(finished.await);
        anyhow::Ok(())
    })?;
    Ok(runner.finish())
}

impl Runner {
    fn new(shared: Arc<Shared>) -> Self {
        let scenario = &shared.scenario;
        let stages = scenario.timeline.stages().len();
        let schedule = |errand| {
            let timeline = &scenario.timeline;
            timeline.schedule_of(|stage| Some(scenario.errand_rate(errand, stage)))
        };
        Self {
            schedules: Errand::ALL.map(schedule),
            errands: RefCell::new(vec![vec![Ran::none(); Errand::ALL.len()]; stages]),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
            shared,
        }
    }

    async fn open(self: Rc<Self>, number: u32) -> anyhow::Result<Line> {
        let scenario = &self.shared.scenario;
        let number = number * scenario.share.of + scenario.share.first;
        let mut wire = open(scenario, scenario.errand_target_of(number), number, &[])
            .await
            .map_err(|error| error.fatal("a connection"))?;
        let user = format!("load-errands-{number}");
        let hello = Hello {
            token: scenario.load.tokens.of(&user),
            user,
            channels: Vec::new(),
            recover: None,
        };
        let dialect = scenario.load.forms.of(number);
        let greeting = dialect.greeting(&hello);
        wire.send(&greeting).await.map_err(anyhow::Error::msg)?;
        let (sender, frames) = mpsc::channel(FRAMES_WAITING_MAX);
        let line = Line {
            // The scenario made sure that the server is Parlor.
            form: match dialect {
                Dialect::Parlor(form) => form,
                _ => Form::Json,
            },
            frames: sender,
        };
        spawn_local(self.serve(wire, frames, line.clone()));
        Ok(line)
    }

    /// Sends what is due, and takes answers, until either side ends.
    async fn serve(self: Rc<Self>, mut wire: Wire, mut due: mpsc::Receiver<Vec<u8>>, line: Line) {
        loop {
            let read = poll_fn(|cx| {
                let mut scratch = self.scratch.borrow_mut();
                wire.poll_frames(cx, &mut scratch, |frame| self.take(&frame, &line))
            });
            let sending = tokio::select! {
                read = read => match read {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                frame = due.recv() => frame,
            };
            let Some(frame) = sending else { return };
            if wire.send(&frame).await.is_err() {
                return;
            }
        }
    }

    /// Hands each errand of a kind to a connection when it is due.
    async fn pace(self: Rc<Self>, errand: Errand, lines: Vec<Line>) {
        let (share, schedule) = (self.shared.scenario.share, &self.schedules[errand as usize]);
        let start = loop {
            match self.shared.start.get() {
                Some(start) => break *start,
                None => sleep(START_LOOK).await,
            }
        };
        for number in (u64::from(share.first)..schedule.len()).step_by(share.of as usize) {
            let Some(due_ns) = schedule.due_ns(number) else {
                return;
            };
            sleep_until((start + Duration::from_nanos(due_ns)).into()).await;
            let line = &lines[(number / u64::from(share.of)) as usize % lines.len()];
            self.of(errand, due_ns).failed += 1;
            line.send(self.frame(line.form, errand, number as u32));
        }
    }

    fn frame(&self, form: Form, errand: Errand, number: u32) -> Vec<u8> {
        let scenario = &self.shared.scenario;
        let of = scenario.groups[0].channel_of_publish(number.wrapping_mul(CHANNEL_STRIDE));
        let channel = scenario.channel(0, of);
        let command = match errand {
            Errand::Signal => Command::Signal(Signal {
                channel,
                payload: Payload {
                    format: Format::Json,
                    bytes: Bytes::from_static(b"{\"typing\":true}"),
                },
            }),
            Errand::History => Command::History(History {
                channel,
                direction: Direction::Backward,
                offset: None,
                time: None,
                limit: Some(PAGE),
            }),
            Errand::Presence => Command::Presence(Presence {
                channel,
                limit: Some(PAGE),
                cursor: None,
            }),
            Errand::Join => Command::Subscribe(Subscribe::new(channel)),
        };
        // The rest of a division tells the errand again when its answer comes.
        let id = number * Errand::ALL.len() as u32 + errand as u32;
        encode(form, Some(id), command)
    }

    fn take(&self, frame: &Frame<'_>, line: &Line) -> Result<(), BadFrame> {
        let payload = match frame {
            Frame::Data(payload) => payload,
            Frame::Ping(payload) => {
                line.send(frames::pong(payload));
                return Ok(());
            }
            Frame::Pong => return Ok(()),
            Frame::Close(_) => return Err(BadFrame("closed")),
        };
        for message in decode_server(line.form, payload)
            .map_err(|_| BadFrame("a frame that the codec does not read"))?
        {
            match message {
                ServerMessage::Reply { id, result } if id != CONNECT_ID => {
                    self.answered(id, result.is_ok(), line);
                }
                ServerMessage::Push(Push::Ping) => line.send(parlor::pong(line.form)),
                ServerMessage::Reply { .. } | ServerMessage::Push(_) => {}
            }
        }
        Ok(())
    }

    fn answered(&self, id: u32, well: bool, line: &Line) {
        let kinds = Errand::ALL.len() as u32;
        let (errand, number) = (Errand::ALL[(id % kinds) as usize], id / kinds);
        let Some(due_ns) = self.schedules[errand as usize].due_ns(u64::from(number)) else {
            return;
        };
        if !well {
            return;
        }
        let now_ns = self.shared.since_start_ns(Instant::now());
        let mut ran = self.of(errand, due_ns);
        ran.failed -= 1;
        ran.answered += 1;
        ran.latency.record_ns(now_ns.saturating_sub(due_ns));
        drop(ran);
        if errand == Errand::Join {
            let scenario = &self.shared.scenario;
            let of = scenario.groups[0].channel_of_publish(number.wrapping_mul(CHANNEL_STRIDE));
            let channel = scenario.channel(0, of);
            let leave = Command::Unsubscribe(Unsubscribe { channel });
            line.send(encode(line.form, None, leave));
        }
    }

    /// Counts an errand in the stage of its due time. Until its answer comes it is a failed one.
    fn of(&self, errand: Errand, due_ns: u64) -> RefMut<'_, Ran> {
        let stage = self.shared.scenario.timeline.stage_of(due_ns);
        RefMut::map(self.errands.borrow_mut(), |errands| {
            &mut errands[stage][errand as usize]
        })
    }

    fn finish(&self) -> Errands {
        self.errands.take()
    }
}

impl Line {
    /// What a line that is full or gone does not take is lost: the errand stays counted as failed.
    fn send(&self, frame: Vec<u8>) {
        drop(self.frames.try_send(frame));
    }
}

fn encode(form: Form, id: Option<u32>, command: Command) -> Vec<u8> {
    frames::command(form, &encode_command(form, &Envelope { id, command }))
}

/// Frames that wait for one connection; more are lost, and so failed.
const FRAMES_WAITING_MAX: usize = 1_024;
/// Events or members of a page.
const PAGE: u32 = 50;
/// Spreads errands over channels otherwise than publishes.
const CHANNEL_STRIDE: u32 = 7_919;
/// The clock is started a while before its zero, so that nothing is late for this.
const START_LOOK: Duration = Duration::from_millis(10);
