//! Those who watch: one in each room on each node, who writes down what it is told of members.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use parlor_protocol::codec::{ServerMessage, decode_server};
use parlor_protocol::push::PresenceDiff;
use parlor_protocol::{Form, Push};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ledger::Ledger;
use super::member::number_of;
use super::{channel, subscribe};
use crate::line::{Dialect, Line};
use crate::presence::await_members;

/// Their connections end when it is dropped.
pub(super) struct Watchers(JoinSet<anyhow::Result<()>>);

impl Watchers {
    /// Returns when every node counts the watchers of all nodes, so that from then on it tells whatever changes.
    pub(super) async fn open(
        nodes: &[SocketAddr],
        rooms: usize,
        ledger: &Arc<Ledger>,
    ) -> anyhow::Result<Self> {
        let mut all = JoinSet::new();
        for room in 0..rooms {
            let wish = format!(r#"{{"channel":"{}","presence":true}}"#, channel(room));
            for (number, node) in nodes.iter().enumerate() {
                let user = format!("w{number}-{room}");
                let mut line = Line::open(*node, Dialect::Parlor, &user).await?;
                subscribe(&mut line, &wish).await?;
                all.spawn(watch(line, number, Arc::clone(ledger)));
            }
        }
        for node in nodes {
            for room in 0..rooms {
                await_members(*node, &channel(room), nodes.len()).await?;
            }
        }
        Ok(Self(all))
    }

    /// # Errors
    /// A watcher's connection has ended.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(ended) = self.0.try_join_next() {
            ended?.context("a watcher was lost")?;
        }
        Ok(())
    }
}

/// Ends with the connection only.
async fn watch(mut line: Line, node: usize, ledger: Arc<Ledger>) -> anyhow::Result<()> {
    loop {
        let text = line.hear().await?;
        let now = Instant::now();
        for message in decode_server(Form::Json, text.as_bytes())? {
            if let ServerMessage::Push(Push::Presence(diff)) = message {
                note(&diff, node, now, &ledger);
            }
        }
    }
}

fn note(diff: &PresenceDiff, node: usize, now: Instant, ledger: &Ledger) {
    let joined = diff.joined.iter().map(|member| member.user.as_str());
    for number in joined.filter_map(number_of) {
        ledger.told_of_coming(number, node);
    }
    let left = diff.left.iter().map(String::as_str);
    for number in left.filter_map(number_of) {
        ledger.told_of_leaving(number, node, now);
    }
}
