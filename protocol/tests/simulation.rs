//! The client session against a model of a server, over a link that breaks at random, in simulated time.
//! Whatever happens, the user sees every event once and in order, and every publish is kept once.
//! The seed is printed; `PARLOR_SEED` gives one back.

#[path = "simulation/server.rs"]
mod server;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use parlor_protocol::client::{
    ClientConfig, ClientEvent, ClientSession, Continuity, Effect, RequestId,
};
use parlor_protocol::command::{Publish, Recover, Subscribe};
use parlor_protocol::{Form, Format, Payload, Reply, Tags};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use server::Server;

const STEP: Duration = Duration::from_millis(50);
const STEPS_OF_TROUBLE: u32 = 1_200;
const STEPS_OF_PEACE: u32 = 1_200;

#[test]
fn over_a_breaking_link_every_event_comes_once_and_in_order() {
    for seed in seeds(100) {
        let world = World::run(
            seed,
            Faults {
                breaks: 0.02,
                holes: 0.0,
                repeats: 0.0,
            },
        );
        assert_eq!(world.gaps, 0, "seed {seed}");
        assert_eq!(world.duplicates, 0, "seed {seed}");
    }
}

#[test]
fn even_a_server_that_loses_and_repeats_events_is_made_good() {
    let mut gaps = 0;
    for seed in seeds(100) {
        gaps += World::run(
            seed,
            Faults {
                breaks: 0.01,
                holes: 0.02,
                repeats: 0.02,
            },
        )
        .gaps;
    }
    assert!(gaps > 0, "no hole was ever told");
}

/// Chances, each time something could go wrong.
#[derive(Clone, Copy)]
struct Faults {
    breaks: f64,
    holes: f64,
    repeats: f64,
}

struct World {
    seed: u64,
    rng: SmallRng,
    now: Duration,
    session: ClientSession,
    server: Server,
    /// Frames on their way; the link is down when there are none of these.
    link: Option<Link>,
    opening: bool,
    seen: u64,
    asked: BTreeMap<RequestId, String>,
    answered: BTreeMap<RequestId, u64>,
    gaps: u32,
    duplicates: u32,
}

#[derive(Default)]
struct Link {
    to_server: VecDeque<Vec<u8>>,
    to_client: VecDeque<Vec<u8>>,
}

impl World {
    /// Trouble, then peace, then the judgement.
    fn run(seed: u64, faults: Faults) -> Self {
        let form = Form::ALL[(seed % 2) as usize];
        let mut session = ClientSession::new(
            ClientConfig {
                form,
                ..ClientConfig::default()
            },
            seed,
        );
        session.subscribe(Subscribe::new("a").recover(Recover::From("p0".to_owned())));
        session.start(Duration::ZERO);
        let mut world = Self {
            seed,
            rng: SmallRng::seed_from_u64(seed),
            now: Duration::ZERO,
            session,
            server: Server::new(form),
            link: None,
            opening: false,
            seen: 0,
            asked: BTreeMap::new(),
            answered: BTreeMap::new(),
            gaps: 0,
            duplicates: 0,
        };
        (0..STEPS_OF_TROUBLE).for_each(|_| world.step(Some(faults)));
        // The loss of the very last event shows only when another one follows.
        world.server.append(None);
        (0..STEPS_OF_PEACE).for_each(|_| world.step(None));
        world.judge();
        world
    }

    fn step(&mut self, faults: Option<Faults>) {
        self.now += STEP;
        if self
            .session
            .deadline()
            .is_some_and(|deadline| deadline <= self.now)
        {
            self.session.tick(self.now);
        }
        if let Some(faults) = faults {
            self.act(faults);
        }
        if std::mem::take(&mut self.opening) {
            self.link = Some(Link::default());
            self.server.accept();
            self.session.opened(self.now);
        }
        self.carry(faults);
        self.obey();
    }

    fn act(&mut self, faults: Faults) {
        if self.rng.random_bool(0.2) {
            self.server.append(None);
        }
        if self.rng.random_bool(0.1) {
            let id = format!("m{}", self.asked.len());
            let payload = Payload {
                format: Format::Json,
                bytes: Bytes::from_static(b"1"),
            };
            let publish = Publish {
                channel: "a".to_owned(),
                id: Some(id.clone()),
                echo: true,
                tags: Tags::new(),
                payload,
            };
            let request = self.session.publish(publish).expect("room");
            self.asked.insert(request, id);
        }
        if self.link.is_some() && self.rng.random_bool(faults.breaks) {
            // What is on its way is lost, in both directions.
            self.link = None;
            self.session.closed(None, self.now);
        }
    }

    /// Moves a few frames, so that much is always on its way.
    fn carry(&mut self, faults: Option<Faults>) {
        let few = if faults.is_some() {
            self.rng.random_range(0..4)
        } else {
            usize::MAX
        };
        let Some(link) = &mut self.link else { return };
        for frame in link.to_server.drain(..link.to_server.len().min(few)) {
            self.server.take(&frame);
        }
        for (is_event, frame) in self.server.sent() {
            let holes = faults.map_or(0.0, |faults| faults.holes);
            let repeats = faults.map_or(0.0, |faults| faults.repeats);
            if is_event && self.rng.random_bool(holes) {
                continue;
            }
            if is_event && self.rng.random_bool(repeats) {
                link.to_client.push_back(frame.clone());
            }
            link.to_client.push_back(frame);
        }
        for frame in link.to_client.drain(..link.to_client.len().min(few)) {
            self.session.received(&frame, self.now);
        }
    }

    fn obey(&mut self) {
        while let Some(effect) = self.session.poll() {
            match effect {
                Effect::Connect => self.opening = true,
                Effect::Close => self.link = None,
                Effect::Send(frame) => {
                    if let Some(link) = &mut self.link {
                        link.to_server.push_back(frame);
                    }
                }
                Effect::Event(event) => self.notice(event),
            }
        }
    }

    fn notice(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Event { event, .. } => {
                assert_eq!(event.offset, Some(self.seen + 1), "seed {}", self.seed);
                self.seen += 1;
            }
            ClientEvent::Reply { request, result } => match result {
                Ok(Reply::Publish(published)) => {
                    let before = self.answered.insert(request, published.offset);
                    assert_eq!(before, None, "seed {}: answered twice", self.seed);
                }
                other => panic!("seed {}: {other:?}", self.seed),
            },
            ClientEvent::Subscribed { continuity, .. } => {
                assert_eq!(continuity, Continuity::Complete, "seed {}", self.seed);
            }
            ClientEvent::Gap { .. } => self.gaps += 1,
            ClientEvent::Duplicate { .. } => self.duplicates += 1,
            ClientEvent::Connected(_) | ClientEvent::Disconnected { .. } => {}
            other => panic!("seed {}: {other:?}", self.seed),
        }
    }

    fn judge(&self) {
        assert_eq!(
            self.seen,
            self.server.top(),
            "seed {}: something was never told",
            self.seed
        );
        assert_eq!(self.answered.len(), self.asked.len(), "seed {}", self.seed);
        for (request, id) in &self.asked {
            let offsets = self.server.offsets_of(id);
            assert_eq!(
                offsets,
                [self.answered[request]],
                "seed {}: {id}",
                self.seed
            );
        }
    }
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("PARLOR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    {
        Some(seed) => vec![seed],
        None => (0..count).map(|_| rand::rng().random()).collect(),
    }
}
