//! What backends do with users' connections: end them, subscribe them, unsubscribe them.

use parlor_protocol::{CloseCode, ErrorCode, WireError};

use super::{Caller, permitted};
use crate::hub::Control;
use crate::kind::Verb;
use crate::node::{Node, RollEntry};

/// Whether the caller may manage users, not only channels.
///
/// # Errors
/// `not_permitted`.
pub fn permitted_everywhere(caller: &Caller) -> Result<(), WireError> {
    if caller.identity.may_everywhere(Verb::Manage) {
        Ok(())
    } else {
        Err(ErrorCode::NotPermitted.with("this needs `manage` on all channels"))
    }
}

/// Ends all connections of a user on this node. Returns how many.
///
/// # Errors
/// `not_permitted`, `busy`.
pub fn disconnect(node: &Node, caller: &Caller, user: &str) -> Result<usize, WireError> {
    permitted_everywhere(caller)?;
    order_all(node, user, |connection| Control::Disconnect {
        connection,
        code: CloseCode::Disconnected,
    })
}

/// Subscribes all present connections of a user. Returns how many were told.
///
/// # Errors
/// `not_permitted`, `bad_channel`, `unknown_channel_kind`, `busy`.
pub fn subscribe(
    node: &Node,
    caller: &Caller,
    user: &str,
    channel: &str,
) -> Result<usize, WireError> {
    let (channel, _) = permitted(node, caller, Verb::Manage, channel)?;
    order_all(node, user, |connection| Control::Subscribe {
        connection,
        channel: channel.clone(),
    })
}

/// Ends the subscriptions of all connections of a user to a channel. Returns how many were told.
///
/// # Errors
/// As [`subscribe`].
pub fn unsubscribe(
    node: &Node,
    caller: &Caller,
    user: &str,
    channel: &str,
) -> Result<usize, WireError> {
    let (channel, _) = permitted(node, caller, Verb::Manage, channel)?;
    order_all(node, user, |connection| Control::Unsubscribe {
        connection,
        channel: channel.clone(),
    })
}

fn order_all(
    node: &Node,
    user: &str,
    order: impl Fn(crate::hub::ConnectionId) -> Control,
) -> Result<usize, WireError> {
    let connections = node.roll.connections_of(user);
    for RollEntry { connection, shard } in &connections {
        let told = node.hub.inbox(*shard).order(order(*connection));
        told.map_err(|_| WireError::from(ErrorCode::Busy).retry_after_ms(1_000))?;
    }
    Ok(connections.len())
}
