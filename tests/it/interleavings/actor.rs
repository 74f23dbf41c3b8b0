//! One client: it does random things in a random order, often without waiting for an answer.

use std::collections::{BTreeMap, HashMap, VecDeque};

use parlor_protocol::codec::ServerMessage;
use parlor_protocol::command::{
    Command, Connect, Direction, History, Ping, Publish, Recover, Subscribe, Unsubscribe,
};
use parlor_protocol::reply::{Reply, SubscribeOutcome};
use parlor_protocol::{Alias, ErrorCode, Event, Push, WireError};
use parlor_tests::{Client, Server, publish, text};
use rand::Rng as _;
use rand::rngs::StdRng;

use super::record::Record;
use super::view::View;

/// A client over all its connections.
pub(crate) struct Actor<'a> {
    server: &'a Server,
    user: String,
    record: &'a Record,
    rng: StdRng,
    client: Option<Client>,
    views: BTreeMap<String, View>,
    /// Sent on this connection and not yet answered, by wire id.
    asked: HashMap<u32, Asked>,
    /// Publishes with an id whose outcome a lost connection left open.
    open: VecDeque<Publish>,
    publishes: usize,
}

#[derive(Debug)]
enum Asked {
    Subscribe(Subscribe),
    Unsubscribe(String),
    Publish(Publish),
    History(String),
    Ping,
}

impl<'a> Actor<'a> {
    pub(crate) fn new(
        server: &'a Server,
        user: String,
        channels: &[String],
        record: &'a Record,
        rng: StdRng,
    ) -> Self {
        let views = channels
            .iter()
            .map(|channel| (channel.clone(), View::new(channel)))
            .collect();
        Self {
            server,
            user,
            record,
            rng,
            client: None,
            views,
            asked: HashMap::new(),
            open: VecDeque::new(),
            publishes: 0,
        }
    }

    /// So many random steps.
    pub(crate) async fn play(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.client.is_none() {
                self.come().await;
            }
            match self.rng.random_range(0..100) {
                0..20 => self.subscribe().await,
                20..30 => self.unsubscribe().await,
                30..60 => self.publish_some().await,
                60..68 => self.retry().await,
                68..74 => self.read_history().await,
                74..84 => self.answer_everything().await,
                84..94 => self.go(),
                _ => tokio::task::yield_now().await,
            }
        }
    }

    /// Connects, sometimes with everything it wants at once.
    async fn come(&mut self) {
        let mut subscriptions = Vec::new();
        let channels: Vec<String> = self.views.keys().cloned().collect();
        for channel in channels {
            if self.rng.random_bool(0.6) {
                subscriptions.push(self.wish(&channel));
            }
        }
        let connect = Connect {
            user: Some(self.user.clone()),
            subscriptions: subscriptions.clone(),
            ..Connect::default()
        };
        let (client, hello) = self.server.join_with(connect).await;
        self.client = Some(client);
        for (asked, outcome) in subscriptions.iter().zip(&hello.subscriptions) {
            let SubscribeOutcome::Subscribed(reply) = outcome else {
                panic!("{outcome:?}")
            };
            self.view(&asked.channel)
                .subscribed(reply, asked.recover.as_ref());
        }
    }

    /// Loses the connection: what was not read is gone, what was not answered is open.
    fn go(&mut self) {
        if let Some(client) = self.client.take() {
            client.lose();
        }
        self.views.values_mut().for_each(View::lost);
        for (_, asked) in self.asked.drain() {
            if let Asked::Publish(publish) = asked
                && publish.id.is_some()
            {
                self.open.push_back(publish);
            }
        }
    }

    /// A subscription from the cursor most of the time, else fresh or with the latest.
    fn wish(&mut self, channel: &str) -> Subscribe {
        let subscribe = Subscribe::new(channel);
        let position = self.views[channel].cursor().map(str::to_owned);
        match (position, self.rng.random_range(0..10)) {
            (Some(position), 0..7) => subscribe.recover(Recover::From(position)),
            (_, 7) => subscribe.recover(Recover::Latest(self.rng.random_range(0..8))),
            _ => subscribe,
        }
    }

    fn any_channel(&mut self) -> String {
        let chosen = self.rng.random_range(0..self.views.len());
        self.views
            .keys()
            .nth(chosen)
            .expect("it is one of them")
            .clone()
    }

    async fn subscribe(&mut self) {
        let channel = self.any_channel();
        let wish = self.wish(&channel);
        self.ask(Command::Subscribe(wish.clone()), Asked::Subscribe(wish))
            .await;
    }

    async fn unsubscribe(&mut self) {
        let channel = self.any_channel();
        let command = Unsubscribe {
            channel: channel.clone(),
        };
        self.ask(Command::Unsubscribe(command), Asked::Unsubscribe(channel))
            .await;
    }

    async fn publish_some(&mut self) {
        let channel = self.any_channel();
        for _ in 0..self.rng.random_range(1..4) {
            self.publishes += 1;
            let words = format!("{} {}", self.user, self.publishes);
            let id = self
                .rng
                .random_bool(0.7)
                .then(|| format!("m-{}", self.publishes));
            let echo = self.rng.random_bool(0.8);
            let command = Publish {
                id,
                echo,
                ..publish(&channel, text(words))
            };
            self.ask(Command::Publish(command.clone()), Asked::Publish(command))
                .await;
        }
    }

    /// Repeats what a lost connection left open.
    async fn retry(&mut self) {
        if let Some(command) = self.open.pop_front() {
            self.ask(Command::Publish(command.clone()), Asked::Publish(command))
                .await;
        }
    }

    async fn read_history(&mut self) {
        let channel = self.any_channel();
        let command = History {
            limit: Some(5),
            ..History::new(channel.clone(), Direction::Backward)
        };
        self.ask(Command::History(command), Asked::History(channel))
            .await;
    }

    /// Sends; waits for the answer every other time.
    async fn ask(&mut self, command: Command, asked: Asked) {
        let Some(client) = &mut self.client else {
            return;
        };
        let id = client.send(command).await;
        self.asked.insert(id, asked);
        if self.rng.random_bool(0.5) {
            while self.asked.contains_key(&id) {
                self.hear().await;
            }
        }
    }

    /// Waits until all that was asked is answered, and everything that was said so far is heard.
    pub(crate) async fn answer_everything(&mut self) {
        if self.client.is_none() {
            self.come().await;
        }
        let client = self.client.as_mut().expect("it just came");
        let id = client.send(Command::Ping(Ping {})).await;
        self.asked.insert(id, Asked::Ping);
        while !self.asked.is_empty() {
            self.hear().await;
        }
    }

    /// All that is retained, and the offset of the log's top. Nothing may be under way.
    pub(crate) async fn read_all(&mut self, channel: &str) -> (Vec<Event>, u64) {
        let client = self.client.as_mut().expect("it answered everything");
        let history = client.whole_history(channel).await;
        let nothing = History {
            limit: Some(0),
            ..History::new(channel, Direction::Backward)
        };
        let top = client.try_history(nothing).await.expect("the top").offset;
        (history, top)
    }

    /// Reads up to the log's top, subscribing (again) where it must.
    pub(crate) async fn catch_up(&mut self, channel: &str, top: u64) {
        while self.views[channel].next().is_none_or(|next| next <= top) {
            if self.views[channel].next().is_some() {
                self.hear().await;
                continue;
            }
            let subscribe = Subscribe::new(channel);
            let wish = match self.views[channel].cursor() {
                Some(position) => subscribe.recover(Recover::From(position.to_owned())),
                None => subscribe.recover(Recover::Latest(u32::MAX)),
            };
            let client = self.client.as_mut().expect("it answered everything");
            let id = client.send(Command::Subscribe(wish.clone())).await;
            self.asked.insert(id, Asked::Subscribe(wish));
            while self.asked.contains_key(&id) {
                self.hear().await;
            }
        }
        assert_eq!(
            self.views[channel].next(),
            Some(top + 1),
            "{channel}: more than the log holds"
        );
    }

    pub(crate) async fn leave(mut self) {
        if let Some(client) = self.client.take() {
            client.leave().await;
        }
    }

    /// Takes one message in, in the order of the wire.
    async fn hear(&mut self) {
        let client = self.client.as_mut().expect("somebody is connected");
        match client.message().await {
            ServerMessage::Reply { id, result } => {
                let asked = self.asked.remove(&id).expect("it was asked");
                self.answered(asked, result);
            }
            ServerMessage::Push(Push::Event { alias, event }) => {
                let channel = self.channel_of(alias);
                self.record.saw(&channel, &event);
                self.view(&channel).event(&event);
            }
            ServerMessage::Push(Push::Unsubscribed(ended)) => {
                let channel = self.channel_of(ended.alias);
                self.view(&channel).ended_by_server(&ended);
            }
            ServerMessage::Push(other) => panic!("{}: {other:?}", self.user),
        }
    }

    fn answered(&mut self, asked: Asked, result: Result<Reply, WireError>) {
        match (asked, result) {
            (Asked::Subscribe(asked), Ok(Reply::Subscribe(reply))) => {
                self.view(&asked.channel)
                    .subscribed(&reply, asked.recover.as_ref());
            }
            (Asked::Subscribe(asked), Err(error)) => {
                assert_eq!(
                    error.kind(),
                    Some(ErrorCode::AlreadySubscribed),
                    "{asked:?}"
                );
                assert!(self.view(&asked.channel).alias().is_some(), "{asked:?}");
            }
            (Asked::Unsubscribe(channel), Ok(Reply::Unsubscribe(_))) => {
                self.view(&channel).unsubscribed()
            }
            (Asked::Unsubscribe(channel), Err(error)) => {
                assert_eq!(error.kind(), Some(ErrorCode::NotSubscribed), "{channel}");
                assert!(self.view(&channel).alias().is_none(), "{channel}");
            }
            (Asked::Publish(asked), Ok(Reply::Publish(published))) => {
                let words = str::from_utf8(&asked.payload.bytes)
                    .expect("a text")
                    .trim_matches('"');
                self.record.acknowledged(&asked.channel, words, &published);
            }
            (Asked::History(channel), Ok(Reply::History(page))) => {
                page.events
                    .iter()
                    .for_each(|event| self.record.saw(&channel, event));
            }
            (Asked::Ping, Ok(Reply::Ping(_))) => {}
            other => panic!("{}: {other:?}", self.user),
        }
    }

    fn view(&mut self, channel: &str) -> &mut View {
        self.views
            .get_mut(channel)
            .expect("one of the conversation's channels")
    }

    fn channel_of(&self, alias: Alias) -> String {
        let found = self
            .views
            .iter()
            .find(|(_, view)| view.alias() == Some(alias));
        let story = || self.client.as_ref().map(Client::story).unwrap_or_default();
        found
            .unwrap_or_else(|| {
                panic!(
                    "{}: a push of no subscription: {alias:?}; {}",
                    self.user,
                    story()
                )
            })
            .0
            .clone()
    }
}
