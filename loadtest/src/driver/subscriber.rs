//! What a thread's subscribers have received: state without sockets, so that it can be tested by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parlor_protocol::codec::{ServerMessage, decode_server};
use parlor_protocol::reply::{Connected, SubscribeOutcome};
use parlor_protocol::{Form, Push, Reply};
use serde::{Deserialize, Serialize};

use crate::checker::{Checker, Faults};
use crate::dialect::{Dialect, Ear, Heard, Talk};
use crate::driver::Shared;
use crate::driver::series::Second;
use crate::frames::{self, BadFrame, Frame};
use crate::histogram::Latencies;
use crate::scan::{Scanner, Sighting};

mod coming;
mod pace;
mod returns;

pub(crate) use pace::Pace;
use returns::Lack;
pub(crate) use returns::Returns;

/// All subscribers of one thread, and what was measured on them.
#[derive(Debug)]
pub(crate) struct Subscribers {
    shared: Arc<Shared>,
    group: usize,
    /// By [`Form`].
    scanners: [Scanner; Form::ALL.len()],
    /// Where the server is not Parlor; stands aside while it is listened with.
    ear: Option<Ear>,
    subscribers: Vec<Subscriber>,
    sampled: u64,
    second: Second,
    /// Of the read that is being taken.
    batch: Batch,
    pub(crate) stages: Vec<Received>,
    pub(crate) opening: Latencies,
    pub(crate) returns: Returns,
    pub(crate) faults: Faults,
    /// Events of a channel that the subscriber did not ask for.
    pub(crate) foreign: u64,
    /// Sampled events where the scan and the codec disagreed: a fault of this tool.
    pub(crate) misread: u64,
    /// Those that were still waiting for their answer at the end.
    pub(crate) unanswered: u64,
    /// Why connections failed or ended, and how often.
    pub(crate) ends: BTreeMap<String, u64>,
}

/// One stage's deliveries.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Received {
    /// Due in it, whenever they came.
    pub(crate) deliveries: u64,
    /// Come in it, whenever they were due.
    pub(crate) arrived: u64,
    /// From the due time to the subscriber's read.
    pub(crate) latency: Latencies,
    /// From the time of sending.
    pub(crate) raw: Latencies,
}

/// What one read brought, handed to the shared counters at its end: they would cost more than the rest of a delivery.
#[derive(Debug, Default)]
struct Batch {
    deliveries: u64,
    faults: u64,
}

/// What a subscriber speaks.
#[derive(Debug)]
enum Speech {
    Parlor(Form),
    /// Absent while it is being listened to.
    Peer(Option<Box<Talk>>),
}

#[derive(Debug)]
struct Subscriber {
    channel: Option<u32>,
    opened_at: Instant,
    pace: Pace,
    was_ready: bool,
    /// It was cut, and does not have everything again.
    lacks: Option<Lack>,
    state: State,
    speech: Speech,
}

#[derive(Debug)]
enum State {
    /// With what it had received, if it comes back.
    Opening(Option<Checker>),
    /// Cut on purpose, or sent away for being slow on purpose.
    Away(Option<Checker>),
    /// Subscribed to nothing.
    Idle,
    Live {
        alias: u32,
        checker: Checker,
    },
    Ended(Option<Checker>),
}

impl Subscribers {
    pub(crate) fn new(shared: Arc<Shared>, group: usize) -> Self {
        let stages = shared
            .scenario
            .timeline
            .stages()
            .iter()
            .map(|_| Received::default())
            .collect();
        let dialect = shared.scenario.load.dialect();
        Self {
            shared,
            group,
            scanners: Form::ALL.map(Scanner::new),
            ear: (!dialect.acknowledges()).then(|| Ear::new(dialect)),
            subscribers: Vec::new(),
            sampled: 0,
            second: Second::new(group),
            batch: Batch::default(),
            stages,
            opening: Latencies::new(),
            returns: Returns::default(),
            faults: Faults::default(),
            foreign: 0,
            misread: 0,
            unanswered: 0,
            ends: BTreeMap::new(),
        }
    }

    /// The handshake is over. Where there is nothing else to say, the subscription has begun.
    pub(crate) fn opened(&mut self, index: usize, now: Instant) {
        if self.shared.scenario.load.dialect().names_channels_in_url() {
            self.begin_with_peer(index, now);
        }
    }

    /// Hands what a read brought to the counters that all threads share.
    pub(crate) fn finish_read(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if batch.deliveries == 0 {
            return;
        }
        let progress = &self.shared.progress;
        progress.deliveries.add(batch.deliveries);
        progress.faults.add(batch.faults);
    }

    pub(crate) fn is_opening(&self, index: usize) -> bool {
        matches!(self.subscribers[index].state, State::Opening(_))
    }

    /// The connection is over. The first reason counts.
    pub(crate) fn end(&mut self, index: usize, why: &str) {
        let pace = self.subscribers[index].pace;
        match &self.subscribers[index].state {
            State::Ended(_) | State::Away(_) => return,
            State::Idle | State::Live { .. } if pace == Pace::Slow => {
                self.cut(index);
                *self
                    .ends
                    .entry(format!("a slow reader, on purpose: {why}"))
                    .or_default() += 1;
                return;
            }
            State::Opening(_) => {
                self.shared.progress.failed.add(1);
                self.settles(pace);
            }
            State::Idle | State::Live { .. } => self.shared.progress.closed.add(1),
        }
        let state = &mut self.subscribers[index].state;
        let checker = match std::mem::replace(state, State::Ended(None)) {
            State::Live { checker, .. } => Some(checker),
            State::Opening(checker) => checker,
            State::Idle | State::Away(_) | State::Ended(_) => None,
        };
        *state = State::Ended(checker);
        *self.ends.entry(why.to_owned()).or_default() += 1;
    }

    /// Takes a frame that was read at `now`; what must be answered goes to `outgoing`.
    pub(crate) fn take(
        &mut self,
        index: usize,
        frame: &Frame<'_>,
        now: Instant,
        outgoing: &mut Vec<u8>,
    ) -> Result<(), BadFrame> {
        match frame {
            Frame::Data(payload) => self.take_data(index, payload, now, outgoing),
            Frame::Ping(payload) => {
                outgoing.extend(frames::pong(payload));
                Ok(())
            }
            Frame::Pong => Ok(()),
            Frame::Close(code) => {
                self.end(
                    index,
                    &code.map_or_else(|| "closed".to_owned(), |code| format!("closed with {code}")),
                );
                Ok(())
            }
        }
    }

    /// At the end: compares what every live subscriber has with what was acknowledged.
    pub(crate) fn finish(&mut self) {
        self.second.hand_over(&self.shared.series);
        self.count_unanswered();
        // What waits unread for those that are stuck is nobody's fault.
        let reading = self.subscribers.iter();
        for subscriber in reading.filter(|one| one.pace != Pace::Stuck) {
            match (&subscriber.state, subscriber.channel) {
                (State::Live { checker, .. }, Some(channel)) => {
                    checker.finish(self.shared.top(self.group, channel), &mut self.faults)
                }
                // It is counted as closed already; only holes before its end are faults of their own.
                (
                    State::Ended(Some(checker))
                    | State::Away(Some(checker))
                    | State::Opening(Some(checker)),
                    _,
                ) => checker.finish(0, &mut self.faults),
                (_, _) => {}
            }
        }
    }

    fn take_data(
        &mut self,
        index: usize,
        payload: &[u8],
        now: Instant,
        outgoing: &mut Vec<u8>,
    ) -> Result<(), BadFrame> {
        let Speech::Parlor(form) = self.subscribers[index].speech else {
            self.take_from_peer(index, payload, now, outgoing);
            return Ok(());
        };
        let Some(sighting) = self.scanners[form as usize].scan(payload) else {
            return self.take_slowly(form, index, payload, now, outgoing);
        };
        self.sampled += 1;
        if self.sampled.is_multiple_of(SAMPLE_EVERY) && !agrees(form, payload, sighting) {
            self.misread += 1;
        }
        self.take_event(index, sighting, now);
        Ok(())
    }

    fn take_from_peer(
        &mut self,
        index: usize,
        payload: &[u8],
        now: Instant,
        outgoing: &mut Vec<u8>,
    ) {
        let Speech::Peer(talk) = &mut self.subscribers[index].speech else {
            return;
        };
        let Some((mut talk, mut ear)) = talk.take().zip(self.ear.take()) else {
            return;
        };
        ear.listen(&mut talk, payload, |heard| match heard {
            Heard::Delivery(sighting) => self.take_event(index, sighting, now),
            Heard::Ready => self.begin_with_peer(index, now),
            Heard::Answer(frame) => outgoing.extend(frame),
            Heard::Refused(why) => self.end(index, &format!("refused: {why}")),
        });
        self.ear = Some(ear);
        self.subscribers[index].speech = Speech::Peer(Some(talk));
    }

    fn take_event(&mut self, index: usize, sighting: Sighting, now: Instant) {
        let subscriber = &mut self.subscribers[index];
        // Who is late on purpose is checked, but not timed.
        let prompt = subscriber.pace == Pace::Prompt;
        let State::Live { alias, checker } = &mut subscriber.state else {
            self.foreign += 1;
            return;
        };
        if *alias != sighting.alias {
            self.foreign += 1;
            return;
        }
        self.batch.faults += u64::from(!checker.see(sighting.offset, &mut self.faults));
        self.batch.deliveries += 1;
        if let Some(lack) = subscriber
            .lacks
            .take_if(|lack| lack.ends_with(sighting.offset))
        {
            self.returns.has_all(&lack, now);
        }
        let Some(stamp) = sighting.stamp.filter(|_| prompt) else {
            return;
        };
        let timeline = &self.shared.scenario.timeline;
        let at = self.shared.since_start_ns(now);
        // What comes while the run drains is checked and timed, but it is more than the server carried in a stage.
        if let Some(stage) = timeline.stage_at(at) {
            self.stages[stage].arrived += 1;
        }
        let stage = &mut self.stages[timeline.stage_of(stamp.due_ns)];
        stage.deliveries += 1;
        // All is counted and checked, but of a long backlog read at once only every eighth latency is recorded, for eight.
        let weight = match self.batch.deliveries {
            ..=RECORDED_ALL => 1,
            number if number.is_multiple_of(RECORDED_EVERY) => RECORDED_EVERY,
            _ => return,
        };
        let latency = at.saturating_sub(stamp.due_ns);
        stage.latency.record_many_ns(latency, weight);
        stage
            .raw
            .record_many_ns(at.saturating_sub(stamp.sent_ns), weight);
        self.second.record(&self.shared.series, at, latency, weight);
    }

    /// Everything but plain live events goes through the real codec.
    fn take_slowly(
        &mut self,
        form: Form,
        index: usize,
        payload: &[u8],
        now: Instant,
        outgoing: &mut Vec<u8>,
    ) -> Result<(), BadFrame> {
        for message in decode_server(form, payload)
            .map_err(|_| BadFrame("a frame that the codec does not read"))?
        {
            match message {
                ServerMessage::Reply {
                    result: Ok(Reply::Connect(connected)),
                    ..
                } => self.begin(index, &connected, now),
                ServerMessage::Reply {
                    result: Err(error), ..
                } => self.end(index, &format!("refused: {}", error.text)),
                ServerMessage::Push(Push::Event { alias, event }) => {
                    if let Some(offset) = event.offset {
                        self.take_event(
                            index,
                            Sighting {
                                alias: alias.0,
                                offset,
                                stamp: None,
                            },
                            now,
                        );
                    }
                }
                ServerMessage::Push(Push::Advance(advance)) => {
                    if let State::Live { checker, .. } = &mut self.subscribers[index].state {
                        checker.pass(advance.offset, &mut self.faults);
                    }
                }
                ServerMessage::Push(Push::Ping) => outgoing.extend(Dialect::Parlor(form).pong()),
                ServerMessage::Push(Push::Disconnect(disconnect)) => {
                    self.end(index, &format!("disconnected: {}", disconnect.name))
                }
                ServerMessage::Push(Push::Unsubscribed(gone)) => {
                    self.end(index, &format!("unsubscribed: {}", gone.reason))
                }
                ServerMessage::Push(
                    Push::Presence(_)
                    | Push::Subscribed(_)
                    | Push::TokenExpiring(_)
                    | Push::Status(_)
                    | Push::Unknown,
                )
                | ServerMessage::Reply { .. } => {}
            }
        }
        Ok(())
    }

    /// The server has answered `connect`.
    fn begin(&mut self, index: usize, connected: &Connected, now: Instant) {
        let state = match connected.subscriptions.as_slice() {
            [] => State::Idle,
            [SubscribeOutcome::Subscribed(subscribed), ..] => State::Live {
                alias: subscribed.alias.0,
                checker: self.checker(index, subscribed),
            },
            [SubscribeOutcome::Refused { error, .. }, ..] => {
                return self.end(index, &format!("refused: {}", error.text));
            }
        };
        self.start(index, state, now);
    }

    /// A server that numbers nothing: what it sends counts from the first publish of the run.
    fn begin_with_peer(&mut self, index: usize, now: Instant) {
        if !self.is_opening(index) {
            return;
        }
        let subscriber = &mut self.subscribers[index];
        let state = match subscriber.channel {
            None => State::Idle,
            Some(_) => State::Live {
                alias: 0,
                // What is published while it is away is missed, since nobody here asks such a server for it.
                checker: subscriber.resumed().unwrap_or_else(|| Checker::behind(0)),
            },
        };
        self.start(index, state, now);
    }

    fn start(&mut self, index: usize, state: State, now: Instant) {
        if self.is_opening(index) {
            self.settles(self.subscribers[index].pace);
        }
        let subscriber = &mut self.subscribers[index];
        subscriber.state = state;
        if let Some(lack) = subscriber.lacks.take_if(|lack| lack.is_nothing()) {
            self.returns.has_all(&lack, now);
        }
        let again = std::mem::replace(&mut subscriber.was_ready, true);
        self.opening
            .record_ns(u64::try_from((now - subscriber.opened_at).as_nanos()).unwrap_or(u64::MAX));
        if again {
            self.shared.progress.away.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.shared.progress.ready.add(1);
        }
    }
}

/// Whether the codec reads the same as the scan.
fn agrees(form: Form, payload: &[u8], sighting: Sighting) -> bool {
    let Ok(messages) = decode_server(form, payload) else {
        return false;
    };
    matches!(messages.as_slice(), [ServerMessage::Push(Push::Event { alias, event })]
        if alias.0 == sighting.alias && event.offset == Some(sighting.offset) && event.payload.is_some())
}

/// One live event in so many is also read by the real codec: costs about 1 % of a delivery.
const SAMPLE_EVERY: u64 = 256;
/// Of one read.
const RECORDED_ALL: u64 = 8;
const RECORDED_EVERY: u64 = 8;

#[cfg(test)]
mod tests;
