//! Somebody who follows a channel for a moment, leaves it, and listens whether anything of it still comes.

use std::time::Duration;

use parlor_protocol::client::ClientEvent;
use parlor_protocol::codec::ServerMessage;
use parlor_protocol::command::Subscribe;
use parlor_protocol::{Alias, Event, Push, Reply};
use parlor_tests::{Heard, Roamer};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use tokio::time::Instant;

use super::{Part, Phase, message};
use crate::recorder::{Fact, Name};

/// How it stands with the channel that it follows, or followed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Following,
    /// Unsubscribed; the answer is to come.
    Leaving,
    Left,
}

#[derive(Debug)]
struct Leaver {
    part: Part,
    roamer: Roamer,
    rng: StdRng,
    channel: Name,
    /// On the present socket.
    alias: Option<Alias>,
    stage: Stage,
}

/// Until the run is over.
pub(super) async fn live(part: Part, mut rng: StdRng) {
    let config = part.config(&mut rng);
    let mut roamer = Roamer::new(part.nodes.clone(), config, message::rng(&mut rng));
    // The session hides what comes too late.
    roamer.watched = true;
    let mut orders = part.orders.clone();
    let channel = part.channels[0].clone();
    let mut leaver = Leaver {
        part,
        roamer,
        rng,
        channel,
        alias: None,
        stage: Stage::Left,
    };
    loop {
        let turn = Duration::from_millis(leaver.rng.random_range(100..600));
        let turn = Instant::now() + turn;
        if orders.borrow().phase == Phase::Working {
            leaver.turn();
        }
        loop {
            tokio::select! {
                heard = leaver.roamer.next() => leaver.hear(heard),
                () = tokio::time::sleep_until(turn) => break,
                changed = orders.changed() => {
                    let phase = orders.borrow_and_update().phase;
                    if changed.is_err() || phase == Phase::Over {
                        return;
                    }
                    if phase != Phase::Working {
                        leaver.leave();
                    }
                }
            }
        }
    }
}

impl Leaver {
    fn turn(&mut self) {
        match self.stage {
            Stage::Following => self.leave(),
            Stage::Leaving => {}
            Stage::Left => {
                let channels = &self.part.channels;
                self.channel = channels.choose(&mut self.rng).expect("channels").clone();
                self.alias = None;
                self.stage = Stage::Following;
                let wish = Subscribe::new(&*self.channel);
                self.roamer.session.subscribe(wish);
            }
        }
    }

    fn leave(&mut self) {
        if self.stage != Stage::Following {
            return;
        }
        self.roamer.session.unsubscribe(&self.channel);
        self.stage = Stage::Leaving;
        if self.alias.is_none() {
            // It never began on this socket, so nobody answers.
            self.left();
        }
    }

    fn left(&mut self) {
        self.stage = Stage::Left;
        let (by, channel) = (self.part.name.clone(), self.channel.clone());
        self.part.recorder.note(Fact::Left { by, channel });
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Raw(ServerMessage::Reply {
                result: Ok(Reply::Unsubscribe(_)),
                ..
            }) if self.stage == Stage::Leaving => self.left(),
            // The server had ended the subscription already, for example since something was lost.
            Heard::Raw(ServerMessage::Reply { result: Err(_), .. })
                if self.stage == Stage::Leaving =>
            {
                self.left();
            }
            Heard::Raw(ServerMessage::Push(Push::Event { alias, event }))
                if self.stage == Stage::Left && self.alias == Some(alias) =>
            {
                self.received(&event);
            }
            Heard::Event(ClientEvent::Subscribed {
                subscribed,
                continuity,
            }) if *subscribed.channel == *self.channel && self.stage == Stage::Following => {
                self.alias = Some(subscribed.alias);
                let fact = message::subscribed(&self.part.name, &subscribed, continuity);
                self.part.recorder.note(fact);
            }
            Heard::Event(ClientEvent::Lost { channel, from, to })
                if *channel == *self.channel && self.stage == Stage::Following =>
            {
                let by = self.part.name.clone();
                self.part.recorder.note(Fact::ToldLost {
                    by,
                    channel,
                    from,
                    to,
                });
            }
            Heard::Event(ClientEvent::Event { event, .. }) => self.received(&event),
            Heard::Event(ClientEvent::Disconnected { code, .. }) => {
                let by = self.part.name.clone();
                self.part.recorder.note(Fact::Disconnected { by, code });
                // Aliases end with their socket, and so does what waits for an answer on it.
                self.alias = None;
                if self.stage == Stage::Leaving {
                    self.left();
                }
            }
            _ => {}
        }
    }

    fn received(&self, event: &Event) {
        if let Some((place, id)) = message::read(event) {
            let (by, channel) = (self.part.name.clone(), self.channel.clone());
            let fact = Fact::Received {
                by,
                channel,
                place,
                id,
            };
            self.part.recorder.note(fact);
        }
    }
}
