//! One method per command, each waiting for its answer. Those that return no `Result` are for when it must succeed.

use parlor_protocol::command::{
    Command, History, Ping, Presence, PresenceSet, Publish, Recover, Refresh, Signal, Subscribe,
    Unsubscribe,
};
use parlor_protocol::reply::{
    Members, Page, Pinged, PresenceWasSet, Published, Refreshed, Reply, Signalled, Subscribed,
    Unsubscribed,
};
use parlor_protocol::{Event, Payload, WireError};

use super::Client;
use crate::say;

macro_rules! ask {
    ($($(#[$doc:meta])* $method:ident($command:ident) -> $variant:ident($reply:ty);)*) => {
        impl Client {
            $($(#[$doc])*
            ///
            /// # Panics
            /// When the answer is of another command.
            pub async fn $method(&mut self, command: $command) -> Result<$reply, WireError> {
                match self.ask(Command::$command(command)).await? {
                    Reply::$variant(reply) => Ok(reply),
                    other => panic!("answered by {other:?}"),
                }
            })*
        }
    };
}

ask! {
    try_subscribe(Subscribe) -> Subscribe(Subscribed);
    try_unsubscribe(Unsubscribe) -> Unsubscribe(Unsubscribed);
    try_publish(Publish) -> Publish(Published);
    try_signal(Signal) -> Signal(Signalled);
    try_history(History) -> History(Page);
    try_presence(Presence) -> Presence(Members);
    try_presence_set(PresenceSet) -> PresenceSet(PresenceWasSet);
    try_refresh(Refresh) -> Refresh(Refreshed);
    try_ping(Ping) -> Ping(Pinged);
}

impl Client {
    /// From now on.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn subscribe(&mut self, channel: &str) -> Subscribed {
        self.try_subscribe(Subscribe::new(channel))
            .await
            .expect("subscribed")
    }

    /// From a position, or with the latest.
    ///
    /// # Panics
    /// When it is refused. That it is not recovered is no refusal.
    pub async fn resume(&mut self, channel: &str, recover: Recover) -> Subscribed {
        let command = Subscribe::new(channel).recover(recover);
        self.try_subscribe(command).await.expect("subscribed")
    }

    /// # Panics
    /// When it is refused.
    pub async fn unsubscribe(&mut self, channel: &str) -> Unsubscribed {
        let command = Unsubscribe {
            channel: channel.to_owned(),
        };
        self.try_unsubscribe(command).await.expect("unsubscribed")
    }

    /// Publishes a string.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn publish(&mut self, channel: &str, words: impl std::fmt::Display) -> Published {
        self.try_publish(say::publish(channel, say::text(words)))
            .await
            .expect("published")
    }

    /// Publishes a string under an id.
    pub async fn publish_as(
        &mut self,
        id: &str,
        channel: &str,
        words: impl std::fmt::Display,
    ) -> Result<Published, WireError> {
        let command = Publish {
            id: Some(id.to_owned()),
            ..say::publish(channel, say::text(words))
        };
        self.try_publish(command).await
    }

    /// Publishes so many strings, `from` and up, many at a time. Returns the last answer.
    ///
    /// # Panics
    /// When one is refused, or there is none.
    pub async fn publish_many(
        &mut self,
        channel: &str,
        words: std::ops::Range<usize>,
    ) -> Published {
        let mut last = None;
        for start in words.clone().step_by(100) {
            let part = start..words.end.min(start + 100);
            let commands =
                part.map(|word| Command::Publish(say::publish(channel, say::text(word))));
            for id in self.send_together(commands).await {
                last = Some(self.reply(id).await);
            }
        }
        match last {
            Some(Ok(Reply::Publish(published))) => published,
            other => panic!("not published: {other:?}"),
        }
    }

    /// # Panics
    /// When it is refused.
    pub async fn signal(&mut self, channel: &str, payload: Payload) -> Signalled {
        let command = Signal {
            channel: channel.to_owned(),
            payload,
        };
        self.try_signal(command).await.expect("signalled")
    }

    /// All retained events, the oldest first.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn whole_history(&mut self, channel: &str) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let command = History {
                channel: channel.to_owned(),
                direction: parlor_protocol::command::Direction::Forward,
                offset: Some(events.last().and_then(|event| event.offset).unwrap_or(0)),
                time: None,
                limit: Some(1_000),
            };
            let page = self.try_history(command).await.expect("a page");
            events.extend(page.events);
            if !page.more {
                return events;
            }
        }
    }

    /// The first page of who is there.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn members(&mut self, channel: &str) -> Members {
        let command = Presence {
            channel: channel.to_owned(),
            limit: None,
            cursor: None,
        };
        self.try_presence(command).await.expect("a page of members")
    }

    /// # Panics
    /// When it is refused.
    pub async fn ping(&mut self) -> Pinged {
        self.try_ping(Ping {}).await.expect("an answer to a ping")
    }
}
