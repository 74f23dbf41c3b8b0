//! What is known of a channel: its kind and the state of its log.

use std::sync::Arc;

use parlor_protocol::{Position, WireError};

use super::{Caller, permitted};
use crate::broker::{Range, Read};
use crate::kind::{ChannelKind, Verb};
use crate::node::Node;

#[derive(Clone, Debug)]
pub struct Info {
    pub kind: Arc<ChannelKind>,
    pub top: Position,
    /// The first retained offset; `top.offset + 1` when nothing is retained.
    pub oldest: u64,
    /// Whether anybody is subscribed on this node.
    pub subscribed: bool,
}

/// # Errors
/// `not_permitted` without `history`, `bad_channel`, `unknown_channel_kind`, `busy`, `storage_unavailable`.
pub async fn info(node: &Node, caller: &Caller, channel: &str) -> Result<Info, WireError> {
    let (channel, kind) = permitted(node, caller, Verb::History, channel)?;
    let subscribed = node.hub.channel(&channel).is_some();
    let read = Read {
        channel,
        kind: Arc::clone(&kind),
        range: Range::BeforeOffset(u64::MAX),
        limit: 1,
    };
    let page = node.broker.read(read).await?;
    Ok(Info {
        kind,
        top: page.top,
        oldest: page.oldest,
        subscribed,
    })
}
