//! What backends do with users' connections: end them, subscribe them, unsubscribe them.

use parlor_protocol::{ErrorCode, WireError};

use super::{Caller, permitted};
use crate::auth::is_user_id;
use crate::kind::Verb;
use crate::node::Node;
use crate::node::orders::{self, Order};

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

/// Ends all connections of a user, on all nodes. Returns how many there were on this one.
///
/// # Errors
/// `not_permitted`; what the broker answers, and then nobody was told.
pub async fn disconnect(node: &Node, caller: &Caller, user: &str) -> Result<usize, WireError> {
    permitted_everywhere(caller)?;
    give(node, user, &Order::Disconnect).await
}

/// Subscribes all present connections of a user, on all nodes. Returns how many there were on this one.
///
/// # Errors
/// `not_permitted`, `bad_channel`, `unknown_channel_kind`; what the broker answers, and then nobody was told.
pub async fn subscribe(
    node: &Node,
    caller: &Caller,
    user: &str,
    channel: &str,
) -> Result<usize, WireError> {
    let (channel, _) = permitted(node, caller, Verb::Manage, channel)?;
    give(node, user, &Order::Subscribe(channel)).await
}

/// Ends the subscriptions of all connections of a user to a channel, on all nodes. Returns how many connections
/// there were on this one.
///
/// # Errors
/// As [`subscribe`].
pub async fn unsubscribe(
    node: &Node,
    caller: &Caller,
    user: &str,
    channel: &str,
) -> Result<usize, WireError> {
    let (channel, _) = permitted(node, caller, Verb::Manage, channel)?;
    give(node, user, &Order::Unsubscribe(channel)).await
}

async fn give(node: &Node, user: &str, order: &Order) -> Result<usize, WireError> {
    // Nobody can be connected under what is no user's id: no node need be told.
    if !is_user_id(user) {
        return Ok(0);
    }
    let here = node.roll.connections_of(user).len();
    orders::give(node, user, order).await?;
    Ok(here)
}
