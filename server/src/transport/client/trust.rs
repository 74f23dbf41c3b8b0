//! Whom a client believes to be the server.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use crate::transport::tls::{CertificateError, certificates};

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
            None => of_the_system(),
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .expect("the provider can do all versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        Ok(Self { config, name })
    }
}

fn in_file(path: &Path) -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| CertificateError::Unusable {
                path: path.into(),
                source,
            })?;
    }
    Ok(roots)
}

/// Those that cannot be read are left out: what they signed is of an unknown authority, and the others are as good without them.
fn of_the_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
