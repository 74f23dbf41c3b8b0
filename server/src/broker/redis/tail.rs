//! The tails: readers that follow the partitions' streams by explicit cursors, and deliver into the hub.
//!
//! Redis trims in silence, and a promoted copy may hold other entries: so each entry must be the next by number and
//! repeat the tag of the one before, else the partition's channels are compared with their logs before anything goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parlor_protocol::{ChannelName, Event, EventKind, Time};
use redis::Value;
use tracing::{debug, warn};

use super::core::Core;
use super::entry;
use super::fault::Fault;
use super::head::{FramesOf, Place, StreamHead, What};
use super::link::Link;
use super::links::Purpose;
use super::partition::{Cursor, Partition};
use super::read::text;
use super::readers::Reader;
use super::stats::add;
use crate::hub::{Beginning, ConnectionId, EphemeralBody, Frames, LogEntry};

/// Entries per stream and read.
const COUNT: usize = 500;

/// How long Redis holds a read that finds nothing, in ms.
const BLOCK_MS: u64 = 1_000;

/// A read that takes longer has lost its Redis.
const TIMEOUT: Duration = Duration::from_millis(BLOCK_MS + 1_500);

/// Waking a reader costs Redis more than an entry does: a busy stream is read at most this often.
const BREATH: Duration = Duration::from_millis(1);

/// Between attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// A tail without listeners goes on for so long, so that coming and going costs nothing.
const IDLE_TAIL: Duration = Duration::from_secs(30);

/// Attempts to wake a reader, and the time between.
const WAKES: usize = 40;
const WAKE_PAUSE: Duration = Duration::from_millis(5);

/// Follows the reader's partitions for ever.
pub(super) async fn run(core: Arc<Core>, reader: Arc<Reader>) {
    loop {
        let restarts = reader.restarts.load(Ordering::Acquire);
        if let Err(fault) = follow(&core, &reader, restarts).await {
            debug!(reader = reader.index, %fault, "A tail broke off.");
            reader.client.store(0, Ordering::Release);
            reader
                .partitions
                .iter()
                .for_each(|partition| partition.answer_delivered());
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Rings at blocked readers until they have looked.
pub(super) async fn ring(core: Arc<Core>, reader: Arc<Reader>) {
    loop {
        reader.bell.notified().await;
        let wished = reader.wished.load(Ordering::Acquire);
        for _ in 0..WAKES {
            let client = reader.client.load(Ordering::Acquire);
            if reader.seen.load(Ordering::Acquire) >= wished || client == 0 {
                break;
            }
            let Ok(link) = core.links.get(Purpose::Read, reader.home().keys.slot).await else {
                break;
            };
            let mut command = redis::cmd("CLIENT");
            command.arg("UNBLOCK").arg(client);
            // A reader that was not blocked yet is asked again.
            let _asked = link.query(&command).await;
            tokio::time::sleep(WAKE_PAUSE).await;
        }
    }
}

async fn follow(core: &Arc<Core>, reader: &Reader, restarts: u64) -> Result<(), Fault> {
    if reader.is_always_on {
        core.start_tail(reader.home()).await?;
    }
    let link = core.links.own(reader.home().keys.slot, TIMEOUT).await?;
    for partition in &reader.partitions {
        // Another lineage may hold other entries: the cursor is worth nothing until that is settled.
        if partition.tail().is_some() && *core.settled(partition).await?.lineage != link.lineage {
            return Err(Fault::Elsewhere(
                "the tail's Redis is another than the appends'".to_owned(),
            ));
        }
    }
    core.learn_what_was_missed().await;
    let mut last_read = Instant::now();
    while reader.restarts.load(Ordering::Acquire) == restarts {
        let wished = reader.wished.load(Ordering::Acquire);
        for partition in &reader.partitions {
            partition.end_tail_if_idle(
                if reader.is_always_on && partition.index == reader.home().index {
                    Duration::MAX
                } else {
                    IDLE_TAIL
                },
            );
            if partition.tail().is_some() && partition.take_resync_wanted() {
                resync(core, partition).await?;
            }
        }
        reader.client.store(link.client, Ordering::Release);
        let read = read(core, reader, &link).await;
        reader.client.store(0, Ordering::Release);
        reader.seen.store(wished, Ordering::Release);
        let found = read?;
        reader
            .partitions
            .iter()
            .for_each(|partition| partition.answer_delivered());
        if found && last_read.elapsed() < BREATH {
            tokio::time::sleep(BREATH).await;
        }
        last_read = Instant::now();
    }
    Ok(())
}

async fn resync(core: &Core, partition: &Arc<Partition>) -> Result<(), Fault> {
    let done = core.resync(partition).await;
    if done.is_err() {
        partition.want_resync();
    }
    done
}

/// One read of all streams. False when nothing came.
async fn read(core: &Arc<Core>, reader: &Reader, link: &Link) -> Result<bool, Fault> {
    let followed: Vec<_> = reader
        .partitions
        .iter()
        .filter_map(|partition| Some((partition, partition.tail()?)))
        .collect();
    if followed.is_empty() {
        reader.start.notified().await;
        return Ok(false);
    }
    let mut command = redis::cmd("XREAD");
    command
        .arg("COUNT")
        .arg(COUNT)
        .arg("BLOCK")
        .arg(BLOCK_MS)
        .arg("STREAMS");
    for (partition, _) in &followed {
        command.arg(&partition.keys.stream);
    }
    for (_, cursor) in &followed {
        command.arg(format!("{}-0", cursor.pseq));
    }
    let Value::Array(streams) = link.query(&command).await? else {
        return Ok(false);
    };
    for stream in streams {
        let Value::Array(mut parts) = stream else {
            continue;
        };
        let (Some(Value::Array(entries)), Some(key)) = (parts.pop(), parts.pop()) else {
            continue;
        };
        let key = text(&key).unwrap_or_default();
        let Some((partition, _)) = followed
            .iter()
            .find(|(partition, _)| partition.keys.stream == key)
        else {
            continue;
        };
        take_all(core, partition, &link.lineage, entries).await?;
    }
    Ok(true)
}

/// Delivers a stream's entries in order; at the first that does not follow on, the logs are asked instead.
async fn take_all(
    core: &Arc<Core>,
    partition: &Arc<Partition>,
    lineage: &str,
    entries: Vec<Value>,
) -> Result<(), Fault> {
    add(&core.stats.tailed, entries.len() as u64);
    // What is delivered becomes part of this node's word: others must wait for it.
    core.settled(partition).await?;
    for entry in entries {
        if !take(core, partition, lineage, entry)? {
            warn!(
                partition = partition.index,
                "A stream does not continue where it ended; reading the logs."
            );
            add(&core.stats.holes, 1);
            // What comes next may belong to another history: that is settled first.
            partition.unsettle();
            return resync(core, partition).await;
        }
    }
    Ok(())
}

/// Delivers one entry. False when it is not the next.
///
/// # Errors
/// It comes from a Redis that this node has left.
fn take(core: &Core, partition: &Partition, lineage: &str, raw: Value) -> Result<bool, Fault> {
    let Some(_pass) = partition.fence.pass(lineage) else {
        let text = "the tail's Redis is one that this node has left".to_owned();
        return Err(Fault::Elsewhere(text));
    };
    Ok(take_passed(core, partition, raw).is_some())
}

fn take_passed(core: &Core, partition: &Partition, raw: Value) -> Option<()> {
    let Value::Array(mut parts) = raw else {
        return None;
    };
    let (Value::Array(mut pair), id) = (parts.pop()?, parts.pop()?) else {
        return None;
    };
    let (Value::BulkString(body), head) = (pair.pop()?, pair.pop()?) else {
        return None;
    };
    let pseq: u64 = text(&id)?.split('-').next()?.parse().ok()?;
    let cursor = partition.tail()?;
    let head = StreamHead::parse(text(&head)?)?;
    if pseq != cursor.pseq + 1 || head.prev.0 != cursor.tag {
        return None;
    }
    let to = Cursor::new(pseq, head.tag);
    let body = Bytes::from(body);
    for frame in FramesOf::new(&body) {
        let (what, range) = frame.ok()?;
        deliver(core, partition, to, what, body.slice(range));
    }
    partition.note(to, None);
    partition.move_tail(to);
    Some(())
}

fn deliver(core: &Core, partition: &Partition, cursor: Cursor, what: What<'_>, body: Bytes) {
    match what {
        What::Logged {
            channel,
            place,
            origin,
        } => log(core, partition, cursor, channel, place, origin, &body),
        What::Ephemeral(words) => pass_on(core, words, &body),
        What::Members(channel) => core.members_changed(cursor.pseq, &channel, &body),
        What::Heartbeat(words) => heartbeat(core, partition, words),
        What::Generation { generation, floor } => {
            if partition.learn_generation(generation, floor) {
                partition.want_resync();
            }
        }
        What::Unwritten(beginning) => call_unwritten(core, partition, beginning),
        What::NewLife {
            channel,
            top,
            lost_to,
        } => core.begin_new_life(&channel, top, top.offset + 1..=lost_to),
        What::Unknown => {}
    }
}

/// Once an hour all empty channels here get another name: everything before this was delivered, so they are still empty.
fn call_unwritten(core: &Core, partition: &Partition, beginning: Beginning) {
    if partition.learn_beginning(beginning) {
        for (channel, _) in partition.locals() {
            if let Some(live) = core.hub.channel(&channel) {
                live.learn_beginning(beginning);
            }
        }
    }
}

fn log(
    core: &Core,
    partition: &Partition,
    cursor: Cursor,
    channel: ChannelName,
    place: Place,
    origin: &str,
    body: &Bytes,
) {
    let Some(live) = core.hub.channel(&channel) else {
        return;
    };
    // It may have come after the others were told, with what it was called an hour before.
    if place.position.offset == 1
        && let Some(beginning) = partition.beginning()
    {
        live.learn_beginning(beginning);
    }
    let Some(content) = entry::decode(body) else {
        // Of a later version: its offset is missing here, and the readers are told to start anew.
        warn!(%channel, "An entry is of a form that this build does not know.");
        return;
    };
    let no_echo_to = connection_here(core, origin);
    let entry = LogEntry {
        epoch: place.position.epoch,
        offset: place.position.offset,
        seq: place.seq,
        tag: place.position.tag,
        prev: place.prev,
        time: place.time,
        kind: content.kind,
        id: content.id,
        user: content.user,
        tags: content.tags,
        payload: content.payload,
        erased: content.erased,
        no_echo_to,
        frames: Frames::default(),
    };
    partition.note(cursor, Some((&channel, entry.position())));
    core.hub.deliver(&channel, Arc::new(entry));
}

/// A signal: "S channel time origin".
fn pass_on(core: &Core, words: &str, body: &Bytes) {
    let mut words = words.split(' ');
    let (Some("S"), Some(channel), Some(time), Some(origin)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return;
    };
    let (Ok(channel), Ok(time), Some(content)) = (
        ChannelName::parse(channel),
        time.parse(),
        entry::decode(body),
    ) else {
        return;
    };
    let from = connection_here(core, origin);
    let event = Event {
        kind: EventKind::Signal,
        offset: None,
        seq: None,
        position: None,
        time: Time(time),
        id: None,
        user: content.user.as_deref().map(str::to_owned),
        tags: content.tags,
        payload: Some(content.payload),
        own: false,
        erased: false,
    };
    core.hub
        .deliver_ephemeral(&channel, EphemeralBody::Signal { event, from });
}

/// The connection of this node that an origin names, "node/connection"; none when it is another node's.
fn connection_here(core: &Core, origin: &str) -> Option<ConnectionId> {
    let id = origin.strip_prefix(&*core.node)?.strip_prefix('/')?;
    id.parse().ok().map(ConnectionId)
}

/// "node reader incarnation".
fn heartbeat(core: &Core, partition: &Partition, words: &str) {
    let mut words = words.split(' ');
    let (Some(node), Some(reader)) = (words.next(), words.next()) else {
        return;
    };
    let now = Instant::now();
    core.roster.heard(node, now);
    let Ok(reader) = reader.parse::<usize>() else {
        return;
    };
    // Of all a node's heartbeats one path counts for presence, so that they come in one order: everybody follows the first.
    if reader == 0
        && core.readers.all()[0].home().index == partition.index
        && let Some(incarnation) = words.next()
    {
        core.member_node_lives(incarnation);
    }
    if node == &*core.node
        && core
            .readers
            .all()
            .get(reader)
            .is_some_and(|reader: &Arc<Reader>| reader.home().index == partition.index)
    {
        core.probes.came_back(reader, now);
    }
}
