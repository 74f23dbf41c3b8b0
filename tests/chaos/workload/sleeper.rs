//! Somebody who follows a channel and stops reading for a while, with little room in the kernel.

use std::net::SocketAddr;

use parlor_protocol::client::{ClientConfig, ClientEvent};
use parlor_protocol::command::Subscribe;
use parlor_tests::{Heard, Roamer};
use rand::rngs::StdRng;
use tokio::sync::watch;

use super::message;
use crate::recorder::{Fact, Name, Recorder};

/// What sleepers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sleep {
    Awake,
    Asleep,
    AwakeAgain,
}

/// One who sleeps.
#[derive(Debug)]
pub(crate) struct Sleeper {
    pub(crate) name: Name,
    pub(crate) recorder: Recorder,
    /// Dialled without a proxy, whose buffers would read for it.
    pub(crate) node: SocketAddr,
    pub(crate) channel: Name,
    /// The id of the last event to wait for.
    pub(crate) last: Name,
    /// What the kernel may take in for it.
    pub(crate) receive_bytes: u32,
    /// Bytes of payloads that may wait on the socket on which it sleeps: the server's bound, and the kernel's buffers.
    pub(crate) waiting_max: u64,
    pub(crate) orders: watch::Receiver<Sleep>,
}

impl Sleeper {
    /// Follows, sleeps, and when it is woken reads what it finds until it has seen the last event.
    pub(crate) async fn live(mut self, mut rng: StdRng) {
        let config = ClientConfig {
            user: Some(self.name.to_string()),
            ..ClientConfig::default()
        };
        let mut roamer = Roamer::new(vec![self.node], config, message::rng(&mut rng));
        roamer.receive_bytes = Some(self.receive_bytes);
        let wish = Subscribe::new(&*self.channel);
        roamer.session.subscribe(wish);
        let mut waiting = Some(0);
        loop {
            if *self.orders.borrow_and_update() == Sleep::Asleep {
                let woken = self.orders.wait_for(|order| *order == Sleep::AwakeAgain);
                if woken.await.is_err() {
                    return;
                }
            }
            tokio::select! {
                heard = roamer.next() => if self.hear(heard, &mut waiting) {
                    return;
                },
                changed = self.orders.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// True when it was the last event. `waiting` counts while the socket is that of the sleep.
    fn hear(&self, heard: Heard, waiting: &mut Option<u64>) -> bool {
        let is_awake_again = *self.orders.borrow() == Sleep::AwakeAgain;
        let (by, channel) = (self.name.clone(), self.channel.clone());
        match heard {
            Heard::Event(ClientEvent::Event { event, .. }) => {
                let bytes = event
                    .payload
                    .as_ref()
                    .map_or(0, |payload| payload.bytes.len());
                if let Some(waiting) = waiting.as_mut().filter(|_| is_awake_again) {
                    *waiting += bytes as u64;
                }
                let Some((place, id)) = message::read(&event) else {
                    return false;
                };
                let is_last = id == self.last;
                self.recorder.note(Fact::Received {
                    by,
                    channel,
                    place,
                    id,
                });
                if is_last {
                    self.measured(waiting.take());
                }
                is_last
            }
            Heard::Event(ClientEvent::Subscribed {
                subscribed,
                continuity,
            }) => {
                let fact = message::subscribed(&self.name, &subscribed, continuity);
                self.recorder.note(fact);
                false
            }
            Heard::Event(ClientEvent::Disconnected { code, .. }) => {
                self.recorder.note(Fact::Disconnected { by, code });
                if is_awake_again {
                    self.measured(waiting.take());
                }
                false
            }
            _ => false,
        }
    }

    fn measured(&self, waiting: Option<u64>) {
        if let Some(value) = waiting {
            let what = format!("bytes that waited for {}", self.name);
            let max = self.waiting_max;
            self.recorder.note(Fact::Measured { what, value, max });
        }
    }
}
