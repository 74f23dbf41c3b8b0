//! Primaries that others replaced: what they still take must not become known, and what a verdict ended stays ended.

use parlor_protocol::Position;
use parlor_tests::{Proxy, Redis, eventually};

use crate::listener::Listener;
use crate::redis::{
    append_again, calls, config_of, on_address, over, stream_key, wait_for_heartbeats,
};
use crate::subject::Subject;

/// Adds what a node would have appended: the channel's second event, under this tag.
const FORGE: &str = r"
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  local frames, next_at = entry[2][2], 1
  while next_at <= #frames do
    local head_len, body_len, at = string.match(frames, '^(%d+) (%d+) ()', next_at)
    next_at = at + head_len + body_len
    local head = string.sub(frames, at, at + head_len - 1)
    local body = string.sub(frames, at + head_len, next_at - 1)
    local epoch, tag, time, origin = string.match(head, '^L room 1 (%x+) (%x+) (%d+) 1 %x+ (.*)$')
    if epoch then
      head = 'L room 2 ' .. epoch .. ' ' .. ARGV[1] .. ' ' .. time .. ' 2 ' .. tag .. ' ' .. origin
      local id = tonumber(string.match(last[1], '^%d+')) + 1 .. '-0'
      return redis.call('XADD', KEYS[1], id, 'B1 ' .. ARGV[1] .. ' ' .. string.sub(last[2][1], 4, 19),
        #head .. ' ' .. #body .. ' ' .. head .. body)
    end
  end
end
return redis.error_reply('no event to copy')
";

/// Ends all connections but those that are blocked in reading a stream.
fn end_all_but_readers(server: &Redis) {
    let clients = server.ask(&["CLIENT", "LIST", "TYPE", "normal"]);
    let clients: String = redis::from_redis_value(clients).unwrap();
    for client in clients.lines().filter(|line| !line.contains(" cmd=xread")) {
        let id = client.split([' ', '=']).nth(1).unwrap();
        // The one that asked is gone.
        let _gone = server.try_ask(&["CLIENT", "KILL", "ID", id]);
    }
}

/// Waits until the partition of a channel is settled on this Redis.
fn wait_until_settled(server: &Redis, meta: &str) {
    let run = server.info("run_id").unwrap();
    eventually("the partition to be settled", || {
        let script = format!("return string.find(redis.call('GET', KEYS[1]), '{run}', 1, true)");
        let found = server.try_ask(&["EVAL", &script, "1", meta]).ok()?;
        redis::from_redis_value::<Option<u64>>(found).ok()?
    });
}

/// A node that reaches a primary with one replica through a proxy.
struct Line {
    old: Redis,
    new: Redis,
    proxy: Proxy,
    subject: Subject,
}

impl Line {
    fn start() -> Self {
        let old = Redis::start();
        let new = old.start_replica();
        let proxy = Proxy::start(old.address());
        let subject = on_address(proxy.address());
        Self {
            old,
            new,
            proxy,
            subject,
        }
    }
}

/// Leads the node to the deposed primary until it has asked there more than so often.
fn visit(old: &Redis, proxy: &Proxy, scripts: u64) {
    let asked = calls(old, "evalsha");
    proxy.turn_to(old.address());
    eventually("the deposed primary to be asked", || {
        (calls(old, "evalsha") > asked + scripts).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deposed_primary_takes_is_not_delivered_once_its_node_has_spoken_to_another() {
    let Line {
        old,
        new,
        proxy,
        subject,
    } = Line::start();
    let mut listener = Listener::join(&subject, 0, "room").await;
    append_again(&subject, "room").await;
    listener.read_to(1).await;
    new.wait_until_level_with(&old);
    let stream = stream_key([&old], "room");
    new.promote();
    // Appends go to the new one; the tail's connection to the old one lives on, and so does the old one.
    proxy.lead_to(new.address());
    end_all_but_readers(&old);
    wait_until_settled(&new, &stream.replace("}:s", "}:meta"));
    old.ask(&["EVAL", FORGE, "1", &stream, "00000000deadbeef"]);
    let after = append_again(&subject, "room").await;
    assert_eq!(after.offset, 2);
    let delivered = listener.read_to(2).await;
    assert_eq!(delivered[0].tag, after.tag, "the place names two events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_led_back_to_the_old_primary_goes_on_there_after_another_verdict() {
    let Line {
        old,
        new,
        proxy,
        subject,
    } = Line::start();
    append_again(&subject, "room").await;
    new.wait_until_level_with(&old);
    new.promote();
    proxy.turn_to(new.address());
    let lost = append_again(&subject, "room").await;
    proxy.turn_to(old.address());
    let after = append_again(&subject, "room").await;
    assert_eq!(after.offset, 2);
    assert_ne!(after.epoch, lost.epoch, "the place names two events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_led_to_a_deposed_primary_for_a_moment_tells_nobody_of_a_loss() {
    let Line {
        old,
        new,
        proxy,
        subject,
    } = Line::start();
    let mut listener = Listener::join(&subject, 0, "room").await;
    append_again(&subject, "room").await;
    new.wait_until_level_with(&old);
    new.promote();
    proxy.turn_to(new.address());
    let before = append_again(&subject, "room").await;
    listener.read_to(2).await;
    visit(&old, &proxy, 8);
    assert_eq!(listener.channel().lost(before.epoch), None);
    proxy.turn_to(new.address());
    let after = append_again(&subject, "room").await;
    assert_eq!(after.epoch, before.epoch);
    listener.read_to(after.offset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_led_to_a_deposed_primary_for_a_moment_goes_on_under_the_same_verdict() {
    let Line {
        old,
        new,
        proxy,
        subject,
    } = Line::start();
    let mut listener = Listener::join(&subject, 0, "room").await;
    append_again(&subject, "room").await;
    new.wait_until_level_with(&old);
    let meta = stream_key([&old], "room").replace("}:s", "}:meta");
    new.promote();
    proxy.turn_to(new.address());
    append_again(&subject, "room").await;
    let settled = generation(&new, &meta);
    visit(&old, &proxy, 2);
    // Without a reset: a word that gets no answer may count.
    proxy.lead_to(new.address());
    let after = append_again(&subject, "room").await;
    assert_eq!(generation(&new, &meta), settled, "it was settled anew");
    listener.read_to(after.offset).await;
}

/// Under which generation a partition is settled, given its meta.
fn generation(server: &Redis, meta: &str) -> u64 {
    const READ: &str = "return {struct.unpack('>Bc16c16I6', redis.call('GET', KEYS[1]))}";
    let fields = server.ask(&["EVAL", READ, "1", meta]);
    let fields: Vec<redis::Value> = redis::from_redis_value(fields).unwrap();
    redis::from_redis_value(fields[3].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_other_replica_confirmed_is_told_as_lost() {
    let old = Redis::start();
    let (new, other) = (old.start_replica(), old.start_replica());
    let proxy = Proxy::start(old.address());
    let subject = on_address(proxy.address());
    let listener = Listener::join(&subject, 0, "room").await;
    append_again(&subject, "room").await;
    new.wait_until_level_with(&old);
    // From here on the old primary is alone with the other one.
    new.promote();
    append_again(&subject, "room").await;
    other.wait_until_level_with(&old);
    // With each heartbeat the node looks how far the replicas are.
    wait_for_heartbeats(&old, 8);
    proxy.turn_to(new.address());
    append_again(&subject, "room").await;
    listener.until_lost(2..=2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_lagging_replica_does_not_bring_back_what_a_missing_node_ended() {
    let primary = Redis::start();
    let (first, second) = (primary.start_replica(), primary.start_replica());
    let lines = [(); 2].map(|()| Proxy::start(primary.address()));
    let node = |line: &Proxy| over(config_of(&format!("redis://{}", line.address()), "floor"));
    let (stays, dies) = (node(&lines[0]), node(&lines[1]));
    append_again(&stays, "elsewhere").await;
    append_again(&dies, "room").await;
    for replica in [&first, &second] {
        replica.wait_until_level_with(&primary);
        replica.cut();
    }
    // Nobody else knows of it.
    let lost = append_again(&dies, "room").await;
    lines[1].cut();
    primary.kill();
    first.promote();
    lines[0].turn_to(first.address());
    // Missed by the verdict, then silent for so many heartbeats that nobody waits for it any more.
    wait_for_heartbeats(&first, 50);
    first.kill();
    second.promote();
    lines[0].turn_to(second.address());
    assert_place_has_a_new_name(&stays, lost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_that_began_between_two_verdicts_ends_with_the_next_floor() {
    let primary = Redis::start();
    let first = primary.start_replica();
    let lines = [(); 2].map(|()| Proxy::start(primary.address()));
    let node = |line: &Proxy| over(config_of(&format!("redis://{}", line.address()), "ahead"));
    let (stays, dies) = (node(&lines[0]), node(&lines[1]));
    append_again(&stays, "elsewhere").await;
    append_again(&dies, "room").await;
    // The other settles alone, when this one's lease is over, and on a copy that lacks what this one goes on to append.
    lines[1].cut();
    wait_for_one_member(&primary, &stream_key([&primary], "room"));
    first.wait_until_level_with(&primary);
    first.cut();
    first.promote();
    let second = first.start_replica();
    lines[0].turn_to(first.address());
    append_again(&stays, "elsewhere").await;
    lines[1].heal();
    let gone = append_again(&dies, "room").await;
    assert_eq!(gone.offset, 2);
    // It comes back and names what it misses: the room begins a new life, and there is no verdict.
    lines[1].turn_to(first.address());
    append_again(&dies, "elsewhere").await;
    // So many that the other heard it, too.
    wait_for_heartbeats(&first, 8);
    second.wait_until_level_with(&first);
    second.cut();
    // Nobody else knows of it.
    let lost = append_again(&dies, "room").await;
    assert_eq!(lost.offset, 2);
    assert_ne!(lost.epoch, gone.epoch);
    lines[1].cut();
    first.kill();
    second.promote();
    lines[0].turn_to(second.address());
    assert_place_has_a_new_name(&stays, lost).await;
}

/// The room's next event takes the place of one that was lost, its second, in another life.
async fn assert_place_has_a_new_name(stays: &Subject, lost: Position) {
    let after = append_again(stays, "room").await;
    assert_eq!(after.offset, 2);
    assert_ne!(after.epoch, lost.epoch, "the place names two events");
}

/// Waits until verdicts on a partition wait for one node only, given its stream.
fn wait_for_one_member(server: &Redis, stream: &str) {
    let members = stream.replace("}:s", "}:n");
    eventually("the lease to be over", || {
        let count = server.try_ask(&["HLEN", &members]).ok()?;
        let count: usize = redis::from_redis_value(count).ok()?;
        (count == 1).then_some(())
    });
}
