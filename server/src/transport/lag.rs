//! A shard that lags behind a channel: what the tail no longer holds is read from the log.

use std::rc::Rc;
use std::time::Duration;

use parlor_protocol::{Alias, Position};
use tracing::debug;

use super::shard::Shard;
use crate::broker::{LogPage, Range, Read};
use crate::hub::Channel;

/// Entries read at once.
const PAGE: usize = 1_000;
/// The least pause before a log is asked again that could not be read.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Reads on from what the shard delivered. While the log cannot be read, those who are subscribed stay: nothing is lost to
/// them, and starting anew would only be refused. It ends when they have left.
pub(super) async fn catch_up(shard: Rc<Shard>, alias: Alias, after: Position) {
    let state = shard.state();
    let found = state.table.borrow().channel(alias).cloned();
    let Some(channel) = found else { return };
    let Some(kind) = state.node.kinds.of(channel.name()).cloned() else {
        return;
    };
    let read = Read {
        channel: channel.name().clone(),
        kind,
        range: Range::AfterOffset(after.offset),
        limit: PAGE,
    };
    loop {
        let page = state.node.broker.read(read.clone()).await;
        // Who came after all had left does not wait for this.
        if !state.table.borrow().is_reading(alias, after) {
            return;
        }
        let error = match page {
            Ok(page) => return deliver(&shard, &channel, &page),
            Err(error) => error,
        };
        debug!(%error, "Unable to read what a shard lags behind.");
        // Without a wish to be asked again the broker is going, and everybody is told so.
        let Some(pause) = error.retry_after() else {
            return;
        };
        tokio::time::sleep(pause.max(PAUSE_MIN)).await;
    }
}

fn deliver(shard: &Shard, channel: &Channel, page: &LogPage) {
    let (state, alias) = (shard.state(), channel.alias());
    let is_next =
        !page.entries.is_empty() && state.table.borrow_mut().deliver(alias, &page.entries);
    shard.count();
    if is_next {
        state.node.hub.nudge(channel, state.id);
    } else {
        shard.start_anew(alias, "retention overtook the channel");
    }
}
