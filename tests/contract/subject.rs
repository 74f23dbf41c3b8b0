//! A broker under test with the hub it delivers into, and the short ways to use it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parlor::broker::embedded::{EmbeddedConfig, Stats};
use parlor::broker::{Append, Appended, Broker, Dedup, Embedded, Error, LogPage, Range, Read};
use parlor::hub::Hub;
use parlor::kind::{ChannelKind, Durability, SlowPolicy};
use parlor::pattern::Pattern;
use parlor_protocol::{ChannelName, EventKind, Format, Payload, Tags};

/// Shards of the hub under test: each listener takes one of its own.
pub(crate) const SHARDS: usize = 8;

/// Makes a fresh broker.
pub(crate) type Factory = fn(Settings) -> Subject;

/// What a promise needs a broker to be set to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) dedup_window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dedup_window: Duration::from_secs(300),
        }
    }
}

/// A broker with its hub and the kind of its channels.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) kind: Arc<ChannelKind>,
    /// Where the broker keeps its logs: lives as long as the broker.
    pub(crate) _store: Option<Arc<dyn Any + Send + Sync>>,
}

pub(crate) fn embedded_disk(settings: Settings) -> Subject {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = Some(directory.path().to_owned());
    let config = EmbeddedConfig {
        data_dir,
        dedup_window: settings.dedup_window,
        ..EmbeddedConfig::default()
    };
    Subject {
        _store: Some(Arc::new(directory)),
        ..embedded(config, Durability::Disk)
    }
}

pub(crate) fn embedded_memory(settings: Settings) -> Subject {
    let config = EmbeddedConfig {
        dedup_window: settings.dedup_window,
        ..EmbeddedConfig::default()
    };
    embedded(config, Durability::Memory)
}

pub(crate) fn embedded(config: EmbeddedConfig, durability: Durability) -> Subject {
    embedded_counting(config, durability).0
}

/// The same, with what it counts.
pub(crate) fn embedded_counting(
    config: EmbeddedConfig,
    durability: Durability,
) -> (Subject, Arc<Stats>) {
    let hub = Arc::new(Hub::new(SHARDS));
    let broker = Arc::new(Embedded::open(config, Arc::clone(&hub)).unwrap());
    let stats = Arc::clone(broker.stats());
    let subject = Subject {
        broker,
        hub,
        kind: kind(durability, 100_000, Duration::from_secs(3_600)),
        _store: None,
    };
    (subject, stats)
}

pub(crate) fn kind(durability: Durability, len_max: u64, age_max: Duration) -> Arc<ChannelKind> {
    Arc::new(ChannelKind {
        name: "any".to_owned(),
        pattern: Pattern::new("*"),
        durability,
        history_len_max: len_max,
        history_age_max: age_max,
        presence: false,
        slow: SlowPolicy::Close,
        allowed: Vec::new(),
        publish_rate_max: 100,
    })
}

pub(crate) fn name(raw: &str) -> ChannelName {
    ChannelName::parse(raw).unwrap()
}

pub(crate) fn dedup(sender: &str, id: &str) -> Option<Dedup> {
    Some(Dedup {
        sender: sender.into(),
        id: id.into(),
    })
}

pub(crate) fn json(text: &str) -> Payload {
    Payload {
        format: Format::Json,
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    }
}

impl Subject {
    /// The same broker, its channels of another retention.
    pub(crate) fn retaining(&self, len_max: u64, age_max: Duration) -> Self {
        Self {
            kind: kind(self.kind.durability, len_max, age_max),
            ..self.clone()
        }
    }

    /// A plain message, to be changed by the caller where it matters.
    pub(crate) fn message(&self, channel: &str, text: &str) -> Append {
        Append {
            channel: name(channel),
            kind: Arc::clone(&self.kind),
            event: EventKind::Message,
            dedup: None,
            user: None,
            tags: Tags::new(),
            payload: json(&format!("{text:?}")),
            no_echo_to: None,
        }
    }

    pub(crate) async fn append(&self, append: Append) -> Result<Appended, Error> {
        self.broker.append(append).await
    }

    /// Publishes plain messages, one after the other, with their number as text.
    pub(crate) async fn publish(&self, channel: &str, count: usize) -> Vec<Appended> {
        let mut appended = Vec::with_capacity(count);
        // Queued at once: a store that commits in groups then needs few commits.
        let waiting: Vec<_> = (0..count)
            .map(|index| {
                self.broker
                    .append(self.message(channel, &index.to_string()))
            })
            .collect();
        for answer in waiting {
            appended.push(answer.await.unwrap());
        }
        appended
    }

    pub(crate) async fn read(&self, channel: &str, range: Range, limit: usize) -> LogPage {
        let read = Read {
            channel: name(channel),
            kind: Arc::clone(&self.kind),
            range,
            limit,
        };
        self.broker.read(read).await.unwrap()
    }

    /// The offsets of a page.
    pub(crate) async fn offsets(&self, channel: &str, range: Range, limit: usize) -> Vec<u64> {
        self.read(channel, range, limit)
            .await
            .entries
            .iter()
            .map(|entry| entry.offset)
            .collect()
    }

    /// The whole retained log, page by page.
    pub(crate) async fn log(&self, channel: &str) -> Vec<Arc<parlor::hub::LogEntry>> {
        let mut entries = Vec::new();
        let mut after = 0;
        loop {
            let page = self.read(channel, Range::AfterOffset(after), 1_000).await;
            after = page.entries.last().map_or(after, |entry| entry.offset);
            entries.extend(page.entries);
            if !page.more {
                return entries;
            }
        }
    }
}
