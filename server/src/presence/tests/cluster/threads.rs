//! Several nodes, each with many shards, a driver and a feed at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use parking_lot::Mutex;

use super::super::super::registry::Errand;
use super::super::super::{Presence, PresenceConfig};
use super::super::world::{channel, entry, json};
use super::registry::{Registry, Told};
use crate::hub::{ConnectionId, Hub};

const SHARDS: u64 = 3;
const ROUNDS: u64 = 400;

#[derive(Default)]
struct Shared {
    registry: Mutex<(Registry, Vec<Told>)>,
    is_over: AtomicBool,
}

impl Shared {
    /// Does what a node's driver does, until it is over and nothing is left to do.
    fn drive(&self, presence: &Presence, now: Instant) {
        let mut cursor = 0;
        loop {
            let was_over = self.is_over.load(Ordering::Acquire);
            let mut is_idle = true;
            while let Some(errand) = presence.errand(now) {
                is_idle = false;
                self.run(presence, errand, now);
            }
            let told = self.registry.lock().1[cursor..].to_vec();
            cursor += told.len();
            is_idle &= told.is_empty();
            for told in told {
                if let Told::Applied {
                    channel,
                    version,
                    applied,
                } = told
                {
                    presence.apply(version, &channel, &applied, now);
                }
            }
            presence.tick(now + Duration::from_secs(1));
            if was_over && is_idle {
                return;
            }
        }
    }

    fn run(&self, presence: &Presence, errand: Errand, now: Instant) {
        match errand {
            Errand::Submit(submission) => {
                {
                    let mut both = self.registry.lock();
                    let (registry, feed) = &mut *both;
                    feed.extend(registry.submit(&submission, now));
                }
                presence.submitted(&submission.channel, Ok(()));
            }
            Errand::Load(load) => {
                let page = self.registry.lock().0.page(&load);
                presence.loaded(load, Ok(page), now);
            }
            Errand::Reap(node) => {
                let outcome = {
                    let mut both = self.registry.lock();
                    let (registry, feed) = &mut *both;
                    let (outcome, told) = registry.reap(&node, now);
                    feed.extend(told);
                    outcome
                };
                presence.reaped(node, Ok(outcome), now);
            }
            Errand::ListNodes => {
                let names = self.registry.lock().0.names();
                presence.listed(Ok(names), now);
            }
            Errand::Release(_) => {}
        }
    }
}

/// Sessions wander from node to node and from shard to shard, in turn with the others.
fn come_and_go(nodes: &[Arc<Presence>], shard: u64, now: Instant) {
    for round in 0..ROUNDS {
        let presence = &nodes[(round % nodes.len() as u64) as usize];
        let number = round % 8;
        let (session, user): (Arc<str>, Arc<str>) = (
            format!("s{number}").into(),
            format!("user{}", number / 2).into(),
        );
        let owner = ConnectionId(round * SHARDS + shard);
        presence.attach(&session, owner, now);
        for at in ["room", "attic"] {
            presence.join(&channel(at), owner, &entry(&user, &session), now);
            let _not_present = presence.set_state(&channel(at), &user, Some(json("1")));
        }
        let interest = presence.watch(&channel("room"));
        let _not_yet = presence.ready(&channel("attic"), now).now_or_never();
        let _not_yet = presence.snapshot(&channel("room"), 10, None);
        if round % 50 == 0 {
            presence.reincarnate();
            presence.resync(|_| true);
        }
        presence.leave(&channel("attic"), owner, &session, now);
        drop(interest);
        presence.end(&session, owner, now);
    }
}

#[test]
fn nodes_and_shards_that_come_and_go_at_once_leave_nothing_behind() {
    let (shared, now) = (Shared::default(), Instant::now());
    let nodes: Vec<_> = ["aa", "bb"]
        .map(|process| {
            let hub = Arc::new(Hub::new(1));
            let presence = Presence::shared(PresenceConfig::default(), hub, process, now);
            presence.set_healthy(true, now);
            Arc::new(presence)
        })
        .into();
    std::thread::scope(|scope| {
        let drivers: Vec<_> = nodes
            .iter()
            .map(|node| scope.spawn(|| shared.drive(node, now)))
            .collect();
        let shards: Vec<_> = (0..SHARDS)
            .map(|shard| {
                let nodes = &nodes;
                scope.spawn(move || come_and_go(nodes, shard, now))
            })
            .collect();
        for shard in shards {
            shard.join().expect("a shard goes on to its end");
        }
        shared.is_over.store(true, Ordering::Release);
        for driver in drivers {
            driver.join().expect("a driver goes on to its end");
        }
    });
    // Whoever was alive on two nodes at once may have been left behind on the other: that is over with its connection.
    for at in ["room", "attic"] {
        let left = shared.registry.lock().0.entries(&channel(at));
        assert!(left.is_empty(), "{at}: {left:?}");
    }
    for node in &nodes {
        assert_eq!(node.desks_len(), 0);
    }
}
