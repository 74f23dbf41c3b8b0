//! `subscribe`: where a subscription starts, and whether everything that was missed can be given.
//!
//! Joining is catching up: this file decides; `session/catch_up` replays; the hub's table goes on live.

use std::sync::Arc;

use parlor_protocol::command::Recover;
use parlor_protocol::limits::{POSITION_BYTES_MAX, RECOVER_EVENTS_MAX};
use parlor_protocol::reply::NotRecovered;
use parlor_protocol::{Position, Tag, WireError};

use crate::broker::{Range, Read};
use crate::hub::{Channel, LogEntry, TAIL_LEN_MAX};
use crate::kind::ChannelKind;
use crate::node::Node;
use crate::planted::{self, Bug};

/// Events of the first replayed page, read before the reply so that the reply can promise.
const FIRST_PAGE: usize = 128;

/// Events before the wanted ones that are read too: those who come back at the same time do not all miss the same, and
/// nobody else should have to read for it.
const READ_BACK: u64 = 32;

/// How a subscription begins.
#[derive(Debug)]
pub struct Start {
    /// The log's top when the reply was made.
    pub top: Position,
    /// Everything after this offset is pushed.
    pub cursor: u64,
    /// The first of what was missed, read already.
    pub first: Vec<Arc<LogEntry>>,
    pub recovery: Recovery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    NotAsked,
    Complete,
    Refused(NotRecovered),
}

impl Start {
    fn live(top: Position, recovery: Recovery) -> Self {
        Self {
            top,
            cursor: top.offset,
            first: Vec::new(),
            recovery,
        }
    }
}

/// Decides where to start. The hub must hold the channel already, so that nothing after the top is missed.
///
/// # Errors
/// What the broker answers: `busy`, `storage_unavailable`, `draining`.
pub async fn start(
    node: &Node,
    channel: &Channel,
    kind: &Arc<ChannelKind>,
    recover: Option<Recover>,
    may_read_history: bool,
) -> Result<Start, WireError> {
    let top = match channel.top() {
        Some(top) => top,
        None => channel.learn_top(node.broker.join(channel.name(), kind).await?),
    };
    let Some(recover) = recover else {
        return Ok(Start::live(top, Recovery::NotAsked));
    };
    if !may_read_history {
        return Ok(Start::live(
            top,
            Recovery::Refused(NotRecovered::NotPermitted),
        ));
    }
    match recover {
        Recover::Latest(wanted) => latest(node, channel, kind, top, u64::from(wanted)).await,
        Recover::From(position) => from_position(node, channel, kind, top, &position).await,
    }
}

async fn latest(
    node: &Node,
    channel: &Channel,
    kind: &Arc<ChannelKind>,
    top: Position,
    wanted: u64,
) -> Result<Start, WireError> {
    let after = top
        .offset
        .saturating_sub(wanted.min(RECOVER_EVENTS_MAX as u64));
    let first = read_after(node, channel, kind, after).await?;
    let Some(oldest) = first.first() else {
        return Ok(Start::live(top, Recovery::Complete));
    };
    // Fewer may be retained than were asked for: start where the log starts.
    let before = Position {
        epoch: oldest.epoch,
        offset: oldest.offset - 1,
        tag: oldest.prev,
    };
    Ok(Start {
        // Retention may have passed the top while the log was read: what is told is the place that the events follow on.
        top: if before.offset > top.offset {
            before
        } else {
            top
        },
        cursor: before.offset,
        first,
        recovery: Recovery::Complete,
    })
}

async fn from_position(
    node: &Node,
    channel: &Channel,
    kind: &Arc<ChannelKind>,
    top: Position,
    position: &str,
) -> Result<Start, WireError> {
    let refused = |reason| Ok(Start::live(top, Recovery::Refused(reason)));
    if position.len() > POSITION_BYTES_MAX {
        return refused(NotRecovered::BadPosition);
    }
    let Ok(position) = position.parse::<Position>() else {
        return refused(NotRecovered::BadPosition);
    };
    let position = in_this_life(node, channel, kind, top, position).await?;
    if position.epoch != top.epoch {
        if planted::has(Bug::KeepCursorAcrossEpochs) {
            return Ok(Start::live(top, Recovery::Complete));
        }
        return refused(NotRecovered::EpochChanged);
    }
    if position.offset == top.offset {
        let same = position.tag == top.tag;
        return Ok(Start::live(
            top,
            if same {
                Recovery::Complete
            } else {
                Recovery::Refused(NotRecovered::Diverged)
            },
        ));
    }
    if position.offset > top.offset {
        return ahead(node, channel, kind, top, position).await;
    }
    if top.offset - position.offset > RECOVER_EVENTS_MAX as u64 {
        return refused(NotRecovered::TooMany);
    }
    let first = read_after(node, channel, kind, position.offset).await?;
    match first.first() {
        Some(next) if next.epoch != position.epoch => refused(NotRecovered::EpochChanged),
        Some(next) if next.offset != position.offset + 1 => refused(NotRecovered::Expired),
        Some(next) if next.prev != position.tag => refused(NotRecovered::Diverged),
        Some(_) => Ok(Start {
            top,
            cursor: position.offset,
            first,
            recovery: Recovery::Complete,
        }),
        None => refused(NotRecovered::Expired),
    }
}

/// A position before the first event by the name that the place has here: brokers may name it anew while a log is empty, and the
/// reader may have been told another.
async fn in_this_life(
    node: &Node,
    channel: &Channel,
    kind: &Arc<ChannelKind>,
    top: Position,
    position: Position,
) -> Result<Position, WireError> {
    if position.epoch == top.epoch || (position.offset, position.tag) != (0, Tag(0)) {
        return Ok(position);
    }
    let here = Position {
        epoch: top.epoch,
        ..position
    };
    if channel.is_one_beginning(position.epoch, top.epoch) {
        return Ok(here);
    }
    // The log itself knows one name more.
    let read = Read {
        channel: channel.name().clone(),
        kind: Arc::clone(kind),
        range: Range::AfterOffset(0),
        limit: 1,
    };
    let page = node.broker.read(read).await?;
    let is_same = page.beginning.is_some_and(|beginning| {
        let names = [beginning.epoch, beginning.before];
        names.contains(&position.epoch)
            && names
                .iter()
                .any(|name| channel.is_one_beginning(*name, top.epoch))
    });
    Ok(if is_same { here } else { position })
}

/// The reader has more than this node has delivered. Either the log was rolled back, or another node was faster: the log
/// itself knows.
async fn ahead(
    node: &Node,
    channel: &Channel,
    kind: &Arc<ChannelKind>,
    delivered: Position,
    position: Position,
) -> Result<Start, WireError> {
    let read = Read {
        channel: channel.name().clone(),
        kind: Arc::clone(kind),
        range: Range::AfterOffset(position.offset - 1),
        limit: FIRST_PAGE,
    };
    let page = node.broker.read(read).await?;
    let mut first = page.entries;
    let is_at_first = |entry: &Arc<LogEntry>| entry.position() == position;
    let is_there = page.top == position || first.first().is_some_and(is_at_first);
    if !is_there {
        let refused = Recovery::Refused(NotRecovered::Diverged);
        return Ok(Start::live(delivered, refused));
    }
    // What the reader has itself is no part of what it missed.
    first.retain(|entry| entry.offset > position.offset);
    Ok(Start {
        top: page.top,
        cursor: position.offset,
        first,
        recovery: Recovery::Complete,
    })
}

/// Entries behind an offset: from the channel's tail where it reaches back that far, else from the log. What is read there
/// goes into the tail, one reader at a time, so that a channel's whole crowd that comes back at once reads once.
///
/// # Errors
/// What the broker answers.
pub async fn read_after(
    node: &Node,
    channel: &Channel,
    kind: &Arc<ChannelKind>,
    offset: u64,
) -> Result<Vec<Arc<LogEntry>>, WireError> {
    if let Some(entries) = channel.tail_after(offset, FIRST_PAGE) {
        return Ok(entries);
    }
    let _turn = node.hub.turn_to_read(channel).await;
    if let Some(entries) = channel.tail_after(offset, FIRST_PAGE) {
        return Ok(entries);
    }
    let read = async |after| {
        let read = Read {
            channel: channel.name().clone(),
            kind: Arc::clone(kind),
            range: Range::AfterOffset(after),
            limit: TAIL_LEN_MAX,
        };
        let page = node.broker.read(read).await?;
        channel.refill(&page.entries);
        Ok::<_, WireError>(page.entries)
    };
    let mut entries = read(offset.saturating_sub(READ_BACK)).await?;
    entries.drain(..entries.partition_point(|entry| entry.offset <= offset));
    if entries.is_empty() {
        // A page has a bound in bytes, too: those before the wanted ones may have filled it.
        entries = read(offset).await?;
    }
    entries.truncate(FIRST_PAGE);
    Ok(entries)
}
