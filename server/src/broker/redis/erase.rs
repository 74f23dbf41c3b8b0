//! Erasing: the log is written anew without what some entries said, then an event tells it to everybody.
//!
//! In this order, so that whoever has the event has the new log, too: a replica holds a prefix of what its primary did. And
//! what a failover loses of it is not lost silently: the event was acknowledged, like any other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parlor_protocol::Epoch;
use redis::Cmd;

use super::core::Core;
use super::fault::Fault;
use super::head::to_hex;
use super::links::Purpose;
use super::partition::{Partition, Settled};
use super::read::text;
use super::scripts::ERASE;
use super::{accept, unavailable};
use crate::broker::{Appended, Erase, Error, RETRY_AFTER, random};

/// How long one erasure may take: a log of 100,000 entries takes seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Logs that one node writes anew at the same time; appends wait behind each of their calls.
pub(super) const AT_ONCE: usize = 2;

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(25);

/// Under what a log was written anew: another primary may hold an older copy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Under {
    lineage: Arc<str>,
    generation: u64,
}

/// What the script said.
enum Step {
    Done(Under),
    More,
    Taken,
}

pub(super) async fn run(core: &Arc<Core>, erase: Erase) -> Result<Appended, Error> {
    let give_up = Instant::now() + PATIENCE;
    let partition = Arc::clone(core.partition(&erase.channel));
    let rewriting = Rewriting {
        core,
        partition: &partition,
        keys: keys(&partition, &erase),
        erase: &erase,
        token: to_hex(random::tag().0),
    };
    let turn = tokio::time::timeout_at(give_up.into(), core.erasing.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Error::Busy {
            retry_after: RETRY_AFTER,
        });
    };
    let mut under = rewriting.until(give_up).await?;
    let appended = accept(core, erase.clone().announcement())?.await;
    let appended = appended.unwrap_or(Err(Error::Closed))?;
    // The event may have been taken by a primary that was promoted meanwhile, from a copy without the new log.
    while under != Under::from(core.settled(&partition).await.map_err(unavailable)?) {
        under = rewriting.until(give_up).await?;
    }
    Ok(appended)
}

/// The keys that the script is given.
fn keys(partition: &Partition, erase: &Erase) -> [String; 6] {
    let keys = &partition.keys;
    let [copy, copier] = keys.channel_copy(&erase.channel);
    [
        keys.meta.clone(),
        keys.stream.clone(),
        keys.channel_meta(&erase.channel),
        keys.channel_log(&erase.channel),
        copy,
        copier,
    ]
}

struct Rewriting<'a> {
    core: &'a Core,
    partition: &'a Arc<Partition>,
    keys: [String; 6],
    erase: &'a Erase,
    /// Tells this erasure from others of the same channel.
    token: String,
}

impl Rewriting<'_> {
    /// Call after call, until the log and the stream hold nothing of it.
    async fn until(&self, give_up: Instant) -> Result<Under, Error> {
        let mut last = Fault::Passing("another erasure of this channel takes long".to_owned());
        while Instant::now() < give_up {
            match self.step().await? {
                Ok(Step::Done(under)) => return Ok(under),
                Ok(Step::More) => continue,
                Ok(Step::Taken) => {}
                Err(fault) if fault.passes() => last = fault,
                Err(fault) => return Err(unavailable(fault)),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(unavailable(last))
    }

    /// One call. The outer error is final.
    async fn step(&self) -> Result<Result<Step, Fault>, Error> {
        let keys = self.keys.each_ref().map(String::as_str);
        let arguments = |command: &mut Cmd, settled: &Settled| self.arguments(command, settled);
        let run = self
            .core
            .run_settled(self.partition, Purpose::Append, &ERASE, &keys, arguments);
        let (parts, lineage) = match run.await {
            Ok(answered) => answered,
            Err(fault) => return Ok(Err(fault)),
        };
        let word = parts.first().and_then(text);
        let generation = parts.get(1).and_then(text).and_then(|raw| raw.parse().ok());
        let odd = |what: &str| Error::Unavailable {
            reason: what.to_owned(),
            retry_after: RETRY_AFTER,
        };
        match (word, generation) {
            (Some("DONE"), Some(generation)) => Ok(Ok(Step::Done(Under {
                lineage,
                generation,
            }))),
            (Some("MORE"), _) => Ok(Ok(Step::More)),
            (Some("TAKEN"), _) => Ok(Ok(Step::Taken)),
            (Some("CHANGED"), _) => Err(odd("the log began a new life")),
            (Some("UNKNOWN"), _) => Err(odd("an entry is of a form that this build does not know")),
            _ => Ok(Err(Fault::Odd("an answer of unknown form".to_owned()))),
        }
    }

    fn arguments(&self, command: &mut Cmd, settled: &Settled) {
        let Epoch(epoch) = self.erase.epoch;
        command
            .arg(&*settled.lineage)
            .arg(settled.generation)
            .arg(self.erase.channel.as_str())
            .arg(to_hex(epoch))
            .arg(&self.token);
        for offset in &self.erase.offsets {
            command.arg(offset);
        }
    }
}

impl From<Settled> for Under {
    fn from(settled: Settled) -> Self {
        Self {
            lineage: settled.lineage,
            generation: settled.generation,
        }
    }
}
