//! One shard's table: channel → subscribers, and what the shard has delivered of each channel.
//!
//! It lives on the shard's thread, so it needs no lock, and a session that has caught up enters it without a
//! race: between looking at `delivered` and entering, nothing else runs.

use std::collections::HashMap;
use std::iter;
use std::ops::RangeInclusive;
use std::sync::Arc;

use parlor_protocol::{Alias, Position};
use slab::Slab;

use super::channel::Channel;
use super::entry::{Ephemeral, LogEntry};
use super::ids::{ConnectionId, ShardId};
use super::joined::Joined;
use super::subscriber::{Slot, Subscriber};
use super::tally::Tally;
use crate::outbox::Lane;

/// Fan-outs up to this size go to the near lane.
const NEAR_MAX: usize = 64;

/// Finds a subscriber in its channel's slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriberKey(usize);

/// What a shard does after it asked a channel for news.
#[derive(Debug, PartialEq, Eq)]
pub enum Advanced {
    Done,
    /// Ask again, after others had their turn.
    More,
    /// The tail was trimmed: read the log from behind this position, then hand it to [`Table::deliver`].
    ReadLog {
        after: Position,
    },
    /// The log began a new life: all subscriptions of the channel must start anew.
    EpochChanged,
}

#[derive(Debug)]
pub struct Table {
    shard: ShardId,
    channels: HashMap<Alias, Local>,
    /// Subscribers who had no room for something, and are owed that they are told.
    passed_over: Vec<(Alias, SubscriberKey)>,
    pub tally: Tally,
}

/// A channel on this shard.
#[derive(Debug)]
struct Local {
    channel: Arc<Channel>,
    /// Unknown until the first join knows the top.
    delivered: Option<Position>,
    ephemeral_from: u64,
    subscribers: Slab<Slot>,
    /// Joins under way: they keep the channel as subscribers do.
    joining: usize,
    /// A log read is under way: it delivers, not the tail.
    reading: bool,
}

impl Table {
    pub fn new(shard: ShardId) -> Self {
        Self {
            shard,
            channels: HashMap::new(),
            passed_over: Vec::new(),
            tally: Tally::default(),
        }
    }

    pub fn channel(&self, alias: Alias) -> Option<&Arc<Channel>> {
        self.channels.get(&alias).map(|local| &local.channel)
    }

    /// Begins a join: the channel stays on this shard until [`Table::leave_joining`] or [`Table::enter`].
    /// Returns the number of the first ephemeral that the subscriber is to have, for [`Table::enter`].
    pub fn begin_joining(&mut self, channel: &Arc<Channel>) -> u64 {
        let local = self
            .channels
            .entry(channel.alias())
            .or_insert_with(|| Local {
                channel: Arc::clone(channel),
                delivered: None,
                ephemeral_from: channel.ephemeral_next(),
                // Most channels of a shard have one subscriber or few: the slab's own first step would be four.
                subscribers: Slab::with_capacity(1),
                joining: 0,
                reading: false,
            });
        debug_assert!(
            Arc::ptr_eq(&local.channel, channel),
            "two live channels have one alias"
        );
        local.joining += 1;
        channel.begin_joining();
        local.ephemeral_from
    }

    /// The join knows the channel's top: the shard's deliveries start there, unless they had started before.
    pub fn start_from(&mut self, alias: Alias, top: Position) {
        if let Some(local) = self.channels.get_mut(&alias) {
            local.delivered.get_or_insert(top);
        }
    }

    /// What this shard has delivered of the channel.
    pub fn delivered(&self, alias: Alias) -> Option<Position> {
        self.channels.get(&alias).and_then(|local| local.delivered)
    }

    /// A join that has caught up becomes a live subscription. The caller has seen that the cursor is not behind
    /// what the shard delivered. Ephemerals that came since the join began follow now: a presence diff that passed
    /// by would otherwise be noticed only at the next one.
    pub fn enter(&mut self, alias: Alias, subscriber: Subscriber) -> Option<SubscriberKey> {
        let local = self.channels.get_mut(&alias)?;
        local.joining -= 1;
        let missed = subscriber.ephemerals_since..local.ephemeral_from;
        let mut slot = Slot::new(subscriber);
        for ephemeral in local.channel.ephemerals(missed) {
            slot.push_ephemeral(&ephemeral, alias, Lane::Near, &mut self.tally);
        }
        local.channel.end_joining();
        let is_to_be_listed = slot.is_to_be_listed();
        let key = SubscriberKey(local.subscribers.insert(slot));
        if is_to_be_listed {
            self.passed_over.push((alias, key));
        }
        Some(key)
    }

    /// Gives up a join. Returns the channel when nobody on this shard is left.
    pub fn leave_joining(&mut self, alias: Alias) -> Option<Arc<Channel>> {
        let local = self.channels.get_mut(&alias)?;
        local.joining -= 1;
        local.channel.end_joining();
        self.drop_if_empty(alias)
    }

    /// Ends a live subscription. Returns the channel when nobody on this shard is left.
    pub fn leave(&mut self, alias: Alias, key: SubscriberKey) -> Option<Arc<Channel>> {
        let local = self.channels.get_mut(&alias)?;
        let slot = local.subscribers.try_remove(key.0)?;
        if slot.is_listed {
            self.passed_over.retain(|other| *other != (alias, key));
        }
        self.drop_if_empty(alias)
    }

    fn drop_if_empty(&mut self, alias: Alias) -> Option<Arc<Channel>> {
        let local = self.channels.get(&alias)?;
        if local.joining > 0 || !local.subscribers.is_empty() {
            return None;
        }
        self.channels.remove(&alias).map(|local| local.channel)
    }

    /// Delivers a channel's news.
    pub fn advance(&mut self, alias: Alias) -> Advanced {
        let Some(local) = self.channels.get_mut(&alias) else {
            return Advanced::Done;
        };
        let (false, Some(delivered)) = (local.reading, local.delivered) else {
            local.channel.untell(self.shard);
            return Advanced::Done;
        };
        let pull = local
            .channel
            .pull(self.shard, delivered, local.ephemeral_from);
        local.ephemeral_from = pull.ephemeral_next;
        for ephemeral in &pull.ephemerals {
            local.fan_out_ephemeral(ephemeral, &mut self.tally, &mut self.passed_over);
        }
        if pull.epoch_changed {
            return Advanced::EpochChanged;
        }
        if pull.trimmed {
            local.reading = true;
            return Advanced::ReadLog { after: delivered };
        }
        local.fan_out(&pull.entries, &mut self.tally, &mut self.passed_over);
        if pull.more {
            Advanced::More
        } else {
            Advanced::Done
        }
    }

    /// Whether a log read from behind this position is still awaited. Not when everybody has left since: others who came
    /// stand elsewhere, or wait for a read of their own.
    pub fn is_reading(&self, alias: Alias, after: Position) -> bool {
        let local = self.channels.get(&alias);
        local.is_some_and(|local| local.reading && local.delivered == Some(after))
    }

    /// Delivers what a log read found. False when it does not follow on what was delivered: retention overtook
    /// the shard, or the log began a new life, and the channel's subscriptions must start anew.
    pub fn deliver(&mut self, alias: Alias, entries: &[Arc<LogEntry>]) -> bool {
        let Some(local) = self.channels.get_mut(&alias) else {
            return true;
        };
        local.reading = false;
        // Offsets do not tell: a life that began further back may have passed what was delivered of the one before it.
        // Taken for its continuation, it would make the shard stand in the new life, and nobody would be told of the loss.
        let is_next = local.delivered.is_some_and(|delivered| {
            // Before the first event the shard may know the place by an older name.
            let delivered = entries.first().map_or(delivered, |first| {
                local.channel.under(delivered, first.epoch)
            });
            let places = entries.iter().map(|entry| entry.position());
            let befores = iter::once(delivered).chain(places);
            entries
                .iter()
                .zip(befores)
                .all(|(entry, before)| entry.follows(before))
        });
        if !is_next {
            return false;
        }
        local.fan_out(entries, &mut self.tally, &mut self.passed_over);
        true
    }

    /// What was lost when the life of the log ended in which this shard still stands: for "start anew".
    pub fn lost(&self, alias: Alias) -> Option<RangeInclusive<u64>> {
        let local = self.channels.get(&alias)?;
        local.channel.lost(local.delivered?.epoch)
    }

    /// Every connection that is live in the channel: for "start anew".
    pub fn connections(&self, alias: Alias) -> Vec<ConnectionId> {
        let Some(local) = self.channels.get(&alias) else {
            return Vec::new();
        };
        local
            .subscribers
            .iter()
            .map(|(_, slot)| slot.subscriber.connection)
            .collect()
    }

    /// The channel's log began a new life: later joins start from its present top.
    pub fn restart(&mut self, alias: Alias) {
        if let Some(local) = self.channels.get_mut(&alias) {
            local.reading = false;
            local.delivered = local.channel.top();
        }
    }

    /// Tells subscribers who were passed over what they missed, once they have room again.
    pub fn tell_passed_over(&mut self) {
        let (channels, tally) = (&mut self.channels, &mut self.tally);
        self.passed_over.retain(|(alias, key)| {
            let Some(slot) = channels
                .get_mut(alias)
                .and_then(|local| local.subscribers.get_mut(key.0))
            else {
                return false;
            };
            !slot.tell(*alias, tally)
        });
    }
}

impl Local {
    /// One walk over the channel's subscribers for each block of entries: the loop that everything else exists for.
    fn fan_out(
        &mut self,
        entries: &[Arc<LogEntry>],
        tally: &mut Tally,
        passed_over: &mut Vec<(Alias, SubscriberKey)>,
    ) {
        let alias = self.channel.alias();
        let lane = lane_for(self.subscribers.len());
        for joined in Joined::blocks_of(entries, alias) {
            for (key, slot) in &mut self.subscribers {
                slot.push_joined(&joined, alias, lane, tally);
                if slot.is_to_be_listed() {
                    passed_over.push((alias, SubscriberKey(key)));
                }
            }
        }
        if let Some(last) = entries.last() {
            self.delivered = Some(last.position());
        }
    }

    fn fan_out_ephemeral(
        &mut self,
        ephemeral: &Arc<Ephemeral>,
        tally: &mut Tally,
        passed_over: &mut Vec<(Alias, SubscriberKey)>,
    ) {
        let alias = self.channel.alias();
        let lane = lane_for(self.subscribers.len());
        for (key, slot) in &mut self.subscribers {
            slot.push_ephemeral(ephemeral, alias, lane, tally);
            if slot.is_to_be_listed() {
                passed_over.push((alias, SubscriberKey(key)));
            }
        }
    }
}

fn lane_for(subscribers: usize) -> Lane {
    if subscribers <= NEAR_MAX {
        Lane::Near
    } else {
        Lane::Bulk
    }
}
