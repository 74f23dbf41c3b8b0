//! What the session learns from pushes.

use std::sync::Arc;
use std::time::Duration;

use super::ClientSession;
use super::effect::ClientEvent;
use super::subscription::{Step, Subscription};
use crate::channel::Alias;
use crate::command::{Command, Pong, Subscribe};
use crate::event::Event;
use crate::push::{Advance, Push, Unsubscribed};
use crate::reply::Subscribed;

impl ClientSession {
    pub(super) fn take_push(&mut self, push: Push) {
        match push {
            Push::Event { alias, event } => self.take_event(alias, event),
            Push::Advance(advance) => self.take_advance(advance),
            Push::Presence(diff) => {
                if let Some(channel) = self.live_channel(diff.alias) {
                    self.tell(ClientEvent::Presence { channel, diff });
                }
            }
            Push::Subscribed(subscribed) => self.adopt(subscribed),
            Push::Unsubscribed(unsubscribed) => self.take_unsubscribed(unsubscribed),
            Push::TokenExpiring(expiring) => {
                let expires_in = Duration::from_millis(expiring.expires_in_ms);
                self.tell(ClientEvent::TokenExpiring { expires_in });
            }
            Push::Status(status) => self.tell(ClientEvent::Status(status)),
            Push::Disconnect(farewell) => {
                self.tell(ClientEvent::Farewell(farewell.clone()));
                self.farewell = Some(farewell);
            }
            Push::Ping => self.send(None, Command::Pong(Pong {})),
            Push::Unknown => {}
        }
    }

    fn take_event(&mut self, alias: Alias, event: Event) {
        let Some(channel) = self.live_channel(alias) else {
            return;
        };
        let (Some(offset), Some(subscription)) =
            (event.offset, self.subscriptions.get_mut(&channel))
        else {
            return self.tell(ClientEvent::Event { channel, event });
        };
        match subscription.step(offset, event.position.as_deref()) {
            Step::Next => self.tell(ClientEvent::Event { channel, event }),
            Step::Duplicate => self.tell(ClientEvent::Duplicate { channel, offset }),
            Step::Gap { expected } => {
                subscription.repair();
                self.tell(ClientEvent::Gap {
                    channel: channel.clone(),
                    expected,
                    got: offset,
                });
                // What still comes of the old subscription is passed over until the new one's reply.
                self.send_unsubscribe(&channel);
                self.ask_subscription(&channel);
            }
        }
    }

    fn take_advance(&mut self, advance: Advance) {
        let Some(channel) = self.live_channel(advance.alias) else {
            return;
        };
        let Some(subscription) = self.subscriptions.get_mut(&channel) else {
            return;
        };
        if advance.offset <= subscription.offset() {
            return;
        }
        subscription.jump(advance.offset, Some(&advance.position));
        self.tell(ClientEvent::Advanced {
            channel,
            offset: advance.offset,
            reason: advance.reason,
        });
    }

    /// The server subscribed this connection by itself.
    fn adopt(&mut self, subscribed: Subscribed) {
        let channel: Arc<str> = Arc::from(subscribed.channel.as_str());
        let wish = || {
            Subscription::new(
                Subscribe::new(&subscribed.channel).with_presence(subscribed.presence),
            )
        };
        let subscription = self
            .subscriptions
            .entry(channel.clone())
            .or_insert_with(wish);
        let (continuity, _) = subscription.placed(&subscribed);
        self.aliases.insert(subscribed.alias.0, channel);
        self.tell(ClientEvent::Subscribed {
            subscribed: Box::new(subscribed),
            continuity,
        });
    }

    fn take_unsubscribed(&mut self, ended: Unsubscribed) {
        let Some(channel) = self.live_channel(ended.alias) else {
            return;
        };
        self.aliases.remove(&ended.alias.0);
        if !ended.resubscribe {
            self.subscriptions.remove(&channel);
            return self.tell(ClientEvent::Unsubscribed {
                channel,
                code: ended.code,
                reason: ended.reason,
            });
        }
        if let (Some(from), Some(to)) = (ended.lost_from, ended.lost_to) {
            let channel = Arc::clone(&channel);
            self.tell(ClientEvent::Lost { channel, from, to });
        }
        if let Some(subscription) = self.subscriptions.get_mut(&channel) {
            subscription.lost();
            self.ask_subscription(&channel);
        }
    }

    /// The channel of a push, if its subscription is not just being ended or made anew.
    fn live_channel(&self, alias: Alias) -> Option<Arc<str>> {
        let channel = self.aliases.get(&alias.0)?;
        self.subscriptions
            .get(channel)?
            .is_live()
            .then(|| channel.clone())
    }
}
