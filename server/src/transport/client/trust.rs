//! Whom a client believes to be the server.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use crate::transport::tls::{CertificateError, certificates};

/// Where systems keep the authorities that they believe; the first that can be read counts.
const SYSTEM_FILES: [&str; 4] = [
    // Debian, Arch, Alpine
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora
    "/etc/pki/tls/certs/ca-bundle.crt",
    // openSUSE
    "/etc/ssl/ca-bundle.pem",
    // macOS, the BSDs
    "/etc/ssl/cert.pem",
];

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

/// Nobody, where no such file can be read: then a server's certificate is one of an unknown authority.
fn of_the_system() -> RootCertStore {
    let mut files = SYSTEM_FILES.iter().map(Path::new);
    let found = files.find_map(|path| certificates(path).ok());
    let mut roots = RootCertStore::empty();
    // A system's list may hold some that rustls cannot read; the others are as good without them.
    roots.add_parsable_certificates(found.unwrap_or_default());
    roots
}
