//! What the session learns from replies.

use std::sync::Arc;
use std::time::Duration;

use super::config::silence_max;
use super::effect::{ClientEvent, Effect, Failure};
use super::requests::Flight;
use super::{ClientSession, Phase};
use crate::error::WireError;
use crate::reply::{Connected, Reply, SubscribeOutcome, Subscribed};

impl ClientSession {
    pub(super) fn take_reply(&mut self, id: u32, result: Result<Reply, WireError>) {
        match (self.requests.land(id), result) {
            (Some(Flight::Connect(channels)), Ok(Reply::Connect(connected))) => {
                self.welcome(id, &channels, *connected)
            }
            (Some(Flight::Connect(_)), Err(error)) => self.refused(error),
            (Some(Flight::Subscribe(channel)), Ok(Reply::Subscribe(subscribed))) => {
                self.subscribed(id, &channel, subscribed);
            }
            (Some(Flight::Subscribe(channel)), Err(error)) => {
                self.subscribe_refused(id, &channel, error)
            }
            (Some(Flight::Request(request)), result) => {
                let result = result.map_err(Failure::Refused);
                self.tell(ClientEvent::Reply {
                    request: request.handle,
                    result,
                });
            }
            // The answer to an unsubscribe, to nothing, or of another kind than its command.
            _ => {}
        }
    }

    fn welcome(&mut self, id: u32, channels: &[Arc<str>], connected: Connected) {
        self.phase = Phase::Live { since: self.now };
        self.key = Some(connected.session.clone());
        self.limits = connected.limits;
        self.silence_max = silence_max(connected.ping_interval_ms);
        let outcomes = connected.subscriptions.clone();
        self.tell(ClientEvent::Connected(Box::new(connected)));
        for (channel, outcome) in channels.iter().zip(outcomes) {
            match outcome {
                SubscribeOutcome::Subscribed(subscribed) => {
                    self.subscribed(id, channel, subscribed)
                }
                SubscribeOutcome::Refused { error, .. } => {
                    self.subscribe_refused(id, channel, error)
                }
            }
        }
        self.send_waiting();
    }

    /// The server does not want this `connect`: whether to come back, the error's range says.
    fn refused(&mut self, error: WireError) {
        let advice = error.retry_after_ms.map(Duration::from_millis);
        let passes = error.is_retryable();
        self.tell(ClientEvent::ConnectRefused(error));
        // A farewell may say more exactly what to do; here it has not come.
        self.effects.push_back(Effect::Close);
        self.leave_socket();
        if passes {
            self.come_back(None, advice)
        } else {
            self.rest(None)
        }
    }

    /// `id` is of the command that asked for it. If it is not the latest, the user changed their mind.
    fn subscribed(&mut self, id: u32, channel: &Arc<str>, subscribed: Subscribed) {
        let Some(subscription) = self
            .subscriptions
            .get_mut(channel)
            .filter(|one| one.is_asked(id))
        else {
            return;
        };
        let (continuity, hole) = subscription.placed(&subscribed);
        self.aliases.insert(subscribed.alias.0, channel.clone());
        self.tell(ClientEvent::Subscribed {
            subscribed: Box::new(subscribed),
            continuity,
        });
        if let Some((expected, got)) = hole {
            self.tell(ClientEvent::Gap {
                channel: channel.clone(),
                expected,
                got,
            });
        }
    }

    fn subscribe_refused(&mut self, id: u32, channel: &Arc<str>, error: WireError) {
        let Some(subscription) = self
            .subscriptions
            .get_mut(channel)
            .filter(|one| one.is_asked(id))
        else {
            return;
        };
        if error.is_retryable() {
            let delay = error.retry_after_ms.map_or(RETRY, Duration::from_millis);
            subscription.retry_later(self.now.saturating_add(delay));
            return;
        }
        self.subscriptions.remove(channel);
        self.tell(ClientEvent::SubscribeRefused {
            channel: channel.clone(),
            error,
        });
    }
}

/// When to ask again where the server gave no advice.
const RETRY: Duration = Duration::from_secs(1);
