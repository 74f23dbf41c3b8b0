//! Whom a client believes to be the server.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use crate::transport::tls::{CertificateError, certificates};
use crate::trust::{client_config, roots_of, roots_of_the_system};

/// Authorities, and the name that the server must have.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

impl Trust {
    /// Believes the authorities in the file, and nobody else; without one those that the system believes.
    pub(super) fn of(
        name: ServerName<'static>,
        ca: Option<&Path>,
    ) -> Result<Self, CertificateError> {
        let roots = match ca {
            Some(path) => in_file(path)?,
            None => roots_of_the_system(),
        };
        let config = client_config(roots);
        Ok(Self { config, name })
    }
}

fn in_file(path: &Path) -> Result<RootCertStore, CertificateError> {
    roots_of(certificates(path)?).map_err(|source| CertificateError::Unusable {
        path: path.into(),
        source,
    })
}
