//! The stream that carries a partition's events is bounded in bytes and in entries; what it no longer holds the logs do. And
//! these let go of what has expired as they are written to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parlor::kind::Durability;
use parlor_tests::Redis;

use crate::listener::Listener;
use crate::redis::{config_of, on_server, over, stream_key};
use crate::subject::Subject;

/// Partitions of which each has the smallest share: less would take much longer to fill.
const PARTITIONS: &str = "8";

/// That share, as `docs/cluster.md` tells it.
const BYTES_MAX: u64 = 4 << 20;

/// It is cut at marks, which come after an eighth of it, or up to one batch (256 KiB) later: at most nine of these are there.
const BYTES_AT_ONCE: u64 = 2 * BYTES_MAX;

const ENTRIES_MAX: u64 = 20_000;

/// Redis cuts a stream by whole nodes, of so many entries.
const NODE_ENTRIES: u64 = 100;

/// Bytes of an event's text, and how many events are published at once: a mebibyte.
const TEXT: usize = 8 << 10;
const ROUND: usize = 128;

/// What the entries of a stream say, in bytes.
const BYTES: &str = r"
local bytes = 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  bytes = bytes + #entry[2][2]
end
return bytes
";

/// Adds entries in which nothing happened to a partition's stream, as so many batches would have: each the next by its
/// number, and a link of the chain of tags. Answers how many the stream holds then.
const ADD_ENTRIES: &str = r"
local meta, stream = KEYS[1], KEYS[2]
local raw = redis.call('GET', meta)
local prev, pseq = string.sub(raw, 2, 17), struct.unpack('>I7', raw, 46)
for _ = 1, tonumber(ARGV[1]) do
  pseq = pseq + 1
  local tag = string.format('%016x', pseq)
  redis.call('XADD', stream, string.format('%d-0', pseq), 'B1 ' .. tag .. ' ' .. prev, '')
  prev = tag
end
redis.call('SETRANGE', meta, '1', prev)
redis.call('SETRANGE', meta, '45', struct.pack('>I7', pseq))
return redis.call('XLEN', stream)
";

fn number(server: &Redis, question: &[&str]) -> u64 {
    redis::from_redis_value(server.ask(question)).unwrap()
}

async fn publish_round(subject: &Subject) {
    let text = "x".repeat(TEXT);
    let publish = |_| subject.broker.append(subject.message("room", &text));
    for published in join_all((0..ROUND).map(publish)).await {
        published.unwrap();
    }
}

/// Every event came to the listener, and stands in the log.
async fn assert_whole(subject: &Subject, listener: &mut Listener, events: usize) {
    assert_eq!(listener.read_to(events as u64).await.len(), events);
    let log = subject.log("room").await;
    assert!(log.iter().map(|entry| entry.offset).eq(1..=events as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_holds_so_many_bytes_and_the_logs_hold_everything() {
    const ROUNDS: usize = 24;
    let server = Redis::start();
    // The nodes take what they find.
    server.ask(&["HSET", "bytes:{config}:agreed", "partitions", PARTITIONS]);
    let subject = over(config_of(&server.url(), "bytes"));
    let mut listener = Listener::join(&subject, 0, "room").await;
    let mut held = 0;
    for round in 1..=ROUNDS {
        publish_round(&subject).await;
        let stream = stream_key([&server], "room");
        held = number(&server, &["EVAL", BYTES, "1", &stream]);
        assert!(held <= BYTES_AT_ONCE, "{held} bytes in round {round}");
    }
    assert!(held >= BYTES_MAX, "{held} bytes: it is cut too early");
    assert_whole(&subject, &mut listener, ROUNDS * ROUND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_holds_so_many_entries_and_the_logs_hold_everything() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    let mut listener = Listener::join(&subject, 0, "room").await;
    subject.publish("room", 10).await;
    let stream = stream_key([&*server], "room");
    let meta = stream.replace("}:s", "}:meta");
    let added = number(
        &server,
        &["EVAL", ADD_ENTRIES, "2", &meta, &stream, "25000"],
    );
    assert!(added > 25_000, "{added}");
    // The next batch cuts.
    subject.publish("room", 10).await;
    let held = number(&server, &["XLEN", &stream]);
    assert!(
        (ENTRIES_MAX..=ENTRIES_MAX + NODE_ENTRIES).contains(&held),
        "{held} entries"
    );
    assert_whole(&subject, &mut listener, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_events_expire_earlier_than_they_did_shrinks_as_it_is_written_to() {
    const ROUNDS: usize = 5;
    const ROUND: usize = 16;
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    subject.publish("room", 1_000).await;
    // As by nodes that were started with another setting.
    let shorter = subject.retaining(100_000, Duration::from_millis(1));
    for _ in 0..ROUNDS {
        shorter.publish("room", ROUND).await;
    }
    let log = stream_key([&*server], "room").replace("}:s", "}:l:room");
    let held = number(&server, &["XLEN", &log]);
    assert!(held <= (ROUNDS * ROUND) as u64, "{held} entries");
}
