//! What Redis can lose, and what everybody is told: never less than what is gone, and nothing where nothing is gone.

use std::sync::Arc;
use std::time::Duration;

use parlor::broker::{Append, Error};
use parlor::hub::ShardId;
use parlor::kind::Durability;
use parlor_protocol::Position;
use parlor_tests::{Proxy, Redis, RedisOptions, eventually};

use crate::listener::Listener;
use crate::redis::{append_again, calls, config_of, on_address, on_server, over, stream_key};
use crate::subject::{Subject, name};

async fn append(subject: &Subject, channel: &str) -> Position {
    subject
        .append(subject.message(channel, "x"))
        .await
        .unwrap()
        .position
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_begins_new_epochs_and_says_what_is_gone() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    let listener = Listener::join(&subject, 0, "room").await;
    let mut before = listener.position;
    for _ in 0..5 {
        before = append(&subject, "room").await;
    }
    server.flush_all();
    let after = append_again(&subject, "room").await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.offset, 1, "a new life starts at the beginning");
    listener.until_lost(1..=5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_kept_everything_disturbs_nobody() {
    let server = Arc::new(Redis::start_with(
        RedisOptions::default().appendonly("always"),
    ));
    let subject = on_server(&server, Durability::Disk);
    let mut listener = Listener::join(&subject, 0, "room").await;
    for round in 1..=3 {
        append_again(&subject, "room").await;
        server.kill();
        server.restart();
        let after = append_again(&subject, "room").await;
        assert_eq!(after.offset, round * 2);
        listener.read_to(round * 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_never_used_a_partition_costs_its_channels_nothing() {
    let server = Redis::start_with(RedisOptions::default().appendonly("always"));
    let node = || over(config_of(&server.url(), "idle"));
    let (used, idle) = (node(), node());
    let mut listener = Listener::join(&used, 0, "room").await;
    let before = append(&used, "room").await;
    // Somewhere: it takes part.
    append(&idle, "elsewhere").await;
    server.kill();
    server.restart();
    let after = append_again(&used, "room").await;
    assert_eq!(after.epoch, before.epoch);
    listener.read_to(after.offset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trimmed_stream_is_read_back_from_the_logs() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    let mut listener = Listener::join(&subject, 0, "room").await;
    for _ in 0..10 {
        let link = subject.clone();
        // The tail is held up while its stream is trimmed behind what it has.
        server.ask(&["CLIENT", "PAUSE", "60", "WRITE"]);
        let appended = tokio::spawn(async move { link.publish("room", 20).await });
        appended.await.unwrap();
        server.ask(&["XTRIM", &stream_key([&*server], "room"), "MAXLEN", "0"]);
    }
    append(&subject, "room").await;
    assert_eq!(
        listener.read_to(201).await.len(),
        201,
        "every event, once, in order"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_that_lagged_begins_new_epochs_only_where_something_is_gone() {
    let primary = Redis::start();
    let replica = primary.start_replica();
    // What leads to the primary of the moment, as a virtual address would.
    let proxy = Proxy::start(primary.address());
    let subject = on_address(proxy.address());
    let mut untouched = Listener::join(&subject, 0, "quiet").await;
    let hit = Listener::join(&subject, 1, "room").await;
    let quiet = append(&subject, "quiet").await;
    for _ in 0..3 {
        append(&subject, "room").await;
    }
    replica.wait_until_level_with(&primary);
    replica.cut();
    let mut before = quiet;
    for _ in 0..4 {
        before = append(&subject, "room").await;
    }
    assert_eq!(before.offset, 7);
    primary.kill();
    replica.promote();
    proxy.lead_to(replica.address());
    let after = append_again(&subject, "room").await;
    assert_ne!(after.epoch, before.epoch, "acknowledged events are gone");
    assert_eq!(
        after.offset, 4,
        "the survivors are the new life's first events"
    );
    hit.until_lost(4..=7).await;
    let next = append(&subject, "quiet").await;
    assert_eq!(
        (next.epoch, next.offset),
        (quiet.epoch, 2),
        "nothing of this channel is gone"
    );
    untouched.read_to(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_lagging_replica_does_not_bring_back_an_epoch_that_the_first_one_ended() {
    let primary = Redis::start();
    let (first, second) = (primary.start_replica(), primary.start_replica());
    let proxy = Proxy::start(primary.address());
    let subject = on_address(proxy.address());
    let listener = Listener::join(&subject, 0, "room").await;
    append(&subject, "room").await;
    for replica in [&first, &second] {
        replica.wait_until_level_with(&primary);
        replica.cut();
    }
    let lost = append(&subject, "room").await;
    primary.kill();
    first.promote();
    proxy.turn_to(first.address());
    listener.until_lost(2..=2).await;
    first.kill();
    second.promote();
    proxy.turn_to(second.address());
    let after = append_again(&subject, "room").await;
    assert_eq!(after.offset, 2);
    assert_ne!(after.epoch, lost.epoch, "the place names two events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_knows_the_life_before_does_not_end_the_new_one() {
    let primary = Redis::start();
    let lines = [(); 2].map(|()| Proxy::start(primary.address()));
    let node = |line: &Proxy| over(config_of(&format!("redis://{}", line.address()), "lives"));
    let (before, behind) = (node(&lines[0]), node(&lines[1]));
    let (first, silent) = (primary.start_replica(), primary.start_replica());
    // While a replica confirms nothing, nobody forgets what it acknowledged.
    silent.freeze();
    append_again(&before, "room").await;
    first.wait_until_level_with(&primary);
    first.cut();
    append(&behind, "room").await;
    primary.kill();
    first.promote();
    let (second, silent) = (first.start_replica(), first.start_replica());
    silent.freeze();
    // The one finds what it knows, and only then the other ends this life.
    lines[0].turn_to(first.address());
    wait_for_a_word(&first, &stream_key([&first], "room").replace("}:s", "}:w"));
    lines[1].turn_to(first.address());
    let born = append_again(&behind, "room").await;
    assert_eq!(born.offset, 2, "the second event was lost");
    second.wait_until_level_with(&first);
    second.cut();
    // It is lost, so that its node looks at all that it knows; of the room that is the life before.
    append_again(&before, "elsewhere").await;
    first.kill();
    second.promote();
    lines.iter().for_each(|line| line.turn_to(second.address()));
    append_again(&before, "elsewhere").await;
    let after = append_again(&behind, "room").await;
    assert_eq!(after.epoch, born.epoch, "nothing of the room was lost");
}

/// Channels in which somebody waits while nothing happens.
const QUIET: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_floor_costs_one_look_into_the_stream_for_all_quiet_channels() {
    let server = Redis::start_with(RedisOptions::default().appendonly("always"));
    let lines = [(); 2].map(|()| Proxy::start(server.address()));
    let node = |line: &Proxy| over(config_of(&format!("redis://{}", line.address()), "quiet"));
    let (stays, dies) = (node(&lines[0]), node(&lines[1]));
    let channels: Vec<_> = (0..QUIET).map(|index| format!("room:{index}")).collect();
    for channel in &channels {
        append_again(&dies, channel).await;
    }
    let mut quiet = Vec::new();
    for channel in &channels {
        let live = stays.hub.enter(&name(channel), ShardId(0));
        let top = stays.broker.join(&name(channel), &stays.kind).await;
        quiet.push((live.learn_top(top.unwrap()), live));
    }
    // Nothing is lost, and the verdict misses a node that may know of more.
    lines[1].cut();
    server.kill();
    server.restart();
    for (before, live) in &quiet {
        eventually("a new life", || {
            (live.top()?.epoch != before.epoch).then_some(())
        });
    }
    // Each batch looks, too.
    let looks = calls(&server, "xrevrange");
    assert!(looks < QUIET as u64, "{looks} looks");
}

/// Waits until a node has looked for all that it knows of a partition, given where nodes leave their word.
fn wait_for_a_word(server: &Redis, words: &str) {
    eventually("a node to have spoken", || {
        let said: Vec<String> = redis::from_redis_value(server.ask(&["HVALS", words])).ok()?;
        said.iter().any(|word| word == "done").then_some(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicated_without_its_replicas_is_not_acknowledged() {
    let server = Arc::new(Redis::start());
    let replica = server.start_replica();
    let subject = on_server(&server, Durability::Replicated);
    let first = append_again(&subject, "room").await;
    assert_eq!(first.offset, 1);
    replica.freeze();
    let publish = || {
        subject.append(Append {
            dedup: crate::subject::dedup("u:ann", "7"),
            ..subject.message("room", "y")
        })
    };
    // The second time it is there already, and no safer than before.
    for attempt in ["first", "retry"] {
        let refused = publish().await;
        assert!(
            matches!(refused, Err(Error::Unavailable { .. })),
            "{attempt}: {refused:?}"
        );
    }
    replica.thaw();
    let again = publish().await.unwrap();
    assert!(
        again.duplicate,
        "the unknown outcome became known: it was there, and now it is confirmed"
    );
    assert_eq!(subject.log("room").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_has_just_come_must_confirm_too() {
    let server = Arc::new(Redis::start());
    let _first = server.start_replica();
    let subject = on_server(&server, Durability::Replicated);
    append_again(&subject, "room").await;
    let second = server.start_replica();
    second.freeze();
    let refused = subject.append(subject.message("room", "x")).await;
    assert!(
        matches!(refused, Err(Error::Unavailable { .. })),
        "{refused:?}: the second may be promoted without it"
    );
    second.thaw();
    append_again(&subject, "room").await;
}

impl Listener {
    /// Waits until the channel stands in another epoch and says that these offsets are gone.
    pub(crate) async fn until_lost(&self, offsets: std::ops::RangeInclusive<u64>) {
        let epoch = self.position.epoch;
        let channel = self.channel();
        let waited = tokio::time::timeout(Duration::from_secs(10), async {
            while channel.top().is_none_or(|top| top.epoch == epoch) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("the channel was never told");
        assert_eq!(channel.lost(epoch), Some(offsets), "in {}", channel.name());
    }
}
