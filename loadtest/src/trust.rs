//! Whom a connection over TLS believes.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// Authorities, and the name that the server must have.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}
