//! One run, decided: every option has its value, every bound is checked but those of the machine that will open it, and nothing
//! is opened yet.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use parlor_protocol::ChannelName;
use serde::{Deserialize, Serialize};

use crate::cli::{Options, Thresholds};
use crate::dialect::Dialect;
use crate::driver::readers::Part;
use crate::scenario::activity::{Activity, Errand, LENGTH_MAX};
use crate::scenario::forms::Forms;
use crate::scenario::sizes::PayloadSizes;
use crate::schedule::{Rate, Stage, Timeline};
use crate::shape::{Group, Shape};
use crate::stamp::NUMBER_MAX;
use crate::target::{Reach, Sources, Target};
use crate::token::Tokens;
use crate::watch::Watched;

pub(crate) mod activity;
pub(crate) mod forms;
pub(crate) mod sizes;

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// The server's nodes; connections are spread over them. Never empty.
    pub(crate) targets: Vec<Target>,
    /// Where the publishers connect: other nodes of the same server, or the same ones. Never empty.
    pub(crate) publish_targets: Vec<Target>,
    pub(crate) shape: Shape,
    pub(crate) groups: Vec<Group>,
    pub(crate) timeline: Timeline,
    /// What else happens in each stage.
    pub(crate) activity: Vec<Activity>,
    pub(crate) load: Load,
    /// The part of the load that this process makes.
    pub(crate) share: Share,
    pub(crate) watched: Watched,
    pub(crate) outputs: Outputs,
    pub(crate) thresholds: Thresholds,
}

/// How the generator behaves.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) forms: Forms,
    pub(crate) payload_sizes: PayloadSizes,
    /// Share (0 to 1) of subscribers that read only a little now and then.
    pub(crate) slow_readers: f64,
    /// Subscribers of each group, from the first on, that stop reading for good once they have joined.
    pub(crate) stuck_readers: u32,
    pub(crate) sources: Option<Sources>,
    /// New connections per second, over all groups.
    pub(crate) connect_rate: f64,
    /// Of each group.
    pub(crate) publishers: u32,
    /// Of each group.
    pub(crate) threads: u32,
    pub(crate) publish_ids: bool,
    /// Whether each subscriber also joins a channel of its own.
    pub(crate) own_channel: bool,
    /// The start of all channel names of this run; new in each, so that old logs do not matter.
    pub(crate) prefix: String,
    pub(crate) tokens: Tokens,
}

/// Where the report goes.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    pub(crate) json: Option<PathBuf>,
    /// `None`: stdout.
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
    pub(crate) junit: Option<PathBuf>,
}

/// One worker's part: of connections and publishes, every `of`th, beginning with `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    pub(crate) first: u32,
    pub(crate) of: u32,
}

impl Share {
    pub(crate) const WHOLE: Self = Self { first: 0, of: 1 };

    /// How many of `all` are this worker's.
    pub(crate) fn count(self, all: u32) -> u32 {
        (all + self.of - 1 - self.first) / self.of
    }
}

impl Load {
    /// Whose server it is; where forms are mixed, the first of them.
    pub(crate) fn dialect(&self) -> Dialect {
        self.forms.first()
    }
}

impl Scenario {
    /// # Errors
    /// When an option has a value that cannot be run, in words that name it.
    pub(crate) fn from_options(options: Options) -> anyhow::Result<Self> {
        Self::part(options, Share::WHOLE)
    }

    /// One worker's part of a run.
    ///
    /// # Errors
    /// As [`Self::from_options`].
    pub(crate) fn part(options: Options, share: Share) -> anyhow::Result<Self> {
        let url = options
            .url
            .as_deref()
            .unwrap_or("ws://127.0.0.1:8000/v1/socket");
        let reach = Reach {
            allow_remote: options.allow_remote,
            ca: options.ca.as_deref(),
            tls_resume: options.tls_resume,
        };
        let targets = Target::resolve_all(url, reach)?;
        let publish_url = options.publish_url.as_deref().unwrap_or(url);
        let publish_targets = Target::resolve_all(publish_url, reach)?;
        let shape = shape(
            options.shape.as_deref().unwrap_or("rooms=100x10"),
            options.connections,
        )?;
        let groups = shape.groups();
        let (stages, activity) = stages(shape, &options)?;
        let timeline = Timeline::new(stages);
        for group in 0..groups.len() {
            ensure!(
                timeline.schedule(group).len() < NUMBER_MAX,
                "more publishes than a stamp can number; shorten the run"
            );
        }
        let load = load(&options, &targets[0])?;
        ensure!(
            load.dialect().acknowledges()
                || (share == Share::WHOLE
                    && load.slow_readers == 0.0
                    && activity.iter().all(Activity::asks_nothing)),
            "only Parlor's own forms know workers, slow readers and errands"
        );
        ensure!(
            groups
                .iter()
                .all(|group| load.stuck_readers <= group.connections),
            "there are more stuck readers than subscribers"
        );
        check_names(&load, &groups)?;
        Ok(Self {
            targets,
            publish_targets,
            shape,
            groups,
            timeline,
            activity,
            load,
            share,
            watched: Watched {
                pids: options.server_pid,
                metrics_urls: options.metrics_url,
                redis: options.redis,
                network_mbit_s: options.network_mbit_s,
            },
            outputs: Outputs {
                json: options.json,
                markdown: options.markdown,
                html: options.html,
                junit: options.junit,
            },
            thresholds: with_defaults(options.thresholds),
        })
    }

    /// The name of a group's channel.
    pub(crate) fn channel(&self, group: usize, channel: u32) -> String {
        channel_name(&self.load, &self.groups[group], channel)
    }

    /// The node of a subscriber. Members of one room are on different nodes.
    pub(crate) fn target_of(&self, group: usize, connection: u32) -> &Target {
        let channels = self.groups[group].channels.max(1);
        let (room, seat) = (connection % channels, connection / channels);
        of_turn(&self.targets, room + seat)
    }

    /// The node of a connection that asks for history and the like.
    pub(crate) fn errand_target_of(&self, number: u32) -> &Target {
        of_turn(&self.targets, number)
    }

    /// The node of a publisher.
    pub(crate) fn publish_target_of(&self, number: u32) -> &Target {
        of_turn(&self.publish_targets, number)
    }

    /// All connections that this process may hold at one time.
    pub(crate) fn connections(&self) -> u32 {
        self.own_connections() + self.publishers() + self.errand_connections()
    }

    /// Running out of ports in the middle would look like a fault of the server.
    ///
    /// # Errors
    /// When the connections of this process are more than its source addresses have ports.
    pub(crate) fn check_ports(&self) -> anyhow::Result<()> {
        let sources = self.load.sources.map_or(1, Sources::count);
        let each = self.own_connections().div_ceil(sources);
        ensure!(
            each <= PORTS_PER_SOURCE,
            "{each} connections from one address are more than its {PORTS_PER_SOURCE} ports; give more --sources"
        );
        Ok(())
    }

    /// Subscribers of the whole load that are opened before the clock starts.
    pub(crate) fn begins_with(&self) -> u32 {
        let online = self.activity.first().map_or(1.0, |first| first.online.from);
        (f64::from(self.shape.connections()) * online).round() as u32
    }

    /// The same, of this worker. Parts are rounded one by one, so one for each may be missing.
    pub(crate) fn own_begins_with(&self) -> u32 {
        let online = self.activity.first().map_or(1.0, |first| first.online.from);
        let parts = Part::all(self);
        parts
            .iter()
            .map(|part| (f64::from(part.size(self)) * online).round() as u32)
            .sum()
    }

    /// Whether subscribers are cut, or sent away, and come back.
    pub(crate) fn subscribers_return(&self) -> bool {
        self.load.slow_readers > 0.0 || self.activity.iter().any(Activity::moves)
    }

    /// This worker's subscribers.
    pub(crate) fn own_connections(&self) -> u32 {
        let own = |group: &Group| self.share.count(group.connections);
        self.groups.iter().map(own).sum()
    }

    /// Connections that ask for history, presence and the like.
    pub(crate) fn errand_connections(&self) -> u32 {
        let highest = self.activity.iter().map(|activity| {
            let rates = activity.errands.iter();
            rates.map(|rate| rate.from.max(rate.to)).sum::<f64>()
        });
        let highest = highest.fold(0.0, f64::max) / f64::from(self.share.of);
        ((highest / RATE_OF_ONE_PUBLISHER).ceil() as u32).min(PUBLISHERS_MAX)
    }

    /// The rate of an errand in a stage.
    pub(crate) fn errand_rate(&self, errand: Errand, stage: usize) -> Rate {
        self.activity
            .get(stage)
            .map_or_else(Rate::default, |activity| activity.errands[errand as usize])
    }

    /// Whether the acknowledged publishes tell how many deliveries must come to this process.
    pub(crate) fn knows_what_is_owed(&self) -> bool {
        self.share == Share::WHOLE && !self.subscribers_return() && self.load.stuck_readers == 0
    }

    /// Publishing connections of all groups, in this process.
    pub(crate) fn publishers(&self) -> u32 {
        if self.shape.publishes() {
            self.publishers_of_group() * self.groups.len() as u32
        } else {
            0
        }
    }
}

impl Scenario {
    /// Publishing connections of each group, in this process.
    pub(crate) fn publishers_of_group(&self) -> u32 {
        self.load.publishers.div_ceil(self.share.of)
    }
}

fn of_turn(targets: &[Target], turn: u32) -> &Target {
    &targets[turn as usize % targets.len()]
}

fn shape(raw: &str, connections: Option<u32>) -> anyhow::Result<Shape> {
    let shape: Shape = match (raw, connections) {
        ("idle", None) => bail!("--shape idle needs --connections"),
        ("idle", Some(connections)) => format!("idle={connections}").parse()?,
        (raw, _) => raw.parse()?,
    };
    if let Some(connections) = connections {
        let made = shape.connections();
        ensure!(
            made == connections,
            "--shape {raw} makes {made} connections, but --connections says {connections}"
        );
    }
    Ok(shape)
}

fn stages(shape: Shape, options: &Options) -> anyhow::Result<(Vec<Stage>, Vec<Activity>)> {
    let duration = options
        .duration
        .map_or(Duration::from_secs(30), |length| length.0);
    let warmup = options
        .warmup
        .map_or(Duration::from_secs(3), |length| length.0);
    ensure!(
        !duration.is_zero() && duration <= LENGTH_MAX && warmup <= LENGTH_MAX,
        "a stage lasts more than nothing and at most an hour"
    );
    let (rate, room_rate) = (
        options.rate.unwrap_or(RATE_DEFAULT),
        options.room_rate.unwrap_or(ROOM_RATE_DEFAULT),
    );
    for rate in [rate, room_rate] {
        ensure!(
            rate > 0.0 && rate <= RATE_MAX,
            "a rate is more than 0 and at most {RATE_MAX} publishes per second"
        );
    }
    if !options.stages.is_empty() {
        return activity::stages(shape, options, [room_rate, rate]);
    }
    let stages = plain_stages(shape, duration, warmup, [room_rate, rate]);
    let activity = stages.iter().map(|_| Activity::quiet()).collect();
    Ok((stages, activity))
}

/// A warm-up, where it has a length, and one measured stage; bystanders have two of each.
fn plain_stages(
    shape: Shape,
    duration: Duration,
    warmup: Duration,
    [room_rate, rate]: [f64; 2],
) -> Vec<Stage> {
    let steady = |rates: &[f64]| rates.iter().copied().map(Rate::steady).collect();
    let measure = |name: &str, rates: &[f64]| Stage {
        name: name.to_owned(),
        length: duration,
        measured: true,
        rates: steady(rates),
    };
    let warm = |rates: &[f64]| Stage {
        name: "warm-up".to_owned(),
        length: warmup,
        measured: false,
        rates: steady(rates),
    };
    let mut stages = match shape {
        Shape::Rooms { .. } | Shape::Zipf { .. } => vec![warm(&[rate]), measure("load", &[rate])],
        Shape::Idle { .. } | Shape::IdleRooms { .. } => vec![measure("idle", &[])],
        Shape::Bystander { .. } => {
            let (alone, beside) = ([room_rate, 0.0], [room_rate, rate]);
            vec![
                warm(&alone),
                measure("alone", &alone),
                warm(&beside),
                measure("beside", &beside),
            ]
        }
    };
    stages.retain(|stage| !stage.length.is_zero());
    stages
}

fn load(options: &Options, target: &Target) -> anyhow::Result<Load> {
    let bytes = options.payload_bytes.unwrap_or(128).to_string();
    let payload_sizes = options.payload_sizes.as_deref().unwrap_or(&bytes).parse()?;
    let slow_readers = options.slow_readers.unwrap_or(0.0);
    ensure!(
        (0.0..=1.0).contains(&slow_readers),
        "slow readers are a share from 0 to 1"
    );
    let connect_rate = options.connect_rate.unwrap_or(2_000.0);
    ensure!(
        connect_rate > 0.0 && connect_rate <= RATE_MAX,
        "a connect rate is more than 0 and at most {RATE_MAX}"
    );
    let (publishers, threads) = (
        options
            .publishers
            .unwrap_or_else(|| enough_publishers(options)),
        options.threads.unwrap_or(1),
    );
    ensure!(
        (1..=PUBLISHERS_MAX).contains(&publishers),
        "there are 1 to {PUBLISHERS_MAX} publishers"
    );
    ensure!((1..=64).contains(&threads), "there are 1 to 64 threads");
    let sources = options
        .sources
        .as_deref()
        .map(str::parse)
        .transpose()?
        .or_else(|| target.default_sources());
    let prefix = options.prefix.as_deref().unwrap_or("load");
    Ok(Load {
        forms: options.form.as_deref().unwrap_or("json").parse()?,
        payload_sizes,
        slow_readers,
        stuck_readers: options.stuck_readers.unwrap_or(0),
        sources,
        connect_rate,
        publishers,
        threads,
        publish_ids: options.publish_ids.unwrap_or(true),
        own_channel: options.own_channel,
        prefix: format!("{prefix}:{:08x}", rand::random::<u32>()),
        tokens: match (&options.token_secret, &options.token) {
            (Some(secret), _) => Tokens::Signed(secret.clone()),
            (None, Some(token)) => Tokens::Shared(token.clone()),
            (None, None) => Tokens::None,
        },
    })
}

/// So many that each stays well below a server's default limit for one connection.
fn enough_publishers(options: &Options) -> u32 {
    let of_stages = options
        .stages
        .iter()
        .flat_map(|stage| [stage.rate, stage.room_rate])
        .flatten();
    let rate = of_stages
        .fold(options.rate.unwrap_or(RATE_DEFAULT), f64::max)
        .max(options.room_rate.unwrap_or(ROOM_RATE_DEFAULT));
    ((rate / RATE_OF_ONE_PUBLISHER).ceil() as u32).clamp(4, PUBLISHERS_MAX)
}

fn channel_name(load: &Load, group: &Group, channel: u32) -> String {
    format!("{}:{}:{channel}", load.prefix, group.name)
}

/// All names of a run differ in digits only, so the longest one of each group answers for all.
fn check_names(load: &Load, groups: &[Group]) -> anyhow::Result<()> {
    for group in groups {
        ChannelName::parse(&channel_name(load, group, group.channels))
            .map_err(|error| anyhow::anyhow!("bad --prefix; {}", error.text))?;
    }
    Ok(())
}

/// Faults are never all right unless somebody says so.
fn with_defaults(given: Thresholds) -> Thresholds {
    Thresholds {
        max_gaps: given.max_gaps.or(Some(0)),
        max_duplicates: given.max_duplicates.or(Some(0)),
        max_reordered: given.max_reordered.or(Some(0)),
        max_foreign: given.max_foreign.or(Some(0)),
        max_refused: given.max_refused.or(Some(0)),
        max_closed: given.max_closed.or(Some(0)),
        ..given
    }
}

const RATE_MAX: f64 = 1_000_000.0;
const RATE_DEFAULT: f64 = 100.0;
const ROOM_RATE_DEFAULT: f64 = 20.0;
const PUBLISHERS_MAX: u32 = 256;
/// Publishes per second; servers allow 100 unless configured otherwise.
const RATE_OF_ONE_PUBLISHER: f64 = 50.0;
/// Linux gives 28,232 local ports to one address by default; some rest in TIME_WAIT from the run before.
const PORTS_PER_SOURCE: u32 = 25_000;

#[cfg(test)]
mod tests;
