//! The configuration as it is written. Its defaults are the server's defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

use super::units::{Duration, Size};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) server: Server,
    pub(super) metrics: Metrics,
    pub(super) log: Log,
    pub(super) connection: Connection,
    pub(super) storage: Storage,
    pub(super) redis: Redis,
    pub(super) presence: Presence,
    pub(super) auth: Auth,
    /// By their `kid`.
    pub(super) token_keys: BTreeMap<String, TokenKey>,
    /// By the backend's name.
    pub(super) api_keys: BTreeMap<String, ApiKey>,
    /// By the kind's name.
    pub(super) kinds: BTreeMap<String, Kind>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    pub(super) listen: String,
    pub(super) shards: usize,
    pub(super) demo: bool,
    pub(super) tls_certificate_file: PathBuf,
    pub(super) tls_key_file: PathBuf,
    pub(super) allowed_origins: Vec<String>,
    pub(super) connections_max: u64,
    pub(super) pending_max: usize,
    pub(super) header_timeout: Duration,
    pub(super) drain_window: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8000".into(),
            shards: 0,
            demo: false,
            tls_certificate_file: PathBuf::new(),
            tls_key_file: PathBuf::new(),
            allowed_origins: Vec::new(),
            connections_max: 100_000,
            pending_max: 1_024,
            header_timeout: seconds(10),
            drain_window: seconds(20),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) listen: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9190".into(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    pub(super) format: String,
    pub(super) filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: "pretty".into(),
            filter: "info".into(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Connection {
    pub(super) connect_timeout: Duration,
    pub(super) ping_interval: Duration,
    pub(super) ping_interval_min: Duration,
    pub(super) ping_interval_max: Duration,
    pub(super) pong_timeout: Duration,
    pub(super) expiry_notice: Duration,
    pub(super) linger: Duration,
    pub(super) outbox_bytes_max: Size,
    pub(super) frame_bytes_max: Size,
    pub(super) channels_max: u32,
    pub(super) history_page_max: u32,
    pub(super) commands_per_second_max: u32,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            connect_timeout: seconds(10),
            ping_interval: seconds(25),
            ping_interval_min: seconds(5),
            ping_interval_max: seconds(300),
            pong_timeout: seconds(10),
            expiry_notice: seconds(30),
            linger: seconds(5),
            outbox_bytes_max: Size(256 << 10),
            frame_bytes_max: Size(64 << 10),
            channels_max: 512,
            history_page_max: 1_000,
            commands_per_second_max: 500,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Storage {
    pub(super) data_dir: PathBuf,
    /// 0: as far as the disk goes.
    pub(super) disk_bytes_max: Size,
    pub(super) memory_bytes_max: Size,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            data_dir: "parlor-data".into(),
            disk_bytes_max: Size(0),
            memory_bytes_max: Size(256 << 20),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Redis {
    pub(super) url: String,
    pub(super) prefix: String,
    pub(super) user: String,
    pub(super) password: RawSecret,
    pub(super) password_file: PathBuf,
    pub(super) tls_ca_file: PathBuf,
    /// 0: all that are attached.
    pub(super) confirmations: usize,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: String::new(),
            prefix: "parlor".into(),
            user: String::new(),
            password: RawSecret::default(),
            password_file: PathBuf::new(),
            tls_ca_file: PathBuf::new(),
            confirmations: 0,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Presence {
    pub(super) grace: Duration,
    pub(super) members_pushed_max: usize,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            grace: seconds(5),
            members_pushed_max: 200,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Auth {
    pub(super) secret: RawSecret,
    pub(super) api_key: RawSecret,
    pub(super) issuers: Vec<String>,
    pub(super) audiences: Vec<String>,
    pub(super) leeway: Duration,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            secret: RawSecret::default(),
            api_key: RawSecret::default(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: seconds(10),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenKey {
    pub(super) algorithm: String,
    #[serde(default)]
    pub(super) secret: RawSecret,
    #[serde(default)]
    pub(super) secret_file: PathBuf,
    #[serde(default)]
    pub(super) public_key_file: PathBuf,
    #[serde(default)]
    pub(super) private_key_file: PathBuf,
    #[serde(default)]
    pub(super) jwk_file: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKey {
    pub(super) hash: String,
    #[serde(default = "all_channels")]
    pub(super) channels: Vec<String>,
    /// Absent: everything.
    #[serde(default = "all_verbs")]
    pub(super) allow: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kind {
    pub(super) pattern: String,
    #[serde(default = "default_durability")]
    pub(super) durability: String,
    #[serde(default = "default_history_len_max")]
    pub(super) history_len_max: u64,
    #[serde(default = "default_history_age_max")]
    pub(super) history_age_max: Duration,
    #[serde(default = "default_presence")]
    pub(super) presence: bool,
    #[serde(default = "default_slow")]
    pub(super) slow: String,
    #[serde(default)]
    pub(super) allow: Vec<String>,
    #[serde(default = "default_publish_rate_max")]
    pub(super) publish_rate_max: u32,
}

impl Kind {
    /// What holds when no kind is configured, with the defaults of every kind.
    pub(super) fn of_pattern(pattern: &str) -> Self {
        Self {
            pattern: pattern.to_owned(),
            durability: default_durability(),
            history_len_max: default_history_len_max(),
            history_age_max: default_history_age_max(),
            presence: default_presence(),
            slow: default_slow(),
            allow: Vec::new(),
            publish_rate_max: default_publish_rate_max(),
        }
    }
}

fn default_durability() -> String {
    "disk".into()
}

fn default_history_len_max() -> u64 {
    10_000
}

fn default_history_age_max() -> Duration {
    seconds(7 * 24 * 3600)
}

fn default_presence() -> bool {
    true
}

fn default_slow() -> String {
    "close".into()
}

fn default_publish_rate_max() -> u32 {
    100
}

fn all_channels() -> Vec<String> {
    vec!["*".into()]
}

fn all_verbs() -> Vec<String> {
    crate::kind::Verb::ALL
        .iter()
        .map(|verb| verb.as_str().to_owned())
        .collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration(std::time::Duration::from_secs(seconds))
}

/// Text that is read but never written back.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct RawSecret(pub(super) String);

impl RawSecret {
    pub(super) const SHOWN: &'static str = "(secret)";
}

impl Serialize for RawSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { Self::SHOWN })
    }
}

impl fmt::Debug for RawSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::SHOWN)
    }
}
