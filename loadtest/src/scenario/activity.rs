//! What happens in each stage besides publishing: who is online, who is cut, and what else is asked.
//!
//! Decided before the run, like the publishes; the driver only does it.

use std::time::Duration;

use anyhow::ensure;

use crate::cli::{Options, StageOptions};
use crate::schedule::{Rate, Stage};
use crate::shape::Shape;

/// One stage's activity.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Activity {
    /// Share (0 to 1) of all subscribers that are online.
    pub(crate) online: Rate,
    /// Subscribers cut per second, of the whole load.
    pub(crate) churn: Rate,
    /// Share of the subscribers cut at the start.
    pub(crate) storm: f64,
    /// By [`Errand::ALL`].
    pub(crate) errands: [Rate; Errand::ALL.len()],
}

/// What a client asks now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    Signal,
    History,
    Presence,
    Join,
}

impl Errand {
    pub(crate) const ALL: [Self; 4] = [Self::Signal, Self::History, Self::Presence, Self::Join];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Signal => "signals",
            Self::History => "history reads",
            Self::Presence => "presence reads",
            Self::Join => "joins",
        }
    }
}

impl Activity {
    /// Everybody online, and nothing else.
    pub(crate) fn quiet() -> Self {
        Self {
            online: Rate::steady(1.0),
            ..Self::default()
        }
    }

    /// Whether there are no errands.
    pub(crate) fn asks_nothing(&self) -> bool {
        self.errands.iter().all(|rate| *rate == Rate::default())
    }

    /// Whether members of channels come and go.
    pub(crate) fn moves(&self) -> bool {
        self.online != Rate::steady(1.0) || self.churn.mean() > 0.0 || self.storm > 0.0
    }
}

/// What a stage ends with, and the next one begins with.
#[derive(Clone, Copy, Debug)]
struct Level {
    rates: [f64; 2],
    online: f64,
    churn: f64,
    errands: [f64; Errand::ALL.len()],
}

/// Turns the stages of a file into stages of the clock and their activity.
///
/// # Errors
/// When a number is out of its bounds, in words that name it.
pub(super) fn stages(
    shape: Shape,
    options: &Options,
    rates: [f64; 2],
) -> anyhow::Result<(Vec<Stage>, Vec<Activity>)> {
    ensure!(
        options.stages.len() <= STAGES_MAX,
        "there are at most {STAGES_MAX} stages"
    );
    let first = options.stages.first();
    let online = first.and_then(|stage| stage.connections);
    let all = shape.connections();
    let mut level = Level {
        rates: if first.is_some_and(|stage| stage.ramp) {
            [0.0; 2]
        } else {
            rates
        },
        online: online.map_or(1.0, |online| f64::from(online) / f64::from(all)),
        churn: 0.0,
        errands: [0.0; Errand::ALL.len()],
    };
    // A first stage that ramps begins with nobody; otherwise its subscribers are opened before the clock starts.
    if first.is_some_and(|stage| stage.ramp && stage.connections.is_some()) {
        level.online = 0.0;
    }
    let mut both = (Vec::new(), Vec::new());
    for (index, described) in options.stages.iter().enumerate() {
        let before = level;
        level = level_after(
            before,
            described,
            all,
            if index == 0 { rates } else { before.rates },
        )?;
        let from = if described.ramp { before } else { level };
        let (stage, activity) = stage(shape, index, described, from, level);
        both.0.push(stage);
        both.1.push(activity);
    }
    Ok(both)
}

fn level_after(
    before: Level,
    described: &StageOptions,
    all: u32,
    rates: [f64; 2],
) -> anyhow::Result<Level> {
    let connections = described.connections;
    ensure!(
        connections.is_none_or(|connections| connections <= all),
        "a stage has {} connections, but the shape makes {all}",
        connections.unwrap_or(0)
    );
    ensure!(
        described
            .storm
            .is_none_or(|share| (0.0..=1.0).contains(&share)),
        "a storm is a share from 0 to 1 of all connections"
    );
    let length = described.length.0;
    ensure!(
        !length.is_zero() && length <= LENGTH_MAX,
        "a stage lasts more than nothing and at most an hour"
    );
    let asked = [
        described.signals,
        described.history,
        described.presence,
        described.joins,
    ];
    let mut errands = before.errands;
    for (rate, asked) in errands.iter_mut().zip(asked) {
        *rate = asked.unwrap_or(*rate);
    }
    let level = Level {
        rates: [
            described.room_rate.unwrap_or(rates[0]),
            described.rate.unwrap_or(rates[1]),
        ],
        online: connections.map_or(before.online, |online| f64::from(online) / f64::from(all)),
        churn: described.churn.unwrap_or(before.churn),
        errands,
    };
    let named = [level.rates[0], level.rates[1], level.churn];
    for rate in named.into_iter().chain(errands) {
        ensure!(
            (0.0..=super::RATE_MAX).contains(&rate),
            "a rate is 0 to {} per second",
            super::RATE_MAX
        );
    }
    Ok(level)
}

fn stage(
    shape: Shape,
    index: usize,
    described: &StageOptions,
    from: Level,
    to: Level,
) -> (Stage, Activity) {
    let rate = |of: fn(&Level) -> f64| Rate {
        from: of(&from),
        to: of(&to),
    };
    let (room, crowd) = (rate(|level| level.rates[0]), rate(|level| level.rates[1]));
    let rates = match shape {
        Shape::Bystander { .. } => vec![room, crowd],
        Shape::Rooms { .. } | Shape::Zipf { .. } => vec![crowd],
        Shape::Idle { .. } | Shape::IdleRooms { .. } => Vec::new(),
    };
    let name = described.name.clone();
    let stage = Stage {
        name: name.unwrap_or_else(|| format!("stage {}", index + 1)),
        length: described.length.0,
        measured: described.measured,
        rates,
    };
    let mut errands = [Rate::default(); Errand::ALL.len()];
    for (errand, rate) in errands.iter_mut().enumerate() {
        *rate = Rate {
            from: from.errands[errand],
            to: to.errands[errand],
        };
    }
    let activity = Activity {
        online: rate(|level| level.online),
        churn: rate(|level| level.churn),
        storm: described.storm.unwrap_or(0.0),
        errands,
    };
    (stage, activity)
}

const STAGES_MAX: usize = 64;
/// Of one stage.
pub(super) const LENGTH_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> anyhow::Result<(Vec<Stage>, Vec<Activity>)> {
        let options: Options = toml::from_str(file).unwrap();
        let shape = options.shape.as_deref().unwrap_or("rooms=10x10");
        stages(shape.parse().unwrap(), &options, [20.0, 100.0])
    }

    #[test]
    fn a_ramp_begins_where_the_stage_before_ended() {
        let (stages, activity) = read(
            "[[stages]]\nlength = \"10s\"\nramp = true\nconnections = 50\nrate = 10.0\n\
             [[stages]]\nlength = \"5s\"\nramp = true\nconnections = 100\nrate = 30.0\nhistory = 4.0\n\
             [[stages]]\nlength = \"5s\"\nname = \"hold\"\n",
        )
        .unwrap();
        let rate = |from, to| Rate { from, to };
        assert_eq!(
            stages
                .iter()
                .map(|stage| stage.rates[0])
                .collect::<Vec<_>>(),
            [rate(0.0, 10.0), rate(10.0, 30.0), rate(30.0, 30.0)]
        );
        assert_eq!(
            activity.iter().map(|of| of.online).collect::<Vec<_>>(),
            [rate(0.0, 0.5), rate(0.5, 1.0), rate(1.0, 1.0)]
        );
        assert_eq!(activity[2].errands[1], rate(4.0, 4.0));
        assert!(activity[0].moves() && !activity[2].moves());
        assert_eq!(stages[2].name, "hold");
    }

    #[test]
    fn a_storm_belongs_to_its_stage_alone() {
        let (_, activity) = read(
            "[[stages]]\nlength = \"1s\"\nstorm = 0.5\nchurn = 3.0\n[[stages]]\nlength = \"1s\"\n",
        )
        .unwrap();
        assert_eq!((activity[0].storm, activity[1].storm), (0.5, 0.0));
        assert_eq!(activity[1].churn, Rate::steady(3.0));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for stage in [
            "length = \"0s\"",
            "length = \"1s\"\nconnections = 101",
            "length = \"1s\"\nstorm = 1.5",
            "length = \"1s\"\nhistory = -1.0",
            "length = \"1s\"\nrate = nan",
        ] {
            assert!(read(&format!("[[stages]]\n{stage}\n")).is_err(), "{stage}");
        }
    }
}
