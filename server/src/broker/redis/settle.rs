//! Settling: under which generation this node may append to a partition, and what a change of lineage cost.
//!
//! A Redis whose run id or replication id is new may hold other data than the one before. Nobody appends until every
//! node has said whether its last known entry is still there; the verdict is given in Redis, by one script.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parlor_protocol::{ChannelName, Position};
use redis::{Cmd, Value};
use tracing::{info, warn};

use super::core::Core;
use super::fault::Fault;
use super::fence::Standing;
use super::head::{hex, tag, to_hex};
use super::known::Known;
use super::link::Link;
use super::links::Purpose;
use super::partition::{Cursor, Partition, Settled};
use super::scripts::{SETTLE, Script, VERIFY};
use super::stats::add;
use crate::broker::random;
use crate::planted::{self, Bug};

/// How long the verdict waits for nodes that have not spoken. A node that is only busy must make it: it probes its streams
/// every 400 ms and may have to dial first.
const MISSING_AFTER: Duration = Duration::from_millis(1_000);

/// How long one attempt goes on asking for the verdict.
const PATIENCE: Duration = Duration::from_secs(2);

/// Attempts of a script while a partition is being settled or Redis moves.
const ATTEMPTS: usize = 3;

/// Between questions.
const PAUSE: Duration = Duration::from_millis(25);

/// Channels per look into the logs.
const VERIFY_MAX: usize = 200;

/// Whether this node has looked for what it lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checked {
    NotYet = 0,
    /// Every channel that lost something was named.
    Named = 1,
    /// More was written here than is remembered: all channels of the partition must begin a new life.
    CannotTell = 2,
}

/// What a node is to do.
enum Next {
    GoOn,
    Wait,
    /// To look for what was lost.
    Check,
    /// The same; the partition is settled already, and lacks what this node knows.
    CheckBehind,
}

/// What the script said.
struct Word {
    next: Next,
    generation: u64,
    top: Cursor,
    floor: u64,
    asked: Instant,
}

impl Core {
    /// Under what this node may append to the partition now.
    ///
    /// # Errors
    /// Redis is away, or the verdict takes long.
    pub(super) async fn settled(&self, partition: &Arc<Partition>) -> Result<Settled, Fault> {
        let link = self.links.get(Purpose::Append, partition.keys.slot).await?;
        let held = || {
            let settled = partition.settled();
            settled.filter(|settled| *settled.lineage == link.lineage)
        };
        // Whoever was given up is not waited for by the next verdict: it says first that it is there.
        let sound = || {
            let is_missed = |asked| self.probes.may_be_given_up_since(asked);
            held().filter(|settled| !is_missed(settled.asked))
        };
        if let Some(settled) = sound() {
            return Ok(settled);
        }
        let _one = partition.settling.lock().await;
        if let Some(settled) = sound() {
            return Ok(settled);
        }
        let fault = match self.settle(partition, &link).await {
            Ok(settled) => return Ok(settled),
            Err(fault) => fault,
        };
        self.links.heed(&link, &fault);
        // A Redis that takes no writes, thus no heartbeats either, goes on being read.
        held().filter(|_| !fault.needs_new_link()).ok_or(fault)
    }

    /// Runs a script that reads under the partition's generation, and answers with a list unless it is another. Also gives
    /// the lineage that answered.
    ///
    /// # Errors
    /// Redis is away, or moves for longer than a few attempts.
    pub(super) async fn run_settled(
        &self,
        partition: &Arc<Partition>,
        purpose: Purpose,
        script: &Script,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd, &Settled),
    ) -> Result<(Vec<Value>, Arc<str>), Fault> {
        let mut last = Fault::Passing("the partition is being settled".to_owned());
        for _ in 0..ATTEMPTS {
            let settled = self.settled(partition).await?;
            let link = self.links.get(purpose, partition.keys.slot).await?;
            if link.lineage != *settled.lineage {
                self.links.drop_all();
                partition.unsettle();
                continue;
            }
            let run = script.run(&link, keys, |command| arguments(command, &settled));
            match run.await.map_err(Fault::from) {
                Ok(Value::Array(parts)) => return Ok((parts, settled.lineage)),
                Ok(_) => partition.unsettle(),
                Err(fault) => {
                    self.links.heed(&link, &fault);
                    last = fault;
                }
            }
        }
        Err(last)
    }

    async fn settle(&self, partition: &Arc<Partition>, link: &Link) -> Result<Settled, Fault> {
        // A primary takes a new replication id when its first replica comes, and keeps its connections. Two nodes that
        // each know another of the two would unsettle each other for ever.
        if !link.lineage.ends_with(&link.replication().await?.history) {
            let text = "the primary has a new replication id".to_owned();
            return Err(Fault::Elsewhere(text));
        }
        let give_up = Instant::now() + PATIENCE;
        let mut checked = Checked::NotYet;
        loop {
            let word = self.ask(partition, link, checked).await?;
            let (lineage, now) = (&link.lineage, Instant::now());
            let left = || Fault::Elsewhere("a primary that this node has left".to_owned());
            match word.next {
                Next::GoOn => {
                    let take = || self.take_verdict(partition, link, &word, checked);
                    let taken = partition.fence.open(lineage, word.generation, now, take);
                    return taken.ok_or_else(left);
                }
                Next::CheckBehind if partition.fence.refuses(lineage, word.generation, now) => {
                    return Err(left());
                }
                Next::Check | Next::CheckBehind => checked = self.verify(partition, link).await?,
                Next::Wait if now > give_up => {
                    return Err(Fault::Passing("the nodes have not settled yet".to_owned()));
                }
                Next::Wait => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn ask(
        &self,
        partition: &Partition,
        link: &Link,
        checked: Checked,
    ) -> Result<Word, Fault> {
        let keys = &partition.keys;
        let names = [
            &keys.meta,
            &keys.stream,
            &keys.dedup[0],
            &keys.dedup[1],
            &keys.words,
            &keys.members,
            &keys.batches,
        ]
        .map(String::as_str);
        let lineage = &link.lineage;
        let last_of = || partition.last_for(lineage);
        let (standing, mut last) = (partition.fence).pledge(lineage, Instant::now(), last_of);
        let settled_under = partition.fence.settled_under(lineage);
        if planted::has(Bug::ReuseOffsets) {
            last.pseq = 0;
        }
        let (generation, floor) = partition.highest();
        let renew = match standing {
            Standing::Renewed(generation) => generation,
            Standing::Sound | Standing::Left => 0,
        };
        let live = self.roster.live();
        let sure = self.roster.is_sure();
        let seed = to_hex(random::epoch().0);
        let asked = Instant::now();
        let answer = SETTLE.run(link, &names, |command| {
            command.arg(&link.lineage).arg(&*self.node).arg(generation);
            command
                .arg(last.pseq)
                .arg(to_hex(last.tag))
                .arg(checked as u8)
                .arg(u8::from(sure));
            command
                .arg(&seed)
                .arg(MISSING_AFTER.as_millis() as u64)
                .arg(floor)
                .arg(u8::from(standing != Standing::Sound))
                .arg(renew)
                .arg(settled_under)
                .arg(&*self.node);
            live.iter().for_each(|node| {
                command.arg(&**node);
            });
        });
        word(&answer.await?, asked)
            .ok_or_else(|| Fault::Odd("a verdict of unknown form".to_owned()))
    }

    fn take_verdict(
        &self,
        partition: &Partition,
        link: &Link,
        word: &Word,
        checked: Checked,
    ) -> Settled {
        let settled = Settled {
            generation: word.generation,
            lineage: link.lineage.as_str().into(),
            floor: word.floor,
            asked: word.asked,
        };
        let (before, floor_before) = partition.highest();
        partition.settle(settled.clone());
        let checked = checked != Checked::NotYet;
        if checked {
            partition.reset_last(word.top);
            partition.rebase_known(word.top.pseq);
        }
        let lost_names = before > 0 && word.floor > floor_before;
        if checked || lost_names {
            self.members_lost();
            if lost_names {
                warn!(
                    partition = partition.index,
                    "A node that may have acknowledged events was not heard: new epochs."
                );
                add(&self.stats.epoch_changes, 1);
                partition.forget_channels();
            }
            partition.want_resync();
            self.readers.wake(partition.index);
        }
        if before > 0 && before != word.generation {
            info!(
                partition = partition.index,
                generation = word.generation,
                checked,
                "A partition is settled anew."
            );
        }
        settled
    }

    /// Looks whether what this node acknowledged or delivered is still there. Channels that lost something begin a new
    /// life, and everybody here who had more is told.
    async fn verify(&self, partition: &Partition, link: &Link) -> Result<Checked, Fault> {
        let (known, is_all) = partition.known();
        self.verify_all(partition, link, &known).await?;
        Ok(if is_all {
            Checked::Named
        } else {
            Checked::CannotTell
        })
    }

    /// The same for these channels. Each look that finds a loss is another generation: many channels go with one.
    pub(super) async fn verify_all(
        &self,
        partition: &Partition,
        link: &Link,
        known: &[(ChannelName, Known)],
    ) -> Result<(), Fault> {
        for chunk in known.chunks(VERIFY_MAX) {
            self.verify_some(partition, link, chunk).await?;
        }
        Ok(())
    }

    async fn verify_some(
        &self,
        partition: &Partition,
        link: &Link,
        chunk: &[(ChannelName, Known)],
    ) -> Result<(), Fault> {
        let keys = &partition.keys;
        let mut names = vec![keys.meta.clone(), keys.stream.clone()];
        for (channel, _) in chunk {
            names.extend([keys.channel_meta(channel), keys.channel_log(channel)]);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let seed = to_hex(random::epoch().0);
        let (generation, _) = partition.highest();
        let answer = VERIFY.run(link, &names, |command| {
            command.arg(&seed).arg(generation);
            for (channel, known) in chunk {
                let position = known.position;
                command
                    .arg(channel.as_str())
                    .arg(to_hex(position.epoch.0))
                    .arg(position.offset);
                command.arg(to_hex(position.tag.0)).arg(known.generation);
            }
        });
        let Value::Array(words) = answer.await? else {
            return Ok(());
        };
        let words: Vec<String> = words
            .into_iter()
            .filter_map(|word| redis::from_redis_value(word).ok())
            .collect();
        for ((channel, known), word) in chunk.iter().zip(words.chunks_exact(5)) {
            let (Some(top), Ok(generation)) = (top_of(&word[1..]), word[4].parse()) else {
                continue;
            };
            if word[0] == "LOST" {
                self.tell_lost(partition.index, channel, known.position.offset, top);
            }
            // The next promotion may bring back a copy from before this verdict, with the epoch that it ended.
            partition.verified(channel, top, generation);
        }
        Ok(())
    }

    fn tell_lost(&self, partition: usize, channel: &ChannelName, known_to: u64, top: Position) {
        let delivered = self
            .hub
            .channel(channel)
            .and_then(|live| live.top())
            .map_or(0, |top| top.offset);
        let lost_to = known_to.max(delivered);
        warn!(partition, %channel, from = top.offset + 1, to = lost_to, "A failover lost acknowledged events.");
        self.stats
            .lost
            .fetch_add(lost_to.saturating_sub(top.offset), Ordering::Relaxed);
        self.begin_new_life(channel, top, top.offset + 1..=lost_to);
    }

    /// A channel stands at `top` of a new epoch; `lost` of the one before is gone, and whoever knew the channel is told.
    pub(super) fn begin_new_life(
        &self,
        channel: &ChannelName,
        top: Position,
        lost: RangeInclusive<u64>,
    ) {
        let Some(live) = self.hub.channel(channel) else {
            return;
        };
        let known = live.top();
        if known.is_some_and(|known| known.epoch == top.epoch) {
            return;
        }
        add(&self.stats.epoch_changes, 1);
        // More may have been delivered here than whoever named the loss knew of.
        let end = known.map_or(0, |known| known.offset).max(*lost.end());
        let lost = (*lost.start() <= end).then_some(*lost.start()..=end);
        self.hub.restart(channel, top, lost);
    }
}

fn word(answer: &Value, asked: Instant) -> Option<Word> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let mut parts = parts
        .iter()
        .map(|part| redis::from_redis_value::<String>(part.clone()).ok());
    let mut next = || parts.next().flatten();
    let word = next()?;
    let generation = next()?.parse().ok()?;
    let pseq = next()?.parse().ok()?;
    let top = Cursor {
        pseq,
        tag: hex(&next()?)?,
    };
    let floor = next()?.parse().ok()?;
    Some(Word {
        next: match &*word {
            "SETTLED" => Next::GoOn,
            "CHECK" => Next::Check,
            "BEHIND" => Next::CheckBehind,
            _ => Next::Wait,
        },
        generation,
        top,
        floor,
        asked,
    })
}

/// Epoch, offset and tag.
fn top_of(words: &[String]) -> Option<Position> {
    Some(Position {
        epoch: parlor_protocol::Epoch(hex(&words[0])?),
        offset: words[1].parse().ok()?,
        tag: tag(&words[2])?,
    })
}
