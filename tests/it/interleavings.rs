//! A thousand random conversations: clients come, go, resume, publish and retry in every order, and none of them sees a
//! gap that it was not told of, a duplicate, or another order than the others.
//!
//! `SEED=n` brings a run of the whole back, `RUN=m` beside it only its m-th conversation.
//! Read on in `actor` (what a client does), `view` (what it may see), `record` (what all saw together).

use futures_util::future::join_all;
use parlor_protocol::Form;
use parlor_tests::{At, Seed, Server, everywhere};
use rand::Rng as _;

mod actor;
mod record;
mod view;

use actor::Actor;
use record::Record;

/// Conversations in each of the four cases.
const RUNS: u64 = 250;
/// At the same time on one server, in channels of their own.
const AT_ONCE: u64 = 10;
const ACTORS: usize = 3;
const STEPS: usize = 12;

/// The beginnings of channel names whose kinds take part.
const KINDS: [&str; 4] = ["disk", "memory", "short", "short-memory"];

#[test]
fn no_interleaving_shows_a_silent_gap_a_duplicate_or_another_order() {
    let seed = Seed::chosen();
    let _witness = seed.witness();
    let only: Option<u64> = std::env::var("RUN")
        .ok()
        .map(|run| run.parse().expect("RUN is a number"));
    everywhere(async |at| {
        let server = at.start().await;
        for first in (0..RUNS).step_by(AT_ONCE as usize) {
            let runs = (first..first + AT_ONCE).filter(|run| only.is_none_or(|only| only == *run));
            join_all(runs.map(|run| converse(&server, seed, part(at, run), run))).await;
        }
        server.stop().await;
    });
}

/// Gives each conversation of each case its own randomness.
fn part(at: At, run: u64) -> u64 {
    run << 8 | (at.shards as u64) << 1 | u64::from(at.form == Form::Json)
}

async fn converse(server: &Server, seed: Seed, part: u64, run: u64) {
    let mut rng = seed.rng(part);
    let channels: Vec<String> = (0..2)
        .map(|number| format!("{}:{run}-{number}", KINDS[rng.random_range(0..KINDS.len())]))
        .collect();
    let record = Record::default();
    let mut actors: Vec<Actor<'_>> = (0..ACTORS)
        .map(|number| {
            Actor::new(
                server,
                format!("actor-{number}"),
                &channels,
                &record,
                seed.rng(part << 8 | number as u64),
            )
        })
        .collect();
    join_all(actors.iter_mut().map(|actor| actor.play(STEPS))).await;
    for actor in &mut actors {
        actor.answer_everything().await;
    }
    for channel in &channels {
        let (history, top) = actors[0].read_all(channel).await;
        record.check(channel, &history, !channel.starts_with("short"));
        for actor in &mut actors {
            actor.catch_up(channel, top).await;
        }
    }
    for actor in actors {
        actor.leave().await;
    }
}
