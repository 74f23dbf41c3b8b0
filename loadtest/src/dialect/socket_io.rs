//! Socket.IO over WebSocket alone. The server must know two events: `join` with a list of rooms, which it acknowledges,
//! and `publish` with a room and a value, which it emits in that room as `m`.

use crate::dialect::{Ear, Heard, Talk};
use crate::frames;

pub(super) fn publish(channel: &str, data: &str) -> String {
    format!(r#"42["publish","{channel}",{data}]"#)
}

impl Ear {
    pub(super) fn socket_io(&mut self, talk: &Talk, payload: &[u8], tell: impl FnMut(Heard)) {
        let heard = match payload {
            [b'4', b'2', message @ ..] => self.delivery(message),
            // Engine.IO is open: enter the main namespace.
            [b'0', ..] => Some(Heard::Answer(frames::text(b"40"))),
            [b'2', ..] => Some(Heard::Answer(frames::text(b"3"))),
            [b'4', b'0', ..] if talk.hello.channels.is_empty() => Some(Heard::Ready),
            [b'4', b'0', ..] => {
                let rooms = talk.hello.channels.join(r#"",""#);
                let join = format!(r#"420["join",["{rooms}"]]"#);
                Some(Heard::Answer(frames::text(join.as_bytes())))
            }
            [b'4', b'3', ..] => Some(Heard::Ready),
            [b'4', b'4', why @ ..] => {
                Some(Heard::Refused(String::from_utf8_lossy(why).into_owned()))
            }
            _ => None,
        };
        heard.into_iter().for_each(tell);
    }
}
