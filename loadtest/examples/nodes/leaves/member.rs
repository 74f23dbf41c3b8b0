//! One member: comes to a room, stays until it is time, and leaves in good order.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::ledger::Ledger;
use super::{LOOK, PATIENCE, channel, subscribe};
use crate::line::{Dialect, Line};

/// Who comes where, and how it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) number: usize,
    pub(super) node: usize,
    pub(super) room: usize,
    pub(super) way: Way,
}

/// How one leaves at once. Who merely loses its socket is present for the grace, and that is no clean leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Unsubscribe,
    /// The closing handshake of WebSocket.
    Close,
}

impl Member {
    /// Takes turns: the nodes, then the rooms, then the ways.
    pub(super) fn nth(number: usize, nodes: usize, rooms: usize) -> Self {
        Self {
            number,
            node: number % nodes,
            room: number / nodes % rooms,
            way: match number / nodes / rooms % 2 {
                0 => Way::Unsubscribe,
                _ => Way::Close,
            },
        }
    }

    /// Its whole life, on a connection to this node.
    ///
    /// # Errors
    /// It could not come, not everybody was told of that in time, or its leave was not answered.
    pub(super) async fn live(
        self,
        node: SocketAddr,
        leaves_at: Instant,
        ledger: Arc<Ledger>,
    ) -> anyhow::Result<()> {
        let stay = self.stay(node, leaves_at, &ledger);
        timeout_at(leaves_at + PATIENCE, stay)
            .await
            .with_context(|| format!("{self:?} gave up"))?
    }

    async fn stay(
        self,
        node: SocketAddr,
        leaves_at: Instant,
        ledger: &Ledger,
    ) -> anyhow::Result<()> {
        let room = format!(r#"{{"channel":"{}"}}"#, channel(self.room));
        let mut line = Line::open(node, Dialect::Parlor, &user(self.number)).await?;
        subscribe(&mut line, &room).await?;
        sleep_until(leaves_at).await;
        while !ledger.has_come(self.number) {
            sleep(LOOK).await;
        }
        ledger.leaves(self.number, Instant::now());
        match self.way {
            // Answered before the socket ends: bytes that nobody has read could end it with a reset.
            Way::Unsubscribe => drop(line.ask("unsubscribe", &room).await?),
            Way::Close => line.close().await?,
        }
        Ok(())
    }
}

fn user(number: usize) -> String {
    format!("m{number}")
}

/// Nothing when it is not one of the members.
pub(super) fn number_of(user: &str) -> Option<usize> {
    user.strip_prefix('m')?.parse().ok()
}
