//! Resync: after a hole, a thaw or a new floor, every channel that somebody here listens to is compared with its log
//! and read back, before the tail goes on.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parlor_protocol::{ChannelName, Position};
use tracing::info;

use super::core::Core;
use super::fault::Fault;
use super::links::Purpose;
use super::partition::{Known, Partition};
use crate::broker::{Range, Read};
use crate::hub::{Channel, LogEntry};
use crate::kind::ChannelKind;

/// Channels compared at the same time.
const AT_ONCE: usize = 64;

/// Delivered entries that a channel's tail holds, at most.
const REMEMBERED: usize = 256;

/// Entries read back at once.
const PAGE: usize = 500;

/// A channel whose log went back although nobody gave it a new epoch, and the newest of it that is known here.
type WentBack = (ChannelName, Known);

impl Core {
    /// Brings everybody here level with the logs, and the tail to where the stream ended when this began.
    pub(super) async fn resync(&self, partition: &Arc<Partition>) -> Result<(), Fault> {
        // First the stream's end, then the logs: what comes in between is delivered twice, and known by its offset.
        let end = self.end_of(partition).await?;
        let locals = partition.locals();
        info!(
            partition = partition.index,
            channels = locals.len(),
            "Comparing channels with their logs."
        );
        let compared: Vec<Option<WentBack>> = stream::iter(locals)
            .map(|(channel, kind)| async move { self.compare(&channel, &kind).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let went_back: Vec<WentBack> = compared.into_iter().flatten().collect();
        self.begin_anew(partition, &went_back).await?;
        partition.move_tail(end);
        partition.note(end, None);
        self.members_missed(partition);
        partition.answer_delivered();
        Ok(())
    }

    async fn compare(
        &self,
        channel: &ChannelName,
        kind: &Arc<ChannelKind>,
    ) -> Result<Option<WentBack>, Fault> {
        let Some(live) = self.hub.channel(channel) else {
            return Ok(None);
        };
        // Before the log is read: whatever life begins behind that has a newer one.
        let (generation, _) = self.partition(channel).highest();
        // A join may have read its top, and not have told it here yet: the tail will not bring what came behind that and before the
        // stream's end. So the channel's top is known from now on; whichever is told first counts.
        let (had, page) = loop {
            let known = live.top();
            let page = self.top(channel, kind).await?;
            match known {
                Some(had) => break (had, page),
                None if live.learn_top(page.top) == page.top => return Ok(None),
                None => {}
            }
        };
        let top = page.top;
        // A channel that was empty is still the same under the name that the log has for that by now.
        let is_same = had.offset == 0
            && (page
                .beginning
                .is_some_and(|beginning| live.learn_beginning(beginning))
                || live.is_one_beginning(had.epoch, top.epoch));
        let had = if is_same {
            Position {
                epoch: top.epoch,
                ..had
            }
        } else {
            had
        };
        if top.epoch != had.epoch {
            let survived = self.survivor(&live, kind, had).await?;
            self.begin_new_life(channel, top, survived + 1..=had.offset);
            return Ok(None);
        }
        let gone = if top.offset < had.offset || (top.offset == had.offset && top.tag != had.tag) {
            Some(had)
        } else {
            self.read_back(&live, kind, had, top).await?
        };
        Ok(gone.map(|position| {
            let known = Known {
                pseq: 0,
                position,
                generation,
            };
            (channel.clone(), known)
        }))
    }

    /// The newest event that was delivered here and is still in the log, where a new epoch began; 0: nobody
    /// knows of one.
    async fn survivor(
        &self,
        live: &Channel,
        kind: &Arc<ChannelKind>,
        had: Position,
    ) -> Result<u64, Fault> {
        let read = Read {
            channel: live.name().clone(),
            kind: Arc::clone(kind),
            range: Range::BeforeOffset(had.offset + 1),
            limit: REMEMBERED,
        };
        let page = self.page(&read).await?;
        let delivered = live.tail();
        let is_there = |entry: &&Arc<LogEntry>| {
            delivered
                .iter()
                .any(|held| held.offset == entry.offset && held.tag == entry.tag)
        };
        if let Some(newest) = page.entries.iter().find(is_there) {
            return Ok(newest.offset);
        }
        // Too little is remembered here: whoever found the loss said how far it goes.
        let (channel, ended) = (live.name(), had.epoch);
        let told = self.survived_of(self.partition(channel), channel, ended);
        Ok(told.await?.map_or(0, |offset| offset.min(had.offset)))
    }

    /// Delivers what is missing here. Where what was delivered here is not in the log: the newest of it.
    async fn read_back(
        &self,
        live: &Channel,
        kind: &Arc<ChannelKind>,
        had: Position,
        top: Position,
    ) -> Result<Option<Position>, Fault> {
        let mut at = had;
        while at.offset < top.offset {
            let read = Read {
                channel: live.name().clone(),
                kind: Arc::clone(kind),
                range: Range::AfterOffset(at.offset),
                limit: PAGE,
            };
            let page = self.page(&read).await?;
            if page.top.epoch != had.epoch {
                let survived = self.survivor(live, kind, had).await?;
                self.begin_new_life(live.name(), page.top, survived + 1..=had.offset);
                return Ok(None);
            }
            let Some(first) = page.entries.first() else {
                return Ok(None);
            };
            if first.offset == at.offset + 1 && first.prev != at.tag {
                return Ok(Some(at));
            }
            for entry in page.entries {
                at = entry.position();
                // Where retention left a hole, the hub's readers notice it by the offset.
                self.hub.deliver(live.name(), entry);
            }
        }
        Ok(None)
    }

    /// These logs get new epochs, and all nodes are told: their readers must not be led to believe in them.
    async fn begin_anew(
        &self,
        partition: &Arc<Partition>,
        went_back: &[WentBack],
    ) -> Result<(), Fault> {
        if went_back.is_empty() {
            return Ok(());
        }
        self.settled(partition).await?;
        let link = self.links.get(Purpose::Append, partition.keys.slot).await?;
        self.verify_all(partition, &link, went_back).await
    }
}
