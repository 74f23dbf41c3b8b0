//! What is looked at once, before anything is promised: Redis's version and settings, and what all nodes must agree on.

use redis::aio::MultiplexedConnection;
use tracing::{info, warn};

use super::config::{Address, Mode, RedisConfig};
use super::fault::Fault;
use super::keys::partitions_for;
use super::link;
use super::topology::Topology;

/// Why a node cannot start on this Redis.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("unable to start; Redis at {url}: {reason}")]
    Unusable { url: String, reason: String },
    /// It is not there, or not ready: that may pass by itself.
    #[error("unable to start; Redis at {url}: {reason}")]
    Away { url: String, reason: String },
    #[error(
        "unable to start; Redis at {address} evicts keys (maxmemory-policy {policy}): set noeviction, or acknowledged events vanish"
    )]
    Evicts { address: Address, policy: String },
    #[error("unable to start; Redis at {address} has version {version}: 6.2 or later is needed")]
    TooOld { address: Address, version: String },
    #[error("unable to start; the operating system gives no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What all nodes of one Redis and prefix share.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    pub(super) partitions: usize,
    /// For whatever one node gives out and another must know as genuine.
    pub(super) secret: [u8; 32],
}

/// How long one answer may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// Looks at every primary, and agrees with the other nodes.
///
/// # Errors
/// Redis cannot be reached or cannot be relied on.
pub(super) async fn check(config: &RedisConfig) -> Result<Agreed, OpenError> {
    let failed = |fault: Fault| OpenError::of(&fault, config);
    let topology = Topology::default();
    let mut primaries = Vec::new();
    for address in topology.primaries(config).await.map_err(failed)? {
        let mut connection = link::dial(config, &address, TIMEOUT, true)
            .await
            .map_err(failed)?;
        check_one(&mut connection, &address)
            .await
            .map_err(|error| match error {
                Refusal::Fault(fault) => failed(fault),
                Refusal::Open(error) => error,
            })?;
        primaries.push((address, connection));
    }
    let agreed = agree(config, &topology).await.map_err(failed)?;
    // Last: a node that waits for Redis looks at it again and again, and says this once.
    for (address, connection) in &mut primaries {
        tell_settings(connection, address).await;
    }
    Ok(agreed)
}

impl OpenError {
    fn of(fault: &Fault, config: &RedisConfig) -> Self {
        let (url, reason) = (shown(config), fault.to_string());
        match fault.is_waited_for() {
            true => Self::Away { url, reason },
            false => Self::Unusable { url, reason },
        }
    }
}

/// The addresses without credentials.
fn shown(config: &RedisConfig) -> String {
    let mode = match &config.url.mode {
        Mode::Standalone => "",
        Mode::Sentinel { .. } => " (Sentinels)",
        Mode::Cluster => " (Cluster)",
    };
    let addresses: Vec<_> = config
        .url
        .addresses
        .iter()
        .map(Address::to_string)
        .collect();
    format!("{}{mode}", addresses.join(","))
}

enum Refusal {
    Fault(Fault),
    Open(OpenError),
}

async fn check_one(
    connection: &mut MultiplexedConnection,
    address: &Address,
) -> Result<(), Refusal> {
    let mut info = redis::cmd("INFO");
    let info: String = info
        .arg("server")
        .query_async(connection)
        .await
        .map_err(|error| Refusal::Fault(error.into()))?;
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"))
        .unwrap_or("")
        .trim()
        .to_owned();
    if !is_new_enough(&version) {
        return Err(Refusal::Open(OpenError::TooOld {
            address: address.clone(),
            version,
        }));
    }
    match setting(connection, "maxmemory-policy").await {
        Some(policy) if policy != "noeviction" => Err(Refusal::Open(OpenError::Evicts {
            address: address.clone(),
            policy,
        })),
        Some(_) | None => Ok(()),
    }
}

/// What could not be seen, and what `disk` is worth on this Redis.
async fn tell_settings(connection: &mut MultiplexedConnection, address: &Address) {
    let appends = setting(connection, "appendonly").await;
    if appends.is_none() {
        warn!(%address, "Unable to read Redis's settings (CONFIG GET is denied?): be sure that maxmemory-policy is noeviction.");
    }
    let appends = appends.unwrap_or_default();
    let fsync = setting(connection, "appendfsync").await.unwrap_or_default();
    let save = setting(connection, "save").await.unwrap_or_default();
    match (appends.as_str(), fsync.as_str(), save.as_str()) {
        ("yes", "always", _) => {
            info!(%address, "Redis writes each append to disk before it answers.")
        }
        ("yes", fsync, _) => {
            warn!(%address, fsync, "Redis may lose up to a second of acknowledged events when its machine fails.")
        }
        (_, _, "") => warn!(%address, "Redis keeps nothing on disk: a restart loses all events."),
        (_, _, save) => {
            warn!(%address, save, "Redis only takes snapshots: a restart loses the events since the last one.")
        }
    }
}

async fn setting(connection: &mut MultiplexedConnection, name: &str) -> Option<String> {
    let mut command = redis::cmd("CONFIG");
    let answer: Result<Vec<String>, _> = command.arg("GET").arg(name).query_async(connection).await;
    answer.ok()?.into_iter().nth(1)
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    (major, minor) >= (6, 2)
}

/// The first node of all writes it down; the others take what they find.
async fn agree(config: &RedisConfig, topology: &Topology) -> Result<Agreed, Fault> {
    let key = format!("{}:{{config}}:agreed", config.prefix);
    let slot = crc16::State::<crc16::XMODEM>::calculate(b"config") % 16_384;
    let address = topology.primary_of(config, slot).await?;
    let mut connection = link::dial(config, &address, TIMEOUT, true).await?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| Fault::Odd(error.to_string()))?;
    let mut both = redis::pipe();
    both.cmd("HSETNX")
        .arg(&key)
        .arg("partitions")
        .arg(partitions_for(&config.url.mode))
        .ignore();
    both.cmd("HSETNX")
        .arg(&key)
        .arg("secret")
        .arg(&secret[..])
        .ignore();
    both.cmd("HSETNX").arg(&key).arg("version").arg(1).ignore();
    both.cmd("HMGET")
        .arg(&key)
        .arg("partitions")
        .arg("secret")
        .arg("version");
    let ((partitions, secret, version),): ((usize, Vec<u8>, u32),) =
        both.query_async(&mut connection).await?;
    if version != 1 {
        return Err(Fault::Odd(format!(
            "its keys are of version {version}, this build knows version 1"
        )));
    }
    let secret = secret
        .try_into()
        .map_err(|_| Fault::Odd("the shared secret has another length".to_owned()))?;
    if !(1..=1_024).contains(&partitions) {
        return Err(Fault::Odd(format!(
            "{partitions} partitions are recorded, 1 to 1024 are possible"
        )));
    }
    Ok(Agreed { partitions, secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert!(is_new_enough("6.2.0") && is_new_enough("7.0.15") && is_new_enough("10.0.0"));
        assert!(!is_new_enough("6.0.16") && !is_new_enough("5.0") && !is_new_enough(""));
    }
}
