//! What is sent on a fresh socket: `connect` with as many subscriptions as fit into its frame, and the
//! others at once behind it; and subscriptions that are asked for later.

use std::sync::Arc;

use super::requests::Flight;
use super::{ClientSession, Effect};
use crate::codec::{encode_command, encode_commands};
use crate::command::{Command, Connect, Envelope, Unsubscribe};

impl ClientSession {
    pub(super) fn greet(&mut self) {
        let id = self.requests.wire_id();
        let mut connect = self.bare_connect();
        let mut envelope = Envelope {
            id: Some(id),
            command: Command::Connect(connect.clone()),
        };
        let mut room = self.frame_room(&envelope);
        let mut channels = Vec::new();
        let wanted: Vec<Arc<str>> = self.subscriptions.keys().cloned().collect();
        let mut rest = wanted.iter().peekable();
        while let Some(channel) = rest.peek() {
            let Some(subscription) = self.subscriptions.get_mut(*channel) else {
                break;
            };
            let body = subscription.asked(id);
            let command = Command::Subscribe(body.clone());
            let len = encode_command(self.config.form, &Envelope { id: None, command }).len();
            let Some(left) = room.checked_sub(len) else {
                break;
            };
            room = left;
            connect.subscriptions.push(body);
            channels.push((*channel).clone());
            rest.next();
        }
        self.requests.fly(id, Flight::Connect(channels));
        envelope.command = Command::Connect(connect);
        self.effects
            .push_back(Effect::Send(encode_command(self.config.form, &envelope)));
        let rest: Vec<_> = rest.cloned().collect();
        self.send_subscriptions(&rest);
    }

    /// Asks for one channel, if there is a socket that will be answered.
    pub(super) fn ask_subscription(&mut self, channel: &Arc<str>) {
        if self.has_socket() {
            self.send_subscriptions(std::slice::from_ref(channel));
        }
    }

    pub(super) fn retry_subscriptions(&mut self) {
        let now = self.now;
        let due = self
            .subscriptions
            .iter()
            .filter(|(_, one)| one.retry_at().is_some_and(|at| at <= now));
        let due: Vec<_> = due.map(|(channel, _)| channel.clone()).collect();
        self.send_subscriptions(&due);
    }

    /// Forgets a subscription here and, where it knows of it, at the server.
    pub(super) fn forget(&mut self, channel: &Arc<str>) {
        let Some(subscription) = self.subscriptions.remove(channel) else {
            return;
        };
        if subscription.is_known_to_server() {
            self.send_unsubscribe(channel);
        }
    }

    pub(super) fn send_unsubscribe(&mut self, channel: &Arc<str>) {
        let id = self.requests.wire_id();
        self.requests.fly(id, Flight::Unsubscribe);
        self.send(
            Some(id),
            Command::Unsubscribe(Unsubscribe {
                channel: channel.as_ref().to_owned(),
            }),
        );
    }

    /// In as few frames as the limits allow.
    fn send_subscriptions(&mut self, channels: &[Arc<str>]) {
        let bytes_max = self.frame_bytes_max();
        let commands_max = (self.limits.commands_per_frame_max as usize).max(1);
        let mut batch = Vec::new();
        let mut bytes = 0;
        for channel in channels {
            let id = self.requests.wire_id();
            let Some(subscription) = self.subscriptions.get_mut(channel) else {
                continue;
            };
            let command = Command::Subscribe(subscription.asked(id));
            self.requests.fly(id, Flight::Subscribe(channel.clone()));
            let envelope = Envelope {
                id: Some(id),
                command,
            };
            let len = encode_command(self.config.form, &envelope).len() + 1;
            if bytes + len > bytes_max || batch.len() == commands_max {
                self.send_batch(&mut batch);
                bytes = 0;
            }
            bytes += len;
            batch.push(envelope);
        }
        self.send_batch(&mut batch);
    }

    fn send_batch(&mut self, batch: &mut Vec<Envelope>) {
        let frame = match batch.as_slice() {
            [] => return,
            [one] => encode_command(self.config.form, one),
            several => encode_commands(self.config.form, several),
        };
        self.effects.push_back(Effect::Send(frame));
        batch.clear();
    }

    fn bare_connect(&self) -> Connect {
        Connect {
            token: self.config.token.clone(),
            user: self.config.user.clone(),
            client: self.config.client.clone(),
            session: self.key.clone(),
            features: self.config.features.clone(),
            ping_interval_ms: self.config.ping_interval_ms,
            subscriptions: Vec::new(),
        }
    }

    /// What is left of a frame beside this command.
    fn frame_room(&self, envelope: &Envelope) -> usize {
        let used = encode_command(self.config.form, envelope).len();
        self.frame_bytes_max().saturating_sub(used)
    }

    /// Less than the limit by the brackets and names around a list.
    fn frame_bytes_max(&self) -> usize {
        (self.limits.frame_bytes_max as usize).saturating_sub(64)
    }
}
