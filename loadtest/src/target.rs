//! Where the server is, and from which addresses the generator comes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use tokio_tungstenite::tungstenite::http::Uri;

/// The server's socket.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
}

/// A range of IPv4 addresses to connect from: one address has no more than some 28,000 ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    first: u32,
    count: u32,
}

impl Target {
    /// Looks the host up once, so that the run itself never waits for names.
    ///
    /// # Errors
    /// When the URL is not `ws://`, does not resolve, or leaves this machine without permission.
    pub(crate) fn resolve(url: &str, allow_remote: bool) -> anyhow::Result<Self> {
        let uri: Uri = url
            .parse()
            .with_context(|| format!("`{url}` is not a URL"))?;
        ensure!(
            uri.scheme_str() == Some("ws"),
            "`{url}` does not begin with ws://"
        );
        let host = uri.host().with_context(|| format!("`{url}` has no host"))?;
        let port = uri.port_u16().unwrap_or(80);
        let mut addresses = (host.trim_matches(['[', ']']), port)
            .to_socket_addrs()
            .with_context(|| format!("unable to look up `{host}`"))?;
        let address = addresses
            .next()
            .with_context(|| format!("`{host}` has no address"))?;
        if !address.ip().is_loopback() && !allow_remote {
            bail!(
                "{} is not this machine; load other machines only if they are yours, with --allow-remote",
                address.ip()
            );
        }
        Ok(Self {
            url: url.to_owned(),
            address,
        })
    }

    /// One URL for each node, with commas between.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub(crate) fn resolve_all(urls: &str, allow_remote: bool) -> anyhow::Result<Vec<Self>> {
        let urls = urls.split(',');
        urls.map(|url| Self::resolve(url.trim(), allow_remote))
            .collect()
    }

    /// The addresses to come from unless told otherwise: several on loopback, the system's choice elsewhere.
    pub(crate) fn default_sources(&self) -> Option<Sources> {
        match self.address.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => Some(Sources {
                first: Ipv4Addr::LOCALHOST.to_bits(),
                count: SOURCES_DEFAULT,
            }),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }
}

impl Sources {
    pub(crate) fn nth(self, connection: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first + connection % self.count)
    }

    pub(crate) fn count(self) -> u32 {
        self.count
    }
}

impl FromStr for Sources {
    type Err = anyhow::Error;

    /// `127.0.0.1-127.0.0.8`, or one address.
    fn from_str(raw: &str) -> anyhow::Result<Self> {
        let (first, last) = raw.split_once('-').unwrap_or((raw, raw));
        let parse = |text: &str| {
            text.parse::<Ipv4Addr>()
                .with_context(|| format!("`{text}` is not an IPv4 address"))
                .map(Ipv4Addr::to_bits)
        };
        let (first, last) = (parse(first)?, parse(last)?);
        ensure!(
            first <= last && last - first < SOURCES_MAX,
            "`{raw}` is not a rising range of at most {SOURCES_MAX} addresses"
        );
        Ok(Self {
            first,
            count: last - first + 1,
        })
    }
}

const SOURCES_DEFAULT: u32 = 8;
const SOURCES_MAX: u32 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_go_round() {
        let sources: Sources = "127.0.0.1-127.0.0.3".parse().unwrap();
        let hosts: Vec<u8> = (0..5).map(|n| sources.nth(n).octets()[3]).collect();
        assert_eq!(hosts, [1, 2, 3, 1, 2]);
        assert_eq!("127.0.0.9".parse::<Sources>().unwrap().count(), 1);
    }

    #[test]
    fn odd_ranges_are_refused() {
        for raw in [
            "",
            "127.0.0.2-127.0.0.1",
            "127.0.0.1-127.1.0.1",
            "::1",
            "127.0.0.1-",
        ] {
            assert!(raw.parse::<Sources>().is_err(), "{raw} was accepted");
        }
    }

    #[test]
    fn only_this_machine_is_loaded_unless_told() {
        assert!(Target::resolve("ws://127.0.0.1:8000/v1/socket", false).is_ok());
        assert!(Target::resolve("ws://[::1]:8000/v1/socket", false).is_ok());
        assert!(Target::resolve("ws://192.0.2.1:8000/v1/socket", false).is_err());
        assert!(Target::resolve("ws://192.0.2.1:8000/v1/socket", true).is_ok());
        assert!(Target::resolve("wss://127.0.0.1/", false).is_err());
        let nodes = "ws://127.0.0.1:1/, ws://127.0.0.1:2/";
        assert_eq!(Target::resolve_all(nodes, false).unwrap().len(), 2);
        assert!(Target::resolve_all("ws://127.0.0.1:1/,", false).is_err());
    }
}
