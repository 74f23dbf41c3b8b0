//! A shard: one thread with its own runtime, listener and connections.
//!
//! Everything here runs on that thread; only the inbox is reached from outside.

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parlor_protocol::{Alias, CloseCode};
use slab::Slab;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::debug;

use super::ends::Ends;
use super::lag;
use super::pending::{Pending, PendingPlace};
use super::rounds::{self, Round, Rounds};
use super::websocket::{self, Peer, Scratch};
use super::wheel::{TICK, Wheel};
use super::{TransportConfig, accept};
use crate::hub::{Advanced, ConnectionId, Control, Letters, ShardId};
use crate::metrics;
use crate::node::Node;
use crate::session::{SessionConfig, SessionKeys, ShardState};

/// What a shard is started with.
#[derive(Debug)]
pub struct ShardSetup {
    pub id: ShardId,
    pub node: Arc<Node>,
    /// None where another shard accepts for this one.
    pub listener: Option<TcpListener>,
    pub router: axum::Router,
    pub transport: TransportConfig,
    pub session: SessionConfig,
    pub keys: SessionKeys,
}

/// One shard's sockets, above which stands its [`ShardState`].
pub struct Shard {
    state: Rc<ShardState>,
    config: TransportConfig,
    router: axum::Router,
    peers: RefCell<Slab<Rc<Peer>>>,
    scratch: Scratch,
    /// Makes connection ids unique when slab keys are used again.
    connections: Cell<u32>,
    wheel: RefCell<Wheel>,
    pending: Rc<Pending>,
    is_draining: Cell<bool>,
    drain_bell: Notify,
    rounds: Rounds,
    ends: Ends,
}

/// Runs a shard on the calling thread until the node has drained.
///
/// # Errors
/// When the runtime or the listener cannot be set up, or one of the tasks that all connections need ended.
pub fn run(setup: ShardSetup) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let ShardSetup {
            id,
            node,
            listener,
            router,
            transport,
            session,
            keys,
        } = setup;
        let state = ShardState::new(id, node, session, keys);
        let shard = Rc::new(Shard::new(state, transport, router));
        let drain = tokio::task::spawn_local(websocket::drain(Rc::clone(&shard)));
        let wheel = tokio::task::spawn_local(turn_wheel(Rc::clone(&shard)));
        if let Some(listener) = listener {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::task::spawn_local(accept::accept(Rc::clone(&shard), listener));
        }
        run_beside(drain, wheel, read_inbox(&shard)).await
    })
}

/// Runs the main loop, for as long as there are the drain and the wheel: without the one nobody hears anything any more,
/// without the other nobody's silence is noticed. A panic would end them without a word.
async fn run_beside(
    drain: JoinHandle<()>,
    wheel: JoinHandle<()>,
    main: impl Future<Output = ()>,
) -> io::Result<()> {
    let (task, ended) = tokio::select! {
        biased;
        () = main => return Ok(()),
        ended = drain => ("drain", ended),
        ended = wheel => ("wheel", ended),
    };
    Err(match ended {
        Ok(()) => io::Error::other(format!("its {task} ended")),
        Err(error) => io::Error::other(format!("its {task} ended; {error}")),
    })
}

impl Shard {
    fn new(state: Rc<ShardState>, config: TransportConfig, router: axum::Router) -> Self {
        Self {
            state,
            config,
            router,
            peers: RefCell::default(),
            scratch: Scratch::new(),
            connections: Cell::default(),
            wheel: RefCell::new(Wheel::new(Instant::now())),
            pending: Rc::default(),
            is_draining: Cell::default(),
            drain_bell: Notify::new(),
            rounds: Rounds::default(),
            ends: Ends::new(),
        }
    }

    pub(super) fn state(&self) -> &Rc<ShardState> {
        &self.state
    }

    pub(super) fn config(&self) -> &TransportConfig {
        &self.config
    }

    pub(super) fn router(&self) -> &axum::Router {
        &self.router
    }

    /// Resolves once the node drains.
    pub(super) async fn draining(&self) {
        while !self.is_draining.get() {
            self.drain_bell.notified().await;
        }
    }

    /// A place among the sockets that still speak HTTP, if one is free or can be freed.
    pub(super) fn take_pending_place(&self) -> Option<PendingPlace> {
        PendingPlace::take(&self.pending, self.config.pending_max)
    }

    /// The least loaded shard, if this one owns at least `imbalance` connections more.
    pub(super) fn less_loaded(&self, imbalance: u64) -> Option<ShardId> {
        let open = |shard: ShardId| {
            self.state
                .node
                .metrics
                .shard(shard)
                .connections_open
                .load(Ordering::Relaxed)
        };
        let least = self
            .state
            .node
            .hub
            .inboxes()
            .iter()
            .map(|inbox| inbox.id())
            .min_by_key(|id| open(*id))?;
        (open(self.state.id) >= open(least) + imbalance).then_some(least)
    }

    pub(super) fn insert_peer(
        &self,
        make: impl FnOnce(usize, ConnectionId) -> Rc<Peer>,
    ) -> Rc<Peer> {
        let mut peers = self.peers.borrow_mut();
        let vacant = peers.vacant_entry();
        let key = vacant.key();
        let serial = self.connections.get().wrapping_add(1);
        self.connections.set(serial);
        let connection = ConnectionId::new(self.state.id, key, serial);
        let peer = make(key, connection);
        vacant.insert(Rc::clone(&peer));
        peer
    }

    pub(super) fn remove_peer(&self, peer: &Peer) {
        let outbox = peer.session().outbox();
        // It may stand in a lane still, and its key will be another connection's.
        outbox.abandon();
        self.peers.borrow_mut().try_remove(outbox.key());
        self.pending.tell_of_an_end();
    }

    pub(super) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    pub(super) fn rounds(&self) -> &Rounds {
        &self.rounds
    }

    pub(super) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Every peer's key is below.
    pub(super) fn peer_keys_end(&self) -> usize {
        self.peers.borrow().capacity()
    }

    /// All peers, by their outboxes' keys. Nobody comes or goes while it is held.
    pub(super) fn peers(&self) -> Ref<'_, Slab<Rc<Peer>>> {
        self.peers.borrow()
    }

    pub(super) fn peer_at(&self, key: usize) -> Option<Rc<Peer>> {
        self.peers.borrow().get(key).cloned()
    }

    fn peer(&self, connection: ConnectionId) -> Option<Rc<Peer>> {
        self.peer_at(connection.key())
            .filter(|peer| peer.session().connection() == connection)
    }

    /// Has the wheel call [`Peer::check`] after this long, or sooner if that was planned before.
    pub(super) fn look_after(&self, peer: &Peer, delay: Duration) {
        let connection = peer.session().connection();
        let mut wheel = self.wheel.borrow_mut();
        wheel.plan(Instant::now(), delay, connection, peer.planned());
    }

    /// Delivers a channel's news to this shard's subscribers. True when there is more.
    fn advance(self: &Rc<Self>, alias: Alias) -> bool {
        let advanced = self.state.table.borrow_mut().advance(alias);
        self.count();
        match advanced {
            Advanced::Done => false,
            Advanced::More => true,
            Advanced::ReadLog { after } => {
                tokio::task::spawn_local(lag::catch_up(Rc::clone(self), alias, after));
                false
            }
            Advanced::EpochChanged => {
                self.start_anew(alias, "the log began a new life");
                false
            }
        }
    }

    /// Counts what the table's deliveries have cost since the last call.
    pub(super) fn count(&self) {
        let tally = std::mem::take(&mut self.state.table.borrow_mut().tally);
        let counters = self.state.counters();
        metrics::add(&counters.deliveries, tally.deliveries);
        metrics::add(&counters.delivery_bytes, tally.bytes);
        metrics::add(&counters.outbox_overflows, tally.overflows);
        metrics::add(&counters.events_skipped, tally.skipped);
        metrics::add(&counters.ephemerals_dropped, tally.ephemerals_dropped);
    }

    /// The log and this shard's subscribers no longer fit: all subscribe again from their positions, and hear what was lost,
    /// by whatever it was noticed. Joins that are under way notice it by themselves.
    pub(super) fn start_anew(&self, alias: Alias, reason: &str) {
        let (connections, lost) = {
            let table = self.state.table.borrow();
            (table.connections(alias), table.lost(alias))
        };
        let reason = match lost {
            Some(_) => "the log lost events",
            None => reason,
        };
        for peer in connections
            .into_iter()
            .filter_map(|connection| self.peer(connection))
        {
            peer.session()
                .ask_to_resubscribe(alias, reason, lost.clone());
        }
        self.state.table.borrow_mut().restart(alias);
    }

    fn obey(self: &Rc<Self>, order: Control) {
        match order {
            Control::Accept { socket } => accept::adopt_std(self, socket),
            Control::Drain => self.begin_drain(),
            Control::Disconnect { connection, code } => {
                if let Some(peer) = self.peer(connection) {
                    peer.tell_to_leave(code, None);
                }
            }
            Control::CheckToken { connection } => {
                if let Some(peer) = self.peer(connection) {
                    peer.check_token();
                }
            }
            Control::CheckTokens => rounds::begin(self, Round::Tokens),
            Control::TellStatus => rounds::begin(self, Round::Status),
            Control::Unsubscribe {
                connection,
                channel,
            } => {
                if let Some(peer) = self.peer(connection) {
                    peer.session().unsubscribe_by_order(&channel);
                }
            }
            Control::Subscribe {
                connection,
                channel,
            } => {
                if let Some(peer) = self.peer(connection) {
                    peer.session().subscribe_by_order(&channel);
                }
            }
        }
    }

    /// Spreads the goodbyes over the drain window, so that the other nodes are not stormed.
    fn begin_drain(self: &Rc<Self>) {
        self.is_draining.set(true);
        self.drain_bell.notify_waiters();
        let peers: Vec<_> = self
            .peers
            .borrow()
            .iter()
            .map(|(_, peer)| Rc::clone(peer))
            .collect();
        debug!(connections = peers.len(), "Draining.");
        self.pending.tell_of_an_end();
        let step = self.config.drain_window / u32::try_from(peers.len().max(1)).unwrap_or(u32::MAX);
        tokio::task::spawn_local(async move {
            let mut pace = tokio::time::interval(step.max(Duration::from_micros(1)));
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
            for peer in peers {
                pace.tick().await;
                peer.tell_to_leave(CloseCode::Draining, Some(0));
            }
        });
    }

    /// Resolves once a draining shard has no connection and no request left.
    async fn emptied(&self) {
        while !self.is_draining.get() || !self.peers.borrow().is_empty() || !self.pending.is_empty()
        {
            self.pending.an_end().await;
        }
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("id", &self.state.id)
            .finish_non_exhaustive()
    }
}

/// The shard's main loop: ends when the node drained and the last connection is gone.
async fn read_inbox(shard: &Rc<Shard>) {
    let inbox = Arc::clone(shard.state.node.hub.inbox(shard.state.id));
    let mut letters = Letters::default();
    let mut again: Vec<Alias> = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = shard.emptied() => return,
            () = inbox.take(&mut letters), if again.is_empty() => {}
            // Channels with more to deliver wait for nothing but their turn.
            () = tokio::task::yield_now(), if !again.is_empty() => inbox.take_now(&mut letters),
        }
        let mut advanced = std::mem::take(&mut again);
        advanced.append(&mut letters.advanced);
        again.extend(advanced.into_iter().filter(|alias| shard.advance(*alias)));
        letters
            .controls
            .drain(..)
            .for_each(|order| shard.obey(order));
    }
}

async fn turn_wheel(shard: Rc<Shard>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        shard.state.table.borrow_mut().tell_passed_over();
        shard.count();
        let due = shard.wheel.borrow_mut().take_due(now);
        for connection in due {
            let Some(peer) = shard.peer(connection) else {
                continue;
            };
            peer.planned().fired();
            if let Some(delay) = peer.check(&shard, now) {
                shard.look_after(&peer, delay);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::spawn_local;

    use super::*;

    /// How a shard ends whose main loop, drain and wheel are these.
    fn end(
        main: impl Future<Output = ()>,
        drain: impl Future<Output = ()> + 'static,
        wheel: impl Future<Output = ()> + 'static,
    ) -> io::Result<()> {
        let runtime = Builder::new_current_thread()
            .build_local(LocalOptions::default())
            .expect("a runtime");
        runtime.block_on(async { run_beside(spawn_local(drain), spawn_local(wheel), main).await })
    }

    async fn panicking() {
        panic!("planted")
    }

    #[test]
    fn a_shard_ends_with_its_drain_and_with_its_wheel() {
        end(ready(()), pending(), pending()).expect("the node has drained");
        let error = end(pending(), panicking(), pending()).expect_err("no drain");
        assert!(error.to_string().starts_with("its drain ended"), "{error}");
        let error = end(pending(), pending(), panicking()).expect_err("no wheel");
        assert!(error.to_string().starts_with("its wheel ended"), "{error}");
        end(pending(), ready(()), pending()).expect_err("no drain, without a panic");
    }
}
