//! `publish`: log a message and fan it out.

use parlor_protocol::command::Publish;
use parlor_protocol::reply::Published;
use parlor_protocol::{ErrorCode, EventKind, WireError};

use super::{Caller, permitted, published};
use crate::broker::{Append, Dedup};
use crate::kind::Verb;
use crate::node::Node;

/// Queues the publish at once, so that calls on one thread keep their order; the future waits for the outcome.
///
/// # Errors
/// `not_permitted`, `bad_channel`, `unknown_channel_kind`, `busy`, `storage_unavailable`, `id_reused`, `draining`.
pub fn publish(
    node: &Node,
    caller: &Caller,
    command: Publish,
) -> Result<impl Future<Output = Result<Published, WireError>> + Send + use<>, WireError> {
    let (channel, kind) = permitted(node, caller, Verb::Publish, &command.channel)?;
    let dedup = match command.id {
        Some(id) => {
            let sender = caller.identity.sender();
            let sender = sender.ok_or_else(|| {
                ErrorCode::NotPermitted.with("a publish id needs a user or an API key")
            })?;
            Some(Dedup {
                sender,
                id: id.into(),
            })
        }
        None => None,
    };
    let no_echo_to = if command.echo {
        None
    } else {
        caller.connection
    };
    let durability = kind.durability;
    let outcome = node.broker.append(Append {
        channel,
        kind,
        event: EventKind::Message,
        dedup,
        user: caller.identity.user().cloned(),
        tags: command.tags,
        payload: command.payload,
        no_echo_to,
    });
    Ok(async move { Ok(published(durability, outcome.await?)) })
}
