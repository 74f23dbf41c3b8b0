//! How Redis is reached: its address in one of three topologies, and the names of what is kept there.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::secure::Authorities;

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

/// Which kind of Redis answers at the addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One primary at a fixed address.
    Standalone,
    /// Sentinels that know where the primary of this name is.
    Sentinel { name: String },
    /// Some nodes of a Redis Cluster.
    Cluster,
}

/// Where Redis is: `redis://host:port[/db]`, `redis+sentinel://host:port,host:port/name`,
/// `redis+cluster://host:port,host:port`; `rediss…` for TLS. User and password stand elsewhere: addresses are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    pub mode: Mode,
    pub addresses: Vec<Address>,
    pub tls: bool,
    pub db: i64,
}

/// Why a URL is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error(
        "a Redis URL begins with redis://, redis+sentinel:// or redis+cluster:// (rediss… for TLS)"
    )]
    Scheme,
    #[error(
        "user and password do not belong into the Redis URL: set `redis.user` and `redis.password_file`"
    )]
    Credentials,
    #[error("a Redis URL names hosts and ports: host:port[,host:port]")]
    Address,
    #[error("a redis+sentinel URL ends with the name of the primary: /mymaster")]
    Name,
    #[error("a redis URL ends with the number of a database, or with nothing")]
    Database,
}

/// How the Redis broker behaves.
#[derive(Clone)]
pub struct RedisConfig {
    pub url: RedisUrl,
    pub user: Option<String>,
    pub password: Option<String>,
    /// Who signed the servers' certificates.
    pub authorities: Authorities,
    /// In front of every key, so that several Parlors can share one Redis. Without braces and spaces.
    pub prefix: String,
    /// Replicas that must confirm a `replicated` publish; 0: all that are attached.
    pub confirmations: usize,
    pub dedup_window: Duration,
    /// Whether any kind is `replicated`.
    pub replicates: bool,
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &self.url)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Address {
    type Err = BadUrl;
    fn from_str(raw: &str) -> Result<Self, BadUrl> {
        let (host, port) = raw.rsplit_once(':').ok_or(BadUrl::Address)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().map_err(|_| BadUrl::Address)?;
        if host.is_empty() {
            return Err(BadUrl::Address);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl FromStr for RedisUrl {
    type Err = BadUrl;
    fn from_str(raw: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = raw.split_once("://").ok_or(BadUrl::Scheme)?;
        let (kind, topology) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match kind {
            "redis" => false,
            "rediss" => true,
            _ => return Err(BadUrl::Scheme),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        if hosts.contains('@') {
            return Err(BadUrl::Credentials);
        }
        let addresses = hosts
            .split(',')
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()?;
        let (mode, db) = match (topology, path) {
            ("", "") => (Mode::Standalone, 0),
            ("", db) => (Mode::Standalone, db.parse().map_err(|_| BadUrl::Database)?),
            ("sentinel", "") => return Err(BadUrl::Name),
            ("sentinel", name) => (
                Mode::Sentinel {
                    name: name.to_owned(),
                },
                0,
            ),
            ("cluster", "") => (Mode::Cluster, 0),
            ("cluster", _) => return Err(BadUrl::Database),
            _ => return Err(BadUrl::Scheme),
        };
        if mode == Mode::Standalone && addresses.len() != 1 {
            return Err(BadUrl::Address);
        }
        Ok(Self {
            mode,
            addresses,
            tls,
            db,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topology_has_a_url() {
        let one: RedisUrl = "redis://127.0.0.1:6379".parse().unwrap();
        assert_eq!((one.mode, one.tls, one.db), (Mode::Standalone, false, 0));
        let two: RedisUrl = "rediss+sentinel://a:1,b:2/chat".parse().unwrap();
        assert_eq!(
            (two.mode, two.tls, two.addresses.len()),
            (
                Mode::Sentinel {
                    name: "chat".into()
                },
                true,
                2
            )
        );
        let three: RedisUrl = "redis+cluster://[::1]:7000".parse().unwrap();
        assert_eq!(
            (three.mode, three.addresses[0].host.as_str()),
            (Mode::Cluster, "::1")
        );
        let four: RedisUrl = "redis://localhost:6379/3".parse().unwrap();
        assert_eq!(four.db, 3);
    }

    #[test]
    fn an_unusable_url_says_why() {
        let error = |raw: &str| raw.parse::<RedisUrl>().unwrap_err();
        assert_eq!(error("http://a:1"), BadUrl::Scheme);
        assert_eq!(error("redis+ring://a:1"), BadUrl::Scheme);
        assert_eq!(error("redis://u:p@a:1"), BadUrl::Credentials);
        assert_eq!(error("redis://a"), BadUrl::Address);
        assert_eq!(error("redis://a:1,b:2"), BadUrl::Address);
        assert_eq!(error("redis+sentinel://a:1"), BadUrl::Name);
        assert_eq!(error("redis+cluster://a:1/3"), BadUrl::Database);
    }
}
