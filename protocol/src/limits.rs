//! Every limit of the wire, with its unit. A server may be configured lower or, where the connect reply
//! says so, higher.

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[doc = $doc])* pub const $name: $type = $value;)*
        /// Name, value and meaning of every limit: the table in SPEC.md is checked against it.
        pub const ALL: &[(&str, u64, &str)] = &[$((stringify!($name), $value as u64, concat!($($doc),*)),)*];
    };
}

limits! {
    /// Bytes of a channel name.
    CHANNEL_NAME_BYTES_MAX: usize = 255;
    /// Bytes of one incoming WebSocket message.
    FRAME_BYTES_MAX: usize = 65_536;
    /// Commands in one frame.
    COMMANDS_PER_FRAME_MAX: usize = 128;
    /// Channels of one connection.
    CHANNELS_PER_CONNECTION_MAX: usize = 512;
    /// Bytes of a payload.
    PAYLOAD_BYTES_MAX: usize = 32_768;
    /// Nesting of a JSON payload.
    PAYLOAD_DEPTH_MAX: usize = 32;
    /// Bytes of a publish id.
    PUBLISH_ID_BYTES_MAX: usize = 128;
    /// Tags of one publish.
    TAGS_MAX: usize = 8;
    /// Bytes of a tag's name and of its value.
    TAG_BYTES_MAX: usize = 128;
    /// Bytes of a user id.
    USER_BYTES_MAX: usize = 128;
    /// Bytes of a token.
    TOKEN_BYTES_MAX: usize = 8_192;
    /// Bytes of a position.
    POSITION_BYTES_MAX: usize = 128;
    /// Bytes of a presence state.
    PRESENCE_STATE_BYTES_MAX: usize = 1_024;
    /// Events of one history page.
    HISTORY_PAGE_MAX: usize = 1_000;
    /// Events that one call erases at most.
    ERASE_OFFSETS_MAX: usize = 100;
    /// Members of one presence page.
    PRESENCE_PAGE_MAX: usize = 500;
    /// Events that one resume replays at most.
    RECOVER_EVENTS_MAX: usize = 10_000;
    /// How long a publish id is remembered, in ms.
    DEDUP_WINDOW_MS: u64 = 300_000;
    /// Shortest server ping interval, in ms.
    PING_INTERVAL_MIN_MS: u32 = 5_000;
    /// Server ping interval unless asked otherwise, in ms.
    PING_INTERVAL_DEFAULT_MS: u32 = 25_000;
    /// Longest server ping interval, in ms.
    PING_INTERVAL_MAX_MS: u32 = 300_000;
    /// How long after a ping the server waits for any frame, in ms.
    PONG_TIMEOUT_MS: u32 = 10_000;
}
