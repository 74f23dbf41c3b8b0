//! Where Redis keeps the ids of publishes: in two hashes per partition that always exist and take turns.

use std::time::Duration;

use parlor::broker::Append;
use parlor::broker::redis::RedisConfig;
use parlor_tests::{Redis, eventually};

use crate::redis::{config_of, over, stream_key};
use crate::subject::{Subject, dedup};

/// Long enough to look into Redis before it ends.
const WINDOW: Duration = Duration::from_secs(1);

/// Publishes until both had their turn: it comes with the window.
const PUBLISHES_MAX: u32 = 20_000;

/// The two hashes of the only partition.
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
}

async fn publish(subject: &Subject, id: u32) {
    let append = Append {
        dedup: dedup("u:ann", &id.to_string()),
        ..subject.message("room", "x")
    };
    assert!(!subject.append(append).await.unwrap().duplicate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_kept_in_two_hashes_that_always_exist_and_take_turns() {
    let server = Redis::start();
    let subject = over(RedisConfig {
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
}
