//! What is looked after now and then: where the primaries are, verdicts that wait for this node, what dead nodes left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tracing::{debug, info, warn};

use super::append::LaneId;
use super::core::Core;
use super::fault::Fault;
use super::links::Purpose;
use super::partition::Partition;

const INTERVAL: Duration = Duration::from_millis(250);

/// How long a look goes on settling and clearing away.
const LOOK: Duration = Duration::from_secs(1);

/// Looks for ever.
pub(super) async fn run(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let partitions = core.partitions.iter();
    let slots: Vec<u16> = partitions.map(|partition| partition.keys.slot).collect();
    let mut dead: Vec<Dead> = Vec::new();
    loop {
        ticks.tick().await;
        if core.links.have_moved(&slots).await {
            warn!("Redis has other primaries; connecting to them.");
            core.links.drop_all();
            core.readers.restart();
        }
        for node in core.roster.take_dead(Instant::now()) {
            info!(%node, "A node has died.");
            let partitions = (0..core.partitions.len()).collect();
            dead.push(Dead { node, partitions });
        }
        // Who is heard again is waited for again.
        dead.retain(|one| !core.roster.is_live(&one.node));
        let clearing = join_all(dead.iter_mut().map(|one| one.clear_away(&core)));
        tokio::join!(speak_up(&core), clearing);
        dead.retain(|one| !one.partitions.is_empty());
    }
}

/// A node that has died.
struct Dead {
    node: Arc<str>,
    /// Where something of it may be left.
    partitions: Vec<usize>,
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
    let _late = tokio::time::timeout(LOOK, settling).await;
}

impl Dead {
    /// Every node that notices a death does this; what is gone already costs nothing. What cannot be cleared now is tried
    /// again: verdicts would wait for this node in vain, and all channels of the partition would pay for it.
    async fn clear_away(&mut self, core: &Core) {
        let node = &self.node;
        let clear = |index: usize| async move {
            let cleared = clear_one(core, &core.partitions[index], node).await;
            cleared.inspect_err(|fault| {
                debug!(%node, partition = index, %fault, "Unable to clear away what a dead node left behind.");
            })
        };
        self.partitions = not_done(&self.partitions, LOOK, clear).await;
    }
}

/// Does it for all partitions at the same time, and gives those back where it failed or took too long: one that hangs must not
/// hold up the others, nor the watch.
async fn not_done<F>(
    partitions: &[usize],
    patience: Duration,
    act: impl Fn(usize) -> F,
) -> Vec<usize>
where
    F: Future<Output = Result<(), Fault>>,
{
    let all = partitions.iter().copied().map(|index| {
        let acting = tokio::time::timeout(patience, act(index));
        async move {
            let is_done = matches!(acting.await, Ok(Ok(())));
            (!is_done).then_some(index)
        }
    });
    let left = join_all(all).await;
    left.into_iter().flatten().collect()
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
    // The next attempt has a link that works.
    cleared
        .map(drop)
        .inspect_err(|fault| core.links.heed(&link, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_partition_that_hangs_holds_up_no_other_and_is_tried_again() {
        let act = |index: usize| async move {
            match index {
                1 => std::future::pending().await,
                2 => Err(Fault::Passing("BUSY".to_owned())),
                _ => Ok(()),
            }
        };
        let left = not_done(&[0, 1, 2, 3], Duration::from_millis(1), act).await;
        assert_eq!(left, [1, 2]);
    }
}
