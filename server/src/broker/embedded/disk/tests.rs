//! The disk store from inside: what stands in the file, and what it does when the file misbehaves.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Future, join_all};
use parlor_protocol::{EventKind, Format, Payload, Tags};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::broker::Dedup;
use crate::kind::{Durability, SlowPolicy};
use crate::pattern::Pattern;

mod damage;
mod trimming;

pub(super) const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn kind(len_max: u64, age_max: Duration) -> Arc<ChannelKind> {
    Arc::new(ChannelKind {
        name: "any".to_owned(),
        pattern: Pattern::new("*"),
        durability: Durability::Disk,
        history_len_max: len_max,
        history_age_max: age_max,
        presence: false,
        slow: SlowPolicy::Close,
        allowed: Vec::new(),
        publish_rate_max: 10,
    })
}

fn name(raw: &str) -> ChannelName {
    ChannelName::parse(raw).unwrap()
}

pub(super) fn message(channel: &str, kind: &Arc<ChannelKind>) -> Append {
    Append {
        channel: name(channel),
        kind: Arc::clone(kind),
        event: EventKind::Message,
        dedup: None,
        user: None,
        tags: Tags::new(),
        payload: Payload {
            format: Format::Json,
            bytes: Bytes::from_static(b"\"x\""),
        },
        no_echo_to: None,
    }
}

pub(super) fn with_id(id: usize, append: Append) -> Append {
    Append {
        dedup: Some(Dedup {
            sender: "u:ann".into(),
            id: id.to_string().into(),
        }),
        ..append
    }
}

/// A directory for a store, and a second connection to its file as a person's tool would hold it.
pub(super) struct Place(TempDir);

impl Place {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("parlor.db")
    }

    pub(super) fn tool(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection
    }

    fn count(&self, what: &str) -> i64 {
        self.tool()
            .query_row(&format!("SELECT count(*) FROM {what}"), [], |row| {
                row.get(0)
            })
            .unwrap()
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}
