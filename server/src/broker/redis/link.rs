//! One connection to one Redis primary, with what is known of that primary's lineage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo as _, Pipeline,
    RedisConnectionInfo, RedisError, Value,
};

use super::attached::Attached;
use super::config::{Address, RedisConfig};
use super::fault::Fault;
use super::secure;

/// How long a dial may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(700);

/// Unacknowledged bytes older than this end the connection: a peer that vanished is noticed without a write timeout.
#[cfg(target_os = "linux")]
pub(super) const USER_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that many may use at once. Which process answers, and which history it continues, is fixed for its life.
#[derive(Debug)]
pub(super) struct Link {
    /// Tells links to one address apart.
    pub(super) id: u64,
    pub(super) address: Address,
    /// Run id and replication id: another one means that the data may be another.
    pub(super) lineage: String,
    /// The replicas of this primary.
    pub(super) attached: Arc<Attached>,
    /// For `CLIENT UNBLOCK`.
    pub(super) client: i64,
    /// Redis's clock when the link was made, and when that was: steps of our own clock do not matter.
    clock_ms: u64,
    opened: Instant,
    connection: MultiplexedConnection,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Link {
    /// Dials, authenticates, and asks who answers.
    ///
    /// # Errors
    /// Nothing reachable there, or not a primary.
    pub(super) async fn open(
        config: &RedisConfig,
        address: &Address,
        timeout: Duration,
        attached: Arc<Attached>,
    ) -> Result<Self, Fault> {
        let connection = dial(config, address, timeout, true).await?;
        let mut questions = redis::pipe();
        questions.cmd("INFO").arg("server");
        questions.cmd("INFO").arg("replication");
        questions.cmd("TIME");
        questions.cmd("CLIENT").arg("ID");
        let asked: Result<(String, String, (u64, u64), i64), _> =
            questions.query_async(&mut connection.clone()).await;
        let (server, replication, time, client) = asked?;
        let role = field(&replication, "role").unwrap_or_default();
        if role != "master" {
            return Err(Fault::Elsewhere(format!("{address} is a {role}")));
        }
        let run = field(&server, "run_id").unwrap_or_default();
        let history = field(&replication, "master_replid").unwrap_or_default();
        attached.look(Replication::of(&replication).replicas, Instant::now());
        Ok(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            address: address.clone(),
            lineage: format!("{run}:{history}"),
            attached,
            client,
            clock_ms: time.0 * 1_000 + time.1 / 1_000,
            opened: Instant::now(),
            connection,
        })
    }

    /// Now, by the clock of this Redis, in ms.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock_ms + self.opened.elapsed().as_millis() as u64
    }

    pub(super) async fn query(&self, command: &Cmd) -> Result<Value, RedisError> {
        command.query_async(&mut self.connection.clone()).await
    }

    /// Several commands in one write; each has its own outcome.
    pub(super) async fn query_all(&self, pipeline: &Pipeline) -> Result<Vec<Value>, RedisError> {
        pipeline.query_async(&mut self.connection.clone()).await
    }

    /// What `INFO replication` says now.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn replication(&self) -> Result<Replication, Fault> {
        let mut command = redis::cmd("INFO");
        command.arg("replication");
        let text: String = command.query_async(&mut self.connection.clone()).await?;
        Ok(Replication::of(&text))
    }
}

/// How far the replicas are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replication {
    pub(super) is_primary: bool,
    /// The replication id.
    pub(super) history: String,
    pub(super) offset: u64,
    /// The offset that every attached replica has confirmed; none without replicas.
    pub(super) confirmed: Option<u64>,
    pub(super) replicas: usize,
}

impl Replication {
    pub(super) fn of(text: &str) -> Self {
        let number = |name| field(text, name).and_then(|value| value.parse().ok());
        let confirmed = text
            .lines()
            .filter(|line| line.starts_with("slave"))
            .filter_map(|line| {
                let offset = line
                    .split(',')
                    .find_map(|part| part.strip_prefix("offset="))?;
                offset.trim().parse::<u64>().ok()
            });
        Self {
            is_primary: field(text, "role") == Some("master"),
            history: field(text, "master_replid").unwrap_or_default().to_owned(),
            offset: number("master_repl_offset").unwrap_or(0),
            confirmed: confirmed.min(),
            replicas: field(text, "connected_slaves")
                .and_then(|count| count.parse().ok())
                .unwrap_or(0),
        }
    }
}

/// A plain connection, also to a Sentinel.
///
/// # Errors
/// Nothing reachable there, or not for this user.
pub(super) async fn dial(
    config: &RedisConfig,
    address: &Address,
    timeout: Duration,
    authenticate: bool,
) -> Result<MultiplexedConnection, Fault> {
    let unreachable = |error: RedisError| match Fault::from(error) {
        Fault::Lost(text) => Fault::Unreachable(format!("{address}: {text}")),
        Fault::Odd(text) => Fault::Odd(format!("{address}: {text}")),
        other => other,
    };
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(timeout))
        .set_pipeline_buffer_size(4_096)
        .set_write_backpressure_boundary(256 * 1024);
    let login = login(config, authenticate);
    let connecting = async {
        if config.url.tls {
            return secure::connect(&config.authorities, address, &login, settings).await;
        }
        let client = plain(address, login)?;
        client
            .get_multiplexed_async_connection_with_config(&settings)
            .await
    };
    // The crate bounds its own dialling; this bounds name look-ups and handshakes too.
    match tokio::time::timeout(CONNECT_TIMEOUT * 2, connecting).await {
        Ok(connected) => connected.map_err(unreachable),
        Err(_) => Err(Fault::Unreachable(format!("{address}: no answer"))),
    }
}

fn login(config: &RedisConfig, authenticate: bool) -> RedisConnectionInfo {
    let mut redis = RedisConnectionInfo::default().set_skip_set_lib_name();
    if authenticate {
        redis = redis.set_db(config.url.db);
        if let Some(user) = &config.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &config.password {
            redis = redis.set_password(password);
        }
    }
    redis
}

fn plain(address: &Address, login: RedisConnectionInfo) -> Result<Client, RedisError> {
    let tcp = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(USER_TIMEOUT);
    let info = ConnectionAddr::Tcp(address.host.clone(), address.port)
        .into_connection_info()?
        .set_redis_settings(login)
        .set_tcp_settings(tcp);
    Client::open(info)
}

/// A field of what `INFO` or `CLUSTER INFO` say.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_replica_counts() {
        let text = "# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
            slave0:ip=127.0.0.1,port=1,state=online,offset=90,lag=0\r\n\
            slave1:ip=127.0.0.1,port=2,state=online,offset=70,lag=1\r\nmaster_repl_offset:100\r\n";
        let expected = Replication {
            is_primary: true,
            history: String::new(),
            offset: 100,
            confirmed: Some(70),
            replicas: 2,
        };
        assert_eq!(Replication::of(text), expected);
    }

    #[test]
    fn without_replicas_nothing_is_confirmed() {
        let replication = Replication::of("role:slave\r\nmaster_repl_offset:5\r\n");
        assert_eq!(
            (replication.is_primary, replication.confirmed),
            (false, None)
        );
    }
}
