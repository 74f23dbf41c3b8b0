//! The table of errors: each answers one command, and the connection lives.
//!
//! The range carries the verdict, so an old client obeys a code it does not know:
//! 1000–1999 try again later, 2000–2999 do not repeat it as it is, 3000–3999 get a new token first.

use serde::{Deserialize, Serialize};

/// An error as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{name} ({code}): {text}")]
pub struct WireError {
    pub code: u16,
    pub name: String,
    pub text: String,
    /// Where waiting helps: how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl WireError {
    /// The same error, with advice on how long to wait.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Whether the same command may succeed later. By range, so that codes of later servers are obeyed.
    pub fn is_retryable(&self) -> bool {
        (1_000..2_000).contains(&self.code)
    }

    /// The table's entry, if this build knows the code.
    pub fn kind(&self) -> Option<ErrorCode> {
        ErrorCode::ALL
            .iter()
            .copied()
            .find(|code| code.number() == self.code)
    }
}

impl From<ErrorCode> for WireError {
    fn from(code: ErrorCode) -> Self {
        code.with(code.text())
    }
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $http:literal, $text:literal;)*) => {
        /// What can go wrong with one command.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub fn number(self) -> u16 { match self { $(Self::$variant => $number,)* } }
            /// The name on the wire.
            pub fn name(self) -> &'static str { match self { $(Self::$variant => $name,)* } }
            /// The status with which the HTTP API answers it.
            pub fn http_status(self) -> u16 { match self { $(Self::$variant => $http,)* } }
            /// The default text.
            pub fn text(self) -> &'static str { match self { $(Self::$variant => $text,)* } }
        }
    };
}

error_codes! {
    /// Too much waits before this command: a full queue.
    Busy = 1000, "busy", 503, "the server is busy";
    RateLimited = 1001, "rate_limited", 429, "too many of these in a short time";
    /// The log cannot be written or read right now.
    StorageUnavailable = 1002, "storage_unavailable", 503, "the message log is unavailable";
    Draining = 1003, "draining", 503, "the server is shutting down";
    Internal = 1004, "internal", 500, "the server failed; the outcome is unknown";

    BadRequest = 2000, "bad_request", 400, "the command is not of its documented form";
    UnknownCommand = 2001, "unknown_command", 400, "the server does not know this command";
    NotConnected = 2002, "not_connected", 400, "connect must come first";
    AlreadyConnected = 2003, "already_connected", 400, "the connection is connected already";
    BadChannel = 2004, "bad_channel", 400, "not a channel name";
    UnknownChannelKind = 2005, "unknown_channel_kind", 404, "no configured kind matches this channel name";
    AlreadySubscribed = 2006, "already_subscribed", 409, "this connection is subscribed to the channel already";
    NotSubscribed = 2007, "not_subscribed", 409, "this connection is not subscribed to the channel";
    NotPermitted = 2008, "not_permitted", 403, "the identity may not do this here";
    BadPayload = 2009, "bad_payload", 400, "the payload is not what its format says, or nests too deeply";
    TooLarge = 2010, "too_large", 413, "larger than the limit";
    TooMany = 2011, "too_many", 400, "more than the limit";
    /// The same publish id came with other content.
    IdReused = 2012, "id_reused", 422, "this id was used for other content";
    PresenceDisabled = 2013, "presence_disabled", 409, "this kind of channel keeps no presence";
    NotPresent = 2014, "not_present", 409, "the user is not present in the channel";
    NotFound = 2015, "not_found", 404, "there is no such thing";

    BadToken = 3000, "bad_token", 401, "the token was refused";
    TokenExpired = 3001, "token_expired", 401, "the token has expired";
    BadKey = 3002, "bad_key", 401, "the API key was refused";
    TokenRevoked = 3003, "token_revoked", 401, "the token was revoked";
}

impl ErrorCode {
    /// The error with a text of its own: what was tried, then why it failed.
    pub fn with(self, text: impl Into<String>) -> WireError {
        WireError {
            code: self.number(),
            name: self.name().to_owned(),
            text: text.into(),
            retry_after_ms: None,
        }
    }
}
