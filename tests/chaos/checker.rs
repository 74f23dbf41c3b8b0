//! What must hold of every run, whatever broke in it. A pure function over a recording.
//!
//! | invariant | bugs that break it |
//! |---|---|
//! | I1 no acknowledged loss | lost |
//! | I2 no invisible loss | silent-gap |
//! | I3 no duplicates | duplicate |
//! | I4 one order, I5 real-time order | reorder, offset-reuse, stale-epoch |
//! | I6 no phantoms | phantom, leak-to-wrong-subscriber |
//! | I7 history is what was delivered | lost, offset-reuse |
//! | I8 presence converges | ghost-presence, missing-presence, stale-roster |
//! | I9 bounded | unbounded |
//! | I10 liveness | stuck |
//! | in time | late-notice, late-red, late-green, early-green, late-back |
//! | nobody is troubled without need | needless-break, inexact-notice |
//! | who had what is gone is told its offsets | unexplained-break, inexact-notice |
//!
//! Where a run's promises allow loss (asynchronous Redis), a loss must still be told: views stay contiguous in each epoch,
//! a new epoch comes only with a break that the subscriber was told of, and one place never names two events. Contiguity up to
//! the sentinel then covers every acknowledged event of the last epoch, and the break covers those of the epochs before.

use std::fmt;

use crate::recorder::{Fact, Name, Record};

mod bounds;
mod epochs;
mod histories;
mod index;
mod publishes;
mod report;
mod rosters;
#[cfg(test)]
mod tests;
mod timing;
#[cfg(test)]
mod timing_tests;
mod views;

pub(crate) use bounds::is_judged;
use index::Index;
pub(crate) use report::Report;
pub(crate) use timing::{Duty, measure};

/// What went wrong, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Bug {
    /// Acknowledged or delivered, and gone.
    Lost,
    /// A subscriber missed events without being told.
    SilentGap,
    /// One publish came, or stands in the log, twice.
    Duplicate,
    /// Events came, or were placed, in another order than they must.
    Reorder,
    /// One place named two events, or one that nodes do not tell alike.
    OffsetReuse,
    /// An event that nobody published, or whose publish was refused.
    Phantom,
    /// A subscriber was carried from one epoch into another without being told.
    StaleEpoch,
    /// An event came where it had no business.
    Leak,
    /// Somebody is listed who is gone.
    GhostPresence,
    /// Somebody is there who is not listed.
    MissingPresence,
    /// Somebody keeps a roster that is not what nodes list.
    StaleRoster,
    /// Something grew over its bound.
    Unbounded,
    /// Something that had to happen did not.
    Stuck,
    /// A subscriber was told of a break where nothing was lost.
    NeedlessBreak,
    /// A subscriber who followed live had what is gone, and was told of a break only.
    UnexplainedBreak,
    /// A notice names what is there, or does not name what is gone.
    InexactNotice,
    /// A loss was told late.
    LateNotice,
    /// Readiness turned red late.
    LateRed,
    /// Readiness turned green late.
    LateGreen,
    /// Readiness was green where nothing could be delivered.
    EarlyGreen,
    /// Publishes were back late.
    LateBack,
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::SilentGap => "silent-gap",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::OffsetReuse => "offset-reuse",
            Self::Phantom => "phantom",
            Self::StaleEpoch => "stale-epoch",
            Self::Leak => "leak-to-wrong-subscriber",
            Self::GhostPresence => "ghost-presence",
            Self::MissingPresence => "missing-presence",
            Self::StaleRoster => "stale-roster",
            Self::Unbounded => "unbounded",
            Self::Stuck => "stuck",
            Self::NeedlessBreak => "needless-break",
            Self::UnexplainedBreak => "unexplained-break",
            Self::InexactNotice => "inexact-notice",
            Self::LateNotice => "late-notice",
            Self::LateRed => "late-red",
            Self::LateGreen => "late-green",
            Self::EarlyGreen => "early-green",
            Self::LateBack => "late-back",
        })
    }
}

/// One violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) bug: Bug,
    /// Index of the record at which it shows.
    pub(crate) at: usize,
    pub(crate) channel: Option<Name>,
    pub(crate) text: String,
}

/// What a run promises of its channels, by the beginnings of their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promises {
    /// These may lose what was acknowledged, as long as everybody is told.
    pub(crate) may_lose: Vec<&'static str>,
    /// These may take back what was delivered and not acknowledged, as long as everybody is told.
    pub(crate) may_retract: Vec<&'static str>,
    /// These may tell of a break though nothing was lost. Where something may be lost, a break needs a loss.
    pub(crate) may_break: Vec<&'static str>,
}

impl Promises {
    /// Nothing is lost, nobody resyncs.
    pub(crate) fn strict() -> Self {
        Self::default()
    }

    /// What these channels lose is announced.
    #[must_use]
    pub(crate) fn may_lose(mut self, beginnings: &[&'static str]) -> Self {
        self.may_lose.extend(beginnings);
        self
    }

    /// What these delivered and did not acknowledge may be taken back.
    #[must_use]
    pub(crate) fn may_retract(mut self, beginnings: &[&'static str]) -> Self {
        self.may_retract.extend(beginnings);
        self
    }

    /// These may be told of breaks.
    #[must_use]
    pub(crate) fn may_break(mut self, beginnings: &[&'static str]) -> Self {
        self.may_break.extend(beginnings);
        self
    }

    pub(crate) fn allow_loss(&self, channel: &str) -> bool {
        begins(&self.may_lose, channel)
    }

    /// Whether a publish may come again in a later epoch, since its first place was taken back.
    pub(crate) fn allow_retract(&self, channel: &str) -> bool {
        self.allow_loss(channel) || begins(&self.may_retract, channel)
    }

    pub(crate) fn allow_break(&self, channel: &str) -> bool {
        begins(&self.may_break, channel)
    }
}

fn begins(beginnings: &[&str], channel: &str) -> bool {
    let bare = channel.rsplit('/').next().unwrap_or(channel);
    beginnings
        .iter()
        .any(|beginning| bare.starts_with(beginning))
}

/// All violations, in the order in which they show.
pub(crate) fn check(recording: &[Record], promises: &Promises) -> Vec<Finding> {
    let mut findings = Findings::default();
    let index = Index::of(recording, &mut findings);
    publishes::check(&index, &mut findings);
    views::check(recording, &index, promises, &mut findings);
    histories::check(&index, promises, &mut findings);
    rosters::check(recording, &mut findings);
    bounds::check(recording, &mut findings);
    timing::check(recording, &mut findings);
    epochs::check(recording, promises, &mut findings);
    findings.in_order()
}

/// Collects violations.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, bug: Bug, at: usize, channel: Option<&Name>, text: impl Into<String>) {
        self.0.push(Finding {
            bug,
            at,
            channel: channel.cloned(),
            text: text.into(),
        });
    }

    fn in_order(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.at);
        self.0
    }
}

/// Facts with the index of their records.
fn facts(recording: &[Record]) -> impl Iterator<Item = (usize, &Fact)> {
    recording.iter().map(|record| &record.fact).enumerate()
}
