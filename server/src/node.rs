//! A node: the parts that all shards and the HTTP API share. A bundle, not a brain.

use std::sync::Arc;

use parlor_protocol::reply::ConnectionLimits;

use crate::auth::Auth;
use crate::broker::Broker;
use crate::hub::Hub;
use crate::kind::ChannelKinds;
use crate::metrics::Metrics;
use crate::presence::Presence;

mod lifecycle;
mod roll;

pub use lifecycle::Lifecycle;
pub use roll::{Roll, RollEntry};

/// Built once by `app`, shared by everything that runs.
#[derive(Debug)]
pub struct Node {
    pub hub: Arc<Hub>,
    pub broker: Box<dyn Broker>,
    pub presence: Arc<Presence>,
    pub auth: Arc<Auth>,
    pub kinds: ChannelKinds,
    pub metrics: Arc<Metrics>,
    pub limits: ConnectionLimits,
    /// Which users are connected, and where.
    pub roll: Roll,
    pub lifecycle: Lifecycle,
}
