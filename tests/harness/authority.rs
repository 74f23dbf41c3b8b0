//! An authority of one test, the certificates that it signs, and a client's trust in it. Made by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parlor::config::CertificateFiles;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Signs certificates for 127.0.0.1.
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
}

/// A client that believes one authority, and nobody else. It keeps tickets: who connects twice resumes.
#[derive(Clone, Debug)]
pub struct Trust(pub Arc<ClientConfig>);

/// A stream of bytes, secure or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Stream for S {}

pub(crate) type AnyStream = Box<dyn Stream>;

impl Authority {
    /// A new one that nobody trusts unasked.
    ///
    /// # Panics
    /// When `openssl` cannot make it.
    #[expect(clippy::new_without_default, reason = "it runs a program")]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory for certificates");
        let authority = Self { directory };
        authority.openssl(&format!(
            "req -x509 {NEW_KEY} -days 2 -subj /CN=ca -keyout ca.key -out ca.pem"
        ));
        authority
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A certificate for 127.0.0.1 with a new key, in files of this name. Good for both ends: Redis shows its own to other
    /// Redis, too.
    ///
    /// # Panics
    /// When `openssl` cannot make it.
    pub fn issue(&self, name: &str) -> CertificateFiles {
        let extensions = self.directory.path().join("ext");
        let text = "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n";
        std::fs::write(&extensions, text).expect("the extensions are written");
        self.openssl(&format!(
            "req {NEW_KEY} -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out {name}.pem"
        ));
        let file = |ending: &str| self.directory.path().join(format!("{name}.{ending}"));
        CertificateFiles {
            certificate: file("pem"),
            key: file("key"),
        }
    }

    /// A client that believes this authority.
    ///
    /// # Panics
    /// When its certificate cannot be read.
    pub fn trust(&self) -> Trust {
        self.trust_of(rustls::ALL_VERSIONS)
    }

    /// The same, of a client that speaks only these versions.
    ///
    /// # Panics
    /// When its certificate cannot be read.
    pub fn trust_of(&self, versions: &[&'static SupportedProtocolVersion]) -> Trust {
        let mut roots = RootCertStore::empty();
        let certificate = rustls::pki_types::CertificateDer::from_pem_file(self.certificate());
        roots
            .add(certificate.expect("a certificate"))
            .expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions that the provider speaks")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Trust(Arc::new(config))
    }

    fn openssl(&self, arguments: &str) {
        run(self.directory.path(), arguments);
    }
}

impl Trust {
    /// The same with something changed.
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = (*self.0).clone();
        change(&mut config);
        Self(Arc::new(config))
    }

    /// Makes the handshake.
    ///
    /// # Errors
    /// Whatever ends it.
    ///
    /// # Panics
    /// When the stream has no other end.
    pub async fn connect(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::from(stream.peer_addr().expect("a connected stream").ip());
        TlsConnector::from(Arc::clone(&self.0))
            .connect(name, stream)
            .await
    }
}

fn run(directory: &Path, arguments: &str) {
    let made = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .output()
        .expect("openssl runs");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "openssl {arguments}: {said}");
}

/// A fresh key on P-256.
const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
