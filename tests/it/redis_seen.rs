//! What an operator sees of Redis from a node's side: its metrics and its log.

use parlor_tests::{Cli, Figures, Redis, in_both_forms, in_time};

/// Reads until a counter has grown beyond a value.
async fn grown(figures: &Figures, name: &str, beyond: u64) {
    let growth = async {
        while figures.read(name).await <= beyond {
            tokio::task::yield_now().await;
        }
    };
    in_time(name, growth).await;
}

#[test]
fn what_goes_through_redis_is_counted() {
    in_both_forms(async |at| {
        let redis = Redis::start();
        let server = at.setup().on_redis(&redis.url()).start().await;
        let figures = server.figures();
        let mut ann = server.join("ann").await;
        ann.subscribe("disk:a").await;
        let batches = figures.read("parlor_redis_batches_total").await;
        let timed = figures.read("parlor_broker_commit_seconds_count").await;
        ann.publish_many("disk:a", 0..5).await;
        ann.events(5).await;
        assert!(figures.read("parlor_redis_batches_total").await > batches);
        let newly_timed = figures.read("parlor_broker_commit_seconds_count").await - timed;
        assert!(newly_timed >= 5, "{newly_timed}");
        assert!(figures.read("parlor_broker_appends_total").await >= 5);
        assert!(figures.read("parlor_redis_entries_total").await > 0);
        assert!(figures.read("parlor_redis_dials_total").await > 0);
    });
}

#[test]
fn channels_that_began_a_new_life_are_counted() {
    in_both_forms(async |at| {
        let redis = Redis::start();
        let server = at.setup().on_redis(&redis.url()).start().await;
        let figures = server.figures();
        let mut ann = server.join("ann").await;
        ann.subscribe("disk:a").await;
        ann.publish_many("disk:a", 0..5).await;
        ann.events(5).await;
        let changes = figures.read("parlor_redis_epoch_changes_total").await;
        redis.flush_all();
        grown(figures, "parlor_redis_epoch_changes_total", changes).await;
    });
}

#[tokio::test]
async fn a_node_says_why_redis_takes_nothing_and_when_that_is_over() {
    let redis = Redis::start();
    let url = format!("redis.url={}", redis.url());
    let mut node = Cli::run(&[
        "dev",
        "--memory",
        "--port",
        "0",
        "--set",
        &url,
        "--set",
        "log.filter=info",
    ]);
    node.error_with("Joined the other nodes on Redis").await;
    // Heartbeats are appended too: nobody needs to publish.
    redis.set_config("maxmemory", "1");
    let line = node.error_with("Unable to append to Redis").await;
    assert!(line.contains("OOM"), "{line}");
    redis.set_config("maxmemory", "0");
    node.error_with("Redis takes appends again").await;
}
