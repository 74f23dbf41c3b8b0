//! The server that a URL names, and the way to it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::CertificateError::{BadSignature, UnknownIssuer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::http::uri::Authority;
use tokio_util::either::Either;

use super::trust::Trust;
use crate::transport::tls::CertificateError;

/// A server as its URL names it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Host and port.
    authority: String,
    /// None: without TLS.
    trust: Option<Trust>,
}

/// An open way to a server, plain or over TLS.
pub type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// Why there is no server at this URL that a client could speak to.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("`{url}` does not begin with http:// or https://")]
    Scheme { url: String },
    #[error("`{url}` does not name a host, or not its port")]
    Host { url: String },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Why the way to a server did not open.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it speaks no TLS there: http:// may be meant")]
    NoTls,
    #[error(
        "its certificate is not trusted: no authority that is believed here signed it; name the one that did with --ca FILE"
    )]
    UnknownAuthority,
    #[error("its certificate is not trusted: {0}")]
    Untrusted(rustls::CertificateError),
}

impl Server {
    /// `http://host:port` or `https://host:port`; whatever follows does not matter. Over TLS the authorities in the file `ca`
    /// are believed and nobody else, or without one those that the system believes.
    ///
    /// # Errors
    /// When the URL names no server, or the file cannot be used.
    pub fn at(url: &str, ca: Option<&Path>) -> Result<Self, ServerError> {
        let (is_secure, rest) = match url.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(ServerError::Scheme { url: url.into() }),
        };
        let nowhere = || ServerError::Host { url: url.into() };
        let named = rest.split('/').next().unwrap_or_default();
        let named: Authority = named.parse().map_err(|_| nowhere())?;
        let host = named.host();
        let port = match named.as_str().strip_prefix(host) {
            Some(_) if host.is_empty() => return Err(nowhere()),
            Some("") if is_secure => 443,
            Some("") => 80,
            Some(rest) => port(rest).ok_or_else(nowhere)?,
            // Somebody's name and password stand in front, and nobody would ask for them.
            None => return Err(nowhere()),
        };
        let trust = if is_secure {
            let name = host.trim_matches(['[', ']']).to_owned();
            let name = ServerName::try_from(name).map_err(|_| nowhere())?;
            Some(Trust::of(name, ca)?)
        } else {
            None
        };
        let authority = format!("{host}:{port}");
        Ok(Self { authority, trust })
    }

    /// Host and port, as requests name them.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Connects, and makes the TLS handshake where there is one.
    ///
    /// # Errors
    /// When nobody answers there, or somebody who is not to be trusted.
    pub async fn dial(&self) -> Result<Stream, DialError> {
        let socket = TcpStream::connect(&self.authority).await?;
        socket.set_nodelay(true)?;
        match &self.trust {
            None => Ok(Either::Left(socket)),
            Some(Trust { config, name }) => {
                let handshake =
                    TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket);
                handshake.await.map(Either::Right).map_err(refusal)
            }
        }
    }
}

impl DialError {
    /// Whether it would fail again: waiting changes no certificate.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}

/// The port behind its colon.
fn port(text: &str) -> Option<u16> {
    text.strip_prefix(':')?.parse().ok()
}

/// What a failed handshake says about the server.
fn refusal(error: io::Error) -> DialError {
    let fault = error
        .get_ref()
        .and_then(|fault| fault.downcast_ref::<rustls::Error>());
    match fault {
        // Nobody here has the name of who signed it, or who has the name did not sign it.
        Some(rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature)) => {
            DialError::UnknownAuthority
        }
        Some(rustls::Error::InvalidCertificate(why)) => DialError::Untrusted(why.clone()),
        Some(rustls::Error::InvalidMessage(_)) => DialError::NoTls,
        _ => DialError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Option<&str>) {
        let server = Server::at(url, None).ok();
        assert_eq!(server.as_ref().map(Server::authority), expected, "{url}");
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        check("http://127.0.0.1:8000", Some("127.0.0.1:8000"));
        check("http://[::1]:8000/", Some("[::1]:8000"));
        check("http://example.com", Some("example.com:80"));
        check("https://example.com/chat", Some("example.com:443"));
        check("https://[::1]", Some("[::1]:443"));
        check("https://example.com:8443", Some("example.com:8443"));
    }

    #[test]
    fn other_addresses_are_refused() {
        for url in [
            "",
            "example.com:80",
            "ftp://example.com",
            "wss://example.com",
            "http://",
            "http://:80",
            "http://example.com:",
            "http://example.com:99999",
            "http://ann:secret@example.com",
            "https://exa mple.com",
        ] {
            check(url, None);
        }
    }

    #[test]
    fn an_unknown_scheme_is_told_what_is_known() {
        let error = Server::at("wss://example.com", None).expect_err("unknown");
        assert!(error.to_string().contains("http:// or https://"), "{error}");
    }

    #[test]
    fn a_file_of_authorities_is_read_where_it_is_needed() {
        let nowhere = Some(Path::new("nowhere.pem"));
        let error = Server::at("https://example.com", nowhere).expect_err("no file");
        assert!(
            error.to_string().starts_with("unable to read nowhere.pem;"),
            "{error}"
        );
        assert!(Server::at("http://example.com", nowhere).is_ok());
    }
}
