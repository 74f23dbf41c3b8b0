//! One person in two channels, who comes back with positions wherever there is a node, and checks everything.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parlor_protocol::Event;
use parlor_protocol::client::{ClientConfig, ClientEvent, Continuity};
use parlor_protocol::command::Subscribe;
use parlor_tests::{Heard, Roamer};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::watch;

use super::Shared;

/// What a client is told by the conductor.
pub(crate) type Orders = watch::Receiver<bool>;

/// What one client saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) events: u64,
    /// Offsets that never came.
    pub(crate) missed: u64,
    /// Events that were told although they had been told before.
    pub(crate) repeated: u64,
    /// Events that came over the wire again, and were not told: harmless, and worth knowing.
    pub(crate) redelivered: u64,
    pub(crate) gaps: u64,
    /// Resumes that were not complete.
    pub(crate) broken: u64,
    /// Offsets at which somebody else saw another message.
    pub(crate) disagreed: u64,
    /// Sentences about what should not happen at all.
    pub(crate) complaints: Vec<String>,
    /// When each new connection was accepted, in ns of the clock.
    pub(crate) reconnects_ns: Vec<u64>,
    /// From the end of each socket until every channel was resumed, in ns.
    pub(crate) away_ns: Vec<u64>,
    /// From the due time of each message to its reception: those that came due while this client had no socket.
    pub(crate) late_ns: Vec<u64>,
    /// Dials and connects that failed on the way.
    pub(crate) failed_attempts: u64,
}

pub(super) struct Client {
    shared: Arc<Shared>,
    roamer: Roamer,
    places: Vec<Place>,
    /// Whether it is without a socket, or without some of its channels, after it had them.
    is_away: bool,
    /// The latest absence, from when to when, in ns of the clock.
    absence_ns: (u64, u64),
    has_socket: bool,
    seen: Seen,
}

/// One of its channels.
struct Place {
    channel: usize,
    name: Arc<str>,
    last: u64,
    is_live: bool,
    was_live: bool,
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>, number: usize) -> Self {
        let config = ClientConfig {
            user: Some(format!("c{number}")),
            ..ClientConfig::default()
        };
        let rng = StdRng::seed_from_u64(number as u64);
        let mut roamer = Roamer::new(shared.nodes.clone(), config, rng);
        let channels = shared.channels.len();
        let places = [
            number % channels,
            (number / channels + number + 1) % channels,
        ]
        .map(|channel| {
            let name = Arc::clone(&shared.channels[channel]);
            roamer.session.subscribe(Subscribe::new(&*name));
            Place {
                channel,
                name,
                last: 0,
                is_live: false,
                was_live: false,
            }
        });
        Self {
            shared,
            roamer,
            places: places.into(),
            is_away: false,
            absence_ns: (0, 0),
            has_socket: false,
            seen: Seen::default(),
        }
    }

    /// Lives until it is told that the run is over and has everything that is owed, or time is up.
    pub(super) async fn live(mut self, mut is_over: Orders, mut time_is_up: Orders) -> Seen {
        loop {
            if *is_over.borrow() && self.has_everything() {
                return self.seen;
            }
            tokio::select! {
                heard = self.roamer.next() => if let Heard::Event(event) = heard { self.take(event) },
                changed = is_over.changed() => if changed.is_err() { return self.seen },
                _ = time_is_up.changed() => return self.end(),
            }
        }
    }

    fn has_everything(&self) -> bool {
        self.places
            .iter()
            .all(|place| place.last >= self.shared.ledger.top(place.channel))
    }

    fn end(mut self) -> Seen {
        for place in &self.places {
            let top = self.shared.ledger.top(place.channel);
            self.seen.missed += top.saturating_sub(place.last);
        }
        self.seen
    }

    fn take(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Event { channel, event } => self.read(&channel, &event),
            ClientEvent::Connected(_) => {
                self.has_socket = true;
                if self.is_away {
                    self.seen.reconnects_ns.push(self.shared.now_ns());
                }
            }
            ClientEvent::Subscribed {
                subscribed,
                continuity,
            } => self.resumed(&subscribed.channel, subscribed.offset, continuity),
            ClientEvent::Disconnected { retry_in, code } => self.lost(retry_in.is_none(), code),
            ClientEvent::Gap { .. } => self.seen.gaps += 1,
            ClientEvent::Duplicate { .. } => self.seen.redelivered += 1,
            ClientEvent::Unsubscribed { .. }
            | ClientEvent::SubscribeRefused { .. }
            | ClientEvent::Advanced { .. }
            | ClientEvent::Lost { .. }
            | ClientEvent::BadFrame(_) => self.complain(format!("{event:?}")),
            ClientEvent::ConnectRefused(_) => self.seen.failed_attempts += 1,
            ClientEvent::Farewell(_)
            | ClientEvent::Presence { .. }
            | ClientEvent::Reply { .. }
            | ClientEvent::Status(_)
            | ClientEvent::TokenExpiring { .. } => {}
        }
    }

    fn lost(&mut self, for_good: bool, code: Option<u16>) {
        if for_good {
            self.complain(format!("told to stay away: {code:?}"));
        }
        if !self.has_socket && self.is_away {
            self.seen.failed_attempts += 1;
        }
        self.has_socket = false;
        // Before the first connection nobody is away.
        if !self.is_away && self.places.iter().all(|place| place.was_live) {
            self.is_away = true;
            self.absence_ns = (self.shared.now_ns(), u64::MAX);
        }
        self.places
            .iter_mut()
            .for_each(|place| place.is_live = false);
    }

    fn resumed(&mut self, channel: &str, offset: u64, continuity: Continuity) {
        let Some(place) = self.places.iter_mut().find(|place| &*place.name == channel) else {
            return self.complain(format!("subscribed to {channel}"));
        };
        match continuity {
            Continuity::First => place.last = offset,
            Continuity::Complete => {}
            Continuity::Broken(_) => self.seen.broken += 1,
        }
        (place.is_live, place.was_live) = (true, true);
        if !self.places.iter().all(|place| place.is_live) {
            return;
        }
        if std::mem::take(&mut self.is_away) {
            self.absence_ns.1 = self.shared.now_ns();
            let (since, until) = self.absence_ns;
            self.seen.away_ns.push(until - since);
        } else {
            self.shared.ready.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn read(&mut self, channel: &str, event: &Event) {
        let now_ns = self.shared.now_ns();
        let place = self.places.iter_mut().find(|place| &*place.name == channel);
        let (Some(place), Some(offset), Some(mark)) =
            (place, event.offset, super::message::read(event))
        else {
            return self.complain("an event that nobody published".to_owned());
        };
        self.seen.events += 1;
        if offset <= place.last {
            self.seen.repeated += 1;
        } else {
            self.seen.missed += offset - place.last - 1;
            place.last = offset;
        }
        if !self.shared.ledger.saw(place.channel, offset, mark.number) {
            self.seen.disagreed += 1;
        }
        let late = now_ns.saturating_sub(mark.due_ns);
        self.shared.latencies(mark.due_ns).lock().record_ns(late);
        let (since, until) = self.absence_ns;
        if (since.saturating_sub(ON_ITS_WAY_NS)..=until).contains(&mark.due_ns) {
            self.seen.late_ns.push(late);
        }
    }

    /// Kept short: one sentence tells as much as thousands.
    fn complain(&mut self, what: String) {
        if self.seen.complaints.len() < COMPLAINTS_MAX {
            self.seen.complaints.push(what);
        }
    }
}

/// How long before a socket's end something may have been on its way in vain.
const ON_ITS_WAY_NS: u64 = 100_000_000;
const COMPLAINTS_MAX: usize = 3;
