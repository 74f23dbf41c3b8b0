//! Many shards at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::world::{World, channel};

const SHARDS: u64 = 4;

#[test]
fn shards_that_come_and_go_at_once_leave_nothing_behind() {
    let world = &World::new();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ticker = scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                world.presence.tick(world.now + Duration::from_millis(50));
            }
        });
        let shards: Vec<_> = (0..SHARDS)
            .map(|shard| scope.spawn(move || come_and_go(world, shard)))
            .collect();
        shards
            .into_iter()
            .for_each(|shard| shard.join().expect("a shard goes on to its end"));
        is_over.store(true, Ordering::Release);
        ticker.join().expect("the ticker goes on to its end");
    });
    while let Some(at) = world.presence.next_tick() {
        world.presence.tick(at);
    }
    assert_eq!(world.kept(), 0);
}

/// Sessions wander from shard to shard: each is resumed by the next one, in turn with the others.
fn come_and_go(world: &World, shard: u64) {
    for round in 0..2_000 {
        let number = round % 16;
        let (session, user, owner) = (
            format!("s{number}"),
            format!("user{}", number / 2),
            round * SHARDS + shard,
        );
        world.attach(&session, owner);
        for at in ["room", "attic", "hall"] {
            world.join(at, &user, &session, owner);
            world.set_state(at, &user, &round.to_string());
        }
        assert!(world.presence.counts(&channel("room")).1 <= 16);
        world.snapshot("attic");
        world.leave("hall", &session, owner);
        match round % 3 {
            0 => world.end(&session, owner),
            _ => world.detach(&session, owner),
        }
    }
}
