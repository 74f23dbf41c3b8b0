//! Forms that several answers share, with their schemas.

use bytes::Bytes;
use parlor_protocol::reply::Published;
use parlor_protocol::{ErrorCode, Event, Format, Payload, WireError};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The place that a message got.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PublishedBody {
    /// Its number in the channel, from 1.
    offset: u64,
    /// What a client resumes from after it: opaque.
    position: String,
    /// When, in 100 ns ticks since 1970, as a decimal string.
    time: String,
    /// `memory`, `disk` or `replicated`: what it has survived.
    durability: String,
    /// The same id and content had been published before: this is the first one's place.
    duplicate: bool,
}

impl From<Published> for PublishedBody {
    fn from(published: Published) -> Self {
        let Published {
            offset,
            position,
            time,
            durability,
            duplicate,
        } = published;
        Self {
            offset,
            position,
            time: time.0.to_string(),
            durability,
            duplicate,
        }
    }
}

/// One item's error inside a list of results.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemError {
    code: u16,
    name: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl From<WireError> for ItemError {
    fn from(error: WireError) -> Self {
        Self {
            code: error.code,
            name: error.name,
            detail: error.text,
            retry_after_ms: error.retry_after_ms,
        }
    }
}

/// What became of one item of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemResult {
    channel: String,
    #[serde(flatten)]
    outcome: ItemOutcome,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ItemOutcome {
    Published(PublishedBody),
    Error(ItemError),
}

impl ItemResult {
    pub(super) fn new(channel: String, outcome: Result<Published, WireError>) -> Self {
        let outcome = match outcome {
            Ok(published) => ItemOutcome::Published(published.into()),
            Err(error) => ItemOutcome::Error(error.into()),
        };
        Self { channel, outcome }
    }
}

/// One result per item, in the order of the items.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Results {
    pub(super) results: Vec<ItemResult>,
}

/// `data` as it stands in a body: `null` is a payload like any other, not an absent one.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// The one payload that `data` or `data_b64` gives.
///
/// # Errors
/// `bad_request` when it is none or two, `bad_payload` when the base64 is none.
pub(super) fn payload(
    data: Option<Box<RawValue>>,
    data_b64: Option<String>,
) -> Result<Payload, WireError> {
    use base64::Engine as _;
    match (data, data_b64) {
        (Some(data), None) => Ok(json(data)),
        (None, Some(text)) => match base64::engine::general_purpose::STANDARD.decode(text) {
            Ok(bytes) => Ok(Payload {
                format: Format::Binary,
                bytes: bytes.into(),
            }),
            Err(error) => Err(ErrorCode::BadPayload.with(format!("data_b64: {error}"))),
        },
        (Some(_), Some(_)) => {
            Err(ErrorCode::BadRequest.with("data and data_b64 exclude each other"))
        }
        (None, None) => Err(ErrorCode::BadRequest.with("one of data and data_b64 is needed")),
    }
}

/// A JSON payload, its text as it came.
pub(super) fn json(data: Box<RawValue>) -> Payload {
    Payload {
        format: Format::Json,
        bytes: Bytes::from(String::from(Box::<str>::from(data))),
    }
}

/// A page of a channel's log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HistoryBody {
    #[schema(value_type = Vec<EventSchema>)]
    pub(super) events: Vec<Event>,
    /// Whether there is more in this direction.
    pub(super) more: bool,
    /// The life of the log that the offsets belong to.
    pub(super) epoch: String,
    /// The log's top: what a client resumes from.
    pub(super) position: String,
    pub(super) offset: u64,
}

/// One event.
#[derive(ToSchema)]
#[schema(as = Event)]
#[expect(
    dead_code,
    reason = "only its schema is used: events are written by the protocol crate"
)]
pub(super) struct EventSchema {
    /// `message`; other kinds may come.
    kind: String,
    offset: Option<u64>,
    /// Counts messages only.
    seq: Option<u64>,
    position: Option<String>,
    /// In 100 ns ticks since 1970.
    time: String,
    id: Option<String>,
    /// Who published; absent when a backend did.
    user: Option<String>,
    tags: Option<std::collections::BTreeMap<String, String>>,
    #[schema(value_type = Option<Object>)]
    data: Option<Payload>,
    /// Binary data, in base64.
    data_b64: Option<String>,
}
