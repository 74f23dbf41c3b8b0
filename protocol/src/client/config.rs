//! What a client session is told once.

use std::time::Duration;

use crate::codec::Form;
use crate::command::ClientInfo;
use crate::limits;
use crate::reply::ConnectionLimits;

/// The constant part of every `connect`.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Must be that of the socket's subprotocol. Default: JSON.
    pub form: Form,
    pub token: Option<String>,
    /// Who one is without a token, in development mode.
    pub user: Option<String>,
    pub client: Option<ClientInfo>,
    pub features: Vec<String>,
    /// The wished interval of server pings. Default: the server's.
    pub ping_interval_ms: Option<u32>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            form: Form::Json,
            token: None,
            user: None,
            client: None,
            features: Vec::new(),
            ping_interval_ms: None,
        }
    }
}

/// The documented limits, until a connect reply says others.
pub(super) fn default_limits() -> ConnectionLimits {
    ConnectionLimits {
        frame_bytes_max: limits::FRAME_BYTES_MAX as u32,
        commands_per_frame_max: limits::COMMANDS_PER_FRAME_MAX as u32,
        channels_max: limits::CHANNELS_PER_CONNECTION_MAX as u32,
        payload_bytes_max: limits::PAYLOAD_BYTES_MAX as u32,
        history_page_max: limits::HISTORY_PAGE_MAX as u32,
        dedup_window_ms: limits::DEDUP_WINDOW_MS,
    }
}

/// A server pings at its interval; what takes longer than the time it grants us for a pong is lost.
pub(super) fn silence_max(ping_interval_ms: u32) -> Duration {
    Duration::from_millis(u64::from(ping_interval_ms) + u64::from(limits::PONG_TIMEOUT_MS))
}
