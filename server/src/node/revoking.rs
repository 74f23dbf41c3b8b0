//! Revocations among all nodes: events of the reserved channel `$revocations`, which is kept as long as a token may
//! live. A node reads all of it before it serves anybody, then follows.
//!
//! What they mean is in `auth`; here open connections are looked at again when one comes.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlor_protocol::Epoch;
use sha2::{Digest as _, Sha256};
use tracing::{debug, warn};

use super::followed::{Begin, Followed};
use super::{Node, RollEntry};
use crate::auth::{REMEMBERED_S, Revocation, Revocations};
use crate::broker;
use crate::clock;
use crate::hub::{Control, InboxFull, LogEntry};
use crate::kind::{ChannelKind, Durability, SlowPolicy};
use crate::pattern::Pattern;

const CHANNEL: &str = "$revocations";
const EVENT: &str = "revocation";
/// More than can be remembered: age alone ends them.
const RETAINED_MAX: u64 = 10_000_000;
/// How long to wait before what the log lost is told anew, if that failed.
const RESTORE_RETRY_AFTER: Duration = Duration::from_secs(1);

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

/// Learns what all nodes revoke, for ever, and tells it anew when the log lost it.
pub async fn keep_up(node: &Node) {
    tokio::join!(learn_all(node), restore_what_is_lost(node));
}

/// A new life of the log may lack what was acknowledged: while one node lives that knows it, it is not forgotten.
async fn restore_what_is_lost(node: &Node) {
    let mut life = node.revocations.another_life(None).await;
    loop {
        life = node.revocations.another_life(life).await;
        while let Err(error) = restore(node, life).await {
            debug!(%error, "Unable to tell anew what was revoked; trying again.");
            tokio::time::sleep(RESTORE_RETRY_AFTER).await;
        }
    }
}

async fn restore(node: &Node, life: Option<Epoch>) -> Result<(), broker::Error> {
    let now = clock::now().as_unix_ms() / 1_000;
    let logged = Revocations::default();
    node.revocations
        .read_all(&*node.broker, |entry| {
            if let Some(revocation) = Revocation::parse(&entry.payload.bytes) {
                logged.insert(&revocation, entry.time.as_unix_ms() / 1_000, now);
            }
        })
        .await?;
    let missing = node.auth.revocations().missing_in(&logged);
    if missing.is_empty() {
        return Ok(());
    }
    warn!(
        revocations = missing.len(),
        "The log of revocations lost some; telling them anew."
    );
    for revocation in missing {
        let bytes = revocation.to_bytes();
        // The same on every node that does this now.
        let id = restored_id(life, &bytes);
        node.revocations
            .append_once(&*node.broker, EVENT, bytes, &id)
            .await?;
    }
    Ok(())
}

fn restored_id(life: Option<Epoch>, bytes: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(life.map_or(0, |epoch| epoch.0).to_be_bytes());
    digest.update(bytes);
    URL_SAFE_NO_PAD.encode(digest.finalize())
}

async fn learn_all(node: &Node) {
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
