//! kill −9 at random moments: whatever was acknowledged is in the log, and no offset ever named two events.
//!
//! The test starts its own executable again as the process to be killed (`child_appends_until_killed`). Each
//! generation sends the last ids of the one before once more, as a client would that got no answer.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use futures_util::{StreamExt as _, stream};
use parlor::broker::Append;
use parlor::broker::embedded::EmbeddedConfig;
use parlor::kind::Durability;
use parlor_protocol::Position;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::subject::{Subject, dedup, embedded};

const CHANNELS: [&str; 3] = ["a", "b", "c"];
/// Appends of one channel that wait for their answers at the same time.
const IN_FLIGHT: usize = 32;
const DIRECTORY: &str = "PARLOR_CONTRACT_DIRECTORY";
const FIRST_ID: &str = "PARLOR_CONTRACT_FIRST_ID";

/// The seed of this run: from `PARLOR_SEED`, or a new one. Printed, so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = env::var("PARLOR_SEED")
        .ok()
        .and_then(|raw| raw.parse().ok())
        .unwrap_or_else(rand::random);
    println!("PARLOR_SEED={seed}");
    seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    const GENERATIONS: usize = 8;
    let mut random = SmallRng::seed_from_u64(seed());
    let temp = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    for _ in 0..GENERATIONS {
        let first_id = acknowledged
            .highest_id()
            .saturating_sub(2 * IN_FLIGHT as u64);
        let child = start_child(temp.path(), first_id);
        acknowledged.collect(child, random.random_range(1..1_500));
        acknowledged.check(temp.path()).await;
    }
}

/// Not a test: what the test above starts and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test that kills it"]
async fn child_appends_until_killed() {
    let Ok(directory) = env::var(DIRECTORY) else {
        return;
    };
    let first_id: u64 = env::var(FIRST_ID).unwrap().parse().unwrap();
    let subject = open(Path::new(&directory));
    let appending = CHANNELS.map(|channel| {
        let subject = subject.clone();
        tokio::spawn(async move {
            let mut answers = stream::iter(first_id..)
                .map(|id| {
                    let append = Append {
                        dedup: dedup("u:ann", &id.to_string()),
                        ..subject.message(channel, &id.to_string())
                    };
                    let answer = subject.broker.append(append);
                    async move { (id, answer.await.unwrap()) }
                })
                .buffered(IN_FLIGHT);
            while let Some((id, appended)) = answers.next().await {
                writeln!(
                    std::io::stdout(),
                    "ack {channel} {id} {}",
                    appended.position
                )
                .unwrap();
            }
        })
    });
    for channel in appending {
        channel.await.unwrap();
    }
}

fn open(directory: &Path) -> Subject {
    embedded(
        EmbeddedConfig {
            data_dir: Some(directory.to_owned()),
            ..EmbeddedConfig::default()
        },
        Durability::Disk,
    )
}

fn start_child(directory: &Path, first_id: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "crash::child_appends_until_killed",
            "--nocapture",
        ])
        .env(DIRECTORY, directory)
        .env(FIRST_ID, first_id.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Every acknowledgement that any generation gave: (channel, id) → position.
#[derive(Default)]
struct Acknowledged(HashMap<(String, u64), Position>);

impl Acknowledged {
    fn highest_id(&self) -> u64 {
        self.0.keys().map(|(_, id)| *id).max().unwrap_or(0)
    }

    /// Takes the child's acknowledgements, kills it after so many, and takes what it had still said.
    fn collect(&mut self, mut child: Child, kill_after: usize) {
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut heard = 0;
        let mut line = String::new();
        while lines.read_line(&mut line).unwrap() > 0 {
            // The last line may be cut by the kill: it says nothing then.
            if let Some(ack) = line
                .strip_suffix('\n')
                .and_then(|line| line.strip_prefix("ack "))
            {
                self.note(ack);
                heard += 1;
                if heard == kill_after {
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        assert!(
            heard >= kill_after,
            "the child ended by itself after {heard} acknowledgements"
        );
        child.wait().unwrap();
    }

    fn note(&mut self, ack: &str) {
        let parts: Vec<&str> = ack.split(' ').collect();
        let [channel, id, position] = parts[..] else {
            panic!("not an acknowledgement: {ack}")
        };
        let position: Position = position.parse().unwrap();
        let known = self
            .0
            .insert((channel.to_owned(), id.parse().unwrap()), position);
        assert!(
            known.is_none_or(|known| known == position),
            "id {id} of {channel}: first {known:?}, then {position:?}"
        );
    }

    /// The log holds each acknowledged event at its place, each id once, and no hole.
    async fn check(&self, directory: &Path) {
        let subject = open(directory);
        for channel in CHANNELS {
            let log = subject.log(channel).await;
            let mut logged = HashMap::new();
            for (entry, offset) in log.iter().zip(1..) {
                assert_eq!(entry.offset, offset, "a hole in {channel}");
                let id: u64 = entry.id.as_deref().unwrap().parse().unwrap();
                assert_eq!(
                    logged.insert(id, entry.position()),
                    None,
                    "id {id} of {channel} is logged twice"
                );
            }
            for ((_, id), position) in self.0.iter().filter(|((of, _), _)| of == channel) {
                assert_eq!(
                    logged.get(id),
                    Some(position),
                    "id {id} of {channel} was acknowledged"
                );
            }
        }
        tokio::task::spawn_blocking(move || subject.broker.shut_down())
            .await
            .unwrap();
    }
}
