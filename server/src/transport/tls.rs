//! TLS at the listener: which certificate is shown, and how the server speaks.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::NoServerSessionStorage;

mod certificate;

pub use certificate::{Certificate, CertificateError};

pub(super) use certificate::certificates;

/// Tickets that a client gets with each handshake. A client that comes back has used one and gets another; browsers open
/// more than one connection at once.
const TICKETS: usize = 2;

/// How all shards speak TLS: 1.2 and 1.3, HTTP/1.1, no data before the handshake is over (it could be replayed). Tickets
/// are sealed with keys of this process that change every few hours, and nothing is kept per session.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn server_config(certificate: Arc<Certificate>) -> io::Result<Arc<ServerConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new().map_err(io::Error::other)?;
    config.send_tls13_tickets = TICKETS;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}
