//! `presence` and `presence_set`: who is in a channel, and one's own state there.

use std::time::{Duration, Instant};

use parlor_protocol::command::{Presence, PresenceSet};
use parlor_protocol::limits::PRESENCE_PAGE_MAX;
use parlor_protocol::reply::{Members, PresenceWasSet};
use parlor_protocol::{ChannelName, ErrorCode, WireError};

use super::{Caller, permitted};
use crate::kind::Verb;
use crate::node::Node;

/// Members in a page when the command does not say.
const LIMIT_DEFAULT: usize = 100;

/// How long a roster that other nodes share may take to come.
const ROSTER_PATIENCE: Duration = Duration::from_secs(3);

/// # Errors
/// `not_permitted`, `bad_channel`, `unknown_channel_kind`, `presence_disabled`, `bad_request` for a foreign cursor,
/// `storage_unavailable`.
pub async fn presence(
    node: &Node,
    caller: &Caller,
    command: Presence,
) -> Result<Members, WireError> {
    let (channel, kind) = permitted(node, caller, Verb::Presence, &command.channel)?;
    if !kind.presence {
        return Err(ErrorCode::PresenceDisabled.into());
    }
    let limit = command
        .limit
        .map_or(LIMIT_DEFAULT, |limit| limit as usize)
        .min(PRESENCE_PAGE_MAX);
    ready(node, &channel).await?;
    node.presence
        .snapshot(&channel, limit, command.cursor.as_deref())
}

/// The state is within its limits: the codec has looked ([`PresenceSet::check`]).
///
/// # Errors
/// As [`presence`], and `not_present`.
pub async fn presence_set(
    node: &Node,
    caller: &Caller,
    command: PresenceSet,
) -> Result<PresenceWasSet, WireError> {
    let (channel, kind) = permitted(node, caller, Verb::Presence, &command.channel)?;
    if !kind.presence {
        return Err(ErrorCode::PresenceDisabled.into());
    }
    let user = caller
        .identity
        .user()
        .ok_or_else(|| ErrorCode::NotPermitted.with("only a user has a presence state"))?;
    let refused = match node
        .presence
        .set_state(&channel, user, command.state.clone())
    {
        Ok(()) => return Ok(PresenceWasSet {}),
        Err(refused) => refused,
    };
    if refused.kind() != Some(ErrorCode::NotPresent) {
        return Err(refused);
    }
    // The user may be present on another node.
    ready(node, &channel).await?;
    node.presence.set_state(&channel, user, command.state)?;
    Ok(PresenceWasSet {})
}

async fn ready(node: &Node, channel: &ChannelName) -> Result<(), WireError> {
    let ready = node.presence.ready(channel, Instant::now());
    tokio::time::timeout(ROSTER_PATIENCE, ready)
        .await
        .unwrap_or_else(|_| {
            Err(ErrorCode::StorageUnavailable
                .with("the list of members takes too long to come")
                .retry_after_ms(1_000))
        })
}
