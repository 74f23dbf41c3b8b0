//! The composition root: the only file that names concrete brokers and transports.
//!
//! It builds the node from the config, runs one thread per shard, keeps house for all of them, and ends them
//! in order.

use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parlor_protocol::limits;
use parlor_protocol::reply::ConnectionLimits;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::auth::{self, Auth};
use crate::broker::embedded::OpenError;
use crate::broker::redis::MembersLink;
use crate::config::Config;
use crate::http::{self, HttpConfig};
use crate::hub::{Control, Hub, ShardId};
use crate::kind::Durability;
use crate::metrics::{Metrics, NodeMetric};
use crate::node::{Lifecycle, Node, Roll};
use crate::presence::{Presence, PresenceConfig};
use crate::session::SessionKeys;
use crate::transport::tls::{self, Certificate, CertificateError};
use crate::transport::websocket::Origins;
use crate::transport::{self, BindError, Listeners, ShardSetup, TransportConfig};

mod brokers;
mod house;

pub use brokers::{BrokerStats, Opened};

/// After the drain window, how long connections may take to hear their goodbye before the process ends anyway.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// Where a running server can be reached.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub http: SocketAddr,
    pub metrics: Option<SocketAddr>,
}

/// Why a server could not start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Auth(#[from] auth::Error),
    #[error(transparent)]
    Storage(#[from] OpenError),
    #[error(transparent)]
    Redis(#[from] crate::broker::redis::OpenError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("unable to start; {0}")]
    Io(#[from] io::Error),
    #[error("unable to start; the operating system gives no randomness")]
    Randomness,
    /// A part that goes on for as long as the process does has failed.
    #[error("unable to go on; {0} ended by itself")]
    Ended(&'static str),
}

/// Serves until `stop` resolves, then drains. `ready` is called once, when sockets are accepted.
///
/// # Errors
/// Nothing was served: keys, storage or addresses are unusable. Or, after the same drain, [`Error::Ended`].
pub async fn run(
    config: Config,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(Addresses),
) -> Result<(), Error> {
    run_over(brokers::open, config, stop, ready).await
}

/// The same over the broker that `open` gives: tests bring one that fails when they want it.
///
/// # Errors
/// As [`run`].
pub async fn run_over(
    open: impl AsyncFnOnce(&Config, &Arc<Hub>) -> Result<Opened, Error>,
    config: Config,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(Addresses),
) -> Result<(), Error> {
    let drain_window = config.transport.drain_window;
    let certificate = certificate(&config)?;
    tokio::pin!(stop);
    let built = tokio::select! {
        built = build(&config, open) => built?,
        () = &mut stop => {
            info!("Stopped.");
            return Ok(());
        }
    };
    let Built {
        node,
        keys,
        members,
    } = built;
    let mut others = tokio::spawn(house::follow_others(Arc::clone(&node), members));
    tokio::select! {
        () = learn_from_others(&node) => {}
        end = until_over(&mut stop, pending::<()>(), pending::<()>(), &mut others) => {
            shut_down(node).await?;
            return end;
        }
    }
    let Listeners { address, sockets } = transport::bind(config.listen, config.shards)?;
    let metrics_listener = config
        .metrics_listen
        .map(|address| transport::bind(address, 1))
        .transpose()?;
    let addresses = Addresses {
        http: address,
        metrics: metrics_listener.as_ref().map(|listener| listener.address),
    };
    let transport = TransportConfig {
        tls: certificate.clone().map(tls::server_config).transpose()?,
        ..transport_config(&config)
    };
    let is_secure = certificate.is_some();
    let mut ended = start_shards(&config, &node, &keys, &transport, sockets)?;
    let mut house = tokio::spawn(house::keep(
        Arc::clone(&node),
        metrics_listener,
        certificate,
    ));
    info!(address = %addresses.http, shards = config.shards, tls = is_secure, "Listening.");
    ready(addresses);
    let end = until_over(&mut stop, ended.recv(), &mut house, &mut others).await;
    if let Err(error) = &end {
        error!(%error, "Stopping.");
    }
    drain(&node, &mut ended, drain_window).await;
    house.abort();
    others.abort();
    shut_down(node).await?;
    end
}

/// Waits for the end: the process is told to stop, or one of its parts is gone, and then whoever started it must learn that
/// this was no stop. A panic ends only the task that panics: without house kept, nobody leaves presence any more, and without
/// the others followed, no order and no revocation comes in.
async fn until_over(
    stop: impl Future<Output = ()>,
    shard: impl Future,
    house: impl Future,
    others: impl Future,
) -> Result<(), Error> {
    tokio::select! {
        () = stop => Ok(()),
        _ = shard => Err(Error::Ended("a shard")),
        _ = house => Err(Error::Ended("the keeping of house")),
        _ = others => Err(Error::Ended("the following of other nodes")),
    }
}

async fn shut_down(node: Arc<Node>) -> Result<(), Error> {
    // Finishes what was accepted; its threads are joined, so nothing that was acknowledged can be lost here.
    tokio::task::spawn_blocking(move || node.broker.shut_down())
        .await
        .map_err(io::Error::other)?;
    info!("Stopped.");
    Ok(())
}

async fn build(
    config: &Config,
    open: impl AsyncFnOnce(&Config, &Arc<Hub>) -> Result<Opened, Error>,
) -> Result<Built, Error> {
    let hub = Arc::new(Hub::new(config.shards));
    let Opened {
        broker,
        stats,
        secret,
        members,
    } = open(config, &hub).await?;
    let metrics = Arc::new(Metrics::new(config.shards));
    if let Some(stats) = stats {
        brokers::read_figures(&metrics, &stats);
    }
    let (orders, revocations) = Node::reserved(revocations_durability(config));
    let node = Arc::new(Node {
        broker,
        presence: Arc::new(presence(config, &hub, members.as_ref())),
        auth: Arc::new(Auth::new(config.auth.clone())?),
        kinds: config.kinds.clone(),
        metrics,
        limits: connection_limits(config),
        roll: Roll::default(),
        lifecycle: Lifecycle::default(),
        orders,
        revocations,
        hub,
    });
    node.broker.reload_with(Box::new(node.reload()));
    read_node_figures(&node);
    let keys = match secret {
        Some(secret) => SessionKeys::from_bytes(secret),
        None => SessionKeys::random().map_err(|_| Error::Randomness)?,
    };
    Ok(Built {
        node,
        keys,
        members,
    })
}

/// A node that is ready to serve, and what others need to serve with it.
struct Built {
    node: Arc<Node>,
    keys: SessionKeys,
    members: Option<MembersLink>,
}

/// A server that keeps nothing keeps no revocations either: its tokens' keys are for trying things out.
fn revocations_durability(config: &Config) -> Durability {
    match (&config.redis, &config.storage.data_dir) {
        (None, None) => Durability::Memory,
        (Some(_), _) | (None, Some(_)) => Durability::Disk,
    }
}

fn presence(config: &Config, hub: &Arc<Hub>, members: Option<&MembersLink>) -> Presence {
    let config = PresenceConfig {
        grace: config.presence.grace,
        members_pushed_max: config.presence.members_pushed_max,
        ..PresenceConfig::default()
    };
    let hub = Arc::clone(hub);
    match members {
        Some(link) => Presence::shared(config, hub, link.process(), Instant::now()),
        None => Presence::new(config, hub),
    }
}

fn connection_limits(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        frame_bytes_max: u32::try_from(config.transport.frame_bytes_max).unwrap_or(u32::MAX),
        commands_per_frame_max: limits::COMMANDS_PER_FRAME_MAX as u32,
        channels_max: config.channels_max,
        payload_bytes_max: limits::PAYLOAD_BYTES_MAX as u32,
        history_page_max: config.history_page_max,
        dedup_window_ms: limits::DEDUP_WINDOW_MS,
    }
}

fn certificate(config: &Config) -> Result<Option<Arc<Certificate>>, CertificateError> {
    let files = config.transport.certificate.clone();
    files
        .map(|files| Certificate::load(files).map(Arc::new))
        .transpose()
}

fn transport_config(config: &Config) -> TransportConfig {
    let settings = &config.transport;
    TransportConfig {
        tls: None,
        connections_max: settings.connections_max,
        pending_max: settings.pending_max,
        header_timeout: settings.header_timeout,
        frame_bytes_max: settings.frame_bytes_max,
        linger: settings.linger,
        drain_window: settings.drain_window,
        origins: Origins {
            allowed: settings.origins.clone(),
            any: settings.any_origin,
        },
    }
}

fn http_config(config: &Config) -> HttpConfig {
    HttpConfig {
        demo: config.demo,
        origins: config.transport.origins.clone(),
        any_origin: config.transport.any_origin,
        body_timeout: config.transport.header_timeout,
        commands_per_second_max: config.session.commands_per_second_max,
    }
}

/// Starts one thread per shard. The receiver hears of each that ends, however it does.
fn start_shards(
    config: &Config,
    node: &Arc<Node>,
    keys: &SessionKeys,
    transport: &TransportConfig,
    sockets: Vec<TcpListener>,
) -> Result<mpsc::Receiver<ShardId>, Error> {
    let (tell, ended) = mpsc::channel(config.shards);
    let router = http::router(Arc::clone(node), http_config(config));
    let mut sockets = sockets.into_iter();
    for index in 0..config.shards {
        let setup = ShardSetup {
            id: ShardId(index),
            node: Arc::clone(node),
            listener: sockets.next(),
            router: router.clone(),
            transport: transport.clone(),
            session: config.session.clone(),
            keys: keys.clone(),
        };
        let end = End {
            shard: setup.id,
            tell: tell.clone(),
        };
        start_shard(end, move || transport::run(setup))?;
    }
    Ok(ended)
}

fn start_shard(end: End, run: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let shard = end.shard.0;
    let thread = thread::Builder::new().name(format!("shard-{shard}"));
    thread.spawn(move || {
        let _told_when_dropped = end;
        if let Err(error) = run() {
            error!(%error, shard, "A shard failed.");
        }
    })?;
    Ok(())
}

/// Tells that a shard ended when it is dropped: a panic ends a shard as well. A node with a dead shard would go on and get
/// ever worse: fresh sockets still come to it, and once its inbox is full no order and no revocation passes.
struct End {
    shard: ShardId,
    tell: mpsc::Sender<ShardId>,
}

impl Drop for End {
    fn drop(&mut self) {
        // There is room for one word of each shard, and the receiver is gone only when the process ends.
        let _gone = self.tell.try_send(self.shard);
    }
}

/// Nobody may be served before this node knows what was revoked: a token that is refused elsewhere would be good here.
async fn learn_from_others(node: &Node) {
    tokio::join!(node.revocations.reload(), node.orders.reload());
    house::until_well(node).await;
}

/// Sends everybody away over the drain window, and waits for the shards to end.
async fn drain(node: &Node, ended: &mut mpsc::Receiver<ShardId>, window: Duration) {
    node.lifecycle.begin_drain();
    info!(?window, "Draining.");
    for inbox in node.hub.inboxes() {
        if inbox.order(Control::Drain).is_err() {
            warn!("A shard's inbox is full: its connections end with the process.");
        }
    }
    let all_ended = async { while ended.recv().await.is_some() {} };
    if tokio::time::timeout(window + DRAIN_GRACE, all_ended)
        .await
        .is_err()
    {
        warn!("Some connections did not end in time.");
    }
}

fn read_node_figures(node: &Arc<Node>) {
    // A weak reference: the node owns the metrics that own these closures.
    let read = |metric, figure: fn(&Node) -> u64| {
        let weak = Arc::downgrade(node);
        node.metrics.read_from(metric, move || {
            weak.upgrade().map_or(0, |node| figure(&node))
        });
    };
    read(NodeMetric::Channels, |node| node.hub.len() as u64);
    read(NodeMetric::UsersConnected, |node| node.roll.users() as u64);
    read(NodeMetric::Revocations, |node| {
        node.auth.revocations().len() as u64
    });
    read(NodeMetric::Draining, |node| {
        u64::from(node.lifecycle.is_draining())
    });
    read(NodeMetric::BrokerHealthy, |node| {
        u64::from(node.broker.health().is_ok())
    });
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    #[test]
    fn a_shard_that_panics_is_told_as_one_that_ends() {
        let (tell, mut ended) = mpsc::channel(3);
        let end = |index| End {
            shard: ShardId(index),
            tell: tell.clone(),
        };
        start_shard(end(0), || Ok(())).expect("a thread");
        assert_eq!(ended.blocking_recv(), Some(ShardId(0)));
        start_shard(end(1), || Err(io::Error::other("planted"))).expect("a thread");
        assert_eq!(ended.blocking_recv(), Some(ShardId(1)));
        start_shard(end(2), || panic!("planted")).expect("a thread");
        drop(tell);
        assert_eq!(ended.blocking_recv(), Some(ShardId(2)));
        assert_eq!(ended.blocking_recv(), None, "each is told once");
    }

    #[tokio::test]
    async fn a_process_that_loses_a_part_of_itself_does_not_end_well() {
        let when_only = |part: usize| {
            let one = move |number: usize| async move {
                if number != part {
                    pending::<()>().await;
                }
            };
            until_over(one(0), one(1), one(2), one(3))
        };
        assert!(when_only(0).await.is_ok(), "it was told to stop");
        for (part, name) in [(1, "a shard"), (2, "house"), (3, "other nodes")] {
            let error = when_only(part).await.expect_err(name).to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_is_a_part_that_is_gone() {
        let task: JoinHandle<()> = tokio::spawn(async { panic!("planted") });
        let end = until_over(pending(), pending::<()>(), task, pending::<()>()).await;
        assert!(end.is_err());
    }
}
