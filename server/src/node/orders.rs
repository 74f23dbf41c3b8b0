//! Orders to all nodes about a user's connections: whichever node a backend asks, all obey.
//!
//! They are events of the reserved channel `$control`. Each node hands them to its shards as far as the user is
//! connected there, in the log's order; one that was away obeys when it is back, but not towards those who came later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parlor_protocol::{ChannelName, CloseCode, Tag, Time};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::followed::{Begin, Followed};
use super::{Node, RollEntry};
use crate::broker;
use crate::hub::{Control, InboxFull, LogEntry};
use crate::kind::{ChannelKind, Durability, SlowPolicy};
use crate::pattern::Pattern;

const CHANNEL: &str = "$control";
const EVENT: &str = "order";
/// Orders are for those who are connected now: a node that was away for longer than this need not know.
const RETAINED: Duration = Duration::from_secs(300);
const RETAINED_MAX: u64 = 10_000;
/// How far the clocks of nodes may differ: whoever signed on so much after an order is still meant.
const CLOCKS_DIFFER_TICKS: u64 = 5 * 1_000 * Time::TICKS_PER_MS;
/// Orders remembered, in case a new life of the log repeats what an old one held.
const OBEYED_MAX: usize = 1_024;

/// What is to happen to a user's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// End them.
    Disconnect,
    /// Subscribe them, by the backend's right.
    Subscribe(ChannelName),
    /// End their subscriptions.
    Unsubscribe(ChannelName),
}

/// As it stands in the log.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    v: u32,
    order: String,
    user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
}

/// The channel of the orders.
pub(super) fn followed() -> Followed {
    Followed::new(kind(), CHANNEL)
}

fn kind() -> ChannelKind {
    ChannelKind {
        name: CHANNEL.to_owned(),
        pattern: Pattern::new(CHANNEL),
        durability: Durability::Memory,
        history_len_max: RETAINED_MAX,
        history_age_max: RETAINED,
        presence: false,
        slow: SlowPolicy::default(),
        allowed: Vec::new(),
        publish_rate_max: 0,
    }
}

/// Tells all nodes, and waits until this one has obeyed.
///
/// # Errors
/// What the broker answers; then no node obeys.
pub async fn give(node: &Node, user: &str, order: &Order) -> Result<(), broker::Error> {
    node.orders
        .append(&*node.broker, EVENT, write(user, order))
        .await
        .map(drop)
}

/// Obeys what all nodes say, for ever.
pub async fn obey_all(node: &Node) {
    let mut obeyed = VecDeque::with_capacity(OBEYED_MAX);
    let obey = move |entries: &[Arc<LogEntry>], _| {
        for entry in entries {
            if obeyed.contains(&entry.tag) {
                continue;
            }
            match read(&entry.payload.bytes) {
                Some((user, order)) => obey(node, &user, &order, entry.time)?,
                None => {
                    warn!("Passed over an order of another node that this version cannot read.")
                }
            }
            // Only now: what a full inbox refused is tried again.
            remember(&mut obeyed, entry.tag);
        }
        Ok(())
    };
    node.orders
        .keep_up(&node.hub, &*node.broker, Begin::Newest, obey)
        .await;
}

fn remember(obeyed: &mut VecDeque<Tag>, tag: Tag) {
    if obeyed.len() == OBEYED_MAX {
        obeyed.pop_front();
    }
    obeyed.push_back(tag);
}

fn obey(node: &Node, user: &str, order: &Order, given: Time) -> Result<(), InboxFull> {
    for RollEntry {
        connection,
        shard,
        since,
    } in node.roll.connections_of(user)
    {
        if since.0 > given.0 + CLOCKS_DIFFER_TICKS {
            continue;
        }
        node.hub.inbox(shard).order(match order {
            Order::Disconnect => Control::Disconnect {
                connection,
                code: CloseCode::Disconnected,
            },
            Order::Subscribe(channel) => Control::Subscribe {
                connection,
                channel: channel.clone(),
            },
            Order::Unsubscribe(channel) => Control::Unsubscribe {
                connection,
                channel: channel.clone(),
            },
        })?;
    }
    Ok(())
}

fn write(user: &str, order: &Order) -> Vec<u8> {
    let (name, channel) = match order {
        Order::Disconnect => ("disconnect", None),
        Order::Subscribe(channel) => ("subscribe", Some(channel)),
        Order::Unsubscribe(channel) => ("unsubscribe", Some(channel)),
    };
    let written = Written {
        v: 1,
        order: name.to_owned(),
        user: user.to_owned(),
        channel: channel.map(ToString::to_string),
    };
    serde_json::to_vec(&written).expect("strings and numbers are JSON")
}

/// `None` when this build cannot read it.
fn read(bytes: &[u8]) -> Option<(String, Order)> {
    let Written {
        v: 1,
        order,
        user,
        channel,
    } = serde_json::from_slice(bytes).ok()?
    else {
        return None;
    };
    let channel = channel.map(|name| ChannelName::parse(&name)).transpose();
    let order = match (order.as_str(), channel.ok()?) {
        ("disconnect", None) => Order::Disconnect,
        ("subscribe", Some(channel)) => Order::Subscribe(channel),
        ("unsubscribe", Some(channel)) => Order::Unsubscribe(channel),
        _ => return None,
    };
    Some((user, order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let channel = ChannelName::parse("room:1").unwrap();
        for order in [
            Order::Disconnect,
            Order::Subscribe(channel.clone()),
            Order::Unsubscribe(channel),
        ] {
            let bytes = write("ann \"the\" user", &order);
            assert_eq!(read(&bytes), Some(("ann \"the\" user".to_owned(), order)));
        }
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        for text in [
            r#"{"v":2,"order":"disconnect","user":"ann"}"#,
            r#"{"v":1,"order":"promote","user":"ann"}"#,
            r#"{"v":1,"order":"subscribe","user":"ann"}"#,
            r#"{"v":1,"order":"subscribe","user":"ann","channel":"$control"}"#,
            "{}",
            "",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn only_the_newest_orders_are_remembered() {
        let mut obeyed = VecDeque::new();
        (1..=OBEYED_MAX as u64 + 1).for_each(|tag| remember(&mut obeyed, Tag(tag)));
        assert_eq!(obeyed.len(), OBEYED_MAX);
        assert_eq!(obeyed.front(), Some(&Tag(2)));
    }
}
