//! `history`: a page of a channel's log.

use parlor_protocol::command::{Direction, History};
use parlor_protocol::reply::Page;
use parlor_protocol::{ErrorCode, WireError};

use super::{Caller, permitted};
use crate::broker::{LogPage, Range, Read};
use crate::kind::Verb;
use crate::node::Node;

/// Events in a page when the command does not say.
const LIMIT_DEFAULT: u32 = 50;

/// # Errors
/// `not_permitted`, `bad_channel`, `unknown_channel_kind`, `bad_request`, `busy`, `storage_unavailable`.
pub async fn history(node: &Node, caller: &Caller, command: History) -> Result<Page, WireError> {
    let (channel, kind) = permitted(node, caller, Verb::History, &command.channel)?;
    let range = range(&command)?;
    let limit = command
        .limit
        .unwrap_or(LIMIT_DEFAULT)
        .min(node.limits.history_page_max);
    let read = Read {
        channel,
        kind,
        range,
        limit: limit as usize,
    };
    let LogPage {
        entries, more, top, ..
    } = node.broker.read(read).await?;
    Ok(Page {
        events: entries.iter().map(|entry| entry.to_event()).collect(),
        more,
        epoch: top.epoch.to_string(),
        position: top.to_string(),
        offset: top.offset,
    })
}

fn range(command: &History) -> Result<Range, WireError> {
    match (command.direction, command.offset, command.time) {
        (_, Some(_), Some(_)) => Err(ErrorCode::BadRequest
            .with("history starts from an offset or from a time, not from both")),
        (Direction::Forward, Some(offset), None) => Ok(Range::AfterOffset(offset)),
        (Direction::Forward, None, Some(time)) => Ok(Range::AfterTime(time)),
        (Direction::Forward, None, None) => Ok(Range::AfterOffset(0)),
        (Direction::Backward, Some(offset), None) => Ok(Range::BeforeOffset(offset)),
        (Direction::Backward, None, Some(time)) => Ok(Range::BeforeTime(time)),
        (Direction::Backward, None, None) => Ok(Range::BeforeOffset(u64::MAX)),
    }
}
