//! Probes: each path to Redis carries one every 400 ms, and the node is well only while they come back.
//!
//! A connection that is open, and a Redis that answers, prove nothing: what counts is that an entry written by an
//! appender is seen by a tail. After 1.5 s without one everything is dialled anew with fresh topology.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{error, info};

use super::append::{self, LaneId};
use super::batch::Item;
use super::config::Address;
use super::core::Core;
use super::fault::Fault;
use super::link::Link;
use super::links::Purpose;
use super::readers::Reader;
use super::roster::LEASE;

const INTERVAL: Duration = Duration::from_millis(400);

/// Three that did not come back.
const RED_AFTER: Duration = Duration::from_millis(1_500);

/// A read is given up after 2 s: where none was answered for longer than that, the next one would fare no better.
const UNREAD_AFTER: Duration = Duration::from_secs(3);

/// While red, everything is dialled anew this often.
const REBUILD_EVERY: Duration = Duration::from_millis(1_500);

#[derive(Debug)]
pub(super) struct Probes {
    paths: Mutex<Paths>,
    /// Why it is red.
    red: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Paths {
    /// When each reader's probe came back last.
    readers: Vec<Instant>,
    /// Where each reader's stream was last known to be.
    homes: Vec<Option<Address>>,
    /// When the newest heartbeat that was answered had been made.
    append: Instant,
    /// Until when this node may have been given up last.
    given_up: Instant,
    /// When Redis answered a read last, where each reader's stream is.
    reads: Vec<Instant>,
}

impl Probes {
    /// Red at first: no path has answered.
    pub(super) fn new(readers: usize) -> Self {
        let now = Instant::now();
        let never = now.checked_sub(RED_AFTER * 2).unwrap_or(now);
        Self {
            paths: Mutex::new(Paths {
                readers: vec![never; readers],
                homes: vec![None; readers],
                append: never,
                given_up: never,
                // Who joins at once is not refused before the first of them can have been answered.
                reads: vec![now; readers],
            }),
            red: Mutex::new(Some("no probe came back yet".to_owned())),
        }
    }

    pub(super) fn came_back(&self, reader: usize, now: Instant) {
        self.paths.lock().readers[reader] = now;
    }

    /// The reader follows nothing: once it does, it has all the time for its first answers.
    fn excuse(&self, reader: usize, now: Instant) {
        let mut paths = self.paths.lock();
        paths.readers[reader] = now;
        paths.reads[reader] = now;
    }

    /// A heartbeat that was made then is in its stream.
    pub(super) fn append_answered(&self, made: Instant, now: Instant) {
        let mut paths = self.paths.lock();
        // Others heard the one before when it was made, or later, and this one by now.
        if now.duration_since(paths.append) > LEASE / 2 {
            paths.given_up = now;
        }
        paths.append = paths.append.max(made);
    }

    /// Whether others may have taken this node for dead at some time since then: they heard nothing of it for too long.
    pub(super) fn may_be_given_up_since(&self, then: Instant) -> bool {
        let paths = self.paths.lock();
        paths.append.elapsed() > LEASE / 2 || paths.given_up > then
    }

    fn read_answered(&self, reader: usize) {
        self.paths.lock().reads[reader] = Instant::now();
    }

    /// Whether Redis has been away, where this reader's streams are, for longer than a publish would wait for it.
    pub(super) fn is_away(&self, core: &Core, reader: &Reader) -> bool {
        if self.health().is_ok() {
            return false;
        }
        let (active, now) = (active(core), Instant::now());
        self.paths.lock().is_away(reader.index, &active, now)
    }

    /// Whether a read where this reader's streams are would only wait in vain.
    pub(super) fn is_unread(&self, core: &Core, reader: &Reader) -> bool {
        if self.health().is_ok() {
            return false;
        }
        let (active, now) = (active(core), Instant::now());
        self.paths.lock().is_unread(reader.index, &active, now)
    }

    pub(super) fn health(&self) -> Result<(), String> {
        self.red.lock().clone().map_or(Ok(()), Err)
    }

    /// The path that was silent for longest, and for how long.
    fn worst(&self, core: &Core, now: Instant) -> (&'static str, Duration) {
        let active = active(core);
        let paths = self.paths.lock();
        let slowest = active.into_iter().map(|reader| paths.slowest(reader));
        let oldest = slowest.min_by_key(|(_, at)| *at);
        oldest.map_or(("", Duration::ZERO), |(what, at)| {
            (what, now.duration_since(at))
        })
    }

    /// How long the slowest path of each Redis has been silent: of those that this node follows.
    fn ages(&self, core: &Core, now: Instant) -> Vec<(Address, Duration)> {
        let active = core
            .readers
            .all()
            .iter()
            .filter(|reader| reader.is_active());
        let homes = active.map(|reader| {
            let home = core.links.known_primary(reader.home().keys.slot);
            (reader.index, home)
        });
        let homes: Vec<_> = homes.collect();
        self.paths.lock().ages(homes, now)
    }
}

impl Paths {
    /// The path of a reader that was silent for longest, and since when.
    fn slowest(&self, reader: usize) -> (&'static str, Instant) {
        let came_back = self.readers[reader];
        let paths = [
            // One that some Redis answered counts for all: where none is done no probe comes back either.
            ("no append was answered", self.append),
            ("no read was answered", self.reads[reader]),
            ("no probe came back through a stream", came_back),
        ];
        let slowest = paths.into_iter().min_by_key(|(_, at)| *at);
        slowest.expect("there are three")
    }

    /// Given the readers that follow something.
    fn is_away(&self, reader: usize, active: &[usize], now: Instant) -> bool {
        shares_fate(reader, active, |reader| {
            now.duration_since(self.slowest(reader).1) > append::PATIENCE
        })
    }

    /// The same for reads. A Redis that takes no writes, or whose streams stand still, goes on being read: only reads count.
    fn is_unread(&self, reader: usize, active: &[usize], now: Instant) -> bool {
        shares_fate(reader, active, |reader| {
            now.duration_since(self.reads[reader]) > UNREAD_AFTER
        })
    }

    /// Takes the active readers, and where the stream of each is now. While nobody knows that, it is where it was.
    fn ages(
        &mut self,
        active: Vec<(usize, Option<Address>)>,
        now: Instant,
    ) -> Vec<(Address, Duration)> {
        let mut oldest: BTreeMap<Address, Instant> = BTreeMap::new();
        for (reader, home) in active {
            if home.is_some() {
                self.homes[reader] = home;
            }
            let Some(home) = self.homes[reader].clone() else {
                continue;
            };
            let (_, at) = self.slowest(reader);
            let held = oldest.entry(home).or_insert(at);
            *held = at.min(*held);
        }
        let age = |(home, at)| (home, now.duration_since(at));
        oldest.into_iter().map(age).collect()
    }
}

/// Nothing is tried for a reader that follows nothing: it shares the fate of all.
fn shares_fate(reader: usize, active: &[usize], is_silent: impl Fn(usize) -> bool) -> bool {
    is_silent(reader) || active.iter().all(|one| is_silent(*one))
}

/// The readers that follow something.
fn active(core: &Core) -> Vec<usize> {
    let all = core.readers.all().iter();
    let active = all.filter(|reader| reader.is_active());
    active.map(|reader| reader.index).collect()
}

/// Sends and judges probes for ever.
pub(super) async fn run(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut rebuilt = Instant::now();
    let mut watch = ReplicaWatch::default();
    loop {
        ticks.tick().await;
        send(&core);
        judge(&core, &mut rebuilt);
        note_lags(&core);
        watch.look(&core).await;
    }
}

fn send(core: &Arc<Core>) {
    let now = Instant::now();
    for reader in core
        .readers
        .all()
        .iter()
        .filter(|reader| !reader.is_active())
    {
        core.probes.excuse(reader.index, now);
    }
    for reader in core
        .readers
        .all()
        .iter()
        .filter(|reader| reader.is_active())
    {
        let words = format!("{} {} {}", core.node, reader.index, core.incarnation());
        core.enqueue_once(
            reader.home(),
            LaneId::Plain,
            Item::Heartbeat { words, made: now },
        );
        tokio::spawn(try_read(Arc::clone(core), Arc::clone(reader)));
    }
}

/// Where the reader's streams are: what another primary answers says nothing about this one.
async fn try_read(core: Arc<Core>, reader: Arc<Reader>) {
    let slot = reader.home().keys.slot;
    let Ok(link) = core.links.get(Purpose::Read, slot).await else {
        return;
    };
    match link.query(&redis::cmd("PING")).await.map_err(Fault::from) {
        Ok(_) => core.probes.read_answered(reader.index),
        Err(fault) => core.links.drop_link(&link, &fault),
    }
}

fn judge(core: &Core, rebuilt: &mut Instant) {
    let now = Instant::now();
    let (what, age) = core.probes.worst(core, now);
    let ages = core.probes.ages(core, now);
    let in_ms = |(redis, age): &(Address, Duration)| (redis.clone(), age.as_millis() as u64);
    *core.stats.probe_ages_ms.lock() = ages.iter().map(in_ms).collect();
    let is_red = age > RED_AFTER;
    core.roster.hearing(!is_red, now);
    let mut red = core.probes.red.lock();
    match (&*red, is_red) {
        (None, true) => {
            let silent = ages.iter().filter(|(_, age)| *age > RED_AFTER);
            let silent: Vec<_> = silent.map(|(redis, _)| redis.to_string()).collect();
            error!(
                ?age,
                redis = silent.join(","),
                "Redis does not deliver: {what}."
            );
            *red = Some(format!("Redis does not deliver: {what}"));
        }
        (Some(_), false) => {
            info!("Redis delivers.");
            *red = None;
        }
        (None, false) | (Some(_), true) => {}
    }
    drop(red);
    if is_red && now.duration_since(*rebuilt) > REBUILD_EVERY {
        *rebuilt = now;
        core.links.drop_all();
        core.readers.restart();
    }
}

/// How far the tails are behind, for the metrics page: the heartbeats of before say where the streams end.
fn note_lags(core: &Core) {
    let partitions = core.partitions.iter();
    let lags = partitions.filter_map(|partition| Some((partition.index, partition.lag()?)));
    *core.stats.tail_lags.lock() = lags.collect();
}

/// Sees that primaries stay primaries, and up to where their replicas have everything.
#[derive(Debug, Default)]
struct ReplicaWatch {
    waiting: HashMap<Address, Stand>,
}

/// What a primary's replicas are to confirm.
#[derive(Debug)]
struct Stand {
    /// The link that said so: a new one may lead to another history.
    link: u64,
    /// The primary's offset, and where each of its partitions stood before.
    offset: u64,
    partitions: Vec<(usize, u64)>,
}

impl ReplicaWatch {
    async fn look(&mut self, core: &Arc<Core>) {
        let Ok(primaries) = core.links.primaries().await else {
            return;
        };
        self.waiting
            .retain(|address, _| primaries.contains(address));
        for address in primaries {
            if let Some(link) = core.links.held(Purpose::Append, &address) {
                self.look_at(core, &link).await;
            }
        }
    }

    async fn look_at(&mut self, core: &Core, link: &Link) {
        let partitions = core.partitions.iter().filter_map(|partition| {
            let last = partition.last_under(&link.lineage)?;
            Some((partition.index, last.pseq))
        });
        let partitions: Vec<_> = partitions.collect();
        let looked = tokio::time::timeout(INTERVAL, link.replication()).await;
        let Ok(Ok(replication)) = looked else {
            return;
        };
        if !replication.is_primary {
            let fault = Fault::Elsewhere("the primary was demoted".to_owned());
            core.links.drop_link(link, &fault);
            return core.readers.restart();
        }
        // Its first replica came: the same data under another name. Every node must notice, else the partitions are
        // settled without those that did not speak.
        if !link.lineage.ends_with(&replication.history) {
            core.links.drop_all();
            return core.readers.restart();
        }
        link.attached.look(replication.replicas, Instant::now());
        self.waiting
            .retain(|address, stand| *address != link.address || stand.link == link.id);
        let stand = self.waiting.entry(link.address.clone());
        let stand = stand.or_insert_with(|| Stand {
            link: link.id,
            offset: replication.offset,
            partitions,
        });
        // One that left may have been promoted without what only the others confirm.
        let are_all_here = replication.replicas >= link.attached.needed();
        let confirmed = replication.confirmed.filter(|_| are_all_here);
        if confirmed.is_some_and(|confirmed| confirmed >= stand.offset) {
            for (index, pseq) in stand.partitions.drain(..) {
                core.partitions[index].forget_known(pseq);
            }
            self.waiting.remove(&link.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Address {
        Address {
            host: "redis".to_owned(),
            port,
        }
    }

    #[test]
    fn who_may_have_been_given_up_knows_it_by_when_heartbeats_were_made() {
        let probes = Probes::new(1);
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert!(probes.may_be_given_up_since(at(0)), "nothing was heard yet");
        probes.append_answered(at(0), at(10));
        assert!(probes.may_be_given_up_since(at(0)), "until it was heard");
        assert!(!probes.may_be_given_up_since(at(20)));
        // Made in time, and held up on the way.
        probes.append_answered(at(400), at(6_000));
        assert!(probes.may_be_given_up_since(at(20)));
        assert!(!probes.may_be_given_up_since(at(6_010)));
        probes.append_answered(at(6_000), at(6_010));
        probes.append_answered(at(6_400), at(6_410));
        assert!(!probes.may_be_given_up_since(at(6_020)));
    }

    #[test]
    fn each_redis_is_as_old_as_the_slowest_path_to_it() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut paths = Paths {
            readers: vec![at(900), at(500), at(100)],
            homes: vec![None; 3],
            append: at(950),
            given_up: start,
            reads: vec![at(800), at(900), at(900)],
        };
        let mut check = |active: &[(usize, Option<u16>)], expected: &[(u16, u64)]| {
            let homes = active
                .iter()
                .map(|(reader, port)| (*reader, port.map(address)));
            let ages = paths.ages(homes.collect(), at(1_000));
            let expected = expected
                .iter()
                .map(|(port, age)| (address(*port), Duration::from_millis(*age)));
            assert_eq!(ages, expected.collect::<Vec<_>>(), "{active:?}");
        };
        check(&[(0, None)], &[]);
        check(
            &[(0, Some(1)), (1, Some(2)), (2, Some(2))],
            &[(1, 200), (2, 900)],
        );
        // A reader that follows nothing has no part in it; and where nobody knows the primaries, they are those of before.
        check(&[(0, None), (1, None)], &[(1, 200), (2, 500)]);
        // Another took the first one's place.
        check(&[(0, Some(3)), (1, None)], &[(2, 500), (3, 200)]);
    }

    #[test]
    fn a_redis_that_is_away_stops_no_publish_to_another() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let heard = vec![at(9_900), at(1_000), at(9_900)];
        let paths = Paths {
            readers: heard.clone(),
            homes: vec![None; 3],
            append: at(9_900),
            given_up: start,
            reads: heard,
        };
        let is_away = |reader, active: &[usize]| paths.is_away(reader, active, at(10_000));
        assert!(!is_away(0, &[0, 1]));
        assert!(is_away(1, &[0, 1]));
        // The third follows nothing.
        assert!(!is_away(2, &[0, 1]), "it may be where the first is");
        assert!(is_away(2, &[1]), "nobody answers anywhere");
    }

    #[test]
    fn an_append_that_nobody_answers_is_every_redis_own() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut paths = Paths {
            readers: vec![at(900); 2],
            homes: vec![Some(address(1)), Some(address(2))],
            append: at(300),
            given_up: start,
            reads: vec![at(900); 2],
        };
        let ages = paths.ages(vec![(0, None), (1, None)], at(1_000));
        let silent = Duration::from_millis(700);
        assert_eq!(ages, [(address(1), silent), (address(2), silent)]);
    }
}
