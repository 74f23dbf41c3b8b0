//! Dead nodes: nobody waits for them when their lease is over, and for who comes back everybody does.

use futures_util::future::join_all;
use parlor_tests::{Proxy, Redis, eventually};

use crate::redis::{append_again, config_of, over, stream_key, wait_for_heartbeats};
use crate::subject::Subject;

/// Two nodes on one Redis, each with a line of its own.
struct Pair {
    server: Redis,
    lines: [Proxy; 2],
    nodes: [Subject; 2],
    /// Whom the partition of `room` waits for.
    members: String,
}

impl Pair {
    async fn start() -> Self {
        let server = Redis::start();
        let lines = [(); 2].map(|()| Proxy::start(server.address()));
        let node = |line: &Proxy| over(config_of(&format!("redis://{}", line.address()), "pair"));
        let nodes = [node(&lines[0]), node(&lines[1])];
        for node in &nodes {
            append_again(node, "room").await;
        }
        let members = stream_key([&server], "room").replace("}:s", "}:n");
        let pair = Self {
            server,
            lines,
            nodes,
            members,
        };
        assert_eq!(pair.members(), Some(2));
        pair
    }

    fn members(&self) -> Option<usize> {
        let count = self.server.try_ask(&["HLEN", &self.members]).ok()?;
        redis::from_redis_value(count).ok()
    }

    fn wait_for_members(&self, count: usize) {
        eventually("other members", || (self.members()? == count).then_some(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_given_up_is_waited_for_again_before_it_appends() {
    let pair = Pair::start().await;
    pair.lines[1].cut();
    pair.wait_for_members(1);
    pair.lines[1].heal();
    append_again(&pair.nodes[1], "room").await;
    assert_eq!(pair.members(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_that_could_not_be_cleared_away_is_cleared_away_later() {
    let pair = Pair::start().await;
    pair.server.ask(&["ACL", "SETUSER", "default", "-hdel"]);
    pair.lines[1].cut();
    wait_for_heartbeats(&pair.server, 60);
    assert_eq!(pair.members(), Some(2), "it could not be cleared");
    pair.server.ask(&["ACL", "SETUSER", "default", "+hdel"]);
    pair.wait_for_members(1);
}

/// More than a node remembers the newest entries of, where there is one partition, as `docs/cluster.md` tells it.
const CHANNELS: usize = 16_001;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_after_its_stream_was_trimmed_costs_no_channel_its_epoch() {
    let pair = Pair::start().await;
    let [other, away] = &pair.nodes;
    let publish = |index| {
        let message = away.message(&format!("room:{index}"), "x");
        away.broker.append(message)
    };
    let published = join_all((0..CHANNELS).map(publish)).await;
    let published: Vec<_> = published.into_iter().map(Result::unwrap).collect();
    let before = published[0].position;
    pair.lines[1].cut();
    pair.wait_for_members(1);
    // The stream goes on, and the newest entry that it knows is there no more.
    append_again(other, "elsewhere").await;
    let stream = pair.members.replace("}:n", "}:s");
    pair.server.ask(&["XTRIM", &stream, "MAXLEN", "0"]);
    pair.lines[1].heal();
    let after = append_again(away, "room:0").await;
    assert_eq!((after.epoch, after.offset), (before.epoch, 2));
}
