//! A channel to which nobody writes for long ends in Redis: all of it at once, and what comes after is never taken for it.

use std::sync::Arc;

use parlor::broker::Range;
use parlor::kind::Durability;
use parlor_protocol::command::Recover;
use parlor_protocol::reply::NotRecovered;
use parlor_protocol::{Form, Tag};
use parlor_tests::{Redis, Setup, eventually};

use crate::listener::Listener;
use crate::redis::{on_server, stream_key, wait_for_heartbeats};

/// A channel lives at least this long after its last event: too long to be waited for.
const LIFE_MIN_MS: i64 = (2 * 3_600 + 60) * 1_000;

/// How long two keys have left, in one moment, in ms; -1: they stay for ever.
const LIVES: &str = "return { redis.call('PTTL', KEYS[1]), redis.call('PTTL', KEYS[2]) }";

/// So many seconds pass for one channel and its partition: the channel's keys, behind the partition's meta, end at once, and
/// what the meta says of the epoch of unwritten channels is older by that much.
const PASS: &str = r"
local began = struct.unpack('>I5', redis.call('GET', KEYS[1]), 53)
redis.call('SETRANGE', KEYS[1], '52', struct.pack('>I5', began - tonumber(ARGV[1])))
redis.call('PEXPIRE', KEYS[2], '1')
redis.call('PEXPIRE', KEYS[3], '1')
";

/// Lets the time pass after which a channel ends, and waits until Redis has taken it away.
fn outlive(server: &Redis, channel: &str) {
    let stream = stream_key([server], channel);
    let part = stream.replace("}:s", "}:meta");
    let [meta, log] = ["m", "l"].map(|name| stream.replace("}:s", &format!("}}:{name}:{channel}")));
    let lives = server.ask(&["EVAL", LIVES, "2", &meta, &log]);
    let (meta_ms, log_ms): (i64, i64) = redis::from_redis_value(lives).unwrap();
    assert!(
        meta_ms > LIFE_MIN_MS && meta_ms.abs_diff(log_ms) < 1_000,
        "they do not end together: meta in {meta_ms} ms, log in {log_ms} ms"
    );
    let seconds = (meta_ms / 1_000).to_string();
    server.ask(&["EVAL", PASS, "3", &part, &meta, &log, &seconds]);
    eventually("meta and log to be gone", || {
        let left: u64 = redis::from_redis_value(server.ask(&["EXISTS", &meta, &log])).unwrap();
        (left == 0).then_some(())
    });
    // In all that time the node has said that it lives.
    wait_for_heartbeats(server, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_ended_begins_anew_under_another_epoch() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    let listener = Listener::join(&subject, 0, "room").await;
    let last = subject.publish("room", 5).await[4].position;
    outlive(&server, "room");
    let after = Range::AfterOffset(last.offset);
    let page = subject.read("room", after, 100).await;
    assert_ne!(page.top.epoch, last.epoch);
    assert_eq!(
        (page.top.offset, page.top.tag, page.oldest, page.more),
        (0, Tag(0), 1, false),
        "nothing of it is left"
    );
    let again = subject.append(subject.message("room", "again")).await;
    let first = again.unwrap().position;
    assert_eq!((first.epoch, first.offset), (page.top.epoch, 1));
    assert_eq!(
        subject.offsets("room", Range::AfterOffset(0), 100).await,
        [1]
    );
    // Who stayed all the time is not given it as what comes next.
    assert_eq!(listener.channel().top(), Some(first));
    assert_eq!(listener.channel().tail().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_to_a_channel_that_ended_is_told_so() {
    let redis = Redis::start();
    let setup = Setup::new(Form::Json, 1).on_redis(&redis.url());
    let server = setup.start().await;
    let mut ann = server.join("ann").await;
    ann.publish_many("disk:a", 0..4).await;
    let position = ann.publish("disk:a", "last").await.position;
    outlive(&redis, "disk:a");
    let back = ann.resume("disk:a", Recover::From(position)).await;
    assert_eq!(
        (back.recovered, back.reason, back.offset),
        (Some(false), Some(NotRecovered::EpochChanged), 0)
    );
    assert_eq!(ann.publish("disk:a", "first").await.offset, 1);
    assert_eq!(ann.event().await.offset, Some(1));
}
