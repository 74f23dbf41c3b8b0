//! Somebody who publishes over WebSocket, each publish with an id, repeated until its outcome is known or its id may be forgotten.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parlor_protocol::client::{ClientEvent, Failure, RequestId};
use parlor_protocol::command::Publish;
use parlor_protocol::{ErrorCode, Position, Reply, WireError};
use parlor_tests::{Heard, Roamer, publish};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use tokio::time::Instant;

use super::{Part, Phase, REPEATED_FOR_MAX, message};
use crate::recorder::{Fact, Name, Outcome};

/// Publishes without an answer. A writer waits rather than have more.
const OPEN_MAX: usize = 16;
/// Before a repetition where the server gave no advice.
const RETRY: Duration = Duration::from_millis(200);
const PADDING_MAX: usize = 400;

#[derive(Clone, Debug)]
struct Open {
    channel: Name,
    id: Name,
    padding: usize,
    since: Instant,
}

#[derive(Debug)]
struct Writer {
    part: Part,
    roamer: Roamer,
    rng: StdRng,
    said: u64,
    asked: HashMap<RequestId, Open>,
    /// To be repeated, by when.
    again: BTreeMap<(Instant, Name), Open>,
}

/// Until the run is over, or everything is answered and nothing more is wanted.
pub(super) async fn live(part: Part, mut rng: StdRng) {
    let config = part.config(&mut rng);
    let roamer = Roamer::new(part.nodes.clone(), config, message::rng(&mut rng));
    let mut orders = part.orders.clone();
    let mut tick = tokio::time::interval(part.scale.pause);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut writer = Writer {
        part,
        roamer,
        rng,
        said: 0,
        asked: HashMap::new(),
        again: BTreeMap::new(),
    };
    let mut storms = 0;
    loop {
        tokio::select! {
            heard = writer.roamer.next() => writer.hear(heard),
            _ = tick.tick() => {
                writer.repeat();
                if orders.borrow().phase == Phase::Working {
                    writer.say();
                }
            }
            changed = orders.changed() => {
                let now = *orders.borrow_and_update();
                if changed.is_err() || now.phase == Phase::Over {
                    return;
                }
                if now.storms != storms {
                    storms = now.storms;
                    writer.roamer.lose_socket();
                }
            }
        }
        let is_done = writer.asked.is_empty() && writer.again.is_empty();
        if is_done && orders.borrow().phase != Phase::Working {
            return;
        }
    }
}

impl Writer {
    fn say(&mut self) {
        if self.asked.len() + self.again.len() >= OPEN_MAX {
            return;
        }
        self.said += 1;
        let channel = self
            .part
            .channels
            .choose(&mut self.rng)
            .expect("channels")
            .clone();
        let id = format!("{}-{}", self.part.name, self.said).into();
        let padding = self.rng.random_range(0..PADDING_MAX);
        self.ask(Open {
            channel,
            id,
            padding,
            since: Instant::now(),
        });
    }

    fn repeat(&mut self) {
        while let Some(entry) = self.again.first_entry()
            && entry.key().0 <= Instant::now()
        {
            let open = entry.remove();
            if open.since.elapsed() <= REPEATED_FOR_MAX {
                self.ask(open);
            }
        }
    }

    fn ask(&mut self, open: Open) {
        let command = Publish {
            id: Some(open.id.to_string()),
            ..publish(&open.channel, message::payload(&open.id, open.padding))
        };
        let (by, channel, id) = (
            self.part.name.clone(),
            open.channel.clone(),
            open.id.clone(),
        );
        self.part.recorder.note(Fact::Asked { by, channel, id });
        match self.roamer.session.publish(command) {
            Ok(request) => {
                self.asked.insert(request, open);
            }
            Err(_) => self.later(open, RETRY),
        }
    }

    fn later(&mut self, open: Open, delay: Duration) {
        self.again
            .insert((Instant::now() + delay, open.id.clone()), open);
    }

    fn hear(&mut self, heard: Heard) {
        let Heard::Event(ClientEvent::Reply { request, result }) = heard else {
            return;
        };
        let Some(open) = self.asked.remove(&request) else {
            return;
        };
        let outcome = match result {
            Ok(Reply::Publish(published)) => match published.position.parse::<Position>() {
                Ok(position) => Outcome::Acked(position.into()),
                Err(_) => Outcome::Unknown(format!("no position: {}", published.position)),
            },
            Ok(other) => Outcome::Unknown(format!("another reply: {other:?}")),
            Err(Failure::Refused(error)) => {
                if error.is_retryable() {
                    self.later(
                        open.clone(),
                        error.retry_after_ms.map_or(RETRY, Duration::from_millis),
                    );
                }
                outcome_of(&error)
            }
            Err(failure) => Outcome::Unknown(failure.to_string()),
        };
        let (by, channel, id) = (self.part.name.clone(), open.channel, open.id);
        self.part.recorder.note(Fact::Answered {
            by,
            channel,
            id,
            outcome,
        });
    }
}

/// What an error says of the publish. Only what was turned away at the door is certainly not applied.
pub(super) fn outcome_of(error: &WireError) -> Outcome {
    let text = error.to_string();
    match error.kind() {
        Some(ErrorCode::Busy | ErrorCode::RateLimited | ErrorCode::Draining) => {
            Outcome::Refused(text)
        }
        _ if !error.is_retryable() => Outcome::Refused(text),
        _ => Outcome::Unknown(text),
    }
}
