//! Revocations among all nodes: events of the reserved channel `$revocations`, which is kept as long as a token may
//! live. A node reads all of it before it serves anybody, then follows.
//!
//! What they mean is in `auth`; here open connections are looked at again when one comes.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use tracing::warn;

use super::followed::{Begin, Followed};
use super::{Node, RollEntry};
use crate::auth::{REMEMBERED_S, Revocation};
use crate::broker;
use crate::clock;
use crate::hub::{Control, InboxFull, LogEntry};
use crate::kind::{ChannelKind, Durability, SlowPolicy};
use crate::pattern::Pattern;

const CHANNEL: &str = "$revocations";
const EVENT: &str = "revocation";
/// More than can be remembered: age alone ends them.
const RETAINED_MAX: u64 = 10_000_000;

/// The channel of the revocations, kept on disk where there is one.
pub(super) fn followed(durability: Durability) -> Followed {
    let kind = ChannelKind {
        name: CHANNEL.to_owned(),
        pattern: Pattern::new(CHANNEL),
        durability,
        history_len_max: RETAINED_MAX,
        history_age_max: Duration::from_secs(REMEMBERED_S),
        presence: false,
        slow: SlowPolicy::default(),
        allowed: Vec::new(),
        publish_rate_max: 0,
    };
    Followed::new(kind, CHANNEL)
}

/// Revokes on all nodes, and waits until this one knows.
///
/// # Errors
/// What the broker answers; then nothing is revoked.
pub async fn revoke(node: &Node, revocation: &Revocation) -> Result<(), broker::Error> {
    node.revocations
        .append(&*node.broker, EVENT, revocation.to_bytes())
        .await
        .map(drop)
}

/// Learns what all nodes revoke, for ever.
pub async fn learn_all(node: &Node) {
    node.revocations
        .keep_up(
            &node.hub,
            &*node.broker,
            Begin::Oldest,
            |entries, is_first| learn(node, entries, is_first),
        )
        .await;
}

fn learn(node: &Node, entries: &[Arc<LogEntry>], is_first: bool) -> Result<(), InboxFull> {
    let mut users = Vec::new();
    let mut concerns_all = false;
    for entry in entries {
        let Some(revocation) = Revocation::parse(&entry.payload.bytes) else {
            warn!("Passed over a revocation of another node that this version cannot read.");
            continue;
        };
        let recorded = entry.time.as_unix_ms() / 1_000;
        let now = clock::now().as_unix_ms() / 1_000;
        node.auth.revocations().insert(&revocation, recorded, now);
        match revocation {
            Revocation::User { user, .. } => users.push(user),
            Revocation::Everyone { .. } | Revocation::Token { .. } => concerns_all = true,
        }
    }
    // Nobody is connected before the first reading is done.
    if is_first {
        return Ok(());
    }
    // Whoever signs on now either finds the revocation or is found on the roll: see `session::connect`.
    fence(Ordering::SeqCst);
    if concerns_all {
        return check_everybody(node);
    }
    users.iter().try_for_each(|user| check_user(node, user))
}

fn check_everybody(node: &Node) -> Result<(), InboxFull> {
    let mut inboxes = node.hub.inboxes().iter();
    inboxes.try_for_each(|inbox| inbox.order(Control::CheckTokens))
}

fn check_user(node: &Node, user: &str) -> Result<(), InboxFull> {
    let connections = node.roll.connections_of(user);
    connections.into_iter().try_for_each(
        |RollEntry {
             connection, shard, ..
         }| {
            let order = Control::CheckToken { connection };
            node.hub.inbox(shard).order(order)
        },
    )
}
