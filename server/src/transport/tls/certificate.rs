//! The server's certificate: read from its files at the start, and again when they change, so that renewing it costs no
//! connection. Open connections keep what they began with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{info, warn};

use crate::config::CertificateFiles;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What new handshakes show.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    read: RwLock<Read>,
}

/// What was in the files.
#[derive(Clone, Debug)]
struct Read {
    /// What they looked like just before.
    stamp: Stamp,
    key: Arc<CertifiedKey>,
}

/// How two files look from outside: whoever renews them changes that.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("unable to read {path}; {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("unable to read {path}; it is not PEM")]
    Pem { path: PathBuf },
    #[error("there is no certificate in {path}")]
    NoCertificate { path: PathBuf },
    #[error("there is no private key in {path}, or it has a password")]
    NoKey { path: PathBuf },
    #[error("unable to use what is in {path}; {source}")]
    Unusable {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error("the key in {key} does not belong to the certificate in {certificate}")]
    Mismatch { certificate: PathBuf, key: PathBuf },
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`CertificateError`] naming the file.
    pub fn load(files: CertificateFiles) -> Result<Self, CertificateError> {
        let read = RwLock::new(read(&files)?);
        Ok(Self { files, read })
    }

    /// Reads the files again whenever they change, for ever. What cannot be used is told once, and the last good
    /// certificate stays.
    pub async fn follow_files(&self) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut tried = self.read.read().stamp;
        let mut last = tried;
        loop {
            looks.tick().await;
            let now = stamp(&self.files);
            // Files that look different at each look are still being written.
            let is_settled = std::mem::replace(&mut last, now) == now;
            if now == tried || !is_settled {
                continue;
            }
            tried = now;
            match read(&self.files) {
                Ok(read) => {
                    *self.read.write() = read;
                    info!("Read a new certificate; new handshakes show it.");
                }
                Err(error) => {
                    warn!(%error, "Unable to use the new certificate; the old one stays.")
                }
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.read.read().key))
    }
}

fn read(files: &CertificateFiles) -> Result<Read, CertificateError> {
    let (path, key_path) = (files.certificate.clone(), files.key.clone());
    let stamp = stamp(files);
    let chain = certificates(&path)?;
    let key = match PrivateKeyDer::from_pem_slice(&bytes(&key_path)?) {
        Ok(key) => key,
        Err(pem::Error::NoItemsFound) => return Err(CertificateError::NoKey { path: key_path }),
        Err(_) => return Err(CertificateError::Pem { path: key_path }),
    };
    let key = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|source| unusable(&key_path, source))?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(Read {
                stamp,
                key: Arc::new(key),
            })
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::Mismatch {
            certificate: path,
            key: key_path,
        }),
        Err(source) => Err(unusable(&path, source)),
    }
}

/// The certificates in a file: one or more.
///
/// # Errors
/// [`CertificateError`] naming the file.
pub(in crate::transport) fn certificates(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found = CertificateDer::pem_slice_iter(&bytes(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| CertificateError::Pem { path: path.into() })?;
    if found.is_empty() {
        return Err(CertificateError::NoCertificate { path: path.into() });
    }
    Ok(found)
}

fn bytes(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::File {
        path: path.into(),
        source,
    })
}

fn unusable(path: &Path, source: rustls::Error) -> CertificateError {
    CertificateError::Unusable {
        path: path.into(),
        source,
    }
}

fn stamp(files: &CertificateFiles) -> Stamp {
    [&files.certificate, &files.key].map(|path| {
        let found = fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len()))
    })
}
