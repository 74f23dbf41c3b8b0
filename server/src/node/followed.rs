//! A channel of the server's own that every node follows: what one node appends, all apply, each entry once, in the
//! log's order.
//!
//! Like shards, the follower is only rung and pulls what it lacks: from the channel's tail, or from the log after a hole,
//! a new life of the log, or a time without the broker. So nothing waits in a queue, and nothing is passed over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parlor_protocol::{ChannelName, Epoch, EventKind, Format, Payload, Position, Tag, Tags};
use tokio::sync::{Notify, watch};
use tracing::{debug, warn};

use crate::broker::{self, Append, Appended, Broker, Dedup, Range, Read};
use crate::hub::{Channel, Hub, InboxFull, LogEntry};
use crate::kind::ChannelKind;

/// Entries that are read at once.
const PAGE: usize = 1_000;
/// How long to wait before the log is asked again that could not be read.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How often the log itself is looked at when nothing rings: a store that was emptied does not say so.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long to wait for a shard whose inbox is full.
const FULL_RETRY_AFTER: Duration = Duration::from_millis(20);
/// How long whoever appended waits until this node applied it. It is in the log: if not now, it is applied later.
const APPLIED_WITHIN: Duration = Duration::from_secs(1);

/// One such channel.
#[derive(Debug)]
pub struct Followed {
    name: ChannelName,
    kind: Arc<ChannelKind>,
    /// Rung at each news and each wish.
    bell: Arc<Notify>,
    /// How often somebody asked for the log to be read anew.
    reloads: AtomicU64,
    applied: watch::Sender<Applied>,
}

/// How far the follower is.
#[derive(Clone, Copy, Debug, Default)]
struct Applied {
    /// Wishes for a reload that are fulfilled.
    reloads: u64,
    /// Up to where all was applied; none before the first reading.
    position: Option<Position>,
}

/// Where a node that starts begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// With all that is retained: the channel holds a state.
    Oldest,
    /// With what comes from now on: the channel holds orders of the moment.
    Newest,
}

/// Where to look for what is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// In the channel's tail; in the log what that does not have.
    Tail,
    /// In the log itself, whatever was delivered.
    Log,
}

/// Why a reading stopped.
enum Stop {
    Unavailable(broker::Error),
    Full,
}

/// What is read in one go.
enum Next {
    Entries(Vec<Arc<LogEntry>>),
    /// Nothing is there beyond what was read.
    Level,
    /// The log is not the one that was read, or entries are gone: go on from here.
    Anew(Position),
}

impl Followed {
    pub(super) fn new(kind: ChannelKind, name: &'static str) -> Self {
        Self {
            name: ChannelName::reserved(name),
            kind: Arc::new(kind),
            bell: Arc::default(),
            reloads: AtomicU64::new(0),
            applied: watch::Sender::new(Applied::default()),
        }
    }

    /// Appends JSON for all nodes, and waits until this one has applied it.
    ///
    /// # Errors
    /// What the broker answers; then nobody applies it.
    pub(super) async fn append(
        &self,
        broker: &dyn Broker,
        event: &str,
        json: Vec<u8>,
    ) -> Result<Appended, broker::Error> {
        let appended = broker.append(self.event(event, json, None)).await?;
        let at = appended.position;
        let mut applied = self.applied.subscribe();
        let has_it = |applied: &Applied| {
            let position = applied.position;
            position.is_some_and(|done| done.epoch == at.epoch && done.offset >= at.offset)
        };
        if tokio::time::timeout(APPLIED_WITHIN, applied.wait_for(has_it))
            .await
            .is_err()
        {
            debug!(channel = %self.name, "What was appended is not applied here yet.");
        }
        Ok(appended)
    }

    /// Appends what several nodes append at the same time: the same `id` makes it one event. Does not wait.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn append_once(
        &self,
        broker: &dyn Broker,
        event: &str,
        json: Vec<u8>,
        id: &str,
    ) -> Result<Appended, broker::Error> {
        let dedup = Dedup {
            sender: Arc::from(self.name.as_str()),
            id: Arc::from(id),
        };
        broker.append(self.event(event, json, Some(dedup))).await
    }

    fn event(&self, event: &str, json: Vec<u8>, dedup: Option<Dedup>) -> Append {
        Append {
            channel: self.name.clone(),
            kind: Arc::clone(&self.kind),
            event: EventKind::from(event),
            dedup,
            user: None,
            tags: Tags::new(),
            payload: Payload {
                format: Format::Json,
                bytes: Bytes::from(json),
            },
            no_echo_to: None,
        }
    }

    /// The whole log, page by page, whatever was applied already.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn read_all(
        &self,
        broker: &dyn Broker,
        mut each: impl FnMut(&LogEntry),
    ) -> Result<(), broker::Error> {
        let mut after = 0;
        loop {
            let page = broker.read(self.page(after)).await?;
            page.entries.iter().for_each(|entry| each(entry));
            match page.entries.last() {
                Some(last) if page.more => after = last.offset,
                _ => return Ok(()),
            }
        }
    }

    /// Resolves when another life of the log was read than `known`, and names it.
    pub(super) async fn another_life(&self, known: Option<Epoch>) -> Option<Epoch> {
        let mut applied = self.applied.subscribe();
        let is_other = |applied: &Applied| {
            let epoch = applied.position.map(|position| position.epoch);
            epoch.is_some() && epoch != known
        };
        let found = applied.wait_for(is_other).await.ok()?;
        found.position.map(|position| position.epoch)
    }

    fn page(&self, after: u64) -> Read {
        Read {
            channel: self.name.clone(),
            kind: Arc::clone(&self.kind),
            range: Range::AfterOffset(after),
            limit: PAGE,
        }
    }

    /// Resolves once everything that the log holds now was read and applied, however long that takes.
    pub async fn reload(&self) {
        let wish = self.reloads.fetch_add(1, Ordering::AcqRel) + 1;
        let mut applied = self.applied.subscribe();
        self.bell.notify_one();
        // The sender lives in `self`: it cannot be gone.
        let _alive = applied.wait_for(|applied| applied.reloads >= wish).await;
    }

    /// Follows for ever. `apply` gets entries in order, and whether they are from before this node served anybody.
    pub(super) async fn keep_up(
        &self,
        hub: &Hub,
        broker: &dyn Broker,
        begin: Begin,
        mut apply: impl FnMut(&[Arc<LogEntry>], bool) -> Result<(), InboxFull>,
    ) {
        let bell = Arc::clone(&self.bell);
        let channel = hub.follow(&self.name, Box::new(move || bell.notify_one()));
        let (mut at, mut source) = (None, Source::Log);
        let mut is_told = false;
        loop {
            let reloads = self.reloads.load(Ordering::Acquire);
            if reloads != self.applied.borrow().reloads {
                source = Source::Log;
            }
            let read = self
                .read_on(broker, &channel, begin, source, &mut at, &mut apply)
                .await;
            match read {
                Ok(()) => {
                    is_told = false;
                    let position = at;
                    self.applied.send_replace(Applied { reloads, position });
                    let rung = tokio::time::timeout(LOOK_EVERY, self.bell.notified()).await;
                    source = rung.map_or(Source::Log, |()| Source::Tail);
                }
                Err(Stop::Full) => tokio::time::sleep(FULL_RETRY_AFTER).await,
                Err(Stop::Unavailable(error)) => {
                    if !std::mem::replace(&mut is_told, true) {
                        warn!(channel = %self.name, %error, "Unable to read what other nodes say; trying again.");
                    }
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Reads and applies until nothing is left.
    async fn read_on(
        &self,
        broker: &dyn Broker,
        channel: &Channel,
        begin: Begin,
        source: Source,
        at: &mut Option<Position>,
        apply: &mut impl FnMut(&[Arc<LogEntry>], bool) -> Result<(), InboxFull>,
    ) -> Result<(), Stop> {
        let is_first = self.applied.borrow().position.is_none();
        let mut position = match *at {
            Some(position) => position,
            None => self.first_position(broker, channel, begin).await?,
        };
        loop {
            match self.next(broker, channel, position, source).await? {
                Next::Level => break,
                Next::Anew(from) => position = from,
                Next::Entries(entries) => {
                    apply(&entries, is_first).map_err(|InboxFull| Stop::Full)?;
                    position = entries.last().map_or(position, |entry| entry.position());
                }
            }
            *at = Some(position);
        }
        *at = Some(position);
        Ok(())
    }

    async fn first_position(
        &self,
        broker: &dyn Broker,
        channel: &Channel,
        begin: Begin,
    ) -> Result<Position, Stop> {
        let top = broker.join(&self.name, &self.kind).await?;
        let top = channel.learn_top(top);
        Ok(match begin {
            Begin::Oldest => oldest(top),
            Begin::Newest => top,
        })
    }

    async fn next(
        &self,
        broker: &dyn Broker,
        channel: &Channel,
        at: Position,
        source: Source,
    ) -> Result<Next, Stop> {
        if source == Source::Tail
            && let Some(next) = from_tail(channel, at)
        {
            return Ok(next);
        }
        let page = broker.read(self.page(at.offset)).await?;
        if page.top.epoch != at.epoch || page.top.offset < at.offset {
            return Ok(Next::Anew(oldest(page.top)));
        }
        let Some(first) = page.entries.first() else {
            return Ok(if page.top.offset > at.offset {
                // Retention took them.
                Next::Anew(page.top)
            } else {
                Next::Level
            });
        };
        if at.offset > 0 && first.offset == at.offset + 1 && first.prev != at.tag {
            return Ok(Next::Anew(oldest(page.top)));
        }
        if at.offset > 0 && first.offset > at.offset + 1 {
            warn!(channel = %self.name, "What other nodes said was not read before its retention ended.");
        }
        Ok(Next::Entries(page.entries))
    }
}

/// Before everything in this life of the log.
fn oldest(top: Position) -> Position {
    Position {
        epoch: top.epoch,
        offset: 0,
        tag: Tag(0),
    }
}

/// What the tail shows, if it reaches back to where the follower is.
fn from_tail(channel: &Channel, at: Position) -> Option<Next> {
    let top = channel.top()?;
    if top == at {
        return Some(Next::Level);
    }
    if top.epoch != at.epoch || top.offset <= at.offset {
        return None;
    }
    let entries = channel.tail_after(at.offset, PAGE)?;
    let follows = entries
        .first()
        .is_some_and(|first| first.epoch == at.epoch && first.prev == at.tag);
    follows.then_some(Next::Entries(entries))
}

impl From<broker::Error> for Stop {
    fn from(error: broker::Error) -> Self {
        Self::Unavailable(error)
    }
}
