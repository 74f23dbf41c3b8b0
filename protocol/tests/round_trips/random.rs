//! Random values of every wire type, from one printed seed.

use bytes::Bytes;
use parlor_protocol::command::{
    ClientInfo, Connect, Direction, History, Ping, Pong, Presence, PresenceSet, Publish, Recover,
    Refresh, SessionKey, Signal, Subscribe, Unsubscribe,
};
use parlor_protocol::push::{
    Advance, Disconnect, PresenceDiff, Status, TokenExpiring, Unsubscribed as Ended,
};
use parlor_protocol::reply::{
    Connected, ConnectionLimits, Member, Members, NotRecovered, Page, Pinged, PresenceWasSet,
    Published, Refreshed, Signalled, SubscribeOutcome, Subscribed, Unsubscribed,
};
use parlor_protocol::{
    Alias, Command, Envelope, ErrorCode, Event, EventKind, Format, Payload, Push, Reply, Tags,
    Time, WireError,
};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

pub(crate) struct Random {
    pub(crate) seed: u64,
    rng: SmallRng,
}

/// The largest number that JSON readers keep exactly.
const EXACT_MAX: u64 = (1 << 53) - 1;

impl Random {
    #[expect(
        clippy::print_stdout,
        reason = "the test harness shows it when the test fails"
    )]
    pub(crate) fn from_env() -> Self {
        let seed = std::env::var("PARLOR_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| rand::rng().random());
        println!("PARLOR_SEED={seed}");
        Self {
            seed,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.rng.random()
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    fn coin(&mut self) -> bool {
        self.rng.random()
    }

    fn exact(&mut self) -> u64 {
        self.rng.random_range(0..=EXACT_MAX) >> self.rng.random_range(0..53)
    }

    fn time(&mut self) -> Time {
        Time(self.rng.random())
    }

    fn maybe<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Option<T> {
        self.coin().then(|| make(self))
    }

    fn several<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| make(self)).collect()
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn text(&mut self) -> String {
        const LETTERS: &[char] = &[
            'a', 'Z', '0', '"', '\\', '\n', '\u{0}', 'é', '語', '🦜', ' ', '{', ']', '\u{2028}',
        ];
        (0..self.below(12) + 1)
            .map(|_| self.pick(LETTERS))
            .collect()
    }

    fn json(&mut self) -> Payload {
        const TEXTS: &[&str] = &[
            "1",
            "-1.5e300",
            "\"\"",
            "true",
            "[]",
            "{}",
            "{\"a\":[1, {\"b\" : null}]}",
            "\"\\u0000\\ud83e\"",
            "[\n1,\t2]",
            "18446744073709551616",
            "\"🦜\"",
        ];
        let bytes = Bytes::from_static(self.pick(TEXTS).as_bytes());
        Payload {
            format: Format::Json,
            bytes,
        }
    }

    fn payload(&mut self) -> Payload {
        if self.coin() {
            return if self.below(8) == 0 {
                Payload {
                    format: Format::Json,
                    bytes: "null".into(),
                }
            } else {
                self.json()
            };
        }
        let bytes: Vec<u8> = (0..self.below(40)).map(|_| self.rng.random()).collect();
        Payload {
            format: Format::Binary,
            bytes: bytes.into(),
        }
    }

    fn tags(&mut self) -> Tags {
        self.several(|r| (r.text(), r.text())).into_iter().collect()
    }

    pub(crate) fn envelope(&mut self) -> Envelope {
        Envelope {
            id: self.maybe(Self::u32),
            command: self.command(),
        }
    }

    fn command(&mut self) -> Command {
        match self.below(11) {
            0 => Command::Connect(self.connect()),
            1 => Command::Subscribe(self.subscribe()),
            2 => Command::Unsubscribe(Unsubscribe {
                channel: self.text(),
            }),
            3 => Command::Publish(Publish {
                channel: self.text(),
                id: self.maybe(Self::text),
                echo: self.coin(),
                tags: self.tags(),
                payload: self.payload(),
            }),
            4 => Command::Signal(Signal {
                channel: self.text(),
                payload: self.payload(),
            }),
            5 => Command::History(History {
                channel: self.text(),
                direction: self.pick(&[Direction::Backward, Direction::Forward]),
                offset: self.maybe(Self::exact),
                time: self.maybe(Self::time),
                limit: self.maybe(Self::u32),
            }),
            6 => Command::Presence(Presence {
                channel: self.text(),
                limit: self.maybe(Self::u32),
                cursor: self.maybe(Self::text),
            }),
            7 => Command::PresenceSet(PresenceSet {
                channel: self.text(),
                state: self.maybe(Self::json),
            }),
            8 => Command::Refresh(Refresh { token: self.text() }),
            9 => Command::Ping(Ping {}),
            _ => Command::Pong(Pong {}),
        }
    }

    fn connect(&mut self) -> Connect {
        Connect {
            token: self.maybe(Self::text),
            user: self.maybe(Self::text),
            client: self.maybe(|r| ClientInfo {
                name: r.text(),
                version: r.text(),
            }),
            session: self.maybe(Self::session),
            features: self.several(Self::text),
            ping_interval_ms: self.maybe(Self::u32),
            subscriptions: self.several(Self::subscribe),
        }
    }

    fn session(&mut self) -> SessionKey {
        SessionKey {
            id: self.text(),
            secret: self.text(),
        }
    }

    fn subscribe(&mut self) -> Subscribe {
        let recover = if self.coin() {
            Recover::From(self.text())
        } else {
            Recover::Latest(self.u32())
        };
        Subscribe {
            channel: self.text(),
            token: self.maybe(Self::text),
            recover: self.coin().then_some(recover),
            presence: self.coin(),
        }
    }

    pub(crate) fn answer(&mut self) -> Result<Reply, WireError> {
        if self.below(5) == 0 {
            Err(self.error())
        } else {
            Ok(self.reply())
        }
    }

    fn error(&mut self) -> WireError {
        let error = self.pick(ErrorCode::ALL).with(self.text());
        if self.coin() {
            error.retry_after_ms(self.exact())
        } else {
            error
        }
    }

    fn reply(&mut self) -> Reply {
        match self.below(10) {
            0 => Reply::Connect(Box::new(self.connected())),
            1 => Reply::Subscribe(self.subscribed()),
            2 => Reply::Unsubscribe(Unsubscribed {}),
            3 => Reply::Publish(Published {
                offset: self.exact(),
                position: self.text(),
                time: self.time(),
                durability: self.text(),
                duplicate: self.coin(),
            }),
            4 => Reply::Signal(Signalled { time: self.time() }),
            5 => Reply::History(Page {
                events: self.several(Self::event),
                more: self.coin(),
                epoch: self.text(),
                position: self.text(),
                offset: self.exact(),
            }),
            6 => Reply::Presence(Members {
                members: self.several(Self::member),
                users: self.exact(),
                connections: self.exact(),
                version: self.exact(),
                next: self.maybe(Self::text),
            }),
            7 => Reply::PresenceSet(PresenceWasSet {}),
            8 => Reply::Refresh(Refreshed {
                expires_in_ms: self.maybe(Self::exact),
            }),
            _ => Reply::Ping(Pinged { time: self.time() }),
        }
    }

    fn connected(&mut self) -> Connected {
        Connected {
            connection: self.text(),
            session: self.session(),
            user: self.maybe(Self::text),
            server: self.text(),
            time: self.time(),
            ping_interval_ms: self.u32(),
            features: self.several(Self::text),
            limits: ConnectionLimits {
                frame_bytes_max: self.u32(),
                commands_per_frame_max: self.u32(),
                channels_max: self.u32(),
                payload_bytes_max: self.u32(),
                history_page_max: self.u32(),
                dedup_window_ms: self.exact(),
            },
            expires_in_ms: self.maybe(Self::exact),
            degraded: self.coin(),
            subscriptions: self.several(Self::outcome),
        }
    }

    fn outcome(&mut self) -> SubscribeOutcome {
        if self.coin() {
            return SubscribeOutcome::Subscribed(self.subscribed());
        }
        SubscribeOutcome::Refused {
            channel: self.text(),
            error: self.error(),
        }
    }

    fn subscribed(&mut self) -> Subscribed {
        const REASONS: &[NotRecovered] = &[
            NotRecovered::Expired,
            NotRecovered::EpochChanged,
            NotRecovered::Diverged,
            NotRecovered::TooMany,
            NotRecovered::NotPermitted,
            NotRecovered::BadPosition,
        ];
        Subscribed {
            channel: self.text(),
            alias: Alias(self.u32()),
            position: self.text(),
            offset: self.exact(),
            recovered: self.maybe(Self::coin),
            from: self.maybe(Self::exact),
            to: self.maybe(Self::exact),
            reason: self.maybe(|r| r.pick(REASONS)),
            presence: self.coin(),
            durability: self.text(),
        }
    }

    fn member(&mut self) -> Member {
        Member {
            user: self.text(),
            info: self.maybe(Self::json),
            state: self.maybe(Self::json),
            sessions: self.several(Self::text),
        }
    }

    fn event(&mut self) -> Event {
        Event {
            kind: self.pick(&[
                EventKind::Message,
                EventKind::Signal,
                EventKind::Erase,
                EventKind::Other("reaction".to_owned()),
            ]),
            offset: self.maybe(Self::exact),
            seq: self.maybe(Self::exact),
            position: self.maybe(Self::text),
            time: self.time(),
            id: self.maybe(Self::text),
            user: self.maybe(Self::text),
            tags: self.tags(),
            payload: self.maybe(Self::payload),
            own: self.coin(),
            erased: self.coin(),
        }
    }

    pub(crate) fn push(&mut self) -> Push {
        match self.below(10) {
            0 => Push::Event {
                alias: Alias(self.u32()),
                event: self.event(),
            },
            1 => Push::Advance(Advance {
                alias: Alias(self.u32()),
                offset: self.exact(),
                position: self.text(),
                reason: self.text(),
            }),
            2 => Push::Presence(PresenceDiff {
                alias: Alias(self.u32()),
                version: self.exact(),
                joined: self.several(Self::member),
                updated: self.several(Self::member),
                left: self.several(Self::text),
                users: self.exact(),
                connections: self.exact(),
            }),
            3 => Push::Subscribed(self.subscribed()),
            4 => Push::Unsubscribed(Ended {
                alias: Alias(self.u32()),
                channel: self.text(),
                code: self.u32() as u16,
                reason: self.text(),
                resubscribe: self.coin(),
                lost_from: self.maybe(Self::exact),
                lost_to: self.maybe(Self::exact),
            }),
            5 => Push::TokenExpiring(TokenExpiring {
                expires_in_ms: self.exact(),
            }),
            6 => Push::Disconnect(Disconnect {
                code: self.u32() as u16,
                name: self.text(),
                text: self.text(),
                retry_after_ms: self.maybe(Self::exact),
            }),
            7 => Push::Ping,
            8 => Push::Status(Status {
                degraded: self.coin(),
            }),
            _ => Push::Unknown,
        }
    }
}
