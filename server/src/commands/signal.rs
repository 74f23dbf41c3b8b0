//! `signal`: fan out an event that is never logged.

use parlor_protocol::command::Signal;
use parlor_protocol::reply::Signalled;
use parlor_protocol::{Event, EventKind, Tags, WireError};

use super::{Caller, permitted};
use crate::clock;
use crate::hub::EphemeralBody;
use crate::kind::Verb;
use crate::node::Node;

/// The sender's own connection does not receive it.
///
/// # Errors
/// `not_permitted`, `bad_channel`, `unknown_channel_kind`.
pub fn signal(node: &Node, caller: &Caller, command: Signal) -> Result<Signalled, WireError> {
    let (channel, _) = permitted(node, caller, Verb::Signal, &command.channel)?;
    let time = clock::now();
    let event = Event {
        kind: EventKind::Signal,
        offset: None,
        seq: None,
        position: None,
        time,
        id: None,
        user: caller.identity.user().map(|user| user.to_string()),
        tags: Tags::new(),
        payload: Some(command.payload),
        own: false,
        erased: false,
    };
    node.broker.broadcast(
        &channel,
        EphemeralBody::Signal {
            event,
            from: caller.connection,
        },
    );
    Ok(Signalled { time })
}
