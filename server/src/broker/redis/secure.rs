//! TLS to Redis. The client library would read all authorities of the system with each connection, and a Cluster is dialled in
//! hundreds: here they are read once.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::Address;
use crate::trust::{client_config, roots_of, roots_of_the_system};

/// Whose signature Redis's certificates need: the system's authorities, or given ones and nobody else's.
#[derive(Clone, Default)]
pub struct Authorities {
    /// None: the system's.
    given: Option<RootCertStore>,
    /// Made when it is first needed.
    client: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Authorities {
    /// Those in this text, in PEM.
    ///
    /// # Errors
    /// Why it names none.
    pub fn of_pem(pem: &[u8]) -> Result<Self, String> {
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| error.to_string())?;
        let given = roots_of(certificates).map_err(|error| error.to_string())?;
        if given.is_empty() {
            return Err("holds no certificate".to_owned());
        }
        Ok(Self {
            given: Some(given),
            client: Arc::default(),
        })
    }

    fn client(&self) -> Arc<ClientConfig> {
        let client = self.client.get_or_init(|| {
            let roots = self.given.clone();
            client_config(roots.unwrap_or_else(roots_of_the_system))
        });
        Arc::clone(client)
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = self.given.as_ref().map_or("the system's", |_| "given");
        f.debug_tuple("Authorities").field(&whose).finish()
    }
}

/// Dials, shakes hands and logs in.
///
/// # Errors
/// Nothing reachable there, a certificate that is not believed, or not for this user.
pub(super) async fn connect(
    authorities: &Authorities,
    address: &Address,
    login: &RedisConnectionInfo,
    settings: AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(authorities.client());
    let tcp = TcpStream::connect((&*address.host, address.port)).await?;
    tcp.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&tcp).set_tcp_user_timeout(Some(super::link::USER_TIMEOUT))?;
    let stream = connector.connect(name, tcp).await?;
    let (connection, driver) =
        MultiplexedConnection::new_with_config(login, stream, settings).await?;
    // It ends with the connection.
    tokio::spawn(driver);
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_read_once_for_all_connections() {
        let authorities = Authorities::default();
        // Each link has the settings as a copy.
        let copy = authorities.clone();
        let (first, second) = (authorities.client(), copy.client());
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn a_text_without_an_authority_is_told() {
        let told = |pem: &[u8]| Authorities::of_pem(pem).unwrap_err();
        assert_eq!(told(b""), "holds no certificate");
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(!told(broken).is_empty());
    }
}
