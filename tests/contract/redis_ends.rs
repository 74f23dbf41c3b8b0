//! A channel to which nobody writes for long ends in Redis: all of it at once, and what comes after is never taken for it. What was
//! never written has another epoch each hour, and who waits there notices nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parlor::broker::Range;
use parlor::hub::ShardId;
use parlor::kind::Durability;
use parlor_protocol::command::Recover;
use parlor_protocol::reply::NotRecovered;
use parlor_protocol::{Form, Tag};
use parlor_tests::{Client, Redis, Setup, eventually};

use crate::listener::Listener;
use crate::redis::{config_of, on_server, over_counting, stream_key, tear, wait_for_heartbeats};

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

/// So many seconds pass for what the metas of all partitions say of the epochs of unwritten channels.
const PASS_EVERYWHERE: &str = r"
for _, key in ipairs(redis.call('KEYS', '*}:meta')) do
  local began = struct.unpack('>I5', redis.call('GET', key), 53)
  redis.call('SETRANGE', key, '52', struct.pack('>I5', began - tonumber(ARGV[1])))
end
";

/// As long as one epoch of unwritten channels holds.
const EPOCH_SECONDS: &str = "3600";

/// Unwritten channels get another epoch, and the nodes hear of it.
fn pass_an_epoch(server: &Redis) {
    server.ask(&["EVAL", PASS_EVERYWHERE, "0", EPOCH_SECONDS]);
    wait_for_heartbeats(server, 1);
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_event_reaches_who_waited_for_it_through_several_epochs() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    let listener = Listener::join(&subject, 0, "room").await;
    for _ in 0..3 {
        pass_an_epoch(&server);
    }
    let first = subject.publish("room", 1).await[0].position;
    assert_ne!(first.epoch, listener.position.epoch);
    let pull = listener.channel().pull(ShardId(0), listener.position, 0);
    assert!(!pull.epoch_changed);
    let came: Vec<_> = pull.entries.iter().map(|entry| entry.position()).collect();
    assert_eq!(came, [first]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_channel_stays_the_same_through_epochs_and_a_hole() {
    let server = Redis::start();
    let (subject, stats) = over_counting(config_of(&server.url(), "hole"));
    let listener = Listener::join(&subject, 0, "room").await;
    for _ in 0..2 {
        pass_an_epoch(&server);
    }
    tear(&server);
    eventually("a hole", || {
        (stats.holes.load(Ordering::Relaxed) > 0).then_some(())
    });
    pass_an_epoch(&server);
    let first = subject.publish("room", 1).await[0].position;
    let pull = eventually("the first event", || {
        let pull = listener.channel().pull(ShardId(0), listener.position, 0);
        (pull.epoch_changed || !pull.entries.is_empty()).then_some(pull)
    });
    assert!(!pull.epoch_changed);
    let came: Vec<_> = pull.entries.iter().map(|entry| entry.position()).collect();
    assert_eq!(came, [first]);
    assert_eq!(stats.epoch_changes.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_of_an_empty_channel_notices_no_new_epoch() {
    let redis = Redis::start();
    let setup = Setup::new(Form::Json, 1).on_redis(&redis.url());
    let server = setup.start().await;
    let mut ann = server.join("ann").await;
    let began = ann.subscribe("disk:a").await.position;
    for _ in 0..2 {
        pass_an_epoch(&redis);
    }
    let mut bob = server.join("bob").await;
    let present = bob.subscribe("disk:a").await.position;
    assert_ne!(
        present, began,
        "who comes later is told a position that others know"
    );
    bob.publish("disk:a", "first").await;
    // Anything else that comes is not an event.
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.event().await.offset, Some(1));
    }
    // One who had waited all the time, and has another connection now.
    bob.unsubscribe("disk:a").await;
    let back = bob.resume("disk:a", Recover::From(began)).await;
    assert_eq!((back.recovered, back.from), (Some(true), Some(1)));
    assert_eq!(bob.event().await.offset, Some(1));
}

/// Comes, and goes with the position that was told.
async fn visit(client: &mut Client, channel: &str) -> String {
    let position = client.subscribe(channel).await.position;
    client.unsubscribe(channel).await;
    position
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_an_epoch_later_missed_what_was_said_and_two_later_is_not_sure() {
    let redis = Redis::start();
    let setup = Setup::new(Form::Json, 1).on_redis(&redis.url());
    let server = setup.start().await;
    let mut ann = server.join("ann").await;
    let written = visit(&mut ann, "disk:written").await;
    let silent = visit(&mut ann, "disk:silent").await;
    pass_an_epoch(&redis);
    let back = ann
        .resume("disk:silent", Recover::From(silent.clone()))
        .await;
    assert_eq!((back.recovered, back.offset), (Some(true), 0));
    ann.unsubscribe("disk:silent").await;
    assert_eq!(ann.publish("disk:written", "first").await.offset, 1);
    let back = ann
        .resume("disk:written", Recover::From(written.clone()))
        .await;
    assert_eq!((back.recovered, back.from), (Some(true), Some(1)));
    assert_eq!(ann.event().await.offset, Some(1));
    ann.unsubscribe("disk:written").await;
    pass_an_epoch(&redis);
    // Something may have been said and have ended since.
    for (channel, position) in [("disk:written", written), ("disk:silent", silent)] {
        let back = ann.resume(channel, Recover::From(position)).await;
        assert_eq!(
            (back.recovered, back.reason),
            (Some(false), Some(NotRecovered::EpochChanged)),
            "{channel}"
        );
    }
}
