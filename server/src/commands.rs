//! One file per command: its whole policy on one screen. Sockets and HTTP both come through here.
//!
//! Commands are async because brokers are; they see an identity, never a socket or a header.

use std::sync::Arc;
use std::time::Duration;

use parlor_protocol::reply::Published;
use parlor_protocol::{ChannelName, ErrorCode, WireError};

use crate::auth::Identity;
use crate::broker::{self, Appended};
use crate::hub::ConnectionId;
use crate::kind::{ChannelKind, Durability, Verb};
use crate::node::Node;

pub mod erase;
pub mod history;
pub mod info;
pub mod manage;
pub mod presence;
pub mod publish;
pub mod revoke;
pub mod signal;
pub mod subscribe;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    pub identity: Arc<Identity>,
    /// What the token of the connection's subscription to the channel in question adds there.
    pub channel_token: Option<Arc<Identity>>,
    /// The connection that asks; none for HTTP.
    pub connection: Option<ConnectionId>,
}

impl Caller {
    /// Whether the identity, the subscription's token or the channel's kind allows it.
    pub fn may(&self, verb: Verb, channel: &ChannelName, kind: &ChannelKind) -> bool {
        self.identity.may(verb, channel, kind)
            || self
                .channel_token
                .as_ref()
                .is_some_and(|token| token.may(verb, channel, kind))
    }
}

/// The channel that a command names, if the caller may do this there.
///
/// # Errors
/// `bad_channel`, `unknown_channel_kind`, `not_permitted`.
pub fn permitted(
    node: &Node,
    caller: &Caller,
    verb: Verb,
    channel: &str,
) -> Result<(ChannelName, Arc<ChannelKind>), WireError> {
    let name = ChannelName::parse(channel)?;
    let kind = node.kinds.of(&name).ok_or(ErrorCode::UnknownChannelKind)?;
    if !caller.may(verb, &name, kind) {
        return Err(
            ErrorCode::NotPermitted.with(format!("the identity may not {} here", verb.as_str()))
        );
    }
    Ok((name, Arc::clone(kind)))
}

/// What a client hears of an event that the log has, in a channel of this durability.
fn published(durability: Durability, appended: Appended) -> Published {
    let Appended {
        position,
        time,
        duplicate,
        ..
    } = appended;
    Published {
        offset: position.offset,
        position: position.to_string(),
        time,
        durability: durability.as_str().to_owned(),
        duplicate,
    }
}

/// Too often: the answer of sockets and HTTP alike, with how long to wait.
pub fn rate_limited(wait: Duration) -> WireError {
    WireError::from(ErrorCode::RateLimited).retry_after_ms(ms(wait).max(1))
}

fn ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

impl From<broker::Error> for WireError {
    fn from(error: broker::Error) -> Self {
        match error {
            broker::Error::Busy { retry_after } => {
                Self::from(ErrorCode::Busy).retry_after_ms(ms(retry_after))
            }
            // The reason may name files and devices: it is for the log, not for clients.
            broker::Error::Unavailable { retry_after, .. } => {
                Self::from(ErrorCode::StorageUnavailable).retry_after_ms(ms(retry_after))
            }
            broker::Error::IdReused => ErrorCode::IdReused.into(),
            broker::Error::Closed => Self::from(ErrorCode::Draining).retry_after_ms(1_000),
        }
    }
}
