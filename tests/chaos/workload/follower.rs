//! Somebody who follows channels across all sockets and nodes.

use parlor_protocol::client::{ClientEvent, Continuity};
use parlor_protocol::codec::ServerMessage;
use parlor_protocol::command::Subscribe;
use parlor_protocol::reply::Subscribed;
use parlor_protocol::{Alias, Push};
use parlor_tests::{Heard, Roamer};
use rand::Rng as _;
use rand::rngs::StdRng;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

use super::holder::Holder;
use super::{Part, Phase, message};
use crate::recorder::{Fact, Name};

/// How somebody behaves when the run nears its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    Stays,
    /// Unsubscribes.
    Politely,
    /// Loses the socket and never comes back.
    Abruptly,
}

/// A hole that was told, whose missing event may come yet.
#[derive(Debug)]
struct Hole {
    channel: Name,
    alias: Option<Alias>,
    offset: u64,
}

#[derive(Debug)]
pub(super) struct Follower {
    part: Part,
    channels: Vec<Name>,
    parting: Parting,
    roamer: Roamer,
    holder: Holder,
    rng: StdRng,
    aliases: HashMap<Name, Alias>,
    holes: Vec<Hole>,
    /// When it next loses the socket of its own accord. Not everybody is restless.
    restless: Option<Instant>,
    storms: u64,
}

impl Follower {
    pub(super) fn new(
        part: Part,
        channels: Vec<Name>,
        parting: Parting,
        holder: Holder,
        mut rng: StdRng,
    ) -> Self {
        let config = part.config(&mut rng);
        let mut roamer = Roamer::new(part.nodes.clone(), config, message::rng(&mut rng));
        for channel in &channels {
            let wants_presence = rng.random_bool(0.3) || holder.holds(channel);
            roamer
                .session
                .subscribe(Subscribe::new(&**channel).with_presence(wants_presence));
        }
        let restless = rng.random_bool(0.3);
        Self {
            part,
            channels,
            parting,
            roamer,
            holder,
            restless: restless.then(|| next_unrest(&mut rng)),
            rng,
            aliases: HashMap::new(),
            holes: Vec::new(),
            storms: 0,
        }
    }

    pub(super) async fn live(mut self) {
        loop {
            let unrest = self.restless;
            let due = self.holder.due();
            tokio::select! {
                heard = self.roamer.next() => self.hear(heard),
                changed = self.part.orders.changed() => {
                    if changed.is_err() || self.obey() {
                        return;
                    }
                }
                () = until(unrest) => {
                    self.roamer.lose_socket();
                    self.restless = Some(next_unrest(&mut self.rng));
                }
                () = until(due) => self.holder.ask_due(&mut self.roamer.session),
            }
        }
    }

    /// True when it is over.
    fn obey(&mut self) -> bool {
        let orders = *self.part.orders.borrow_and_update();
        if orders.storms != self.storms {
            self.storms = orders.storms;
            self.roamer.lose_socket();
        }
        if orders.phase != Phase::Working {
            self.restless = None;
        }
        if orders.phase == Phase::Parting && self.parting != Parting::Stays {
            for channel in self.channels.clone() {
                if self.parting == Parting::Politely {
                    self.roamer.session.unsubscribe(&channel);
                }
                let by = self.part.name.clone();
                self.part.recorder.note(Fact::Left { by, channel });
            }
            // Who parts politely lives on, in no channel.
            return self.parting == Parting::Abruptly;
        }
        self.note_rosters();
        orders.phase == Phase::Over
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Event(event) => self.take(event),
            Heard::Raw(ServerMessage::Push(Push::Event { alias, event })) => {
                let late = self
                    .holes
                    .iter()
                    .find(|hole| hole.alias == Some(alias) && Some(hole.offset) == event.offset);
                if let Some(Hole {
                    channel, offset, ..
                }) = late
                {
                    let (by, channel, offset) = (self.part.name.clone(), channel.clone(), *offset);
                    self.part.recorder.note(Fact::Late {
                        by,
                        channel,
                        offset,
                    });
                }
            }
            Heard::Raw(_) => {}
        }
    }

    fn take(&mut self, event: ClientEvent) {
        let by = self.part.name.clone();
        let fact = match event {
            ClientEvent::Presence { channel, diff } => {
                self.holder.told(&channel, diff);
                return self.note_rosters();
            }
            ClientEvent::Reply { request, result } => {
                let session = &mut self.roamer.session;
                self.holder.answered(request, result, session);
                return self.note_rosters();
            }
            ClientEvent::Subscribed {
                subscribed,
                continuity,
            } => {
                return self.subscribed(&subscribed, continuity);
            }
            ClientEvent::Event { channel, event } => match message::read(&event) {
                Some((place, id)) => Fact::Received {
                    by,
                    channel,
                    place,
                    id,
                },
                None => return,
            },
            ClientEvent::Advanced {
                channel,
                offset,
                reason,
            } => Fact::Advanced {
                by,
                channel,
                offset,
                reason,
            },
            ClientEvent::Duplicate { channel, offset } => Fact::Repeated {
                by,
                channel,
                offset,
            },
            ClientEvent::Gap {
                channel,
                expected,
                got,
            } => {
                let alias = self.aliases.get(&channel).copied();
                self.holes.push(Hole {
                    channel: channel.clone(),
                    alias,
                    offset: expected,
                });
                self.roamer.watched = true;
                Fact::Hole {
                    by,
                    channel,
                    expected,
                    got,
                }
            }
            ClientEvent::Unsubscribed {
                channel,
                code,
                reason,
            } => Fact::Overdue {
                what: format!("{by} was unsubscribed from {channel}: {code} {reason}"),
            },
            ClientEvent::SubscribeRefused { channel, error } => Fact::Overdue {
                what: format!("{by} may not follow {channel}: {error}"),
            },
            ClientEvent::Disconnected {
                retry_in: None,
                code,
            } => Fact::Overdue {
                what: format!("{by} was told to stay away, code {code:?}"),
            },
            ClientEvent::BadFrame(error) => Fact::Overdue {
                what: format!("{by} got a bad frame: {error}"),
            },
            ClientEvent::Disconnected { code, .. } => Fact::Disconnected { by, code },
            ClientEvent::Lost { channel, from, to } => Fact::ToldLost {
                by,
                channel,
                from,
                to,
            },
            ClientEvent::Connected(_)
            | ClientEvent::ConnectRefused(_)
            | ClientEvent::Farewell(_)
            | ClientEvent::Status(_)
            | ClientEvent::TokenExpiring { .. } => return,
        };
        self.part.recorder.note(fact);
    }

    fn subscribed(&mut self, subscribed: &Subscribed, continuity: Continuity) {
        let channel: Name = subscribed.channel.as_str().into();
        self.holes.retain(|hole| hole.channel != channel);
        self.roamer.watched = !self.holes.is_empty();
        let session = &mut self.roamer.session;
        self.holder.subscribed(&channel, session);
        self.aliases.insert(channel, subscribed.alias);
        let fact = message::subscribed(&self.part.name, subscribed, continuity);
        self.part.recorder.note(fact);
    }

    /// What becomes of its rosters while others part. Before that they change with everybody who comes and goes.
    fn note_rosters(&self) {
        if self.part.orders.borrow().phase != Phase::Parting {
            return;
        }
        for (channel, known) in self.holder.known() {
            let (by, channel) = (self.part.name.clone(), channel.clone());
            let fact = Fact::Holds { by, channel, known };
            self.part.recorder.note(fact);
        }
    }
}

fn next_unrest(rng: &mut StdRng) -> Instant {
    Instant::now() + Duration::from_millis(rng.random_range(1_000..4_000))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
