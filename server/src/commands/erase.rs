//! `erase`: end for good what some events of a channel said.

use std::sync::Arc;

use parlor_protocol::limits::ERASE_OFFSETS_MAX;
use parlor_protocol::reply::Published;
use parlor_protocol::{Epoch, ErrorCode, Position, WireError};

use super::{Caller, permitted, published};
use crate::broker::{Erase, Range, Read};
use crate::kind::Verb;
use crate::node::Node;

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub channel: String,
    pub offsets: Vec<u64>,
    /// The life of the log that the offsets belong to. Offsets mean other events in another.
    pub epoch: Option<String>,
}

/// Returns the place of the event that tells it to everybody. When it returns, neither the log nor the memory of this node
/// holds what was erased. Doing it again is harmless.
///
/// # Errors
/// `not_permitted`, `bad_channel`, `unknown_channel_kind`, `bad_request`, `too_many`; `not_found` when the channel never had
/// such an event, or not in this life of its log; `busy`, `storage_unavailable`, `draining`: then it may or may not be done.
pub async fn erase(node: &Node, caller: &Caller, wish: Wish) -> Result<Published, WireError> {
    let (channel, kind) = permitted(node, caller, Verb::Erase, &wish.channel)?;
    let epoch = wish.epoch.as_deref().map(str::parse::<Epoch>).transpose();
    let epoch = epoch.map_err(|_| ErrorCode::BadRequest.with("epoch: not one of this server"))?;
    let offsets = in_order(wish.offsets)?;
    let top_only = Read {
        channel: channel.clone(),
        kind: Arc::clone(&kind),
        range: Range::BeforeOffset(u64::MAX),
        limit: 0,
    };
    let top = node.broker.read(top_only).await?.top;
    check(&offsets, epoch, top)?;
    let durability = kind.durability;
    let erase = Erase {
        channel,
        kind,
        epoch: top.epoch,
        offsets,
    };
    Ok(published(durability, node.broker.erase(erase).await?))
}

/// Ascending, each once: the same wish in another order is the same erasure.
fn in_order(mut offsets: Vec<u64>) -> Result<Vec<u64>, WireError> {
    if offsets.len() > ERASE_OFFSETS_MAX {
        let text = format!("offsets: at most {ERASE_OFFSETS_MAX} at once");
        return Err(ErrorCode::TooMany.with(text));
    }
    offsets.sort_unstable();
    offsets.dedup();
    match offsets.first() {
        None => Err(ErrorCode::BadRequest.with("offsets: the list is empty")),
        Some(0) => Err(ErrorCode::BadRequest.with("offsets: they count from 1")),
        Some(_) => Ok(offsets),
    }
}

fn check(offsets: &[u64], epoch: Option<Epoch>, top: Position) -> Result<(), WireError> {
    if epoch.is_some_and(|epoch| epoch != top.epoch) {
        return Err(ErrorCode::NotFound.with("epoch: the log is in another life"));
    }
    match offsets.last() {
        Some(last) if *last > top.offset => {
            Err(ErrorCode::NotFound.with(format!("offsets: nothing was logged under {last} yet")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use parlor_protocol::Tag;

    use super::*;

    #[test]
    fn the_same_events_in_another_order_are_the_same_erasure() {
        assert_eq!(in_order(vec![3, 1, 3]), Ok(vec![1, 3]));
    }

    #[test]
    fn a_list_that_names_no_events_or_too_many_is_refused() {
        let code = |offsets| in_order(offsets).unwrap_err().kind();
        assert_eq!(code(vec![]), Some(ErrorCode::BadRequest));
        assert_eq!(code(vec![0, 1]), Some(ErrorCode::BadRequest));
        let many = (1..=ERASE_OFFSETS_MAX as u64 + 1).collect();
        assert_eq!(code(many), Some(ErrorCode::TooMany));
    }

    #[test]
    fn only_events_of_this_life_of_the_log_are_found() {
        let top = Position {
            epoch: Epoch(1),
            offset: 7,
            tag: Tag(1),
        };
        assert_eq!(check(&[1, 7], None, top), Ok(()));
        assert_eq!(check(&[7], Some(Epoch(1)), top), Ok(()));
        for (offset, epoch) in [(8, None), (7, Some(Epoch(2)))] {
            let refused = check(&[offset], epoch, top).unwrap_err();
            assert_eq!(refused.kind(), Some(ErrorCode::NotFound));
        }
    }
}
