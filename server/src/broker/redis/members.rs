//! Who is in which channel, as far as Redis is concerned: changes go with the partition's batches, what came of them
//! comes by its stream, pages and the clearing away after dead nodes have scripts of their own.
//!
//! What changes, owners and rosters mean is presence's; here they are words.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use parlor_protocol::ChannelName;
use redis::{Cmd, Value};
use tokio::sync::oneshot;

use super::append::LaneId;
use super::batch::{Item, MembersChange};
use super::core::Core;
use super::fault::Fault;
use super::head::to_hex;
use super::links::Purpose;
use super::partition::{Partition, Settled};
use super::read::text;
use super::scripts::{REAP, ROSTER};
use crate::broker::{Error, random};

/// Entries of a page, about.
const PAGE: usize = 500;

/// Channels that one step of clearing away looks at, and entries of each, about.
const REAP_CHANNELS: usize = 16;
const REAP_ENTRIES: usize = 100;

/// Told what comes by the streams. Called on the tails' thread, in the order of each stream.
pub trait MembersWatcher: Debug + Send + Sync {
    /// Something came of changes in a channel, as the script wrote it.
    fn changed(&self, version: u64, channel: &ChannelName, body: &[u8]);

    /// A node lives, by the name that it gave with [`MembersLink::set_name`].
    fn lives(&self, node: &str);

    /// These channels may have missed something: what comes next follows on the present, not on what was told before.
    fn missed(&self, which: &dyn Fn(&ChannelName) -> bool);

    /// Redis lost something that it had confirmed, or brought back what it had removed.
    fn lost(&self);
}

/// What the rest of the broker knows of it.
#[derive(Debug, Default)]
pub(super) struct Members {
    watcher: OnceLock<Arc<dyn MembersWatcher>>,
    /// Goes with the heartbeats.
    name: Mutex<String>,
}

impl Core {
    fn watcher(&self) -> Option<&Arc<dyn MembersWatcher>> {
        self.members.watcher.get()
    }

    pub(super) fn members_changed(&self, version: u64, channel: &ChannelName, body: &[u8]) {
        if let Some(watcher) = self.watcher() {
            watcher.changed(version, channel, body);
        }
    }

    pub(super) fn member_node_lives(&self, node: &str) {
        if let Some(watcher) = self.watcher() {
            watcher.lives(node);
        }
    }

    /// The tail of a partition went on behind a hole.
    pub(super) fn members_missed(&self, partition: &Partition) {
        if let Some(watcher) = self.watcher() {
            watcher.missed(&|channel| self.partition(channel).index == partition.index);
        }
    }

    pub(super) fn members_lost(&self) {
        if let Some(watcher) = self.watcher() {
            watcher.lost();
        }
    }

    pub(super) fn incarnation(&self) -> String {
        self.members.name.lock().clone()
    }
}

/// Presence's way to Redis.
#[derive(Clone)]
pub struct MembersLink {
    core: Arc<Core>,
}

/// Some of a channel's entries as Redis holds them.
#[derive(Clone, Debug)]
pub struct MembersPage {
    /// The partition's version when it was read.
    pub version: u64,
    /// Asks for the next page.
    pub next: Option<String>,
    pub rows: Vec<MemberRow>,
}

/// An entry and its user's record, as the scripts wrote them.
#[derive(Clone, Debug)]
pub struct MemberRow {
    pub session: Vec<u8>,
    pub entry: Vec<u8>,
    pub record: Vec<u8>,
}

impl MembersLink {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// A random name of this process.
    pub fn process(&self) -> &str {
        &self.core.node
    }

    /// From now on the watcher is told. Only the first one is.
    pub fn watch(&self, watcher: Arc<dyn MembersWatcher>) {
        // A second one would be a fault of the composition: there is one presence per process.
        let _second = self.core.members.watcher.set(watcher);
    }

    /// The name that goes with this node's heartbeats.
    pub fn set_name(&self, name: &str) {
        name.clone_into(&mut self.core.members.name.lock());
    }

    /// Whether Redis delivers.
    pub fn is_healthy(&self) -> bool {
        self.core.probes.health().is_ok()
    }

    /// Changes who is in a channel: so many changes, in the words of `lua/append.lua`. When it failed, it is not done
    /// later.
    ///
    /// # Errors
    /// Redis is away; it may have been done all the same.
    pub async fn change(
        &self,
        channel: &ChannelName,
        owner: &str,
        changes: usize,
        words: Vec<Bytes>,
    ) -> Result<(), Error> {
        let (answer, outcome) = oneshot::channel();
        let item = Item::Members(MembersChange {
            channel: channel.clone(),
            owner: owner.into(),
            changes,
            words,
            answer,
        });
        let partition = Arc::clone(self.core.partition(channel));
        self.core.enqueue(&partition, LaneId::Members, item);
        outcome.await.unwrap_or(Err(Error::Closed))
    }

    /// From now on every change of the channel's members is told that is younger than what is read from here on.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn follow(&self, channel: &ChannelName) -> Result<(), Error> {
        let partition = Arc::clone(self.core.partition(channel));
        partition.follow_members(channel);
        self.core
            .start_tail(&partition)
            .await
            .map_err(super::unavailable)
    }

    pub fn unfollow(&self, channel: &ChannelName) {
        self.core.partition(channel).unfollow_members(channel);
    }

    /// # Errors
    /// Redis is away.
    pub async fn page(
        &self,
        channel: &ChannelName,
        cursor: Option<&str>,
    ) -> Result<MembersPage, Error> {
        let partition = Arc::clone(self.core.partition(channel));
        let [entries, users] = partition.keys.channel_present(channel);
        let keys = [&partition.keys.meta, &entries, &users].map(String::as_str);
        let arguments = |command: &mut Cmd, settled: &Settled| {
            command.arg(&*settled.lineage).arg(settled.generation);
            command.arg(cursor.unwrap_or("0")).arg(PAGE);
        };
        let (parts, _) = self
            .core
            .run_settled(&partition, Purpose::Read, &ROSTER, &keys, arguments)
            .await
            .map_err(super::unavailable)?;
        page(parts).ok_or_else(|| {
            super::unavailable(Fault::Odd("members in a form of another build".to_owned()))
        })
    }

    /// Removes what a dead node owns, in bounded steps. Entries with a deadline stay until it is over: the answer says
    /// how long that is. None: nothing is left, and the node is forgotten.
    ///
    /// # Errors
    /// Redis is away. It may be done again.
    pub async fn reap(&self, node: &str) -> Result<Option<Duration>, Error> {
        let mut earliest: Option<Duration> = None;
        for partition in &self.core.partitions {
            let left = self
                .reap_partition(partition, node)
                .await
                .map_err(super::unavailable)?;
            earliest = earliest.into_iter().chain(left).min();
        }
        Ok(earliest)
    }

    async fn reap_partition(
        &self,
        partition: &Arc<Partition>,
        node: &str,
    ) -> Result<Option<Duration>, Fault> {
        let keys = &partition.keys;
        let owns = [keys.owners.as_str(), node];
        if self.query(partition, "SISMEMBER", &owns).await? == Value::Int(0) {
            return Ok(None);
        }
        let mut earliest: Option<Duration> = None;
        let mut waiting: Vec<(ChannelName, String)> = self
            .texts(partition, &keys.present)
            .await?
            .iter()
            .filter_map(|name| ChannelName::parse(name).ok())
            .map(|channel| (channel, "0".to_owned()))
            .collect();
        while !waiting.is_empty() {
            let step: Vec<_> = waiting.split_off(waiting.len().saturating_sub(REAP_CHANNELS));
            let (left, again) = self.reap_step(partition, node, step).await?;
            earliest = earliest.into_iter().chain(left).min();
            waiting.extend(again);
        }
        if earliest.is_none() {
            self.query(partition, "SREM", &[&keys.owners, node]).await?;
        }
        Ok(earliest)
    }

    /// Looks at a few channels; what has to be looked at further comes back.
    async fn reap_step(
        &self,
        partition: &Arc<Partition>,
        node: &str,
        step: Vec<(ChannelName, String)>,
    ) -> Result<(Option<Duration>, Vec<(ChannelName, String)>), Fault> {
        let keys = &partition.keys;
        let own = [&keys.meta, &keys.stream, &keys.present].map(String::clone);
        let channels = step
            .iter()
            .flat_map(|(channel, _)| keys.channel_present(channel));
        let names: Vec<String> = own.into_iter().chain(channels).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let seed = to_hex(random::epoch().0);
        let arguments = |command: &mut Cmd, settled: &Settled| {
            command.arg(&*settled.lineage).arg(settled.generation);
            command.arg(&seed).arg(node).arg(REAP_ENTRIES);
            for (channel, cursor) in &step {
                command.arg(channel.as_str()).arg(cursor);
            }
        };
        let (parts, _) = self
            .core
            .run_settled(partition, Purpose::Append, &REAP, &names, arguments)
            .await?;
        let mut parts = parts.iter().map(|part| text(part).unwrap_or_default());
        let earliest = parts.next().and_then(|ms| ms.parse().ok());
        let again = step
            .iter()
            .zip(parts)
            .filter(|(_, cursor)| *cursor != "0")
            .map(|((channel, _), cursor)| (channel.clone(), cursor.to_owned()))
            .collect();
        Ok((earliest.map(Duration::from_millis), again))
    }

    /// All nodes that own entries, or did and were not cleared away.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn nodes(&self) -> Result<Vec<String>, Error> {
        let mut nodes = Vec::new();
        for partition in &self.core.partitions {
            let found = self.texts(partition, &partition.keys.owners).await;
            nodes.extend(found.map_err(super::unavailable)?);
        }
        nodes.sort_unstable();
        nodes.dedup();
        Ok(nodes)
    }

    /// The members of a set, in bounded steps; some twice.
    async fn texts(&self, partition: &Arc<Partition>, set: &str) -> Result<Vec<String>, Fault> {
        let (mut all, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let words = [set, &cursor, "COUNT", "1000"];
            let Value::Array(parts) = self.query(partition, "SSCAN", &words).await? else {
                return Ok(all);
            };
            let [next, Value::Array(found)] = &parts[..] else {
                return Ok(all);
            };
            all.extend(found.iter().filter_map(text).map(str::to_owned));
            cursor = text(next).unwrap_or("0").to_owned();
            if cursor == "0" {
                return Ok(all);
            }
        }
    }

    async fn query(
        &self,
        partition: &Arc<Partition>,
        name: &str,
        words: &[&str],
    ) -> Result<Value, Fault> {
        self.core.settled(partition).await?;
        let mut command = redis::cmd(name);
        command.arg(words);
        let (links, slot) = (&self.core.links, partition.keys.slot);
        links.ask(Purpose::Append, slot, &command).await
    }
}

impl Debug for MembersLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MembersLink")
            .field("process", &self.process())
            .finish_non_exhaustive()
    }
}

fn page(parts: Vec<Value>) -> Option<MembersPage> {
    let mut parts = parts.into_iter();
    let version = text(&parts.next()?)?.parse().ok()?;
    let next = text(&parts.next()?)?.to_owned();
    let mut bytes = parts.map(|part| match part {
        Value::BulkString(bytes) => bytes,
        _ => Vec::new(),
    });
    let mut rows = Vec::new();
    while let Some(session) = bytes.next() {
        rows.push(MemberRow {
            session,
            entry: bytes.next()?,
            record: bytes.next()?,
        });
    }
    Some(MembersPage {
        version,
        next: Some(next).filter(|next| next != "0"),
        rows,
    })
}
