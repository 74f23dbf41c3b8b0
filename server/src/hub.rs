//! The hub: which channels are alive in this process, their newest events, and which shards must know.
//!
//! It knows no broker, no transport and no IO. Brokers deliver into it in offset order; shards are told only
//! "this channel advanced" and take what they lack from the channel's tail, so order and completeness hold
//! by construction and nothing is lost when a shard lags.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use dashmap::{DashMap, DashSet};
use parlor_protocol::{Alias, ChannelName, Position};
use tokio::sync::SemaphorePermit;

mod channel;
mod entry;
mod ids;
mod inbox;
mod joined;
mod subscriber;
mod table;
mod tally;
mod turns;

pub use channel::{Beginning, Channel, Pull, TAIL_LEN_MAX, Tap};
pub use entry::{Ephemeral, EphemeralBody, Frames, LogEntry, bytes_of};
pub use ids::{ConnectionId, ShardId};
pub use inbox::{Control, Inbox, InboxFull, Letters};
pub use subscriber::Subscriber;
pub use table::{Advanced, SubscriberKey, Table};
pub use tally::Tally;
use turns::Turns;

/// Stands where an alias is not known yet.
const NO_ALIAS: Alias = Alias(0);

/// The process-wide directory of channels that have at least one subscriber, joining or joined.
#[derive(Debug)]
pub struct Hub {
    /// Keyed by client-chosen names: dashmap's default hasher is keyed, so they cannot be made to collide.
    channels: DashMap<ChannelName, Arc<Channel>>,
    inboxes: Box<[Arc<Inbox>]>,
    next_alias: AtomicU32,
    /// The aliases of all channels in the directory.
    aliases: DashSet<Alias>,
    turns: Turns,
    /// How many of the channels the process follows by itself.
    followed: AtomicUsize,
}

impl Hub {
    /// A hub for this many shards (1 to 64).
    pub fn new(shards: usize) -> Self {
        assert!((1..=64).contains(&shards), "a hub serves 1 to 64 shards");
        Self {
            channels: DashMap::new(),
            inboxes: (0..shards)
                .map(|index| Arc::new(Inbox::new(ShardId(index))))
                .collect(),
            next_alias: AtomicU32::new(1),
            aliases: DashSet::new(),
            turns: Turns::new(),
            followed: AtomicUsize::new(0),
        }
    }

    pub fn inboxes(&self) -> &[Arc<Inbox>] {
        &self.inboxes
    }

    pub fn inbox(&self, shard: ShardId) -> &Arc<Inbox> {
        &self.inboxes[shard.0]
    }

    /// How many channels have a subscriber. Those that the process itself follows do not count.
    pub fn len(&self) -> usize {
        let followed = self.followed.load(Ordering::Relaxed);
        self.channels.len().saturating_sub(followed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The channel, if anybody here is subscribed to it.
    pub fn channel(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        self.channels.get(name).map(|found| Arc::clone(&found))
    }

    /// Marks that `shard` wants the channel's events, and makes the channel live if it was not.
    pub fn enter(&self, name: &ChannelName, shard: ShardId) -> Arc<Channel> {
        // The map's guard is held while the interest is set: `exit` could otherwise remove the channel in between.
        let found = self.channels.entry(name.clone()).or_insert_with(|| {
            let alias = self.take_alias();
            Arc::new(Channel::new(name.clone(), alias))
        });
        found.add_interest(shard);
        Arc::clone(&found)
    }

    /// Takes the mark back. True when the channel died with it, so that the broker may be told.
    pub fn exit(&self, channel: &Channel, shard: ShardId) -> bool {
        let died = self
            .channels
            .remove_if(channel.name(), |_, held| {
                std::ptr::eq(&raw const **held, channel) && held.remove_interest(shard)
            })
            .is_some();
        if died {
            // No shard's table has the channel any more: each lets go of it before it takes its mark back.
            self.aliases.remove(&channel.alias());
        }
        died
    }

    /// Takes one logged event from a broker: in offset order per channel. Does nothing where nobody listens.
    pub fn deliver(&self, name: &ChannelName, entry: Arc<LogEntry>) {
        if let Some(channel) = self.channel(name) {
            let shards = channel.push(entry);
            self.wake(&channel, shards);
        }
    }

    /// Fans out an event that is never logged; the oldest waiting ones are dropped first.
    pub fn deliver_ephemeral(&self, name: &ChannelName, body: EphemeralBody) {
        if let Some(channel) = self.channel(name) {
            let shards = channel.push_ephemeral(body);
            self.wake(&channel, shards);
        }
    }

    /// Waits until nobody else reads this channel's log on behalf of who joins it. Look into the tail again then, and
    /// [refill](Channel::refill) it with what you read, before the turn is dropped.
    pub async fn turn_to_read(&self, channel: &Channel) -> Option<SemaphorePermit<'_>> {
        self.turns.take(channel.alias()).await
    }

    /// Has a shard look at a channel again, although nothing came since: it could not take the news before.
    pub fn nudge(&self, channel: &Channel, shard: ShardId) {
        if channel.tell(shard) {
            self.inbox(shard).advanced(channel.alias());
        }
    }

    /// Follows a channel inside the process: `tap` is called at each news of its log. The channel stays alive from now
    /// on. Call it before the broker's `join`.
    pub fn follow(&self, name: &ChannelName, tap: Tap) -> Arc<Channel> {
        let channel = Arc::new(Channel::followed(name.clone(), self.take_alias(), tap));
        if self
            .channels
            .insert(name.clone(), Arc::clone(&channel))
            .is_none()
        {
            self.followed.fetch_add(1, Ordering::Relaxed);
        }
        channel
    }

    /// The channel's log began a new life: everybody starts anew from `top`. `lost` names the entries of the ended life
    /// that had been acknowledged or delivered and are gone: whoever is subscribed or just joining is told.
    pub fn restart(&self, name: &ChannelName, top: Position, lost: Option<RangeInclusive<u64>>) {
        if let Some(channel) = self.channel(name) {
            let shards = channel.restart(top, lost);
            self.wake(&channel, shards);
        }
    }

    /// The names of all live channels.
    pub fn names(&self) -> Vec<ChannelName> {
        self.channels
            .iter()
            .map(|held| held.key().clone())
            .collect()
    }

    /// An alias that no live channel has. A busy process runs through all of them in hours, as channels come and go; shards
    /// find a channel by its alias alone, so a second one with the same would get the first one's subscribers.
    fn take_alias(&self) -> Alias {
        loop {
            // Always onwards, never back to one that has just become free: a letter or a read under way may still name it.
            let alias = Alias(self.next_alias.fetch_add(1, Ordering::Relaxed));
            if alias != NO_ALIAS && self.aliases.insert(alias) {
                return alias;
            }
        }
    }

    fn wake(&self, channel: &Channel, shards: u64) {
        for inbox in self
            .inboxes
            .iter()
            .filter(|inbox| shards & inbox.id().bit() != 0)
        {
            inbox.advanced(channel.alias());
        }
    }
}

#[cfg(test)]
mod tests;
