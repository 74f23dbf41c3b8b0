//! What a thread's subscribers have received: state without sockets, so that it can be tested by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parlor_protocol::codec::{ServerMessage, decode_server, encode_command};
use parlor_protocol::command::{ClientInfo, Connect, Pong, Subscribe};
use parlor_protocol::reply::{Connected, SubscribeOutcome};
use parlor_protocol::{Command, Envelope, Form, Push, Reply};
use serde::{Deserialize, Serialize};

use crate::checker::{Checker, Faults};
use crate::driver::Shared;
use crate::driver::series::Second;
use crate::frames::{self, BadFrame, Frame};
use crate::histogram::Latencies;
use crate::scan::{Scanner, Sighting};

/// All subscribers of one thread, and what was measured on them.
#[derive(Debug)]
pub(crate) struct Subscribers {
    shared: Arc<Shared>,
    group: usize,
    scanner: Scanner,
    subscribers: Vec<Subscriber>,
    sampled: u64,
    second: Second,
    pub(crate) stages: Vec<Received>,
    pub(crate) opening: Latencies,
    pub(crate) faults: Faults,
    /// Events of a channel that the subscriber did not ask for.
    pub(crate) foreign: u64,
    /// Sampled events where the scan and the codec disagreed: a fault of this tool.
    pub(crate) misread: u64,
    /// Why connections failed or ended, and how often.
    pub(crate) ends: BTreeMap<String, u64>,
}

/// One stage's deliveries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Received {
    pub(crate) deliveries: u64,
    /// From the due time to the subscriber's read.
    pub(crate) latency: Latencies,
    /// From the time of sending.
    pub(crate) raw: Latencies,
}

#[derive(Debug)]
struct Subscriber {
    channel: Option<u32>,
    opened_at: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    Opening,
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
        let stage = || Received {
            deliveries: 0,
            latency: Latencies::new(),
            raw: Latencies::new(),
        };
        let stages = shared
            .scenario
            .timeline
            .stages()
            .iter()
            .map(|_| stage())
            .collect();
        let scanner = Scanner::new(shared.scenario.load.form);
        Self {
            shared,
            group,
            scanner,
            subscribers: Vec::new(),
            sampled: 0,
            second: Second::new(group),
            stages,
            opening: Latencies::new(),
            faults: Faults::default(),
            foreign: 0,
            misread: 0,
            ends: BTreeMap::new(),
        }
    }

    /// Makes room for a subscriber; returns its index.
    pub(crate) fn add(&mut self, channel: Option<u32>, now: Instant) -> usize {
        self.subscribers.push(Subscriber {
            channel,
            opened_at: now,
            state: State::Opening,
        });
        self.subscribers.len() - 1
    }

    pub(crate) fn is_opening(&self, index: usize) -> bool {
        matches!(self.subscribers[index].state, State::Opening)
    }

    /// The connection is over. The first reason counts.
    pub(crate) fn end(&mut self, index: usize, why: &str) {
        let state = &mut self.subscribers[index].state;
        match state {
            State::Ended(_) => return,
            State::Opening => self.shared.progress.failed.add(1),
            State::Idle | State::Live { .. } => self.shared.progress.closed.add(1),
        }
        let checker = match std::mem::replace(state, State::Ended(None)) {
            State::Live { checker, .. } => Some(checker),
            State::Opening | State::Idle | State::Ended(_) => None,
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
        for subscriber in &self.subscribers {
            match (&subscriber.state, subscriber.channel) {
                (State::Live { checker, .. }, Some(channel)) => {
                    checker.finish(self.shared.top(self.group, channel), &mut self.faults)
                }
                // It is counted as closed already; only holes before its end are faults of their own.
                (State::Ended(Some(checker)), _) => checker.finish(0, &mut self.faults),
                (State::Opening | State::Idle | State::Live { .. } | State::Ended(_), _) => {}
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
        let Some(sighting) = self.scanner.scan(payload) else {
            return self.take_slowly(index, payload, now, outgoing);
        };
        self.sampled += 1;
        if self.sampled.is_multiple_of(SAMPLE_EVERY)
            && !agrees(self.shared.scenario.load.form, payload, sighting)
        {
            self.misread += 1;
        }
        self.take_event(index, sighting, now);
        Ok(())
    }

    fn take_event(&mut self, index: usize, sighting: Sighting, now: Instant) {
        let State::Live { alias, checker } = &mut self.subscribers[index].state else {
            self.foreign += 1;
            return;
        };
        if *alias != sighting.alias {
            self.foreign += 1;
            return;
        }
        if !checker.see(sighting.offset, &mut self.faults) {
            self.shared.progress.faults.add(1);
        }
        self.shared.progress.deliveries.add(1);
        if let Some(stamp) = sighting.stamp {
            let at = self.shared.since_start_ns(now);
            let latency = at.saturating_sub(stamp.due_ns);
            let stage = &mut self.stages[self.shared.scenario.timeline.stage_of(stamp.due_ns)];
            stage.deliveries += 1;
            stage.latency.record_ns(latency);
            stage.raw.record_ns(at.saturating_sub(stamp.sent_ns));
            self.second.record(&self.shared.series, at, latency);
        }
    }

    /// Everything but plain live events goes through the real codec.
    fn take_slowly(
        &mut self,
        index: usize,
        payload: &[u8],
        now: Instant,
        outgoing: &mut Vec<u8>,
    ) -> Result<(), BadFrame> {
        let form = self.shared.scenario.load.form;
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
                ServerMessage::Push(Push::Ping) => outgoing.extend(pong(form)),
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
                checker: Checker::behind(subscribed.offset),
            },
            [SubscribeOutcome::Refused { error, .. }, ..] => {
                return self.end(index, &format!("refused: {}", error.text));
            }
        };
        let subscriber = &mut self.subscribers[index];
        subscriber.state = state;
        self.opening
            .record_ns(u64::try_from((now - subscriber.opened_at).as_nanos()).unwrap_or(u64::MAX));
        self.shared.progress.ready.add(1);
    }
}

/// The first frame of a connection: who it is and what it wants.
pub(crate) fn connect(
    form: Form,
    token: Option<String>,
    user: String,
    channel: Option<String>,
) -> Vec<u8> {
    let subscription = |channel| Subscribe {
        channel,
        token: None,
        recover: None,
        presence: false,
    };
    let connect = Connect {
        user: token.is_none().then_some(user),
        token,
        client: Some(ClientInfo {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        subscriptions: channel.into_iter().map(subscription).collect(),
        ..Connect::default()
    };
    frames::command(
        form,
        &encode_command(
            form,
            &Envelope {
                id: Some(CONNECT_ID),
                command: Command::Connect(connect),
            },
        ),
    )
}

/// The answer to the server's `ping` push.
pub(crate) fn pong(form: Form) -> Vec<u8> {
    frames::command(
        form,
        &encode_command(
            form,
            &Envelope {
                id: None,
                command: Command::Pong(Pong {}),
            },
        ),
    )
}

/// Whether the codec reads the same as the scan.
fn agrees(form: Form, payload: &[u8], sighting: Sighting) -> bool {
    let Ok(messages) = decode_server(form, payload) else {
        return false;
    };
    matches!(messages.as_slice(), [ServerMessage::Push(Push::Event { alias, event })]
        if alias.0 == sighting.alias && event.offset == Some(sighting.offset) && event.payload.is_some())
}

/// The number of `connect`, out of the way of the publishes' numbers.
pub(crate) const CONNECT_ID: u32 = u32::MAX;
/// One live event in so many is also read by the real codec: costs about 1 % of a delivery.
const SAMPLE_EVERY: u64 = 256;
