//! `presence` and `presence_set`: who is in a channel, and one's own state there.

use parlor_protocol::command::{Presence, PresenceSet};
use parlor_protocol::limits::{PRESENCE_PAGE_MAX, PRESENCE_STATE_BYTES_MAX};
use parlor_protocol::reply::{Members, PresenceWasSet};
use parlor_protocol::{ErrorCode, WireError};

use super::{Caller, permitted};
use crate::kind::Verb;
use crate::node::Node;

/// Members in a page when the command does not say.
const LIMIT_DEFAULT: usize = 100;

/// # Errors
/// `not_permitted`, `bad_channel`, `unknown_channel_kind`, `presence_disabled`, `bad_request` for a foreign cursor.
pub fn presence(node: &Node, caller: &Caller, command: Presence) -> Result<Members, WireError> {
    let (channel, kind) = permitted(node, caller, Verb::Presence, &command.channel)?;
    if !kind.presence {
        return Err(ErrorCode::PresenceDisabled.into());
    }
    let limit = command
        .limit
        .map_or(LIMIT_DEFAULT, |limit| limit as usize)
        .min(PRESENCE_PAGE_MAX);
    node.presence
        .snapshot(&channel, limit, command.cursor.as_deref())
}

/// # Errors
/// As [`presence`], and `not_present`, `too_large`.
pub fn presence_set(
    node: &Node,
    caller: &Caller,
    command: PresenceSet,
) -> Result<PresenceWasSet, WireError> {
    let (channel, kind) = permitted(node, caller, Verb::Presence, &command.channel)?;
    if !kind.presence {
        return Err(ErrorCode::PresenceDisabled.into());
    }
    if command
        .state
        .as_ref()
        .is_some_and(|state| state.bytes.len() > PRESENCE_STATE_BYTES_MAX)
    {
        return Err(ErrorCode::TooLarge.with("a presence state has at most 1024 bytes"));
    }
    let user = caller
        .identity
        .user()
        .ok_or_else(|| ErrorCode::NotPermitted.with("only a user has a presence state"))?;
    node.presence.set_state(&channel, user, command.state)?;
    Ok(PresenceWasSet {})
}
