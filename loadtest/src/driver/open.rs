//! One connection, from nothing to a stream that speaks WebSocket.
//!
//! No WebSocket library stays on it: its buffers would cost more than the server's.

use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::bounds::OwnBounds;
use crate::driver::handshake::shake_hands;
use crate::driver::stream::Stream;
use crate::driver::wire::Wire;
use crate::scenario::Scenario;
use crate::target::Target;

/// Why a connection did not open: a few words, the same for the same cause, so that they can be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenError {
    pub(crate) what: String,
    /// The cause is here, not at the server: files or ports ran out.
    pub(crate) own: bool,
}

/// Opens the connection with this number and makes its handshake. The channels matter where the URL names them.
///
/// # Errors
/// [`OpenError`], after [`OPEN_TIMEOUT`] at the latest.
pub(crate) async fn open(
    scenario: &Scenario,
    target: &Target,
    connection: u32,
    channels: &[String],
) -> Result<Wire, OpenError> {
    let opening = async {
        let socket = socket(scenario, target, connection)?;
        let stream = TcpSocket::from_std_stream(socket.into())
            .connect(target.address)
            .await?;
        stream.set_nodelay(true)?;
        let mut stream = match &target.trust {
            None => Stream::Plain(stream),
            Some(trust) => Stream::secure(stream, trust)
                .await
                .map_err(|error| foreign(format!("TLS handshake failed: {error}")))?,
        };
        let uri = uri(target, channels).map_err(foreign)?;
        let early = shake_hands(
            &mut stream,
            &uri,
            scenario.load.forms.of(connection).subprotocol(),
        )
        .await
        .map_err(foreign)?;
        Ok(Wire::new(stream, early))
    };
    match timeout(OPEN_TIMEOUT, opening).await {
        Ok(result) => result,
        Err(_) => Err(foreign("handshake timed out".to_owned())),
    }
}

/// The target's URL with the channels in their place, where it has one.
fn uri(target: &Target, channels: &[String]) -> Result<Uri, String> {
    let url = target.url.replace("{channel}", &channels.join(","));
    url.parse().map_err(|_| format!("`{url}` is not a URL"))
}

/// A non-blocking socket, bound to the connection's source address where there is a choice of them.
fn socket(scenario: &Scenario, target: &Target, connection: u32) -> std::io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(target.address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    if let (Some(sources), SocketAddr::V4(_)) = (scenario.load.sources, target.address) {
        // Port 0 is chosen at bind and is then this address's alone: IP_BIND_ADDRESS_NO_PORT would allow one port for
        // several destinations, but there is one destination, so each address gives its 28,000 ports either way.
        socket.bind(&SocketAddr::V4(SocketAddrV4::new(sources.nth(connection), 0)).into())?;
    }
    Ok(socket)
}

fn foreign(what: String) -> OpenError {
    OpenError { what, own: false }
}

impl OpenError {
    /// What to say where nothing goes on without this connection.
    pub(crate) fn fatal(self, whose: &str) -> anyhow::Error {
        let error = anyhow::anyhow!("unable to open {whose}; {}", self.what);
        if self.own {
            error.context(OwnBounds)
        } else {
            error
        }
    }
}

impl From<std::io::Error> for OpenError {
    fn from(error: std::io::Error) -> Self {
        let own = error.kind() == ErrorKind::AddrNotAvailable
            || error.kind() == ErrorKind::AddrInUse
            || matches!(error.raw_os_error(), Some(EMFILE | ENFILE));
        Self {
            what: format!("connect failed: {}", error.kind()),
            own,
        }
    }
}

/// From the first SYN to the end of the handshake.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// "Too many open files", in this process and in the system.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_out_of_ports_says_whose_they_were() {
        let check = |kind: ErrorKind, own: bool| {
            let error = OpenError::from(std::io::Error::from(kind)).fatal("a publisher");
            assert_eq!(error.is::<OwnBounds>(), own, "{error:#}");
            assert!(format!("{error:#}").contains("unable to open a publisher; connect failed"));
        };
        check(ErrorKind::AddrNotAvailable, true);
        check(ErrorKind::ConnectionRefused, false);
    }
}
