//! The table of closes: each ends the connection and tells the client whether to come back.
//!
//! The range carries the verdict: 4000–4199 come back and resume, 4200–4399 come back fresh (drop the
//! session and positions), 4400–4599 stay away until something changed. RFC 6455 codes (1000–1015) are
//! used for faults below this protocol: 1002, 1003, 1007 and 1009 mean "stay away", all others "resume".

/// What a client does after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Reconnect with session and positions.
    Resume,
    /// Reconnect without them.
    Fresh,
    /// Do not reconnect by yourself.
    StayAway,
}

impl Verdict {
    /// The verdict of any close code, known or not.
    pub fn of(code: u16) -> Self {
        match code {
            4200..=4399 => Self::Fresh,
            1002 | 1003 | 1007 | 1009 | 4400..=4599 => Self::StayAway,
            _ => Self::Resume,
        }
    }
}

macro_rules! close_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $text:literal;)*) => {
        /// Why the server ends a connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CloseCode { $($(#[$doc])* $variant,)* }

        impl CloseCode {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub fn number(self) -> u16 { match self { $(Self::$variant => $number,)* } }
            pub fn name(self) -> &'static str { match self { $(Self::$variant => $name,)* } }
            pub fn text(self) -> &'static str { match self { $(Self::$variant => $text,)* } }
        }
    };
}

close_codes! {
    /// RFC 6455: a frame broke the WebSocket protocol.
    ProtocolError = 1002, "protocol_error", "a frame broke the websocket protocol";
    /// RFC 6455: text where the subprotocol speaks MessagePack, or binary where it speaks JSON.
    WrongFrameType = 1003, "wrong_frame_type", "text and binary frames are fixed by the subprotocol";
    /// RFC 6455: a text frame is not UTF-8.
    BadUtf8 = 1007, "bad_utf8", "a text frame is not utf-8";
    /// RFC 6455: a frame is larger than the limit.
    FrameTooLarge = 1009, "frame_too_large", "a frame is larger than the limit";

    /// The server is going away: its clients are spread over the advised delay.
    Draining = 4000, "draining", "the server is shutting down";
    /// The connection's outbox overflowed.
    Slow = 4001, "slow", "the client reads too slowly; resume";
    /// Nothing came back for a ping.
    NoPong = 4002, "no_pong", "no answer to a ping";
    /// The server failed inside.
    Internal = 4003, "internal", "the server failed";
    /// No `connect` within the time for it.
    ConnectTimeout = 4004, "connect_timeout", "no connect command in time";
    /// Commands came faster than the connection's limit, for too long.
    Flooding = 4005, "flooding", "too many commands";
    /// The token ended and was not refreshed. Get a new one, then come back: nothing is lost.
    TokenExpired = 4006, "token_expired", "the token has expired";
    /// `connect` could not be served now; its error says why.
    Busy = 4007, "busy", "connect could not be served now";
    /// The token was revoked. With a new one nothing is lost; the old one is refused for good.
    Revoked = 4008, "revoked", "the token was revoked";
    /// The session was taken over by a newer connection to the same node; the older socket was half-dead. (On another node it
    /// is not told: nodes do not tell each other who holds which session.)
    Replaced = 4400, "replaced", "the session continued on another connection";
    /// A backend asked for it: come back only by the user's own act.
    Disconnected = 4401, "disconnected", "disconnected by the application";
    /// The token was refused.
    BadToken = 4402, "bad_token", "the token was refused";
    /// A frame is not JSON or MessagePack, or not an object or an array of objects.
    BadFrame = 4403, "bad_frame", "a frame is not of the documented form";
    /// The first command was not `connect`, or it was refused for good.
    ConnectRefused = 4404, "connect_refused", "connect was refused";
}

impl CloseCode {
    pub fn verdict(self) -> Verdict {
        Verdict::of(self.number())
    }
}
