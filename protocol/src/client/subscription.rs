//! One channel that the user wants: where it was read up to, and how it stands on the present socket.

use std::time::Duration;

use super::effect::Continuity;
use crate::command::{Recover, Subscribe};
use crate::reply::Subscribed;

#[derive(Debug)]
pub(super) struct Subscription {
    wish: Subscribe,
    /// Where the reader stands; `None` before the first success.
    cursor: Option<Cursor>,
    /// Whether it ever stood somewhere, so that a fresh start is known to be a break.
    was_placed: bool,
    stage: Stage,
    /// How often in a row it was subscribed again because of a hole.
    repairs: u32,
}

#[derive(Debug)]
struct Cursor {
    /// Behind the last event. `None` while the events of the first recovery are still to come: then the
    /// user's wish still says from where.
    position: Option<String>,
    offset: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be asked for.
    Wanted {
        not_before: Duration,
    },
    /// Asked for under this wire id: replies to others are out of date.
    Asked {
        id: u32,
    },
    Live,
}

/// How an offset continues what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Next,
    Duplicate,
    Gap { expected: u64 },
}

impl Subscription {
    pub(super) fn new(wish: Subscribe) -> Self {
        Self {
            wish,
            cursor: None,
            was_placed: false,
            stage: WANTED,
            repairs: 0,
        }
    }

    /// The command's body for now.
    pub(super) fn asked(&mut self, id: u32) -> Subscribe {
        self.stage = Stage::Asked { id };
        let mut subscribe = self.wish.clone();
        if let Some(position) = self.position() {
            subscribe.recover = Some(Recover::From(position.to_owned()));
        }
        subscribe
    }

    pub(super) fn position(&self) -> Option<&str> {
        self.cursor.as_ref()?.position.as_deref()
    }

    pub(super) fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    pub(super) fn is_asked(&self, id: u32) -> bool {
        self.stage == Stage::Asked { id }
    }

    /// Whether a command of this socket made the server think of it.
    pub(super) fn is_known_to_server(&self) -> bool {
        !matches!(self.stage, Stage::Wanted { .. })
    }

    /// When to ask for it again.
    pub(super) fn retry_at(&self) -> Option<Duration> {
        match self.stage {
            Stage::Wanted { not_before } => Some(not_before),
            Stage::Asked { .. } | Stage::Live => None,
        }
    }

    pub(super) fn retry_later(&mut self, not_before: Duration) {
        self.stage = Stage::Wanted { not_before };
    }

    pub(super) fn lost(&mut self) {
        self.stage = WANTED;
    }

    pub(super) fn forget_position(&mut self) {
        self.cursor = None;
        // A start that the user named by a position is as void as ours.
        if let Some(Recover::From(_)) = self.wish.recover {
            self.wish.recover = None;
        }
    }

    /// The server subscribed it. The second value is a hole between what was read and what will follow.
    pub(super) fn placed(&mut self, subscribed: &Subscribed) -> (Continuity, Option<(u64, u64)>) {
        self.stage = Stage::Live;
        let continuity = match (subscribed.recovered, self.was_placed) {
            (Some(true), _) => Continuity::Complete,
            (Some(false), _) => Continuity::Broken(subscribed.reason),
            (None, false) => Continuity::First,
            (None, true) => Continuity::Broken(None),
        };
        self.was_placed = true;
        let before = self.cursor.take();
        let Some(first) = subscribed
            .from
            .filter(|_| subscribed.recovered == Some(true))
        else {
            self.cursor = Some(Cursor {
                position: Some(subscribed.position.clone()),
                offset: subscribed.offset,
            });
            return (
                continuity,
                hole(
                    continuity,
                    before.as_ref(),
                    subscribed.offset.saturating_add(1),
                ),
            );
        };
        let hole = hole(continuity, before.as_ref(), first);
        let position = before.and_then(|cursor| cursor.position);
        self.cursor = Some(Cursor {
            position,
            offset: first.saturating_sub(1),
        });
        (continuity, hole)
    }

    /// An event of the log came. Only [`Step::Next`] moves the cursor.
    pub(super) fn step(&mut self, offset: u64, position: Option<&str>) -> Step {
        let last = self.cursor.as_ref().map_or(0, |cursor| cursor.offset);
        if offset <= last {
            return Step::Duplicate;
        }
        if offset > last.saturating_add(1) && self.repairs < REPAIRS_MAX {
            return Step::Gap {
                expected: last.saturating_add(1),
            };
        }
        self.jump(offset, position);
        Step::Next
    }

    /// Everything up to `offset` is dealt with.
    pub(super) fn jump(&mut self, offset: u64, position: Option<&str>) {
        self.repairs = 0;
        self.cursor = Some(Cursor {
            position: position.map(str::to_owned),
            offset,
        });
    }

    pub(super) fn offset(&self) -> u64 {
        self.cursor.as_ref().map_or(0, |cursor| cursor.offset)
    }

    pub(super) fn repair(&mut self) {
        self.repairs += 1;
        self.stage = WANTED;
    }
}

/// A hole between the last event that was read and the first that follows, in a complete recovery.
fn hole(continuity: Continuity, before: Option<&Cursor>, first: u64) -> Option<(u64, u64)> {
    let before =
        before.filter(|cursor| continuity == Continuity::Complete && cursor.position.is_some())?;
    (first > before.offset.saturating_add(1)).then_some((before.offset.saturating_add(1), first))
}

const WANTED: Stage = Stage::Wanted {
    not_before: Duration::ZERO,
};

/// After this many vain attempts to close one hole, reading goes on behind it.
const REPAIRS_MAX: u32 = 3;
