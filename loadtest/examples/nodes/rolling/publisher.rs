//! Publishes by a clock that no server can slow down, with ids, so that whatever is not answered is said again elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parlor_protocol::Reply;
use parlor_protocol::client::{ClientConfig, ClientEvent, RequestId};
use parlor_protocol::command::Publish;
use parlor_tests::{Heard, Roamer, publish};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Shared;
use super::client::Orders;
use super::message::{self, Mark};

/// What became of one publisher's messages.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) acknowledged: u64,
    /// Answered as "known already": an answer was lost and the message was repeated.
    pub(crate) repeated: u64,
    /// Refused for good, or never answered.
    pub(crate) failed: u64,
    pub(crate) complaints: Vec<String>,
    /// From the due time of each message to its answer, in ns.
    pub(crate) answered_ns: Vec<u64>,
}

pub(super) struct Publisher {
    shared: Arc<Shared>,
    roamer: Roamer,
    number: usize,
    every: Duration,
    /// Number, channel and due time of what is not answered.
    waiting: HashMap<RequestId, (usize, Mark)>,
    said: Said,
}

impl Publisher {
    /// One of `count` publishers, each with channels of its own.
    pub(super) fn new(shared: Arc<Shared>, number: usize, count: usize, rate: f64) -> Self {
        let config = ClientConfig {
            user: Some(format!("p{number}")),
            ..ClientConfig::default()
        };
        let rng = StdRng::seed_from_u64(u64::MAX - number as u64);
        let roamer = Roamer::new(shared.nodes.clone(), config, rng);
        Self {
            every: Duration::from_secs_f64(count as f64 / rate),
            shared,
            roamer,
            number,
            waiting: HashMap::new(),
            said: Said::default(),
        }
    }

    /// Publishes until it is told to stop, and stays until everything is answered or time is up.
    pub(super) async fn live(
        mut self,
        count: usize,
        mut stop: Orders,
        mut time_is_up: Orders,
    ) -> Said {
        let mut clock = clock(self.every);
        let mut channel = self.number;
        let mut goes_on = true;
        while goes_on || !self.waiting.is_empty() {
            tokio::select! {
                due = clock.tick(), if goes_on => {
                    let due_ns = self.shared.at_ns(due.into_std());
                    self.publish(channel % self.shared.channels.len(), due_ns);
                    channel += count;
                }
                heard = self.roamer.next() => if let Heard::Event(event) = heard { self.take(event) },
                _ = stop.changed(), if goes_on => goes_on = false,
                _ = time_is_up.changed() => break,
            }
        }
        self.said.failed += self.waiting.len() as u64;
        self.said
    }

    fn publish(&mut self, channel: usize, due_ns: u64) {
        let number = self.shared.messages.fetch_add(1, Ordering::AcqRel);
        let mark = Mark { number, due_ns };
        let publish = Publish {
            id: Some(format!("m{number}")),
            ..publish(&self.shared.channels[channel], message::payload(mark))
        };
        match self.roamer.session.publish(publish) {
            Ok(request) => drop(self.waiting.insert(request, (channel, mark))),
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn take(&mut self, event: ClientEvent) {
        let ClientEvent::Reply { request, result } = event else {
            return;
        };
        let Some((channel, mark)) = self.waiting.remove(&request) else {
            return;
        };
        match result {
            Ok(Reply::Publish(published)) => {
                let now = self.shared.now_ns();
                self.said.answered_ns.push(now.saturating_sub(mark.due_ns));
                self.said.acknowledged += 1;
                self.said.repeated += u64::from(published.duplicate);
                self.shared
                    .ledger
                    .acknowledged(channel, published.offset, mark.number);
            }
            Ok(other) => self.fail(format!("{other:?}")),
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn fail(&mut self, what: String) {
        self.said.failed += 1;
        if self.said.complaints.is_empty() {
            self.said.complaints.push(what);
        }
    }
}

fn clock(every: Duration) -> Interval {
    let mut clock = interval(every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    clock
}
