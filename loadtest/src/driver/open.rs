//! One connection, from nothing to a plain TCP stream that speaks WebSocket.
//!
//! tungstenite makes the handshake and is then taken off again: its buffers would cost more than the server's.

use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use parlor_protocol::Form;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::scenario::Scenario;
use crate::target::Target;

/// Why a connection did not open: a few words, the same for the same cause, so that they can be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenError {
    pub(crate) what: String,
    /// The cause is here, not at the server: files or ports ran out.
    pub(crate) own: bool,
}

/// Opens the connection with this number and makes its handshake.
///
/// # Errors
/// [`OpenError`], after [`OPEN_TIMEOUT`] at the latest.
pub(crate) async fn open(
    scenario: &Scenario,
    target: &Target,
    connection: u32,
) -> Result<TcpStream, OpenError> {
    let opening = async {
        let socket = socket(scenario, target, connection)?;
        let stream = TcpSocket::from_std_stream(socket.into())
            .connect(target.address)
            .await?;
        stream.set_nodelay(true)?;
        shake_hands(stream, &target.url, scenario.load.form).await
    };
    match timeout(OPEN_TIMEOUT, opening).await {
        Ok(result) => result,
        Err(_) => Err(OpenError {
            what: "handshake timed out".to_owned(),
            own: false,
        }),
    }
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

async fn shake_hands(stream: TcpStream, url: &str, form: Form) -> Result<TcpStream, OpenError> {
    let mut request = url.into_client_request().map_err(|error| foreign(&error))?;
    request.headers_mut().insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(form.subprotocol()),
    );
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let (socket, _) = client_async_with_config(request, stream, Some(config))
        .await
        .map_err(|error| foreign(&error))?;
    // Nothing of the server's is lost with tungstenite's buffer: the server speaks only after our `connect`.
    Ok(socket.into_inner())
}

fn foreign(error: &tokio_tungstenite::tungstenite::Error) -> OpenError {
    OpenError {
        what: format!("handshake failed: {error}"),
        own: false,
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
/// For the handshake only; tungstenite's default of 128 KiB would be touched at once.
const READ_BUFFER_BYTES: usize = 1_024;
/// "Too many open files", in this process and in the system.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
