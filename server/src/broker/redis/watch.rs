//! What is looked after now and then: where the primaries are, verdicts that wait for this node, what dead nodes left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tracing::{info, warn};

use super::append::LaneId;
use super::core::Core;
use super::fault::Fault;
use super::links::Purpose;
use super::partition::Partition;

const INTERVAL: Duration = Duration::from_millis(250);

/// How long a look goes on settling.
const SPEAK_WITHIN: Duration = Duration::from_secs(1);

/// Looks for ever.
pub(super) async fn run(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if core.links.have_moved().await {
            warn!("Redis has other primaries; connecting to them.");
            core.links.drop_all();
            core.readers.restart();
        }
        speak_up(&core).await;
        for node in core.roster.take_dead(Instant::now()) {
            info!(%node, "A node has died.");
            clear_away(&core, &node).await;
        }
    }
}

/// Settles every partition where its Redis is another than before. A node that waited for its next append would be missing
/// from the verdict, and all channels of the partition would pay for it: one that never used the partition, too, since the
/// others only know that it lives.
async fn speak_up(core: &Core) {
    let settling = join_all(
        core.partitions
            .iter()
            .map(|partition| core.settled(partition)),
    );
    // Who needs a partition asks again; this only must not hold up the watch.
    let _late = tokio::time::timeout(SPEAK_WITHIN, settling).await;
}

/// Every node that notices a death does this; what is gone already costs nothing.
async fn clear_away(core: &Core, node: &str) {
    for partition in &core.partitions {
        // What stays behind goes when the partition is settled next.
        let _left = clear_one(core, partition, node).await;
    }
}

async fn clear_one(core: &Core, partition: &Partition, node: &str) -> Result<(), Fault> {
    let link = core.links.get(Purpose::Read, partition.keys.slot).await?;
    let mut both = redis::pipe();
    let answers = both.cmd("HDEL").arg(&partition.keys.batches);
    for lane in LaneId::ALL {
        let owner = format!("{node}/{}", lane.index());
        answers.arg(format!("{owner}:answer")).arg(owner);
    }
    both.cmd("HDEL").arg(&partition.keys.members).arg(node);
    let cleared = link.query_all(&both).await.map_err(Fault::from);
    // The next partition has a link that works.
    cleared
        .map(drop)
        .inspect_err(|fault| core.links.heed(&link, fault))
}
