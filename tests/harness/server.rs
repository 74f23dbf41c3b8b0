//! A real server in this process: its composition root on a thread of its own, a free port, a directory of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use parlor::app::{self, Addresses};
use parlor::auth::{Algorithm, ApiKey, KeyMaterial, Secret, TokenKey, all_grants};
use parlor::broker::redis::{Authorities, RedisConfig};
use parlor::config::{CertificateFiles, Config, api_key_hash};
use parlor::hub::Hub;
use parlor_protocol::command::Connect;
use parlor_protocol::limits::DEDUP_WINDOW_MS;
use parlor_protocol::reply::Connected;
use parlor_protocol::{Form, WireError};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::authority::Trust;
use crate::backend::Backend;
use crate::client::Client;
use crate::figures::Figures;
use crate::frail::Frailty;
use crate::kinds::kinds;
use crate::patience::{PATIENCE, in_time};
use crate::token::{API_KEY, SECRET};

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    config: Config,
    form: Form,
    directory: Arc<TempDir>,
    over: Over,
    /// What its own clients believe, when it speaks TLS.
    trust: Option<Trust>,
}

/// The broker under a server.
#[derive(Clone, Debug)]
enum Over {
    Embedded,
    /// The same, failing when the test wants it.
    Frail(Arc<Frailty>),
}

impl Setup {
    /// Development mode, the tests' kinds, nothing that a busy machine could run into.
    ///
    /// # Panics
    /// When there is no directory for it.
    pub fn new(form: Form, shards: usize) -> Self {
        let directory = Arc::new(TempDir::new().expect("a directory for the server"));
        let mut config = Config::defaults().expect("the defaults are usable");
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.metrics_listen = Some(config.listen);
        config.shards = shards;
        config.auth.dev = true;
        config.auth.leeway = Duration::ZERO;
        config.kinds = kinds();
        config.storage.data_dir = Some(directory.path().to_owned());
        config.transport.drain_window = Duration::ZERO;
        config.session.commands_per_second_max = 0;
        Self {
            config,
            form,
            directory,
            over: Over::Embedded,
            trust: None,
        }
    }

    /// The same over TLS, with these files; its clients believe this.
    #[must_use]
    pub fn secured(mut self, files: CertificateFiles, trust: &Trust) -> Self {
        self.trust = Some(trust.clone());
        self.with(|config| config.transport.certificate = Some(files))
    }

    /// The same over a broker that fails when the test says so.
    #[must_use]
    pub fn frail(mut self, frailty: &Arc<Frailty>) -> Self {
        self.over = Over::Frail(Arc::clone(frailty));
        self
    }

    /// One of several nodes on the Redis at this URL.
    ///
    /// # Panics
    /// When it is no URL of a Redis.
    #[must_use]
    pub fn on_redis(self, url: &str) -> Self {
        let redis = RedisConfig {
            url: url.parse().expect("a URL of Redis"),
            user: None,
            password: None,
            authorities: Authorities::default(),
            prefix: "test".to_owned(),
            confirmations: 0,
            dedup_window: Duration::from_millis(DEDUP_WINDOW_MS),
            replicates: false,
        };
        self.with(|config| config.redis = Some(redis))
    }

    /// The same for another node: with a directory of its own.
    ///
    /// # Panics
    /// When there is no directory for it.
    #[must_use]
    pub fn another(&self) -> Self {
        let directory = Arc::new(TempDir::new().expect("a directory for the server"));
        let data_dir = Some(directory.path().to_owned());
        let same = Self {
            directory,
            ..self.clone()
        };
        same.with(|config| config.storage.data_dir = data_dir)
    }

    /// The same with something changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// The same, where everybody needs a token or [`API_KEY`].
    #[must_use]
    pub fn with_tokens(self) -> Self {
        self.with(|config| {
            config.auth.dev = false;
            config.auth.token_keys = vec![TokenKey {
                kid: None,
                algorithm: Algorithm::Hs256,
                material: KeyMaterial::Secret(Secret::new(SECRET)),
                private_pem: None,
            }];
            config.auth.api_keys = vec![ApiKey {
                name: "backend".to_owned(),
                hash: api_key_hash(API_KEY),
                grants: all_grants(),
            }];
        })
    }

    /// Starts it and waits until it accepts sockets.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self) -> Server {
        let (stop, stopped) = oneshot::channel();
        let (tell, ready) = oneshot::channel();
        let (config, directory) = (self.config.clone(), Arc::clone(&self.directory));
        let over = self.over.clone();
        let (tell_end, ended) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            serve(config, &over, stopped, tell);
            // The directory lives as long as the server, also when the test is over.
            drop(directory);
            // Nobody listens after a failed test.
            let _over = tell_end.send(());
        });
        let addresses = in_time("the server to start", ready)
            .await
            .expect("the server starts");
        Server {
            setup: self,
            address: addresses.http,
            figures: Figures::new(addresses.metrics.expect("tests always ask for metrics")),
            stop: Some(stop),
            thread: Some(thread),
            ended: Some(ended),
        }
    }

    /// Where it keeps its log.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Runs the server on the calling thread.
fn serve(
    config: Config,
    over: &Over,
    stopped: oneshot::Receiver<()>,
    ready: oneshot::Sender<Addresses>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the server");
    let stop = async {
        // A dropped handle stops it too.
        let _dropped = stopped.await;
    };
    let ready = |addresses: Addresses| {
        // The test may have given up.
        let _gone = ready.send(addresses);
    };
    let ended = runtime.block_on(async {
        match over {
            Over::Embedded => app::run(config, stop, ready).await,
            Over::Frail(frailty) => {
                let open = async |config: &Config, hub: &Arc<Hub>| {
                    Ok::<_, app::Error>(frailty.open(config, hub))
                };
                app::run_over(open, config, stop, ready).await
            }
        }
    });
    ended.expect("the server runs and drains");
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    address: SocketAddr,
    figures: Figures,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    ended: Option<mpsc::Receiver<()>>,
}

impl Server {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn form(&self) -> Form {
        self.setup.form
    }

    pub fn shards(&self) -> usize {
        self.setup.config.shards
    }

    pub fn directory(&self) -> &Path {
        self.setup.directory()
    }

    /// What a backend does over HTTP.
    pub fn backend(&self) -> Backend {
        let backend = Backend::new(self.address);
        match &self.setup.trust {
            None => backend,
            Some(trust) => backend.trusting(trust),
        }
    }

    /// What the server counts.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// A socket that has not said `connect`.
    pub async fn open(&self) -> Client {
        match &self.setup.trust {
            None => Client::open(self.address, self.setup.form).await,
            Some(trust) => Client::open_secure(self.address, self.setup.form, trust).await,
        }
    }

    /// A connected user, in development mode.
    pub async fn join(&self, user: &str) -> Client {
        self.join_with(Connect {
            user: Some(user.to_owned()),
            ..Connect::default()
        })
        .await
        .0
    }

    /// A connection with this token.
    pub async fn join_by_token(&self, token: &str) -> Client {
        self.join_with(Connect {
            token: Some(token.to_owned()),
            ..Connect::default()
        })
        .await
        .0
    }

    /// A connection by any `connect` that is accepted.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn join_with(&self, connect: Connect) -> (Client, Connected) {
        let (client, outcome) = self.try_join(connect).await;
        (client, outcome.expect("connect is accepted"))
    }

    /// A socket and what became of its `connect`.
    pub async fn try_join(&self, connect: Connect) -> (Client, Result<Connected, WireError>) {
        let mut client = self.open().await;
        let outcome = client.connect(connect).await;
        (client, outcome)
    }

    /// One connection of this user on each shard, by shard.
    ///
    /// # Panics
    /// When the kernel gives a shard no connection in a thousand attempts.
    pub async fn join_every_shard(&self, user: &str) -> Vec<Client> {
        let mut by_shard: Vec<Option<Client>> = (0..self.shards()).map(|_| None).collect();
        for _ in 0..1_000 {
            let client = self.join(user).await;
            let shard = client.shard();
            if by_shard[shard].is_none() {
                by_shard[shard] = Some(client);
            } else {
                client.leave().await;
            }
            if by_shard.iter().all(Option::is_some) {
                return by_shard.into_iter().flatten().collect();
            }
        }
        panic!("some shard got no connection");
    }

    /// One connection on each shard, all subscribed to a channel.
    pub async fn audience(&self, user: &str, channel: &str) -> Vec<Client> {
        let mut clients = self.join_every_shard(user).await;
        for client in &mut clients {
            client.subscribe(channel).await;
        }
        clients
    }

    /// Tells it to stop, as SIGTERM would, and does not wait.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that it ended already.
            let _ended = stop.send(());
        }
    }

    /// Tells it to stop and waits until it has drained.
    ///
    /// # Panics
    /// When it does not end in time, or ended with a panic.
    pub async fn stop(mut self) -> Stopped {
        self.begin_stop();
        let (ended, thread) = (self.ended.take(), self.thread.take());
        let (ended, thread) = ended.zip(thread).expect("a server stops once");
        let joined = tokio::task::spawn_blocking(move || {
            ended.recv_timeout(PATIENCE).map(|()| thread.join())
        });
        joined
            .await
            .expect("waiting does not panic")
            .expect("the server drains in time")
            .expect("the server does not panic");
        Stopped {
            setup: self.setup.clone(),
        }
    }
}

/// A server that has drained; its directory is still there.
#[derive(Debug)]
pub struct Stopped {
    setup: Setup,
}

impl Stopped {
    /// Starts it again on the same directory.
    pub async fn start(self) -> Server {
        self.setup.start().await
    }

    /// The same on a fixed address: where clients expect it.
    pub async fn start_at(self, address: SocketAddr) -> Server {
        self.setup
            .with(|config| config.listen = address)
            .start()
            .await
    }

    /// Where it kept its log.
    pub fn directory(&self) -> &Path {
        self.setup.directory()
    }
}
