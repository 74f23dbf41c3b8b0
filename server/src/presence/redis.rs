//! Presence over Redis: runs the errands, and hands on what the streams tell. It decides nothing.
//!
//! Read `codec` for what the words mean.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parlor_protocol::ChannelName;
use tracing::{debug, info, warn};

use super::Presence;
use super::registry::{Errand, Failed, Load, NodeId, Page, Reaped, Submission};
use crate::broker;
use crate::broker::redis::{MembersLink, MembersWatcher};

mod codec;

#[cfg(test)]
mod tests;

/// How often Redis's health is looked at, and this node's own lease.
const LOOK: Duration = Duration::from_millis(100);

/// A new incarnation repeats everything that is alive here: not more often than this.
const REBIRTH_EVERY: Duration = Duration::from_secs(2);

/// Presence shares what it knows with the other nodes on this Redis, for as long as this runs.
pub async fn share(presence: Arc<Presence>, link: MembersLink) {
    let Some(name) = presence.node() else { return };
    link.set_name(name.as_str());
    let watcher = Arc::new(Watcher {
        presence: Arc::downgrade(&presence),
        has_lost: AtomicBool::new(false),
    });
    link.watch(Arc::clone(&watcher) as Arc<dyn MembersWatcher>);
    tokio::join!(
        run_errands(&presence, &link),
        look_after(&presence, &link, &watcher)
    );
}

/// Hands on what comes by the streams.
#[derive(Debug)]
struct Watcher {
    presence: Weak<Presence>,
    has_lost: AtomicBool,
}

impl MembersWatcher for Watcher {
    fn changed(&self, version: u64, channel: &ChannelName, body: &[u8]) {
        let Some(presence) = self.presence.upgrade() else {
            return;
        };
        match codec::applied(body) {
            Some(changes) => presence.apply(version, channel, &changes, Instant::now()),
            None => {
                warn!(%channel, "Presence was changed in a form that this build does not know; reading it anew.");
                presence.resync(|other| other == channel);
            }
        }
    }

    fn lives(&self, node: &str) {
        if let (Some(presence), Some(node)) = (self.presence.upgrade(), NodeId::parse(node)) {
            presence.node_seen(&node, Instant::now());
        }
    }

    fn missed(&self, which: &dyn Fn(&ChannelName) -> bool) {
        if let Some(presence) = self.presence.upgrade() {
            presence.resync(which);
        }
    }

    fn lost(&self) {
        self.has_lost.store(true, Ordering::Release);
    }
}

/// Keeps the node's name and health up to date.
async fn look_after(presence: &Presence, link: &MembersLink, watcher: &Watcher) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_healthy = false;
    let mut reborn: Option<Instant> = None;
    loop {
        let now = ticks.tick().await.into_std();
        let is_healthy = link.is_healthy();
        if std::mem::replace(&mut was_healthy, is_healthy) != is_healthy {
            presence.set_healthy(is_healthy, now);
        }
        let is_due = is_healthy && reborn.is_none_or(|at| now.duration_since(at) > REBIRTH_EVERY);
        if !is_due {
            continue;
        }
        if watcher.has_lost.swap(false, Ordering::AcqRel) | presence.is_lapsed(now) {
            reborn = Some(now);
            if let Some(name) = presence.reincarnate() {
                link.set_name(name.as_str());
                info!(node = name.as_str(), "Presence says again who is here.");
            }
        }
    }
}

async fn run_errands(presence: &Presence, link: &MembersLink) {
    // Bounded by what presence lets be under way at once.
    let mut under_way: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    loop {
        while let Some(errand) = presence.errand(Instant::now()) {
            match errand {
                Errand::Release(channel) => link.unfollow(&channel),
                errand => under_way.push(Box::pin(run(presence, link, errand))),
            }
        }
        tokio::select! {
            () = presence.errands_wait() => {}
            Some(()) = under_way.next() => {}
        }
    }
}

async fn run(presence: &Presence, link: &MembersLink, errand: Errand) {
    match errand {
        Errand::Submit(submission) => {
            let outcome = submit(link, &submission).await;
            presence.submitted(&submission.channel, outcome);
        }
        Errand::Load(load) => {
            let outcome = read(link, &load).await;
            presence.loaded(load, outcome, Instant::now());
        }
        Errand::Reap(node) => {
            let outcome = link.reap(node.as_str()).await.map_err(failed);
            let outcome = outcome.map(|left| left.map_or(Reaped::Wholly, Reaped::UntilLater));
            if outcome.is_ok() {
                info!(
                    node = node.as_str(),
                    "Cleared away who was present on a node."
                );
            }
            presence.reaped(node, outcome, Instant::now());
        }
        Errand::ListNodes => {
            let names = link.nodes().await.map_err(failed);
            let nodes = names.map(|names| {
                names
                    .iter()
                    .filter_map(|name| NodeId::parse(name))
                    .collect()
            });
            presence.listed(nodes, Instant::now());
        }
        // Its taker sees to it at once, so that a channel that is wanted again is followed again.
        Errand::Release(channel) => link.unfollow(&channel),
    }
}

async fn submit(link: &MembersLink, submission: &Submission) -> Result<(), Failed> {
    let Submission {
        channel,
        owner,
        changes,
    } = submission;
    let words = codec::words(changes);
    link.change(channel, owner.as_str(), changes.len(), words)
        .await
        .map_err(failed)
}

async fn read(link: &MembersLink, load: &Load) -> Result<Page, Failed> {
    if load.cursor.is_none() {
        link.follow(&load.channel).await.map_err(failed)?;
    }
    let page = link.page(&load.channel, load.cursor.as_deref()).await;
    let page = page.map_err(failed)?;
    // A row of another build's form is left out: whoever wrote it will be gone with that build.
    Ok(Page {
        version: page.version,
        rows: page.rows.iter().filter_map(codec::row).collect(),
        next: page.next.map(Into::into),
    })
}

fn failed(error: broker::Error) -> Failed {
    debug!(%error, "Presence was not shared; it is tried again.");
    Failed
}
