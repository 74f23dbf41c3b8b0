//! Resync: after a hole, a thaw or a new floor, every channel that somebody here listens to is compared with its log
//! and read back, before the tail goes on.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parlor_protocol::{ChannelName, Position};
use tracing::info;

use super::core::Core;
use super::fault::Fault;
use super::known::Known;
use super::links::Purpose;
use super::partition::Partition;
use crate::broker::{Range, Read};
use crate::hub::{Channel, LogEntry};
use crate::kind::ChannelKind;

/// Channels compared at the same time.
const AT_ONCE: usize = 64;

/// Entries read back at once.
const PAGE: usize = 500;

/// How a channel stands to its log.
enum Found {
    /// Everybody here has what the log has.
    Level,
    /// The log stands here, in another life than the one that is known.
    NewLife(Position),
    /// The log lacks this, and nobody gave it a new epoch.
    WentBack(Position),
}

/// What a comparison leaves to be done for many channels at once.
enum Left {
    Ended(Ended),
    /// With the newest of it that is known here.
    WentBack(ChannelName, Known),
}

/// A channel stands at `top` of a new life, and of the one before nobody here remembers enough to see what is gone.
struct Ended {
    channel: ChannelName,
    had: Position,
    top: Position,
}

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
        let compared: Vec<Option<Left>> = stream::iter(locals)
            .map(|(channel, kind)| async move { self.compare(&channel, &kind).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let (mut ended, mut went_back) = (Vec::new(), Vec::new());
        for left in compared.into_iter().flatten() {
            match left {
                Left::Ended(one) => ended.push(one),
                Left::WentBack(channel, known) => went_back.push((channel, known)),
            }
        }
        self.tell_ended(partition, ended).await?;
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
    ) -> Result<Option<Left>, Fault> {
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
        let found = if top.epoch != had.epoch {
            Found::NewLife(top)
        } else if top.offset < had.offset || (top.offset == had.offset && top.tag != had.tag) {
            Found::WentBack(had)
        } else {
            self.read_back(&live, kind, had, top).await?
        };
        match found {
            Found::Level => Ok(None),
            Found::NewLife(top) => self.enter_life(&live, kind, had, top).await,
            Found::WentBack(position) => {
                let known = Known {
                    pseq: 0,
                    position,
                    generation,
                };
                Ok(Some(Left::WentBack(channel.clone(), known)))
            }
        }
    }

    /// Tells everybody here what the life before lost, if that can be seen here.
    async fn enter_life(
        &self,
        live: &Channel,
        kind: &Arc<ChannelKind>,
        had: Position,
        top: Position,
    ) -> Result<Option<Left>, Fault> {
        let channel = live.name();
        let Some(survived) = self.survivor(live, kind, had).await? else {
            let channel = channel.clone();
            return Ok(Some(Left::Ended(Ended { channel, had, top })));
        };
        self.begin_new_life(channel, top, survived + 1..=had.offset);
        Ok(None)
    }

    /// The newest event that was delivered here and is still in the log, where a new epoch began. None: nobody here
    /// knows of one.
    async fn survivor(
        &self,
        live: &Channel,
        kind: &Arc<ChannelKind>,
        had: Position,
    ) -> Result<Option<u64>, Fault> {
        let delivered = live.tail();
        if had.offset == 0 || delivered.is_empty() {
            return Ok((had.offset == 0).then_some(0));
        }
        let read = Read {
            channel: live.name().clone(),
            kind: Arc::clone(kind),
            range: Range::BeforeOffset(had.offset + 1),
            limit: delivered.len(),
        };
        let page = self.page(&read).await?;
        let is_there = |entry: &&Arc<LogEntry>| {
            delivered
                .iter()
                .any(|held| held.offset == entry.offset && held.tag == entry.tag)
        };
        let newest = page.entries.iter().find(is_there);
        Ok(newest.map(|entry| entry.offset))
    }

    /// Too little is remembered here of these channels: whoever found the loss said how far it goes. Asked once for all of them,
    /// and after their tops were read, so that no life among them is younger than what is told.
    async fn tell_ended(&self, partition: &Partition, ended: Vec<Ended>) -> Result<(), Fault> {
        if ended.is_empty() {
            return Ok(());
        }
        let begun = self.begun(partition).await?;
        for Ended { channel, had, top } in ended {
            let told = begun.survived(&channel, had.epoch);
            let survived = told.map_or(0, |offset| offset.min(had.offset));
            self.begin_new_life(&channel, top, survived + 1..=had.offset);
        }
        Ok(())
    }

    /// Delivers what is missing here.
    async fn read_back(
        &self,
        live: &Channel,
        kind: &Arc<ChannelKind>,
        had: Position,
        top: Position,
    ) -> Result<Found, Fault> {
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
                return Ok(Found::NewLife(page.top));
            }
            let Some(first) = page.entries.first() else {
                break;
            };
            if first.offset == at.offset + 1 && first.prev != at.tag {
                return Ok(Found::WentBack(at));
            }
            for entry in page.entries {
                at = entry.position();
                // Where retention left a hole, the hub's readers notice it by the offset.
                self.hub.deliver(live.name(), entry);
            }
        }
        Ok(Found::Level)
    }

    /// These logs get new epochs, and all nodes are told: their readers must not be led to believe in them. All together, since
    /// each look that finds a loss is another generation.
    async fn begin_anew(
        &self,
        partition: &Arc<Partition>,
        went_back: &[(ChannelName, Known)],
    ) -> Result<(), Fault> {
        if went_back.is_empty() {
            return Ok(());
        }
        self.settled(partition).await?;
        let link = self.links.get(Purpose::Append, partition.keys.slot).await?;
        self.verify_all(partition, &link, went_back).await
    }
}
