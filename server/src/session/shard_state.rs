//! What the sessions of one shard share.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::hub::{Channel, ShardId, Table};
use crate::metrics::ShardCounters;
use crate::node::Node;
use crate::outbox::Dirty;
use crate::session::key::SessionKeys;

/// Limits and times of sessions. Plain values: `config` fills them in.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Commands per second and connection; 0: no limit.
    pub commands_per_second_max: u32,
    pub ping_interval: Duration,
    pub ping_interval_min: Duration,
    pub ping_interval_max: Duration,
    /// How long after a ping anything must have come.
    pub pong_timeout: Duration,
    /// How long a fresh socket may take to send `connect`.
    pub connect_timeout: Duration,
    /// How long before a token ends its client is told.
    pub expiry_notice: Duration,
    /// Bytes that may wait for one connection.
    pub outbox_bytes_max: usize,
}

/// One shard's share of the server, above its sockets.
#[derive(Debug)]
pub struct ShardState {
    pub id: ShardId,
    pub node: Arc<Node>,
    pub config: SessionConfig,
    pub keys: SessionKeys,
    pub table: RefCell<Table>,
    pub dirty: Rc<Dirty>,
}

impl ShardState {
    pub fn new(id: ShardId, node: Arc<Node>, config: SessionConfig, keys: SessionKeys) -> Rc<Self> {
        let table = RefCell::new(Table::new(id));
        Rc::new(Self {
            id,
            node,
            config,
            keys,
            table,
            dirty: Rc::default(),
        })
    }

    pub fn counters(&self) -> &ShardCounters {
        self.node.metrics.shard(self.id)
    }

    /// Lets a channel go that nobody on this shard wants any more.
    pub(super) fn release(&self, channel: Option<Arc<Channel>>) {
        if let Some(channel) = channel
            && self.node.hub.exit(&channel, self.id)
        {
            self.node.broker.leave(channel.name());
        }
    }
}
