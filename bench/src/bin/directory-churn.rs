//! The channel directory under churn: which concurrent map should the hub's be?
//!
//! Two threads look channels up by name as publishes do, and enter and leave channels as subscribers do. Prints ns of a thread's
//! time per operation, the best of several rounds taken in turn, so that other work on the machine weighs on all alike.
//! `directory-churn 100000` makes only the rows with so many channels.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::Write as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::RwLock;

/// What the hub asks of its directory.
trait Directory: Sync {
    fn find(&self, name: &str) -> Option<Arc<u64>>;
    fn enter(&self, name: &Arc<str>) -> Arc<u64>;
    fn leave(&self, name: &str);
}

impl Directory for DashMap<Arc<str>, Arc<u64>> {
    fn find(&self, name: &str) -> Option<Arc<u64>> {
        self.get(name).map(|found| Arc::clone(&found))
    }

    fn enter(&self, name: &Arc<str>) -> Arc<u64> {
        Arc::clone(&self.entry(Arc::clone(name)).or_default())
    }

    fn leave(&self, name: &str) {
        self.remove(name);
    }
}

impl Directory for papaya::HashMap<Arc<str>, Arc<u64>> {
    fn find(&self, name: &str) -> Option<Arc<u64>> {
        self.pin().get(name).cloned()
    }

    fn enter(&self, name: &Arc<str>) -> Arc<u64> {
        let guard = self.pin();
        Arc::clone(guard.get_or_insert_with(Arc::clone(name), Arc::default))
    }

    fn leave(&self, name: &str) {
        self.pin().remove(name);
    }
}

impl Directory for scc::HashMap<Arc<str>, Arc<u64>> {
    fn find(&self, name: &str) -> Option<Arc<u64>> {
        self.read_sync(name, |_, found| Arc::clone(found))
    }

    fn enter(&self, name: &Arc<str>) -> Arc<u64> {
        Arc::clone(self.entry_sync(Arc::clone(name)).or_default().get())
    }

    fn leave(&self, name: &str) {
        self.remove_sync(name);
    }
}

/// What one would write without a library: as many maps as dashmap has shards here.
struct Sharded {
    hasher: RandomState,
    shards: Vec<RwLock<HashMap<Arc<str>, Arc<u64>>>>,
}

impl Sharded {
    fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }

    fn shard(&self, name: &str) -> &RwLock<HashMap<Arc<str>, Arc<u64>>> {
        &self.shards[self.hasher.hash_one(name) as usize % SHARDS]
    }
}

impl Directory for Sharded {
    fn find(&self, name: &str) -> Option<Arc<u64>> {
        self.shard(name).read().get(name).cloned()
    }

    fn enter(&self, name: &Arc<str>) -> Arc<u64> {
        let mut shard = self.shard(name).write();
        Arc::clone(shard.entry(Arc::clone(name)).or_default())
    }

    fn leave(&self, name: &str) {
        self.shard(name).write().remove(name);
    }
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| channels | one operation in so many enters or leaves | dashmap | papaya | scc | sharded RwLock |"
    )?;
    writeln!(out, "|---:|---:|---:|---:|---:|---:|")?;
    let asked: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|channels| channels.parse().ok())
        .collect();
    let all = if asked.is_empty() {
        vec![1_000, 100_000]
    } else {
        asked
    };
    for channels in all {
        let names: Vec<Arc<str>> = (0..channels).map(|n| format!("room:{n}").into()).collect();
        for churn in [1_000, 10, 2] {
            let best = best(&names, churn).map(|ns| format!("{ns:.0}"));
            writeln!(out, "| {channels} | {churn} | {} |", best.join(" | "))?;
        }
    }
    Ok(())
}

fn best(names: &[Arc<str>], churn: usize) -> [f64; 4] {
    let (mut best, began) = ([f64::INFINITY; 4], Instant::now());
    for number in 0..ROUNDS {
        // One of them may be a hundred times slower than the others.
        if number > 0 && began.elapsed() > ROW_MAX {
            break;
        }
        let now = [
            round(&DashMap::<Arc<str>, Arc<u64>>::new(), names, churn),
            round(&papaya::HashMap::<Arc<str>, Arc<u64>>::new(), names, churn),
            round(&scc::HashMap::<Arc<str>, Arc<u64>>::new(), names, churn),
            round(&Sharded::new(), names, churn),
        ];
        best.iter_mut()
            .zip(now)
            .for_each(|(best, now)| *best = best.min(now));
    }
    best
}

/// Ns per operation on each thread.
fn round(directory: &impl Directory, names: &[Arc<str>], churn: usize) -> f64 {
    names.iter().for_each(|name| drop(directory.enter(name)));
    let began = Instant::now();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || work(directory, names, churn, thread));
        }
    });
    began.elapsed().as_nanos() as f64 / OPERATIONS as f64
}

fn work(directory: &impl Directory, names: &[Arc<str>], churn: usize, thread: usize) {
    // A step that meets all names in an order that no cache foresees.
    let mut at = thread * names.len() / THREADS;
    for operation in 0..OPERATIONS {
        at = (at + 7_919) % names.len();
        let name = &names[at];
        if !operation.is_multiple_of(churn) {
            drop(std::hint::black_box(directory.find(name)));
        } else if (operation / churn).is_multiple_of(2) {
            directory.leave(name);
        } else {
            drop(directory.enter(name));
        }
    }
}

const THREADS: usize = 2;
const SHARDS: usize = 8;
const OPERATIONS: usize = 500_000;
const ROUNDS: usize = 5;
/// After which a row begins no further round.
const ROW_MAX: Duration = Duration::from_secs(20);
