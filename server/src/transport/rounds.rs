//! Rounds over all connections of a shard: for what concerns everybody, in slices, so that a shard with a hundred thousand
//! connections goes on serving meanwhile.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::shard::Shard;
use super::websocket::Peer;

/// Connections that are looked at in one go.
const SLICE: usize = 512;
/// Between two slices when each connection is sent something: at most 100,000 a second and shard.
const STATUS_PAUSE: Duration = Duration::from_millis(5);

/// Why everybody is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Round {
    /// Their tokens may have been revoked.
    Tokens,
    /// The broker's health changed.
    Status,
}

/// Which rounds are under way: of each kind one at a time.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    tokens: Cell<Stage>,
    status: Cell<Stage>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Running,
    /// Something came since it began: another round follows.
    RunningAndAnother,
}

impl Rounds {
    fn stage(&self, round: Round) -> &Cell<Stage> {
        match round {
            Round::Tokens => &self.tokens,
            Round::Status => &self.status,
        }
    }
}

/// Starts a round, or has one more follow on the one that is under way.
pub(super) fn begin(shard: &Rc<Shard>, round: Round) {
    let stage = shard.rounds().stage(round);
    if stage.get() != Stage::Idle {
        return stage.set(Stage::RunningAndAnother);
    }
    stage.set(Stage::Running);
    let shard = Rc::clone(shard);
    tokio::task::spawn_local(async move {
        loop {
            go_round(&shard, round).await;
            let stage = shard.rounds().stage(round);
            if stage.get() == Stage::Running {
                return stage.set(Stage::Idle);
            }
            stage.set(Stage::Running);
        }
    });
}

/// Whoever opens a connection meanwhile finds the new state when it connects: only those who are here are visited.
async fn go_round(shard: &Rc<Shard>, round: Round) {
    let end = shard.peer_keys_end();
    for start in (0..end).step_by(SLICE) {
        (start..end.min(start + SLICE))
            .filter_map(|key| shard.peer_at(key))
            .for_each(|peer| visit(&peer, round));
        match round {
            Round::Tokens => tokio::task::yield_now().await,
            Round::Status => tokio::time::sleep(STATUS_PAUSE).await,
        }
    }
}

fn visit(peer: &Peer, round: Round) {
    match round {
        Round::Tokens => peer.check_token(),
        Round::Status => peer.session().tell_status(),
    }
}
