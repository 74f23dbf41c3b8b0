//! A node: the parts that all shards and the HTTP API share. A bundle, not a brain.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parlor_protocol::reply::ConnectionLimits;

use crate::auth::Auth;
use crate::broker::Broker;
use crate::hub::Hub;
use crate::kind::{ChannelKinds, Durability};
use crate::metrics::Metrics;
use crate::presence::Presence;

mod followed;
mod lifecycle;
pub mod orders;
pub mod revoking;
mod roll;

pub use followed::Followed;
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
    /// What backends ask of all nodes.
    pub orders: Followed,
    /// What all nodes revoked.
    pub revocations: Followed,
}

impl Node {
    /// The channels that nodes speak to each other by: orders, and revocations of this durability.
    pub fn reserved(revocations: Durability) -> (Followed, Followed) {
        (orders::followed(), revoking::followed(revocations))
    }

    /// For a broker that was away or found a hole: resolves once everything that was revoked meanwhile is known and
    /// whoever it concerns is being sent away. Call it before anything is delivered on; it reads the log, so reading must
    /// work. Resolves at once when the node is gone.
    pub fn reload(self: &Arc<Self>) -> impl Fn() -> BoxFuture<'static, ()> + Send + Sync + use<> {
        let node = Arc::downgrade(self);
        move || {
            let node = node.upgrade();
            async move {
                if let Some(node) = node {
                    node.revocations.reload().await;
                }
            }
            .boxed()
        }
    }

    /// Follows what other nodes say, for ever.
    pub async fn follow_others(&self) {
        tokio::join!(orders::obey_all(self), revoking::keep_up(self));
    }
}
