//! Keeping house: what belongs to the process and to no shard. Presence's clock, the broker's health, the metrics listener.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::broker::redis::MembersLink;
use crate::http;
use crate::hub::{Control, Inbox};
use crate::node::Node;
use crate::presence;
use crate::transport::Listeners;
use crate::transport::tls::Certificate;

/// How often the broker is asked how it is.
const HEALTH_INTERVAL: Duration = Duration::from_millis(250);

/// How often a broker that was just opened is looked at, and for how long.
const FIRST_LOOKS: Duration = Duration::from_millis(20);
const WELL_WITHIN: Duration = Duration::from_secs(2);

/// Goes on for ever.
pub(super) async fn keep(
    node: Arc<Node>,
    metrics: Option<Listeners>,
    certificate: Option<Arc<Certificate>>,
) {
    let metrics_node = Arc::clone(&node);
    let renewing = async {
        if let Some(certificate) = certificate {
            certificate.follow_files().await;
        }
    };
    tokio::join!(
        tick_presence(&node),
        watch_health(&node),
        renewing,
        async move {
            for socket in metrics.into_iter().flat_map(|listeners| listeners.sockets) {
                if let Err(error) = http::serve_metrics(socket, Arc::clone(&metrics_node)).await {
                    warn!(%error, "The metrics listener failed.");
                }
            }
        }
    );
}

/// Waits a while for the broker to be well: one that was just opened needs a moment to prove that it delivers, and the
/// first clients need not be told that it did not. One that stays unwell keeps nobody from connecting.
pub(super) async fn until_well(node: &Node) {
    let mut looks = tokio::time::interval(FIRST_LOOKS);
    let is_well = async {
        while node.broker.health().is_err() {
            looks.tick().await;
        }
    };
    // Afterwards it is watched like any other time.
    let _unwell = tokio::time::timeout(WELL_WITHIN, is_well).await;
}

/// What comes from other nodes and goes to them, for ever.
pub(super) async fn follow_others(node: Arc<Node>, members: Option<MembersLink>) {
    let shared = async {
        if let Some(link) = members {
            presence::redis::share(Arc::clone(&node.presence), link).await;
        }
    };
    tokio::join!(node.follow_others(), shared);
}

async fn tick_presence(node: &Node) {
    loop {
        match node.presence.next_tick() {
            Some(due) => tokio::select! {
                () = tokio::time::sleep_until(due.into()) => node.presence.tick(Instant::now()),
                () = node.presence.rescheduled() => {}
            },
            None => node.presence.rescheduled().await,
        }
    }
}

/// Has the shards tell their clients when the broker's health changes.
async fn watch_health(node: &Node) {
    let mut ticks = tokio::time::interval(HEALTH_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut untold: Vec<Arc<Inbox>> = Vec::new();
    loop {
        ticks.tick().await;
        let health = node.broker.health();
        if node.lifecycle.set_degraded(health.is_err()) {
            match health {
                Ok(()) => info!("The broker is well again."),
                Err(reason) => warn!(%reason, "The broker is not well; clients are told to stay."),
            }
            untold = node.hub.inboxes().to_vec();
        }
        // A shard whose inbox is full is told at a later tick: what counts is the state, not the change.
        untold.retain(|inbox| inbox.order(Control::TellStatus).is_err());
    }
}
