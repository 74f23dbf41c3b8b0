//! Joining is catching up: what a subscriber missed follows the reply as ordinary pushes, at the pace at which its
//! outbox empties; when it has everything that its shard delivered, it goes live. A session's replays take turns, page by
//! page: see `replays`.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use parlor_protocol::{Epoch, WireError};

use super::Session;
use super::replays::{Page, Replays};
use super::subscriptions::{Stage, Subscription};
use crate::commands::subscribe::read_after;
use crate::hub::{LogEntry, Subscriber};
use crate::outbox::{Lane, Pushed};
use crate::planted::{self, Bug};

/// Where a replay stands.
#[derive(Debug)]
pub(super) struct CatchUp {
    /// The life of the log that the cursor belongs to.
    pub(super) epoch: Epoch,
    /// The last offset that the subscriber was sent.
    pub(super) cursor: u64,
    /// Read already, to be sent next.
    pub(super) next: Page,
}

/// Why a replay ended before it went live.
enum Stop {
    /// The subscription or the connection is gone: nobody to tell.
    Gone,
    /// What comes next is no longer retained, or the log began a new life.
    Overtaken,
    Failed(WireError),
}

impl Session {
    /// Starts the replay of every subscription that has one waiting.
    pub(super) fn start_catching_up(self: &Rc<Self>) {
        let waiting: Vec<_> = self
            .state
            .borrow()
            .subscriptions
            .iter()
            .filter(|subscription| subscription.replay.borrow().is_some())
            .cloned()
            .collect();
        waiting
            .iter()
            .for_each(|subscription| self.start_catching_up_in(subscription));
    }

    /// Starts one subscription's replay, if it waits for it.
    pub(super) fn start_catching_up_in(self: &Rc<Self>, subscription: &Rc<Subscription>) {
        if let Some(catch_up) = subscription.replay.take() {
            self.start_one(Rc::clone(subscription), catch_up);
        }
    }

    fn start_one(self: &Rc<Self>, subscription: Rc<Subscription>, catch_up: Box<CatchUp>) {
        // Most joins have nothing to catch up: no turn and no task for them.
        if catch_up.next.is_empty() && self.go_live(&subscription, &catch_up) {
            return;
        }
        self.replays().add(subscription, catch_up);
        if self.replays().begin() {
            let session = Rc::clone(self);
            tokio::task::spawn_local(async move { session.replay_in_turns().await });
        }
    }

    /// The first page of a replay, as far as the session may keep it until its turn.
    pub(super) fn keep(&self, first: Vec<Arc<LogEntry>>) -> Page {
        if first.is_empty() {
            Page::default()
        } else {
            self.replays().keep(first)
        }
    }

    fn replays(&self) -> &Replays {
        self.replays.get_or_init(Box::default)
    }

    /// Gives each replay its turn, one page long, until all went live or ended.
    async fn replay_in_turns(self: &Rc<Self>) {
        while let Some((subscription, catch_up)) = self.replays().take() {
            let alias = subscription.channel.alias();
            let epoch = catch_up.epoch;
            match self.replay_page(&subscription, catch_up).await {
                Ok(Some(more)) => self.replays().add(subscription, more),
                Ok(None) | Err(Stop::Gone) => {}
                // If it was ended meanwhile, another may stand in its place.
                Err(_) if subscription.stage.get() == Stage::Ended => {}
                Err(Stop::Overtaken) => {
                    let lost = subscription.channel.lost(epoch);
                    let reason = match lost {
                        Some(_) => "the log lost events",
                        None => "retention overtook the replay",
                    };
                    self.ask_to_resubscribe(alias, reason, lost);
                }
                Err(Stop::Failed(error)) => {
                    self.ask_to_resubscribe(alias, error.name.as_str(), None);
                }
            }
            // Pages that are at hand take no pause, and there may be hundreds.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Sends one page, then goes live if that was all. Otherwise returns where the replay stands.
    async fn replay_page(
        &self,
        subscription: &Subscription,
        mut at: Box<CatchUp>,
    ) -> Result<Option<Box<CatchUp>>, Stop> {
        // Room first, then the page: the client may let us wait for as long as it likes.
        self.room(subscription).await?;
        if at.next.is_empty() {
            let node = &self.shard.node;
            let read = read_after(node, &subscription.channel, &subscription.kind, at.cursor);
            at.next = Page::read(read.await.map_err(Stop::Failed)?);
            if at.next.is_empty() && !self.is_level(subscription, &at) {
                return Err(Stop::Overtaken);
            }
        }
        let page = std::mem::take(&mut at.next);
        for entry in page.entries {
            // The log was empty when this began, and its first event came under a newer name.
            if at.cursor == 0 && subscription.channel.is_one_beginning(at.epoch, entry.epoch) {
                at.epoch = entry.epoch;
            }
            if entry.epoch != at.epoch || entry.offset != at.cursor + 1 {
                return Err(Stop::Overtaken);
            }
            self.send(subscription, &entry).await?;
            if planted::strikes(Bug::DeliverTwiceOnResume, 1) {
                self.send(subscription, &entry).await?;
            }
            at.cursor = entry.offset;
        }
        if self.go_live(subscription, &at) {
            Ok(None)
        } else {
            Ok(Some(at))
        }
    }

    /// Enters the shard's table if nothing that the shard delivered is missing. Nothing else runs on this thread
    /// between the look and the entry.
    fn go_live(&self, subscription: &Subscription, at: &CatchUp) -> bool {
        if subscription.stage.get() != Stage::Joining || !self.is_level(subscription, at) {
            return false;
        }
        let alias = subscription.channel.alias();
        let subscriber = Subscriber {
            connection: self.connection,
            outbox: Rc::clone(&self.outbox),
            cursor: at.cursor,
            ephemerals_since: subscription.ephemerals_since,
            presence: subscription.presence,
            slow: subscription.kind.slow,
        };
        let key = self.shard.table.borrow_mut().enter(alias, subscriber);
        if let Some(key) = key {
            subscription.stage.set(Stage::Live(key));
        }
        key.is_some()
    }

    fn is_level(&self, subscription: &Subscription, at: &CatchUp) -> bool {
        let delivered = self
            .shard
            .table
            .borrow()
            .delivered(subscription.channel.alias());
        delivered.is_some_and(|position| {
            let position = subscription.channel.under(position, at.epoch);
            position.epoch == at.epoch && at.cursor >= position.offset
        })
    }

    /// Waits until the outbox has room, unless there is nobody to have it for.
    async fn room(&self, subscription: &Subscription) -> Result<(), Stop> {
        poll_fn(|context| self.outbox.poll_room(context)).await;
        if subscription.stage.get() == Stage::Ended || self.outbox.closing().is_some() {
            return Err(Stop::Gone);
        }
        Ok(())
    }

    /// Puts one missed event into the outbox, once there is room.
    async fn send(&self, subscription: &Subscription, entry: &LogEntry) -> Result<(), Stop> {
        self.room(subscription).await?;
        let outbox = &self.outbox;
        let alias = subscription.channel.alias();
        let frame = entry.frame_for(self.connection, alias, outbox.form());
        match outbox.push(&frame, alias, Lane::Near) {
            Pushed::Queued => Ok(()),
            Pushed::Closed => Err(Stop::Gone),
            // Half of the bound is free, so only an event larger than that half gets here.
            Pushed::Overflow => {
                outbox.close(parlor_protocol::CloseCode::Slow, None);
                Err(Stop::Gone)
            }
        }
    }
}
