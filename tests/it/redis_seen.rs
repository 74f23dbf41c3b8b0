//! What an operator sees of Redis from a node's side: its metrics and its log.

use parlor_protocol::Form;
use parlor_protocol::command::Command;
use parlor_tests::{
    At, Cli, Client, Figures, Flow, Proxy, Redis, RedisSentinel, Server, Setup, eventually,
    in_both_forms, in_time, publish, text,
};

const BATCHES: &str = "parlor_redis_batches_total";
const DIALS: &str = "parlor_redis_dials_total";
const ENTRIES: &str = "parlor_redis_entries_total";
const LOST: &str = "parlor_redis_lost_events_total";
const RETRIES: &str = "parlor_redis_retries_total";

/// A Redis that is no Cluster has one partition.
const TAIL_LAG: &str = "parlor_redis_tail_lag{partition=\"0\"}";

/// A server on a Redis of its own, and somebody who listens there.
async fn start(at: At) -> (Redis, Server, Client) {
    let redis = Redis::start();
    let server = at.setup().on_redis(&redis.url()).start().await;
    let mut ann = server.join("ann").await;
    ann.subscribe("disk:a").await;
    (redis, server, ann)
}

#[test]
fn what_goes_through_redis_is_counted() {
    in_both_forms(async |at| {
        let (_redis, server, mut ann) = start(at).await;
        let figures = server.figures();
        let batches = figures.read(BATCHES).await;
        let timed = figures.read("parlor_broker_commit_seconds_count").await;
        ann.publish_many("disk:a", 0..5).await;
        ann.events(5).await;
        assert!(figures.read(BATCHES).await > batches);
        let newly_timed = figures.read("parlor_broker_commit_seconds_count").await - timed;
        assert!(newly_timed >= 5, "{newly_timed}");
        assert!(figures.read("parlor_broker_appends_total").await >= 5);
        assert!(figures.read(ENTRIES).await > 0);
        let forgotten_early = figures
            .read("parlor_broker_ids_forgotten_early_total")
            .await;
        assert_eq!(forgotten_early, 0);
    });
}

/// How many publishes were carried by batches, and how many batches carried any.
async fn carried(figures: &Figures) -> (u64, u64) {
    let publishes = figures.read("parlor_redis_batch_publishes_sum").await;
    let batches = figures.read("parlor_redis_batch_publishes_count").await;
    (publishes, batches)
}

#[test]
fn batches_are_told_by_how_many_publishes_they_carry() {
    in_both_forms(async |at| {
        let (_redis, server, mut ann) = start(at).await;
        let figures = server.figures();
        let before = carried(figures).await;
        let batches = figures.read(BATCHES).await;
        // A node at rest appends heartbeats.
        figures.pass(BATCHES, batches + 1).await;
        assert_eq!(carried(figures).await, before);
        ann.publish_many("disk:a", 0..5).await;
        let after = carried(figures).await;
        assert_eq!(after.0 - before.0, 5);
        let newly = after.1 - before.1;
        assert!((1..=5).contains(&newly), "{newly}");
    });
}

#[test]
fn a_node_that_cannot_read_shows_how_far_it_is_behind() {
    in_both_forms(async |at| {
        let (redis, server, _ann) = start(at).await;
        let other = at.setup().on_redis(&redis.url()).start().await;
        let mut bob = other.join("bob").await;
        let figures = server.figures();
        until_shown(figures, TAIL_LAG, true).await;
        // Also at rest there is something to deliver: heartbeats.
        let entries = figures.read(ENTRIES).await;
        figures.pass(ENTRIES, entries + 1).await;
        figures.reach(TAIL_LAG, 0).await;
        // The tails are the only ones that use this.
        redis.ask(&["ACL", "SETUSER", "default", "-xread"]);
        // One after the other, so that each is an entry of its own. A read that waits already may still bring some.
        for number in 0..40 {
            bob.publish("disk:a", number).await;
        }
        figures.pass(TAIL_LAG, 30).await;
        redis.ask(&["ACL", "SETUSER", "default", "+xread"]);
        figures.reach(TAIL_LAG, 0).await;
    });
}

#[test]
fn a_line_that_breaks_is_counted_by_what_is_dialled_and_sent_again() {
    in_both_forms(async |at| {
        let redis = Redis::start();
        let line = Proxy::start(redis.address());
        let setup = at.setup().on_redis(&redis.url_at(line.address()));
        let server = setup.start().await;
        let other = at.setup().on_redis(&redis.url()).start().await;
        let mut ann = server.join("ann").await;
        let mut bob = other.join("bob").await;
        bob.subscribe("disk:a").await;
        let figures = server.figures();
        // Something came back on every path: all connections are made.
        figures.reach("parlor_broker_healthy", 1).await;
        let dials = figures.read(DIALS).await;
        let retries = figures.read(RETRIES).await;
        line.down(Flow::Stall);
        let wish = Command::Publish(publish("disk:a", text("x")));
        let asked = ann.send(wish).await;
        // Redis has taken it, and the answer is on its way.
        bob.event().await;
        line.refuse();
        eventually("the connections to have ended", || {
            // One may have been under way.
            line.reset();
            (line.connections() == 0).then_some(())
        });
        line.heal();
        ann.reply(asked).await.expect("published");
        // One for appends, one for reads, one that follows the stream.
        figures.pass(DIALS, dials + 2).await;
        figures.pass(RETRIES, retries).await;
    });
}

#[tokio::test]
async fn events_that_a_failover_lost_are_counted() {
    let primary = Redis::start();
    let replica = primary.start_replica();
    // It leads to the primary of the moment, as a virtual address would.
    let line = Proxy::start(primary.address());
    let server = Setup::new(Form::Json, 1).on_redis(&primary.url_at(line.address()));
    let server = server.start().await;
    let mut ann = server.join("ann").await;
    ann.publish_many("disk:a", 0..3).await;
    replica.wait_until_level_with(&primary);
    replica.cut();
    ann.publish_many("disk:a", 3..7).await;
    let lost = server.figures().read(LOST).await;
    primary.kill();
    replica.promote();
    line.turn_to(replica.address());
    server.figures().reach(LOST, lost + 4).await;
}

#[test]
fn channels_that_began_a_new_life_are_counted() {
    in_both_forms(async |at| {
        let (redis, server, mut ann) = start(at).await;
        let figures = server.figures();
        ann.publish_many("disk:a", 0..5).await;
        ann.events(5).await;
        let changes = figures.read("parlor_redis_epoch_changes_total").await;
        redis.flush_all();
        figures
            .pass("parlor_redis_epoch_changes_total", changes)
            .await;
    });
}

/// The age of the probe through one Redis, by the whole name of its figure.
fn probe_age(redis: &Redis) -> String {
    let address = redis.address();
    format!("parlor_redis_probe_age_milliseconds{{redis=\"{address}\"}}")
}

/// Waits until the page shows this figure, or no longer does.
async fn until_shown(figures: &Figures, name: &str, is_shown: bool) {
    let as_wanted = async {
        while figures.try_read(name).await.is_some() != is_shown {
            tokio::task::yield_now().await;
        }
    };
    in_time(&format!("{name}: {is_shown}"), as_wanted).await;
}

#[tokio::test]
async fn a_redis_that_is_silent_shows_how_long() {
    let redis = Redis::start();
    let server = Setup::new(Form::Json, 1).on_redis(&redis.url());
    let server = server.start().await;
    let (figures, age) = (server.figures(), probe_age(&redis));
    until_shown(figures, &age, true).await;
    redis.freeze();
    figures.pass(&age, 2_000).await;
    redis.thaw();
}

#[tokio::test]
async fn the_probe_is_shown_of_the_redis_that_is_used_and_of_no_other() {
    let group = RedisSentinel::start(1);
    let server = Setup::new(Form::Json, 1).on_redis(&group.url());
    let server = server.start().await;
    let old = group.primary();
    until_shown(server.figures(), &probe_age(old), true).await;
    old.kill();
    let new = group.wait_for_primary_other_than(old);
    until_shown(server.figures(), &probe_age(new), true).await;
    until_shown(server.figures(), &probe_age(old), false).await;
}

#[tokio::test]
async fn a_node_says_why_redis_takes_nothing_and_when_that_is_over() {
    let redis = Redis::start();
    let mut node = Cli::node_on(&redis.url(), &["--set", "log.filter=info"]);
    node.error_with("Joined the other nodes on Redis").await;
    // Heartbeats are appended too: nobody needs to publish.
    redis.set_config("maxmemory", "1");
    let line = node.error_with("Unable to append to Redis").await;
    assert!(line.contains("OOM"), "{line}");
    redis.set_config("maxmemory", "0");
    node.error_with("Redis takes appends again").await;
}
