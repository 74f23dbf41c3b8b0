//! The words in front of a stream's entry, and of a log's: places, tags and times, as the scripts write them.

use parlor_protocol::{ChannelName, Epoch, Position, Tag, Time};

/// What the head of an entry of a partition's stream says. Its own place is the entry's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamHead<'a> {
    pub(super) tag: Tag,
    /// The tag of the entry before.
    pub(super) prev: Tag,
    pub(super) what: What<'a>,
}

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
    /// A node lives: its words.
    Heartbeat(&'a str),
    /// The partition has a new generation; channels from before the floor begin a new life.
    Generation { gen_: u64, floor: u64 },
    /// A channel lost entries up to this offset and begins a new life from `top`.
    NewLife {
        channel: ChannelName,
        top: Position,
        lost_to: u64,
    },
    /// Of a version that this build does not know.
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

impl<'a> StreamHead<'a> {
    /// `None` when it is not a head.
    pub(super) fn parse(raw: &'a str) -> Option<Self> {
        let mut words = raw.splitn(4, ' ');
        let kind = words.next()?;
        let (tag, prev) = (tag(words.next()?)?, tag(words.next()?)?);
        let rest = words.next().unwrap_or("");
        let what = match kind {
            "L1" => logged(rest)?,
            "E1" => What::Ephemeral(rest),
            "H1" => What::Heartbeat(rest),
            "G1" => generation(rest)?,
            "N1" => new_life(rest)?,
            _ => What::Unknown,
        };
        Some(Self { tag, prev, what })
    }
}

fn logged(raw: &str) -> Option<What<'_>> {
    let mut words = raw.splitn(7, ' ');
    let channel = channel(words.next()?)?;
    let epoch = Epoch(hex(words.next()?)?);
    let offset = words.next()?.parse().ok()?;
    let seq = words.next()?.parse().ok()?;
    let prev = tag(words.next()?)?;
    let time = Time(words.next()?.parse().ok()?);
    let origin = words.next().unwrap_or("");
    // The entry's own tag stands in front; the caller fills it in.
    let position = Position {
        epoch,
        offset,
        tag: Tag(0),
    };
    Some(What::Logged {
        channel,
        place: Place {
            position,
            seq,
            prev,
            time,
        },
        origin,
    })
}

fn generation(raw: &str) -> Option<What<'_>> {
    let (gen_, floor) = raw.split_once(' ')?;
    Some(What::Generation {
        gen_: gen_.parse().ok()?,
        floor: floor.parse().ok()?,
    })
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
    ChannelName::parse_stored(raw).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_head_is_read() {
        let tags = "00000000000000aa 00000000000000bb";
        let parse = |raw: &str| StreamHead::parse(raw).map(|head| format!("{:?}", head.what));
        let logged =
            format!("L1 {tags} room 00000000000000cc 7 5 00000000000000dd 17000000000000000 n/1");
        let head = StreamHead::parse(&logged).unwrap();
        assert_eq!((head.tag, head.prev), (Tag(0xaa), Tag(0xbb)));
        let What::Logged {
            channel,
            place,
            origin,
        } = head.what
        else {
            panic!("{head:?}")
        };
        assert_eq!(
            (channel.as_str(), place.position.offset, place.seq, origin),
            ("room", 7, 5, "n/1")
        );
        assert_eq!(
            parse(&format!("G1 {tags} 3 2")).unwrap(),
            "Generation { gen_: 3, floor: 2 }"
        );
        assert_eq!(
            parse(&format!("H1 {tags} node 1")).unwrap(),
            "Heartbeat(\"node 1\")"
        );
        assert!(
            parse(&format!(
                "N1 {tags} room 00000000000000cc 7 00000000000000dd 9"
            ))
            .unwrap()
            .starts_with("NewLife")
        );
        assert_eq!(
            parse(&format!("Z9 {tags} whatever")).unwrap(),
            "Unknown",
            "a later version is passed over"
        );
        for broken in ["", "L1", "L1 zz yy", &logged[..60]] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }
}
