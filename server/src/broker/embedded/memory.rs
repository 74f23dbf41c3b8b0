//! Logs that live as long as the process: one ring per channel, never touching the disk.
//!
//! It owns which channels have a ring and how much they hold together; a ring's own order is in `ring`, that of all
//! channels' publish ids in `arrivals`.
//! Lock order: a stripe, then a ring, then the hub's own locks (a ring delivers while it is locked, so that
//! two appends cannot overtake each other on the way to the hub).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use parlor_protocol::{ChannelName, Epoch, Position, Tag, Time};

use super::config::{EmbeddedConfig, OpenError};
use super::outcome::Outcome;
use super::stats::{Stats, add};
use crate::broker::random;
use crate::broker::{Append, Appended, Error, LogPage, Read};
use crate::clock;
use crate::hub::Hub;
use crate::kind::Durability;

mod arrivals;
mod recent;
mod ring;
mod sweeper;

use arrivals::{Arrival, Arrivals};
use ring::{Ring, later};

/// How long a client waits when there are too many channels.
const RETRY_AFTER_CROWDED: Duration = Duration::from_secs(5);
/// Parts of the directory. A sweep holds one of them, so its length is that of a part.
const STRIPES: usize = 256;

/// The memory store.
#[derive(Debug)]
pub(super) struct MemoryLogs {
    /// A channel's stripe and its place there come from keyed hashes: clients choose the names.
    hasher: RandomState,
    stripes: Box<[RwLock<Stripe>]>,
    /// The epoch of channels without an event. Replaced before a log with events is dropped: a log made anew
    /// starts at offset 1 again and must not do so under an old name.
    epoch: AtomicU64,
    /// The stripe to look into when room is needed.
    sought: AtomicUsize,
    arrivals: Arrivals,
    is_closed: AtomicBool,
    limits: Limits,
    hub: Arc<Hub>,
    stats: Arc<Stats>,
}

type Stripe = HashMap<ChannelName, Arc<Mutex<Ring>>>;

#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes_max: usize,
    channel_bytes_max: usize,
    channels_max: usize,
    dedup_window: Duration,
}

impl MemoryLogs {
    /// With a thread that lets go of what expired.
    pub(super) fn open(
        config: &EmbeddedConfig,
        hub: Arc<Hub>,
        stats: Arc<Stats>,
    ) -> Result<Arc<Self>, OpenError> {
        let logs = Arc::new(Self::new(config, hub, stats));
        sweeper::start(&logs, sweeper::ROUND).map_err(OpenError::Threads)?;
        Ok(logs)
    }

    fn new(config: &EmbeddedConfig, hub: Arc<Hub>, stats: Arc<Stats>) -> Self {
        Self {
            hasher: RandomState::new(),
            stripes: (0..STRIPES).map(|_| RwLock::default()).collect(),
            epoch: AtomicU64::new(random::epoch().0),
            sought: AtomicUsize::new(0),
            arrivals: Arrivals::new(config.dedup_len_max),
            is_closed: AtomicBool::new(false),
            limits: Limits {
                bytes_max: config.memory_bytes_max,
                channel_bytes_max: config.memory_channel_bytes_max,
                channels_max: config.memory_channels_max,
                dedup_window: config.dedup_window,
            },
            hub,
            stats,
        }
    }

    /// Logs and delivers before it returns.
    pub(super) fn append(&self, append: Append) -> Result<Appended, Error> {
        self.make_room()?;
        let (ring, (outcome, now)) =
            self.with_ring(&append.channel, |ring| self.append_to(ring, &append))?;
        if append.dedup.is_some() && matches!(outcome, Outcome::Logged(_)) {
            self.note_id(&ring, now);
        }
        outcome.answer(Durability::Memory, &self.stats)
    }

    /// The log's top. Makes the log: the epoch that the caller is told must be the one that its events get.
    pub(super) fn top(&self, channel: &ChannelName) -> Result<Position, Error> {
        self.make_room()?;
        self.with_ring(channel, |ring| ring.top())
            .map(|(_, top)| top)
    }

    pub(super) fn read(&self, read: &Read) -> Result<LogPage, Error> {
        add(&self.stats.pages, 1);
        let known = self
            .stripe(&read.channel)
            .read()
            .get(&read.channel)
            .map(Arc::clone);
        Ok(match known {
            Some(ring) => ring
                .lock()
                .page(&read.kind, read.range, read.limit, clock::now()),
            None => LogPage {
                entries: Vec::new(),
                more: false,
                top: self.before_first(),
                oldest: 1,
                beginning: None,
            },
        })
    }

    /// Takes no more appends.
    pub(super) fn shut_down(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    fn append_to(&self, ring: &mut Ring, append: &Append) -> (Outcome, Time) {
        let now = clock::now();
        let outcome = self.measured(ring, |ring| {
            ring.forget(now, 0);
            let outcome = ring.append(append, now, self.limits.dedup_window);
            if let Outcome::Logged(entry) = &outcome {
                self.hub.deliver(&append.channel, Arc::clone(entry));
            }
            ring.trim(now, self.limits.channel_bytes_max);
            outcome
        });
        self.squeeze(ring);
        (outcome, now)
    }

    /// Gives up this channel's oldest entries while all channels together hold too much: no look at others while a ring is
    /// locked.
    fn squeeze(&self, ring: &mut Ring) {
        let excess = self.bytes().saturating_sub(self.limits.bytes_max);
        if excess > 0 {
            self.measured(ring, |ring| {
                ring.shrink(ring.bytes().saturating_sub(excess))
            });
        }
    }

    /// The id that a ring has just taken comes behind those of all channels. If it is one too many, the oldest of all is
    /// forgotten, so for a moment there is one more for each thread that appends. No ring may be locked: any may have the oldest.
    fn note_id(&self, ring: &Arc<Mutex<Ring>>, now: Time) {
        let newest = Arrival {
            ring: Arc::downgrade(ring),
            until: later(now, self.limits.dedup_window),
        };
        if let Some(oldest) = self.arrivals.add(newest) {
            self.forget(&oldest, now);
        }
    }

    /// Forgets the ids of all channels whose window ended.
    fn forget_expired(&self) {
        let now = clock::now();
        while let Some(oldest) = self.arrivals.take_expired(now) {
            self.forget(&oldest, now);
        }
    }

    /// Has its ring forget an id, which is the oldest that the ring has.
    fn forget(&self, oldest: &Arrival, now: Time) {
        // A ring that has gone had no id left.
        let Some(ring) = oldest.ring.upgrade() else {
            return;
        };
        // What is over may be forgotten already, and the ring's oldest is then one that is not.
        let early = ring.lock().forget(now, usize::from(oldest.until > now));
        add(&self.stats.ids_forgotten_early, early as u64);
    }

    /// Runs `work` on the channel's ring, making it first if needed. Returns the ring, no longer locked, with what it did.
    fn with_ring<T>(
        &self,
        channel: &ChannelName,
        work: impl Fn(&mut Ring) -> T,
    ) -> Result<(Arc<Mutex<Ring>>, T), Error> {
        loop {
            let ring = self.ring(channel)?;
            let mut locked = ring.lock();
            // A sweep took it out of the directory between the two locks: an event in it would be lost.
            if !locked.is_dropped {
                let done = work(&mut locked);
                drop(locked);
                return Ok((ring, done));
            }
        }
    }

    fn ring(&self, channel: &ChannelName) -> Result<Arc<Mutex<Ring>>, Error> {
        let stripe = self.stripe(channel);
        if let Some(ring) = stripe.read().get(channel) {
            return Ok(Arc::clone(ring));
        }
        if self.stats.memory_channels.load(Ordering::Relaxed) >= self.limits.channels_max as u64 {
            return Err(Error::Unavailable {
                reason: "too many channels are kept in memory".to_owned(),
                retry_after: RETRY_AFTER_CROWDED,
            });
        }
        let mut stripe = stripe.write();
        let ring = stripe.entry(channel.clone()).or_insert_with(|| {
            add(&self.stats.memory_channels, 1);
            Arc::new(Mutex::new(Ring::new(self.before_first())))
        });
        Ok(Arc::clone(ring))
    }

    fn stripe(&self, channel: &ChannelName) -> &RwLock<Stripe> {
        let hash = self.hasher.hash_one(channel);
        &self.stripes[usize::try_from(hash % STRIPES as u64).unwrap_or(0)]
    }

    fn before_first(&self) -> Position {
        Position {
            epoch: Epoch(self.epoch.load(Ordering::Acquire)),
            offset: 0,
            tag: Tag(0),
        }
    }

    fn bytes(&self) -> usize {
        usize::try_from(self.stats.memory_bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Before each append and join: sweeps a stripe when memory is short, which cannot wait for the sweeper.
    fn make_room(&self) -> Result<(), Error> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let is_crowded =
            self.stats.memory_channels.load(Ordering::Relaxed) >= self.limits.channels_max as u64;
        if self.bytes() > self.limits.bytes_max / 8 * 7 {
            self.sweep(self.next_stripe(), Pressure::High);
        } else if is_crowded {
            self.sweep(self.next_stripe(), Pressure::Low);
        }
        Ok(())
    }

    fn next_stripe(&self) -> usize {
        self.sought.fetch_add(1, Ordering::Relaxed) % STRIPES
    }

    /// Lets go of what expired in one stripe, and of logs that hold nothing and that nobody listens to.
    fn sweep(&self, stripe: usize, pressure: Pressure) {
        let now = clock::now();
        let mut stripe = self.stripes[stripe].write();
        stripe.retain(|channel, ring| {
            let mut ring = ring.lock();
            self.measured(&mut ring, |ring| {
                ring.forget(now, 0);
                ring.trim(now, self.limits.channel_bytes_max);
                if pressure == Pressure::High {
                    ring.shrink(ring.bytes() / 2);
                }
            });
            // A join enters the hub before it asks here, and asking here takes the stripe's lock.
            let is_idle = ring.is_blank() && self.hub.channel(channel).is_none();
            if is_idle {
                self.let_go(&mut ring);
            }
            !is_idle
        });
    }

    fn let_go(&self, ring: &mut Ring) {
        if ring.top().offset > 0 {
            self.epoch.store(random::epoch().0, Ordering::Release);
        }
        ring.is_dropped = true;
        self.stats.memory_channels.fetch_sub(1, Ordering::Relaxed);
    }

    /// Runs `work` and keeps the total true to what it changed.
    fn measured<T>(&self, ring: &mut Ring, work: impl FnOnce(&mut Ring) -> T) -> T {
        let bytes = ring.bytes();
        let done = work(ring);
        // Wrapping: they may be less than before, and the sum over all rings is never negative.
        let grown = (ring.bytes() as u64).wrapping_sub(bytes as u64);
        self.stats.memory_bytes.fetch_add(grown, Ordering::Relaxed);
        done
    }
}

/// How hard a sweep looks for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressure {
    /// Takes what expired.
    Low,
    /// Takes also the older half of every history.
    High,
}

#[cfg(test)]
mod tests;
