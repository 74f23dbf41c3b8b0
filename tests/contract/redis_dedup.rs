//! Where Redis keeps the ids of publishes: in two hashes per partition that always exist and take turns. When one is full
//! they do so early, and what that forgets is counted.

use std::sync::atomic::Ordering;
use std::time::Duration;

use parlor::broker::Append;
use parlor::broker::redis::RedisConfig;
use parlor_tests::{Redis, eventually};

use crate::redis::{config_of, over_counting, stream_key};
use crate::subject::{Subject, dedup};

/// Long enough to look into Redis before it ends.
const WINDOW: Duration = Duration::from_secs(1);

/// Publishes until both had their turn: it comes with the window.
const PUBLISHES_MAX: u32 = 20_000;

/// Partitions of a Redis of which each holds as few ids as one ever does, and how many these are.
const PARTITIONS: &str = "8";
const IDS_MAX: u32 = 100_000;

/// Batches after which it is looked whether there are more.
const BATCHES: u32 = 16;

/// The two hashes of a channel's partition.
struct Hashes<'a> {
    server: &'a Redis,
    names: [String; 2],
}

impl<'a> Hashes<'a> {
    fn of(server: &'a Redis, channel: &str) -> Self {
        let stream = stream_key([server], channel);
        let names = ["}:d0", "}:d1"].map(|name| stream.replace("}:s", name));
        Self { server, names }
    }

    /// How many fields each has. A key that does not exist has none.
    fn lengths(&self) -> [u64; 2] {
        let length = |name: &String| -> u64 {
            let answer = self.server.ask(&["HLEN", name]);
            redis::from_redis_value(answer).unwrap()
        };
        [length(&self.names[0]), length(&self.names[1])]
    }

    /// Puts as many ids into one as it may hold.
    fn fill(&self, half: usize) {
        const FILL: &str = r"
for first = 1, tonumber(ARGV[1]), 1000 do
  local ids = {}
  for id = first, first + 999 do
    ids[#ids + 1], ids[#ids + 2] = 'filler ' .. id, ''
  end
  redis.call('HSET', KEYS[1], unpack(ids))
end
";
        let count = IDS_MAX.to_string();
        self.server
            .ask(&["EVAL", FILL, "1", &self.names[half], &count]);
    }
}

/// Publishes under an id. Whether that was known.
async fn is_known(subject: &Subject, id: u32) -> bool {
    let append = Append {
        dedup: dedup("u:ann", &id.to_string()),
        ..subject.message("room", "x")
    };
    subject.append(append).await.unwrap().duplicate
}

async fn publish(subject: &Subject, id: u32) {
    assert!(!is_known(subject, id).await, "{id}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_kept_in_two_hashes_that_always_exist_and_take_turns() {
    let server = Redis::start();
    let (subject, stats) = over_counting(RedisConfig {
        dedup_window: WINDOW,
        ..config_of(&server.url(), "ids")
    });
    publish(&subject, 0).await;
    let hashes = Hashes::of(&server, "room");
    let mut had_a_turn = [false; 2];
    let mut before = hashes.lengths();
    for id in 1..=PUBLISHES_MAX {
        publish(&subject, id).await;
        let after = hashes.lengths();
        assert!(after[0] > 0 && after[1] > 0, "a hash is gone: {after:?}");
        for half in [0, 1] {
            had_a_turn[half] |= after[half] > before[half];
        }
        before = after;
        if had_a_turn == [true; 2] {
            break;
        }
    }
    assert_eq!(had_a_turn, [true; 2], "{before:?}");
    // Heartbeats are appended too, so that a channel in which nobody speaks any more keeps no ids.
    eventually("both to be empty but for what keeps them", || {
        (hashes.lengths() == [1, 1]).then_some(())
    });
    let forgotten_early = stats.ids_forgotten_early.load(Ordering::Relaxed);
    assert_eq!(forgotten_early, 0, "each was there for its whole window");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_go_before_their_window_is_over_are_counted() {
    let server = Redis::start();
    server.ask(&["HSET", "full:{config}:agreed", "partitions", PARTITIONS]);
    let (subject, stats) = over_counting(config_of(&server.url(), "full"));
    let forgotten_early = || stats.ids_forgotten_early.load(Ordering::Relaxed);
    publish(&subject, 0).await;
    let hashes = Hashes::of(&server, "room");

    hashes.fill(0);
    for id in 1..=BATCHES {
        publish(&subject, id).await;
    }
    let [older, newer] = hashes.lengths();
    assert!(older > u64::from(IDS_MAX) && newer > 1, "{older}, {newer}");
    assert!(is_known(&subject, 0).await);
    assert_eq!(forgotten_early(), 0, "there was nothing older to go");

    hashes.fill(1);
    for id in BATCHES + 1..=BATCHES * 2 {
        publish(&subject, id).await;
    }
    // One field is no id: it keeps the hash.
    eventually("them to be counted", || {
        (forgotten_early() == older - 1).then_some(())
    });
    assert!(!is_known(&subject, 0).await, "its hash went");
}
