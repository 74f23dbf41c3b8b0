//! What goes on while things break: people who follow, people and backends who publish, people who come and go.
//!
//! All of them live on a runtime of their own, so that the runner may block. They note what they do and see, and judge nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parlor_protocol::client::ClientConfig;
use parlor_protocol::{Form, limits};
use parlor_tests::Seed;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::recorder::{Name, Recorder};

mod follower;
mod holder;
mod leaver;
mod message;
mod poster;
mod roster;
mod sleeper;
mod writer;

use follower::{Follower, Parting};
use holder::Holder;
pub(crate) use poster::Post;
pub(crate) use sleeper::{Sleep, Sleeper};

/// How long a publish is repeated, like in the SDK: its id is known for five minutes, and a little goes by on the way.
const REPEATED_FOR_MAX: Duration = Duration::from_millis(limits::DEDUP_WINDOW_MS / 10 * 9);

/// So many of those who stay keep rosters of the channels that they follow: more than there are nodes, and too few to weigh
/// beside a storm of thousands.
const HOLDERS: usize = 4;

/// How much of everything.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    /// Stands before everybody's name.
    pub(crate) names: &'static str,
    /// Of each kind.
    pub(crate) channels: usize,
    pub(crate) kinds: &'static [&'static str],
    pub(crate) followers: usize,
    /// That each of them follows.
    pub(crate) followed: usize,
    /// Who publish over WebSocket, over HTTP, and who come and go.
    pub(crate) writers: usize,
    pub(crate) posters: usize,
    pub(crate) leavers: usize,
    /// Between two publishes of one publisher.
    pub(crate) pause: Duration,
}

impl Scale {
    /// What two shared cores carry easily beside the servers.
    pub(crate) fn small(kinds: &'static [&'static str]) -> Self {
        Self {
            names: "",
            channels: 6,
            kinds,
            followers: 24,
            followed: 3,
            writers: 5,
            posters: 2,
            leavers: 2,
            pause: Duration::from_millis(25),
        }
    }

    /// Everybody who may be connected.
    pub(crate) fn clients(&self) -> usize {
        self.followers + self.writers + self.posters + self.leavers
    }

    /// Those of one kind: a publisher keeps to it, so that a kind that waits does not hold up the others.
    fn channel_names_of(&self, publisher: usize) -> Vec<Name> {
        let kind = self.kinds[publisher % self.kinds.len()];
        let names = self.channel_names().into_iter();
        names.filter(|name| name.starts_with(kind)).collect()
    }

    fn channel_names(&self) -> Vec<Name> {
        let kinds = self.kinds.iter();
        kinds
            .flat_map(|kind| {
                (1..=self.channels).map(move |number| format!("{kind}:{number}").into())
            })
            .collect()
    }
}

/// What all of them are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) phase: Phase,
    /// Raised when everybody shall lose the socket at once.
    pub(crate) storms: u64,
}

/// Where the run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Working,
    /// Nothing new is published; what is open is repeated until it is answered.
    Finishing,
    /// Those who are to leave do so.
    Parting,
    Over,
}

/// What an actor needs to take part.
#[derive(Clone, Debug)]
struct Part {
    name: Name,
    recorder: Recorder,
    nodes: Vec<SocketAddr>,
    orders: watch::Receiver<Orders>,
    scale: Arc<Scale>,
    channels: Vec<Name>,
}

impl Part {
    fn config(&self, rng: &mut StdRng) -> ClientConfig {
        ClientConfig {
            form: *Form::ALL.choose(rng).expect("two forms"),
            user: Some(self.name.to_string()),
            ..ClientConfig::default()
        }
    }
}

/// Everybody who takes part.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) channels: Vec<Name>,
    orders: watch::Sender<Orders>,
    publishers: Vec<(Name, JoinHandle<()>)>,
    /// Who follows what, and how they part.
    follows: Vec<(Name, Vec<Name>, Parting)>,
    runtime: Runtime,
}

impl Workload {
    /// Sets everybody going.
    pub(crate) fn start(
        scale: &Scale,
        nodes: &[SocketAddr],
        recorder: &Recorder,
        seed: Seed,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime for the clients");
        let orders = Orders {
            phase: Phase::Working,
            storms: 0,
        };
        let (orders, told) = watch::channel(orders);
        let channels = scale.channel_names();
        let mut part = Part {
            name: "".into(),
            recorder: recorder.clone(),
            nodes: nodes.to_vec(),
            orders: told,
            scale: Arc::new(scale.clone()),
            channels: channels.clone(),
        };
        let mut workload = Self {
            channels,
            orders,
            publishers: Vec::new(),
            follows: Vec::new(),
            runtime,
        };
        for number in 0..scale.followers {
            part.name = format!("{}follower-{number}", scale.names).into();
            workload.follow(&part, seed.rng(1_000 + number as u64));
        }
        for number in 0..scale.leavers {
            part.name = format!("{}leaver-{number}", scale.names).into();
            let rng = seed.rng(2_000 + number as u64);
            workload.runtime.spawn(leaver::live(part.clone(), rng));
        }
        for number in 0..scale.writers {
            part.name = format!("{}writer-{number}", scale.names).into();
            part.channels = scale.channel_names_of(number);
            let life = writer::live(part.clone(), seed.rng(3_000 + number as u64));
            workload.publish(&part, life);
        }
        for number in 0..scale.posters {
            part.name = format!("{}poster-{number}", scale.names).into();
            part.channels = scale.channel_names_of(number);
            let life = poster::live(part.clone(), seed.rng(4_000 + number as u64));
            workload.publish(&part, life);
        }
        workload
    }

    fn follow(&mut self, part: &Part, mut rng: StdRng) {
        let count = part.scale.followed.min(part.channels.len());
        let followed: Vec<Name> = part
            .channels
            .choose_multiple(&mut rng, count)
            .cloned()
            .collect();
        let parting = match rng.random_range(0..4) {
            0 => Parting::Politely,
            1 => Parting::Abruptly,
            _ => Parting::Stays,
        };
        let holder = if parting == Parting::Stays && self.stayers().count() < HOLDERS {
            Holder::of(&followed)
        } else {
            Holder::default()
        };
        let follower = Follower::new(part.clone(), followed.clone(), parting, holder, rng);
        self.runtime.spawn(follower.live());
        self.follows.push((part.name.clone(), followed, parting));
    }

    fn publish(&mut self, part: &Part, life: impl Future<Output = ()> + Send + 'static) {
        let handle = self.runtime.spawn(life);
        self.publishers.push((part.name.clone(), handle));
    }

    pub(crate) fn order(&self, phase: Phase) {
        self.orders.send_modify(|orders| orders.phase = phase);
    }

    /// Everybody loses the socket at the same moment.
    pub(crate) fn storm(&self) {
        self.orders.send_modify(|orders| orders.storms += 1);
    }

    /// Waits until every publisher knows the outcome of all it sent. Returns who does not in time.
    pub(crate) fn wait_for_publishers(&self, time_max: Duration) -> Vec<Name> {
        let end = Instant::now() + time_max;
        let open = || {
            self.publishers
                .iter()
                .filter(|(_, handle)| !handle.is_finished())
        };
        while open().next().is_some() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        open().map(|(name, _)| name.clone()).collect()
    }

    /// How many follow each channel from the start.
    pub(crate) fn follows(&self) -> impl Iterator<Item = (&Name, &Name)> {
        self.follows
            .iter()
            .flat_map(|(name, channels, _)| channels.iter().map(move |channel| (name, channel)))
    }

    /// Who is in a channel once everybody who parts has parted.
    pub(crate) fn stay_in(&self, channel: &Name) -> BTreeSet<Name> {
        let staying = self
            .stayers()
            .filter(|(_, channels, _)| channels.contains(channel));
        staying.map(|(name, ..)| name.clone()).collect()
    }

    /// Who keeps a roster of which channel.
    pub(crate) fn holders(&self) -> impl Iterator<Item = (&Name, &Name)> {
        let holders = self.stayers().take(HOLDERS);
        holders.flat_map(|(name, channels, _)| channels.iter().map(move |channel| (name, channel)))
    }

    fn stayers(&self) -> impl Iterator<Item = &(Name, Vec<Name>, Parting)> {
        let follows = self.follows.iter();
        follows.filter(|(_, _, parting)| *parting == Parting::Stays)
    }

    /// Lets something live beside everybody else.
    pub(crate) fn spawn(&self, life: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.spawn(life)
    }

    /// Runs something on the clients' runtime.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}
