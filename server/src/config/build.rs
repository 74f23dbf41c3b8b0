//! From what was written to what is meant: each value checked, key files read.

use std::fmt::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::layers::read_secret;
use super::raw::{self, Raw};
use super::{
    CertificateFiles, Config, Error, LogConfig, LogFormat, PresenceSettings, StorageSettings,
    TransportSettings,
};
use crate::auth::{
    Algorithm, ApiKey, AuthConfig, Grant, KeyMaterial, Secret, TokenKey, all_grants,
};
use crate::broker::redis::{Authorities, BadUrl, RedisConfig};
use crate::kind::{ChannelKind, ChannelKinds, Durability, SlowPolicy, Verb};
use crate::pattern::Pattern;
use crate::session::SessionConfig;

/// Shards that a process can have: one bit each.
const SHARDS_MAX: usize = 64;

pub(super) fn build(raw: &Raw) -> Result<Config, Error> {
    let metrics = raw.metrics.listen.as_str();
    Ok(Config {
        listen: address("server.listen", &raw.server.listen)?,
        metrics_listen: if metrics.is_empty() {
            None
        } else {
            Some(address("metrics.listen", metrics)?)
        },
        shards: shards(raw.server.shards)?,
        demo: raw.server.demo,
        log: log(&raw.log)?,
        transport: transport(raw)?,
        session: session(&raw.connection)?,
        channels_max: positive("connection.channels_max", raw.connection.channels_max)?,
        history_page_max: positive(
            "connection.history_page_max",
            raw.connection.history_page_max,
        )?,
        storage: storage(&raw.storage)?,
        redis: redis(raw)?,
        presence: PresenceSettings {
            grace: raw.presence.grace.0,
            members_pushed_max: raw.presence.members_pushed_max,
        },
        auth: auth(raw)?,
        kinds: kinds(raw)?,
    })
}

/// The SHA-256 of an API key, in hex: what the config keeps of it.
pub fn api_key_hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing into a String cannot fail.
            write!(hex, "{byte:02x}").unwrap_or_default();
            hex
        })
}

fn wrong(key: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::Value {
        key: key.into(),
        reason: reason.into(),
    }
}

fn address(key: &str, text: &str) -> Result<SocketAddr, Error> {
    // A bare port listens on loopback only: nobody should be public by leaving something out.
    let text = if text.starts_with(':') {
        format!("127.0.0.1{text}")
    } else {
        text.to_owned()
    };
    let reason = "needs an address and a port such as 127.0.0.1:8000 or [::]:8000";
    text.to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| wrong(key, reason))
}

fn shards(wanted: usize) -> Result<usize, Error> {
    match wanted {
        0 => Ok(std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(SHARDS_MAX)),
        1..=SHARDS_MAX => Ok(wanted),
        _ => Err(wrong("server.shards", "at most 64")),
    }
}

fn log(raw: &raw::Log) -> Result<LogConfig, Error> {
    let format = match raw.format.as_str() {
        "pretty" => LogFormat::Pretty,
        "json" => LogFormat::Json,
        _ => return Err(wrong("log.format", "needs `pretty` or `json`")),
    };
    if raw.filter.parse::<tracing_subscriber::EnvFilter>().is_err() {
        return Err(wrong(
            "log.filter",
            "needs a filter such as `info` or `parlor=debug,info`",
        ));
    }
    Ok(LogConfig {
        format,
        filter: raw.filter.clone(),
    })
}

fn transport(raw: &Raw) -> Result<TransportSettings, Error> {
    let server = &raw.server;
    let (any, origins): (Vec<_>, Vec<_>) = server
        .allowed_origins
        .iter()
        .cloned()
        .partition(|origin| origin == "*");
    if let Some(origin) = origins.iter().find(|origin| !is_origin(origin)) {
        return Err(wrong(
            "server.allowed_origins",
            format!("`{origin}` is not an origin such as https://example.com"),
        ));
    }
    Ok(TransportSettings {
        connections_max: positive("server.connections_max", server.connections_max)?,
        certificate: certificate(server)?,
        pending_max: positive("server.pending_max", server.pending_max)?,
        header_timeout: lasting("server.header_timeout", server.header_timeout)?,
        frame_bytes_max: usize::try_from(raw.connection.frame_bytes_max.0)
            .ok()
            .filter(|bytes| (1_024..=16 << 20).contains(bytes))
            .ok_or_else(|| wrong("connection.frame_bytes_max", "needs 1KiB to 16MiB"))?,
        linger: raw.connection.linger.0,
        drain_window: server.drain_window.0,
        origins,
        any_origin: !any.is_empty(),
    })
}

/// Both files or none. What is in them is looked at by whoever serves with it.
fn certificate(raw: &raw::Server) -> Result<Option<CertificateFiles>, Error> {
    let given = |path: &Path| !path.as_os_str().is_empty();
    match (given(&raw.tls_certificate_file), given(&raw.tls_key_file)) {
        (false, false) => Ok(None),
        (true, true) => Ok(Some(CertificateFiles {
            certificate: raw.tls_certificate_file.clone(),
            key: raw.tls_key_file.clone(),
        })),
        (true, false) => Err(wrong(
            "server.tls_key_file",
            "is missing beside server.tls_certificate_file",
        )),
        (false, true) => Err(wrong(
            "server.tls_certificate_file",
            "is missing beside server.tls_key_file",
        )),
    }
}

/// Scheme, host and perhaps a port; nothing behind it.
fn is_origin(text: &str) -> bool {
    let authority = text
        .split_once("://")
        .filter(|(scheme, _)| !scheme.is_empty())
        .map(|(_, authority)| authority);
    authority.is_some_and(|authority| {
        !authority.is_empty() && !authority.contains(['/', '*', '?', '#', ' '])
    })
}

fn session(raw: &raw::Connection) -> Result<SessionConfig, Error> {
    let (min, max) = (raw.ping_interval_min.0, raw.ping_interval_max.0);
    if !(min..=max).contains(&raw.ping_interval.0) || min.is_zero() {
        return Err(wrong(
            "connection.ping_interval",
            "needs to lie between ping_interval_min and ping_interval_max",
        ));
    }
    let outbox_bytes_max = usize::try_from(raw.outbox_bytes_max.0).unwrap_or(usize::MAX);
    if outbox_bytes_max < 1_024 {
        return Err(wrong("connection.outbox_bytes_max", "needs at least 1KiB"));
    }
    Ok(SessionConfig {
        commands_per_second_max: raw.commands_per_second_max,
        ping_interval: raw.ping_interval.0,
        ping_interval_min: min,
        ping_interval_max: max,
        pong_timeout: lasting("connection.pong_timeout", raw.pong_timeout)?,
        connect_timeout: lasting("connection.connect_timeout", raw.connect_timeout)?,
        expiry_notice: raw.expiry_notice.0,
        outbox_bytes_max,
    })
}

fn positive<N: Default + PartialEq>(key: &str, value: N) -> Result<N, Error> {
    if value == N::default() {
        Err(wrong(key, "needs at least 1"))
    } else {
        Ok(value)
    }
}

fn lasting(key: &str, value: super::units::Duration) -> Result<std::time::Duration, Error> {
    if value.0.is_zero() {
        Err(wrong(key, "needs more than nothing"))
    } else {
        Ok(value.0)
    }
}

fn storage(raw: &raw::Storage) -> Result<StorageSettings, Error> {
    if raw.data_dir.as_os_str().is_empty() {
        return Err(wrong("storage.data_dir", "needs a directory"));
    }
    Ok(StorageSettings {
        data_dir: Some(raw.data_dir.clone()),
        disk_bytes_max: (raw.disk_bytes_max.0 > 0).then_some(raw.disk_bytes_max.0),
        memory_bytes_max: usize::try_from(raw.memory_bytes_max.0).unwrap_or(usize::MAX),
    })
}

fn redis(raw: &Raw) -> Result<Option<RedisConfig>, Error> {
    let replicates = raw
        .kinds
        .iter()
        .find(|(_, kind)| kind.durability == "replicated");
    let redis = &raw.redis;
    if redis.url.is_empty() {
        return match replicates {
            Some((name, _)) => Err(wrong(
                format!("kinds.{name}.durability"),
                "`replicated` needs a Redis: set redis.url",
            )),
            None => Ok(None),
        };
    }
    let url = redis
        .url
        .parse()
        .map_err(|reason: BadUrl| wrong("redis.url", reason.to_string()))?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if redis.prefix.is_empty() || !redis.prefix.chars().all(is_plain) {
        return Err(wrong("redis.prefix", "needs letters, digits and - _ . :"));
    }
    let text = |path: &Path| -> Result<Option<String>, Error> {
        (!path.as_os_str().is_empty())
            .then(|| read_secret(path))
            .transpose()
    };
    let password = match text(&redis.password_file)? {
        Some(_) if !redis.password.0.is_empty() => {
            return Err(wrong(
                "redis.password",
                "stands beside redis.password_file: only one of them",
            ));
        }
        Some(from_file) => from_file,
        None => redis.password.0.clone(),
    };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(Some(RedisConfig {
        url,
        user: some(&redis.user),
        password: some(&password),
        authorities: text(&redis.tls_ca_file)?
            .map(|pem| Authorities::of_pem(pem.as_bytes()))
            .transpose()
            .map_err(|reason| wrong("redis.tls_ca_file", reason))?
            .unwrap_or_default(),
        prefix: redis.prefix.clone(),
        confirmations: redis.confirmations,
        dedup_window: std::time::Duration::from_millis(parlor_protocol::limits::DEDUP_WINDOW_MS),
        replicates: replicates.is_some(),
    }))
}

fn auth(raw: &Raw) -> Result<AuthConfig, Error> {
    let mut token_keys = Vec::new();
    if !raw.auth.secret.0.is_empty() {
        let material = KeyMaterial::Secret(Secret::new(raw.auth.secret.0.clone()));
        let kid = (!raw.token_keys.is_empty()).then(|| "default".to_owned());
        token_keys.push(TokenKey {
            kid,
            algorithm: Algorithm::Hs256,
            material,
            private_pem: None,
        });
    }
    for (kid, key) in &raw.token_keys {
        token_keys.push(token_key(kid, key)?);
    }
    let mut api_keys = Vec::new();
    if raw.auth.api_key.0.contains('.') {
        let reason = "has a dot: it would be taken for a token, and nobody could use it";
        return Err(wrong("auth.api_key", reason));
    }
    if !raw.auth.api_key.0.is_empty() {
        let hash = api_key_hash(&raw.auth.api_key.0);
        api_keys.push(ApiKey {
            name: "default".to_owned(),
            hash,
            grants: all_grants(),
        });
    }
    for (name, key) in &raw.api_keys {
        let verbs = verbs(&format!("api_keys.{name}.allow"), &key.allow)?;
        let grant = |pattern: &String| Grant {
            channels: Pattern::new(pattern.as_str()),
            verbs: verbs.clone(),
        };
        let grants = key.channels.iter().map(grant).collect();
        api_keys.push(ApiKey {
            name: name.clone(),
            hash: key.hash.clone(),
            grants,
        });
    }
    Ok(AuthConfig {
        token_keys,
        issuers: raw.auth.issuers.clone(),
        audiences: raw.auth.audiences.clone(),
        leeway: raw.auth.leeway.0,
        api_keys,
        dev: false,
    })
}

fn token_key(kid: &str, raw: &raw::TokenKey) -> Result<TokenKey, Error> {
    let key = |name: &str| format!("token_keys.{kid}.{name}");
    let algorithm = Algorithm::parse(&raw.algorithm).ok_or_else(|| {
        wrong(
            key("algorithm"),
            "needs HS256, HS384, HS512, RS256, ES256 or EdDSA",
        )
    })?;
    let given = |path: &Path| !path.as_os_str().is_empty();
    let mut materials = Vec::new();
    if !raw.secret.0.is_empty() {
        materials.push(KeyMaterial::Secret(Secret::new(raw.secret.0.clone())));
    }
    if given(&raw.secret_file) {
        materials.push(KeyMaterial::Secret(Secret::new(read_secret(
            &raw.secret_file,
        )?)));
    }
    if given(&raw.public_key_file) {
        materials.push(KeyMaterial::Pem(read_secret(&raw.public_key_file)?));
    }
    if given(&raw.jwk_file) {
        materials.push(KeyMaterial::Jwk(Secret::new(read_secret(&raw.jwk_file)?)));
    }
    let (Some(material), true) = (materials.pop(), materials.is_empty()) else {
        let reason = "needs exactly one of secret, secret_file, public_key_file and jwk_file";
        return Err(wrong(format!("token_keys.{kid}"), reason));
    };
    let private_pem = if given(&raw.private_key_file) {
        Some(Secret::new(read_secret(&raw.private_key_file)?))
    } else {
        None
    };
    Ok(TokenKey {
        kid: Some(kid.to_owned()),
        algorithm,
        material,
        private_pem,
    })
}

fn verbs(key: &str, names: &[String]) -> Result<Vec<Verb>, Error> {
    let parse = |name: &String| {
        Verb::parse(name).ok_or_else(|| {
            let known: Vec<_> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
            wrong(key, format!("`{name}` is none of {}", known.join(", ")))
        })
    };
    names.iter().map(parse).collect()
}

fn kinds(raw: &Raw) -> Result<ChannelKinds, Error> {
    if raw.kinds.is_empty() {
        return Ok(ChannelKinds::new(vec![kind(
            "default",
            &raw::Kind::of_pattern("*"),
        )?])?);
    }
    let kinds = raw
        .kinds
        .iter()
        .map(|(name, raw)| kind(name, raw))
        .collect::<Result<_, _>>()?;
    Ok(ChannelKinds::new(kinds)?)
}

fn kind(name: &str, raw: &raw::Kind) -> Result<ChannelKind, Error> {
    let key = |leaf: &str| format!("kinds.{name}.{leaf}");
    let is_pattern_byte = |byte: u8| byte == b'*' || parlor_protocol::channel::is_name_byte(byte);
    if raw.pattern.is_empty() || !raw.pattern.bytes().all(is_pattern_byte) {
        return Err(wrong(
            key("pattern"),
            "needs characters of channel names and `*`",
        ));
    }
    let durability = match raw.durability.as_str() {
        "disk" => Durability::Disk,
        "memory" => Durability::Memory,
        "replicated" => Durability::Replicated,
        _ => {
            return Err(wrong(
                key("durability"),
                "needs `disk`, `memory` or `replicated`",
            ));
        }
    };
    let slow = match raw.slow.as_str() {
        "close" => SlowPolicy::Close,
        "skip_to_latest" => SlowPolicy::SkipToLatest,
        _ => return Err(wrong(key("slow"), "needs `close` or `skip_to_latest`")),
    };
    let allowed = verbs(&key("allow"), &raw.allow)?;
    for verb in [Verb::Erase, Verb::Manage] {
        if allowed.contains(&verb) {
            let text = format!("`{}` is for API keys and tokens only", verb.as_str());
            return Err(wrong(key("allow"), text));
        }
    }
    Ok(ChannelKind {
        name: name.to_owned(),
        pattern: Pattern::new(raw.pattern.as_str()),
        durability,
        history_len_max: positive(&key("history_len_max"), raw.history_len_max)?,
        history_age_max: lasting(&key("history_age_max"), raw.history_age_max)?,
        presence: raw.presence,
        slow,
        allowed,
        publish_rate_max: raw.publish_rate_max,
    })
}
