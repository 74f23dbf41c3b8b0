//! What is published: its payload says its own name, so that a body under a foreign name is seen. And what is noted of it.

use parlor_protocol::client::Continuity;
use parlor_protocol::reply::Subscribed;
use parlor_protocol::{Event, Payload, Position};
use parlor_tests::text;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::recorder::{Fact, Name, Place, Start};

/// The payload of a publish: its id, and padding that spreads entries over buffers.
pub(super) fn payload(id: &str, padding: usize) -> Payload {
    text(format!("{id} {}", "x".repeat(padding)))
}

/// The place and the id of an event; an id that contradicts the payload is no id that anybody published.
pub(super) fn read(event: &Event) -> Option<(Place, Name)> {
    let place: Place = event.position.as_deref()?.parse::<Position>().ok()?.into();
    let id = event.id.as_deref().unwrap_or("(none)");
    let payload = event.payload.as_ref()?;
    let said = str::from_utf8(&payload.bytes).unwrap_or("(not text)");
    let words = said.trim_matches('"').split(' ').next().unwrap_or_default();
    let name = if words == id && event.offset == Some(place.offset) {
        id.into()
    } else {
        format!("{id} with the body of {words} at {:?}", event.offset).into()
    };
    Some((place, name))
}

/// Randomness of its own for a part of a client.
pub(super) fn rng(rng: &mut StdRng) -> StdRng {
    StdRng::seed_from_u64(rng.random())
}

/// What a subscriber notes of a subscription's beginning.
pub(super) fn subscribed(by: &Name, subscribed: &Subscribed, continuity: Continuity) -> Fact {
    let (by, channel): (Name, Name) = (by.clone(), subscribed.channel.as_str().into());
    let start = match continuity {
        Continuity::First => Start::First,
        Continuity::Complete => Start::Complete,
        Continuity::Broken(reason) => Start::Broken(format!("{reason:?}")),
    };
    match subscribed.position.parse::<Position>() {
        Ok(top) => Fact::Subscribed {
            by,
            channel,
            top: top.into(),
            start,
        },
        Err(_) => Fact::Overdue {
            what: format!("{by} got no position of {channel}"),
        },
    }
}
