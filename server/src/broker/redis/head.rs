//! The words in front of a stream's entry, and of a log's: places, tags and times, as the scripts write them.

use std::ops::Range;

use parlor_protocol::{ChannelName, Epoch, Position, Tag, Time};

use crate::hub::Beginning;

/// The head of an entry of a partition's stream: what a batch or a script put there together. Its place is the entry's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamHead {
    pub(super) tag: Tag,
    /// The tag of the entry before.
    pub(super) prev: Tag,
}

/// What one frame of a stream's entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// An event of a channel's log.
    Logged {
        channel: ChannelName,
        place: Place,
        origin: &'a str,
    },
    /// An event that is not logged: the words and the body are its own.
    Ephemeral(&'a str),
    /// Who is in the channel changed: what came of it is the body.
    Members(ChannelName),
    /// A node lives: its words.
    Heartbeat(&'a str),
    /// The partition has a new generation; channels from before the floor begin a new life.
    Generation { generation: u64, floor: u64 },
    /// What channels that nobody has written stand under from now on.
    Unwritten(Beginning),
    /// A channel lost entries up to this offset and begins a new life from `top`.
    NewLife {
        channel: ChannelName,
        top: Position,
        lost_to: u64,
    },
    /// Of a kind that this build does not know.
    Unknown,
}

/// Where an event stands in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: Position,
    pub(super) seq: u64,
    pub(super) prev: Tag,
    pub(super) time: Time,
}

impl StreamHead {
    /// `None` when it is not a head of this version: "B1 tag prev".
    pub(super) fn parse(raw: &str) -> Option<Self> {
        let (tag_, prev) = raw.strip_prefix("B1 ")?.split_once(' ')?;
        Some(Self {
            tag: tag(tag_)?,
            prev: tag(prev)?,
        })
    }
}

/// The frames of a stream's entry: each "head-length body-length head body", one behind the other.
#[derive(Clone, Debug)]
pub(super) struct FramesOf<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> FramesOf<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    fn number(&mut self) -> Option<usize> {
        let end = self.rest.iter().position(|byte| *byte == b' ')?;
        let number = std::str::from_utf8(&self.rest[..end]).ok()?.parse().ok()?;
        self.advance(end + 1);
        Some(number)
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
        self.at += bytes;
    }

    fn frame(&mut self) -> Option<(What<'a>, Range<usize>)> {
        let (head, body) = (self.number()?, self.number()?);
        if head.checked_add(body)? > self.rest.len() {
            return None;
        }
        let what = What::parse(std::str::from_utf8(&self.rest[..head]).ok()?)?;
        let start = self.at + head;
        self.advance(head + body);
        Some((what, start..start + body))
    }
}

/// What each frame says, and where its body stands; an error ends the entry.
impl<'a> Iterator for FramesOf<'a> {
    type Item = Result<(What<'a>, Range<usize>), NotAFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let frame = self.frame().ok_or(NotAFrame);
        if frame.is_err() {
            self.rest = &[];
        }
        Some(frame)
    }
}

/// Bytes in a stream that no script of this version wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAFrame;

impl<'a> What<'a> {
    fn parse(raw: &'a str) -> Option<Self> {
        let (kind, rest) = raw.split_once(' ').unwrap_or((raw, ""));
        Some(match kind {
            "L" => logged(rest)?,
            "E" => Self::Ephemeral(rest),
            "P" => Self::Members(channel(rest)?),
            "H" => Self::Heartbeat(rest),
            "G" => generation(rest)?,
            "U" => unwritten(rest)?,
            "N" => new_life(rest)?,
            _ => Self::Unknown,
        })
    }
}

/// "channel offset epoch tag time seq prev origin".
fn logged(raw: &str) -> Option<What<'_>> {
    let mut words = raw.splitn(8, ' ');
    let channel = channel(words.next()?)?;
    let offset = words.next()?.parse().ok()?;
    let epoch = Epoch(hex(words.next()?)?);
    let position = Position {
        epoch,
        offset,
        tag: tag(words.next()?)?,
    };
    let time = Time(words.next()?.parse().ok()?);
    let seq = words.next()?.parse().ok()?;
    let place = Place {
        position,
        seq,
        prev: tag(words.next()?)?,
        time,
    };
    Some(What::Logged {
        channel,
        place,
        origin: words.next().unwrap_or(""),
    })
}

fn generation(raw: &str) -> Option<What<'_>> {
    let (generation, floor) = raw.split_once(' ')?;
    Some(What::Generation {
        generation: generation.parse().ok()?,
        floor: floor.parse().ok()?,
    })
}

/// "epoch before": the present epoch, and the one before.
fn unwritten(raw: &str) -> Option<What<'_>> {
    let mut words = raw.split(' ');
    let mut epoch = || hex(words.next()?).map(Epoch);
    Some(What::Unwritten(Beginning {
        epoch: epoch()?,
        before: epoch()?,
    }))
}

fn new_life(raw: &str) -> Option<What<'_>> {
    let mut words = raw.split(' ');
    let channel = channel(words.next()?)?;
    let epoch = Epoch(hex(words.next()?)?);
    let offset = words.next()?.parse().ok()?;
    let top = Position {
        epoch,
        offset,
        tag: tag(words.next()?)?,
    };
    Some(What::NewLife {
        channel,
        top,
        lost_to: words.next()?.parse().ok()?,
    })
}

/// The head of a log's entry: tag, the tag before, time, seq. Its offset is the entry's id, its epoch the channel's.
pub(super) fn log_head(raw: &str) -> Option<(Tag, Tag, Time, u64)> {
    let part = |range| raw.get(range);
    Some((
        tag(part(0..16)?)?,
        tag(part(16..32)?)?,
        Time(part(32..49)?.parse().ok()?),
        raw.get(49..)?.parse().ok()?,
    ))
}

/// 16 hex digits.
pub(super) fn hex(raw: &str) -> Option<u64> {
    (raw.len() == 16)
        .then(|| u64::from_str_radix(raw, 16).ok())
        .flatten()
}

pub(super) fn tag(raw: &str) -> Option<Tag> {
    hex(raw).map(Tag)
}

/// As the scripts write epochs and tags.
pub(super) fn to_hex(value: u64) -> String {
    format!("{value:016x}")
}

fn channel(raw: &str) -> Option<ChannelName> {
    ChannelName::stored(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(head: &str, body: &str) -> String {
        format!("{} {} {head}{body}", head.len(), body.len())
    }

    #[test]
    fn the_head_of_a_streams_entry_is_a_link_of_a_chain() {
        let head = StreamHead::parse("B1 00000000000000aa 00000000000000bb");
        assert_eq!(
            head,
            Some(StreamHead {
                tag: Tag(0xaa),
                prev: Tag(0xbb)
            })
        );
        for broken in ["", "B1", "B1 zz yy", "B2 00000000000000aa 00000000000000bb"] {
            assert_eq!(StreamHead::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn every_kind_of_frame_is_read() {
        let place = "7 00000000000000cc 00000000000000aa 17000000000000000 5 00000000000000dd";
        let bytes = [
            frame(&format!("L room {place} n/1"), "body"),
            frame("G 3 2", ""),
            frame("H node 1", ""),
            frame("U 00000000000000cc 00000000000000bb", ""),
            frame("N room 00000000000000cc 7 00000000000000dd 9", ""),
            frame("Z whatever", "body"),
        ]
        .concat();
        let frames: Vec<_> = FramesOf::new(bytes.as_bytes())
            .map(Result::unwrap)
            .collect();
        let What::Logged {
            channel,
            place,
            origin,
        } = &frames[0].0
        else {
            panic!("{frames:?}")
        };
        assert_eq!(
            (channel.as_str(), place.position.offset, place.seq, *origin),
            ("room", 7, 5, "n/1")
        );
        assert_eq!(&bytes[frames[0].1.clone()], "body");
        assert_eq!(
            frames[1].0,
            What::Generation {
                generation: 3,
                floor: 2
            }
        );
        assert_eq!(frames[2].0, What::Heartbeat("node 1"));
        let (epoch, before) = (Epoch(0xcc), Epoch(0xbb));
        assert_eq!(frames[3].0, What::Unwritten(Beginning { epoch, before }));
        assert!(matches!(frames[4].0, What::NewLife { lost_to: 9, .. }));
        assert_eq!(frames[5].0, What::Unknown, "a later kind is passed over");
    }

    #[test]
    fn bytes_that_are_no_frames_end_the_entry() {
        let whole = frame(
            "L room 7 00000000000000cc 00000000000000aa 1 5 00000000000000dd -",
            "body",
        );
        for end in 1..whole.len() {
            let read: Vec<_> = FramesOf::new(&whole.as_bytes()[..end]).collect();
            assert_eq!(read, [Err(NotAFrame)], "cut at {end}");
        }
        assert_eq!(
            FramesOf::new(b"99999999999999999999 1 x").next(),
            Some(Err(NotAFrame))
        );
        assert_eq!(
            FramesOf::new(b"18446744073709551615 1 x").next(),
            Some(Err(NotAFrame))
        );
    }
}
