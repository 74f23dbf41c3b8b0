//! What a publisher sends: bytes with a format that never changes on the way.

use bytes::Bytes;

/// How a payload's bytes are to be read. Chosen by the publisher, never transcoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A JSON text in UTF-8: raw in JSON frames (`data`), a string in MessagePack frames (`data`).
    Json,
    /// Any bytes: base64 in JSON frames (`data_b64`), a bin in MessagePack frames (`data`).
    Binary,
}

/// An opaque payload. `Format::Json` was checked on entry: UTF-8, JSON, depth at most
/// [`PAYLOAD_DEPTH_MAX`](crate::limits::PAYLOAD_DEPTH_MAX).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    pub format: Format,
    pub bytes: Bytes,
}
