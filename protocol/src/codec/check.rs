//! What is refused on entry although it is well-formed: the limits of one command.

use serde::de::IgnoredAny;

use super::depth::json_depth;
use crate::command::{Connect, PresenceSet, Publish, Signal, Subscribe};
use crate::command::{Presence, Recover, Refresh};
use crate::error::{ErrorCode, WireError};
use crate::limits::{
    PAYLOAD_BYTES_MAX, PAYLOAD_DEPTH_MAX, POSITION_BYTES_MAX, PRESENCE_STATE_BYTES_MAX,
    PUBLISH_ID_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX, TOKEN_BYTES_MAX, USER_BYTES_MAX,
};
use crate::payload::{Format, Payload};

impl Payload {
    /// Whether the bytes are what the format says and within the limits. The codec checks every payload
    /// that a command brings; other entries (HTTP) call it themselves.
    ///
    /// # Errors
    /// `too_large`, or `bad_payload` when it is not JSON or nests too deeply.
    pub fn check(&self) -> Result<(), WireError> {
        at_most("data", self.bytes.len(), PAYLOAD_BYTES_MAX)?;
        match self.format {
            Format::Binary => Ok(()),
            Format::Json => check_json(&self.bytes),
        }
    }
}

fn check_json(bytes: &[u8]) -> Result<(), WireError> {
    // First, because the parser recurses.
    if json_depth(bytes) > PAYLOAD_DEPTH_MAX {
        return Err(ErrorCode::BadPayload
            .with(format!("the payload nests deeper than {PAYLOAD_DEPTH_MAX}")));
    }
    match serde_json::from_slice::<IgnoredAny>(bytes) {
        Ok(_) if str::from_utf8(bytes).is_ok() => Ok(()),
        Ok(_) => Err(ErrorCode::BadPayload.with("the payload is not utf-8")),
        Err(error) => Err(ErrorCode::BadPayload.with(format!("the payload is not json: {error}"))),
    }
}

impl Publish {
    /// Whether payload, id and tags are within the limits.
    ///
    /// # Errors
    /// `bad_request`, `too_large`, `too_many` or `bad_payload`.
    pub fn check(&self) -> Result<(), WireError> {
        if let Some(id) = &self.id {
            if id.is_empty() {
                return Err(ErrorCode::BadRequest.with("id: an empty id names nothing"));
            }
            at_most("id", id.len(), PUBLISH_ID_BYTES_MAX)?;
        }
        if self.tags.len() > TAGS_MAX {
            return Err(ErrorCode::TooMany.with(format!("tags: more than {TAGS_MAX}")));
        }
        for (name, value) in &self.tags {
            at_most("tags", name.len().max(value.len()), TAG_BYTES_MAX)?;
        }
        self.payload.check()
    }
}

impl Signal {
    /// Whether the payload is within the limits.
    ///
    /// # Errors
    /// As [`Payload::check`].
    pub fn check(&self) -> Result<(), WireError> {
        self.payload.check()
    }
}

impl PresenceSet {
    /// Whether the state is JSON and within the limits.
    ///
    /// # Errors
    /// `too_large` or `bad_payload`.
    pub fn check(&self) -> Result<(), WireError> {
        let Some(state) = &self.state else {
            return Ok(());
        };
        at_most("state", state.bytes.len(), PRESENCE_STATE_BYTES_MAX)?;
        check_json(&state.bytes)
    }
}

pub(super) fn check_connect(connect: &Connect) -> Result<(), WireError> {
    check_token(connect.token.as_deref())?;
    at_most(
        "user",
        connect.user.as_deref().map_or(0, str::len),
        USER_BYTES_MAX,
    )?;
    connect.subscriptions.iter().try_for_each(check_subscribe)
}

pub(super) fn check_subscribe(subscribe: &Subscribe) -> Result<(), WireError> {
    check_token(subscribe.token.as_deref())?;
    match &subscribe.recover {
        Some(Recover::From(position)) => {
            at_most("recover.from", position.len(), POSITION_BYTES_MAX)
        }
        Some(Recover::Latest(_)) | None => Ok(()),
    }
}

pub(super) fn check_presence(presence: &Presence) -> Result<(), WireError> {
    at_most(
        "cursor",
        presence.cursor.as_deref().map_or(0, str::len),
        CURSOR_BYTES_MAX,
    )
}

pub(super) fn check_refresh(refresh: &Refresh) -> Result<(), WireError> {
    check_token(Some(&refresh.token))
}

fn check_token(token: Option<&str>) -> Result<(), WireError> {
    at_most("token", token.map_or(0, str::len), TOKEN_BYTES_MAX)
}

fn at_most(field: &str, bytes: usize, bytes_max: usize) -> Result<(), WireError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(ErrorCode::TooLarge.with(format!("{field}: {bytes} bytes are more than {bytes_max}")))
}

/// A cursor is at least as long as the user id in it, in whatever coding the server chose.
const CURSOR_BYTES_MAX: usize = 4 * USER_BYTES_MAX;
