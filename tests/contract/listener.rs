//! One subscriber as a shard would serve it: joins, pulls, falls back to the log, and checks that each entry is
//! exactly the next one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parlor::broker::Range;
use parlor::hub::{Channel, Letters, LogEntry, ShardId};
use parlor_protocol::Position;

use crate::subject::{Subject, name};

/// Far above anything a healthy run takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener in the only channel of its own shard.
pub(crate) struct Listener {
    subject: Subject,
    channel: Arc<Channel>,
    shard: ShardId,
    /// Where the last entry handed out left it.
    pub(crate) position: Position,
    held: VecDeque<Arc<LogEntry>>,
    letters: Letters,
}

impl Listener {
    pub(crate) async fn join(subject: &Subject, shard: usize, channel: &str) -> Self {
        let shard = ShardId(shard);
        let live = subject.hub.enter(&name(channel), shard);
        let position = subject
            .broker
            .join(&name(channel), &subject.kind)
            .await
            .unwrap();
        live.learn_top(position);
        Self {
            subject: subject.clone(),
            channel: live,
            shard,
            position,
            held: VecDeque::new(),
            letters: Letters::default(),
        }
    }

    pub(crate) fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// What was delivered and not yet handed out, without waiting.
    pub(crate) fn delivered(&self) -> Vec<Arc<LogEntry>> {
        self.channel.pull(self.shard, self.position, 0).entries
    }

    /// The next entry; panics when it does not come, or when it is not exactly the next.
    pub(crate) async fn next(&mut self) -> Arc<LogEntry> {
        let entry = tokio::time::timeout(PATIENCE, self.any_next())
            .await
            .expect("the next entry was never delivered");
        let before = self.position;
        assert_eq!(
            entry.epoch, before.epoch,
            "the epoch changed behind {before:?}"
        );
        assert_eq!(
            entry.offset,
            before.offset + 1,
            "not the next offset behind {before:?}"
        );
        assert_eq!(
            entry.prev, before.tag,
            "the chain of tags broke behind {before:?}"
        );
        self.position = entry.position();
        entry
    }

    /// Reads until the entry at this offset was handed out.
    pub(crate) async fn read_to(&mut self, offset: u64) -> Vec<Arc<LogEntry>> {
        let mut entries = Vec::new();
        while self.position.offset < offset {
            entries.push(self.next().await);
        }
        entries
    }

    async fn any_next(&mut self) -> Arc<LogEntry> {
        loop {
            if let Some(entry) = self.held.pop_front() {
                return entry;
            }
            let pull = self.channel.pull(self.shard, self.position, 0);
            assert!(
                !pull.epoch_changed,
                "the epoch changed behind {:?}",
                self.position
            );
            self.held.extend(pull.entries);
            if pull.trimmed {
                let after = Range::AfterOffset(self.position.offset);
                let page = self
                    .subject
                    .read(self.channel.name().as_str(), after, 1_000)
                    .await;
                self.held.extend(page.entries);
            }
            if self.held.is_empty() {
                self.subject
                    .hub
                    .inbox(self.shard)
                    .take(&mut self.letters)
                    .await;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.subject.hub.exit(&self.channel, self.shard) {
            self.subject.broker.leave(self.channel.name());
        }
    }
}
