//! The appenders: one task per partition and lane, with one batch in flight. What waits meanwhile forms the next batch.
//!
//! An unknown outcome becomes known: the same batch goes again under the same number until Redis answers, and Redis
//! writes nothing of it after its deadline.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parlor_protocol::Tag;
use redis::{RedisError, Value};
use tracing::{debug, info, warn};

use super::batch::{self, Batch, Item, Terms};
use super::core::Core;
use super::fault::Fault;
use super::link::{Link, Replication};
use super::links::Purpose;
use super::outcome::{Outcome, outcomes};
use super::partition::{Cursor, Partition, Settled};
use super::stats::add;
use crate::broker::{Error, RETRY_AFTER};
use crate::planted::{self, Bug};

/// How long a publish waits for a Redis that is away, from its call.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(25);

/// How often it is looked for publishers that wait for a delivery.
const ANSWER_EVERY: Duration = Duration::from_millis(250);

/// How long Redis waits for its replicas, in ms.
const WAIT_MS: u64 = 1_000;

/// A link knows Redis's clock to within this.
const CLOCK_ERROR: Duration = Duration::from_millis(100);

/// Which lane an append takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneId {
    Plain,
    Replicated,
    /// Who is in which channel: what goes wrong there must not hold up publishes.
    Members,
}

impl LaneId {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Replicated, Self::Members];

    pub(super) fn index(self) -> usize {
        self as usize
    }

    fn purpose(self) -> Purpose {
        match self {
            Self::Plain | Self::Members => Purpose::Append,
            Self::Replicated => Purpose::Replicate,
        }
    }
}

/// Serves one lane for ever.
pub(super) async fn run(core: Arc<Core>, partition: Arc<Partition>, lane: LaneId) {
    let mut sender = Sender {
        owner: format!("{}/{}", core.node, lane.index()),
        core,
        partition,
        lane,
        number: 0,
    };
    loop {
        sender.partition.lanes[lane.index()].bell.notified().await;
        while let Some(batch) = sender.next_batch() {
            sender.core.in_flight.fetch_add(1, Ordering::Relaxed);
            sender.send(batch).await;
            sender.core.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Answers publishers in time whose events are not delivered here, for ever. A tail does so only between two reads: it may hang in one, or
/// read logs back.
pub(super) async fn answer(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(ANSWER_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for partition in &core.partitions {
            partition.answer_delivered();
        }
    }
}

struct Sender {
    core: Arc<Core>,
    partition: Arc<Partition>,
    lane: LaneId,
    owner: String,
    number: u64,
}

/// What a call came back with.
enum Sent {
    /// With the lineage that answered.
    Done(String, Arc<str>),
    /// The partition's generation or lineage is another.
    Unsettled,
    /// Too late: nothing was done.
    Late,
    /// Nothing was done, and it will not pass by itself.
    Refused(Fault),
    /// Try again.
    Again(Fault),
}

impl Sender {
    fn next_batch(&mut self) -> Option<Batch> {
        let mut queue = self.partition.lanes[self.lane.index()].queue.lock();
        let (mut items, mut bytes) = (Vec::new(), 0);
        while items.len() < batch::ITEMS_MAX
            && let Some(item) = queue.front()
            && (items.is_empty() || bytes + item.bytes() <= batch::BYTES_MAX)
        {
            bytes += item.bytes();
            items.extend(queue.pop_front());
        }
        drop(queue);
        self.core.queued(-(items.len() as i64), -(bytes as i64));
        self.number += 1;
        let oldest = items.iter().filter_map(|item| match item {
            Item::Log { since, .. } => Some(*since),
            Item::Ephemeral { .. } | Item::Members(_) | Item::Heartbeat { .. } => None,
        });
        let deadline = oldest.min().unwrap_or_else(Instant::now) + PATIENCE;
        (!items.is_empty()).then(|| Batch::seal(self.number, items, deadline))
    }

    async fn send(&self, mut batch: Batch) {
        let started = Instant::now();
        let mut last = Fault::Unreachable("not tried yet".to_owned());
        let mut attempts = 0_u64;
        while Instant::now() < batch.deadline {
            attempts += 1;
            // Whatever holds an attempt up: the publisher is answered in time, and Redis writes nothing after it.
            let attempt = tokio::time::timeout_at(batch.deadline.into(), self.attempt(&batch));
            let Ok(sent) = attempt.await else { break };
            match sent {
                Sent::Done(answer, lineage) => {
                    add(&self.core.stats.batches, 1);
                    match self.finish_from(&lineage, batch, &answer) {
                        Ok(()) => {
                            self.tell_success();
                            return add(&self.core.stats.retries, attempts - 1);
                        }
                        Err(unfinished) => batch = unfinished,
                    }
                    last = Fault::Elsewhere("acknowledged by a primary that was left".to_owned());
                    self.core.links.drop_all();
                    tokio::time::sleep(PAUSE).await;
                }
                Sent::Unsettled => self.partition.unsettle(),
                Sent::Late => break,
                Sent::Refused(fault) => {
                    last = fault;
                    break;
                }
                Sent::Again(fault) => {
                    last = fault;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        debug!(partition = self.partition.index, attempts, took = ?started.elapsed(), fault = %last, "A batch failed.");
        self.tell_failure(&last);
        self.fail(batch, &last);
    }

    fn tell_failure(&self, fault: &Fault) {
        let reason = fault.to_string();
        if self.core.complaint.is_news(&reason, Instant::now()) {
            warn!(partition = self.partition.index, %reason, "Unable to append to Redis.");
        }
    }

    fn tell_success(&self) {
        if self.core.complaint.ends(Instant::now()) {
            info!("Redis takes appends again.");
        }
    }

    async fn attempt(&self, batch: &Batch) -> Sent {
        let settled = match self.core.settled(&self.partition).await {
            Ok(settled) => settled,
            Err(fault) => return Sent::Again(fault),
        };
        let link = match self
            .core
            .links
            .get(self.lane.purpose(), self.partition.keys.slot)
            .await
        {
            Ok(link) => link,
            Err(fault) => return Sent::Again(fault),
        };
        if link.lineage != *settled.lineage {
            // One of the two was made before the other's Redis changed.
            self.core.links.drop_all();
            return Sent::Unsettled;
        }
        match self.call(batch, &settled, &link).await {
            Ok(answer) if answer.starts_with("LINEAGE") => Sent::Unsettled,
            Ok(answer) if answer == "LATE" => self.called_late(batch, &link),
            // An answer that was long in coming: verdicts must wait for this node before anybody hears of it.
            Ok(answer) => match self.core.settled(&self.partition).await {
                Ok(_) => Sent::Done(answer, settled.lineage),
                Err(fault) => Sent::Again(fault),
            },
            Err(fault) => {
                self.core.links.heed(&link, &fault);
                if fault.passes() {
                    Sent::Again(fault)
                } else {
                    Sent::Refused(fault)
                }
            }
        }
    }

    /// Nothing was written. A new link knows the clock that Redis has by now.
    fn called_late(&self, batch: &Batch, link: &Link) -> Sent {
        let Some(fault) = fault_of_clock(batch.deadline, Instant::now()) else {
            return Sent::Late;
        };
        self.core.links.drop_link(link, &fault);
        Sent::Again(fault)
    }

    async fn call(&self, batch: &Batch, settled: &Settled, link: &Link) -> Result<String, Fault> {
        let keys = batch.keys(&self.partition.keys);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let left = batch.deadline.saturating_duration_since(Instant::now());
        let terms = Terms {
            settled,
            owner: &self.owner,
            node: &self.core.node,
            not_after_ms: link.now_ms() + left.as_millis() as u64,
            dedup_window: self.core.links.config().dedup_window,
            share: &self.partition.share,
        };
        // Where the script is new to this Redis the same batch goes first, since nothing else of this lane is in flight.
        let run = batch.script().run_with(
            |command| self.query(link, command),
            &keys,
            |command| batch.arguments(command, &terms),
        );
        run.await.map_err(Fault::from)
    }

    /// One call; on the lane that waits for replicas with the wait behind it, in the same write.
    async fn query(&self, link: &Link, command: redis::Cmd) -> Result<String, RedisError> {
        if self.lane != LaneId::Replicated {
            return redis::from_redis_value(link.query(&command).await?).map_err(RedisError::from);
        }
        let needed = self.needed(link);
        let mut both = redis::pipe();
        both.add_command(command);
        if !planted::has(Bug::WaitElsewhere) {
            both.cmd("WAIT").arg(needed).arg(WAIT_MS);
            both.cmd("INFO").arg("replication");
        }
        let mut values = link.query_all(&both).await?.into_iter();
        if planted::has(Bug::WaitElsewhere) {
            let slot = self.partition.keys.slot;
            let other = self.core.links.get(Purpose::Read, slot).await;
            let mut wait = redis::cmd("WAIT");
            wait.arg(needed).arg(WAIT_MS);
            let other = other.map_err(|fault| {
                redis::make_extension_error("TRYAGAIN".to_owned(), Some(fault.to_string()))
            })?;
            let confirmed = other.query(&wait).await?;
            let answer = values.next().unwrap_or(Value::Nil);
            values = vec![answer, confirmed].into_iter();
        }
        let answer: String = redis::from_redis_value(values.next().unwrap_or(Value::Nil))?;
        let confirmed: usize = redis::from_redis_value(values.next().unwrap_or(Value::Nil))?;
        // A replica that came since the last look may be promoted like the others.
        if let Some(text) = values.next() {
            let replication = Replication::of(&redis::from_redis_value::<String>(text)?);
            link.attached.look(replication.replicas, Instant::now());
        }
        let needed = self.needed(link);
        if confirmed < needed && !answer.starts_with("LINEAGE") && answer != "LATE" {
            let text = format!("{confirmed} of {needed} replicas confirmed");
            return Err(redis::make_extension_error(
                "TRYAGAIN".to_owned(),
                Some(text),
            ));
        }
        Ok(answer)
    }

    /// How many replicas must confirm.
    fn needed(&self, link: &Link) -> usize {
        match self.core.links.config().confirmations {
            0 => link.attached.needed().max(1),
            some => some,
        }
    }

    /// Gives the batch back when its answer comes from a Redis that this node has left: a later word would not cover what
    /// is acknowledged, so the new primary is to say what became of it.
    fn finish_from(&self, lineage: &str, batch: Batch, answer: &str) -> Result<(), Batch> {
        let Some(_pass) = self.partition.fence.pass(lineage) else {
            return Err(batch);
        };
        self.finish(batch, answer);
        Ok(())
    }

    fn finish(&self, batch: Batch, answer: &str) {
        let logged = batch.logged();
        let Some(outcomes) = outcomes(answer, &logged) else {
            warn!(
                partition = self.partition.index,
                "Redis answered a batch in a form that this build does not know."
            );
            return self.fail(batch, &Fault::Odd("an answer of unknown form".to_owned()));
        };
        let stats = &self.core.stats;
        add(&stats.ids_forgotten_early, outcomes.ids_forgotten_early);
        stats.batch_sizes.observe(logged.iter().flatten().count());
        for (item, outcome) in batch.items.into_iter().zip(outcomes.items) {
            match item {
                Item::Log {
                    append,
                    answer,
                    since,
                    ..
                } => {
                    stats.latency.observe(since.elapsed());
                    self.settle_item(&append, outcome, batch.tag, answer);
                }
                Item::Members(change) => {
                    if let Outcome::PassedOn { pseq: pseq @ 1.. } = outcome {
                        self.partition.note(Cursor::new(pseq, batch.tag), None);
                    }
                    // Presence may have stopped.
                    let _gone = change.answer.send(Ok(()));
                }
                Item::Heartbeat { made, .. } => {
                    if let Outcome::PassedOn { pseq } = outcome {
                        self.partition.heartbeat_at(pseq);
                    }
                    self.core.probes.append_answered(made, Instant::now());
                }
                Item::Ephemeral { .. } => {}
            }
        }
    }

    fn settle_item(
        &self,
        append: &crate::broker::Append,
        outcome: Outcome,
        tag: Tag,
        answer: super::partition::Answer,
    ) {
        let stats = &self.core.stats;
        let result = match (&outcome, outcome.appended(append)) {
            (Outcome::Logged { pseq, position, .. }, Some(appended)) => {
                add(&stats.appends, 1);
                let cursor = Cursor::new(*pseq, tag);
                self.partition
                    .note(cursor, Some((&append.channel, *position)));
                return self
                    .partition
                    .answer(&append.channel, *pseq, answer, appended);
            }
            (_, Some(appended)) => {
                add(&stats.dedup_hits, 1);
                Ok(appended)
            }
            (Outcome::IdReused, None) => Err(Error::IdReused),
            (Outcome::Refused(reason), None) => Err(unavailable(reason.clone())),
            (_, None) => Err(unavailable("an outcome of unknown form".to_owned())),
        };
        // The publisher may be gone.
        let _gone = answer.send(result);
    }

    fn fail(&self, batch: Batch, fault: &Fault) {
        for item in batch.items {
            match item {
                Item::Log { answer, .. } => {
                    self.core.stats.failures.fetch_add(1, Ordering::Relaxed);
                    let _gone = answer.send(Err(unavailable(fault.to_string())));
                }
                Item::Members(change) => {
                    let _gone = change.answer.send(Err(unavailable(fault.to_string())));
                }
                Item::Ephemeral { .. } | Item::Heartbeat { .. } => {}
            }
        }
    }
}

/// Why Redis calls a batch late that is not: its clock was set since the link was made, or goes at another pace. None: the batch
/// is late.
fn fault_of_clock(deadline: Instant, now: Instant) -> Option<Fault> {
    let left = deadline.saturating_duration_since(now);
    (left > CLOCK_ERROR).then(|| Fault::Passing("Redis's clock was set".to_owned()))
}

fn unavailable(reason: String) -> Error {
    Error::Unavailable {
        reason,
        retry_after: RETRY_AFTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_redis_calls_late_too_early_goes_again() {
        let deadline = Instant::now() + PATIENCE;
        let fault = |left: Duration| fault_of_clock(deadline, deadline - left);
        assert!(fault(PATIENCE).is_some_and(|fault| fault.passes()));
        assert_eq!(fault(CLOCK_ERROR), None);
        assert_eq!(fault_of_clock(deadline, deadline + PATIENCE), None);
    }
}
