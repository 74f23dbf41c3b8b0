//! The shape of a load: how many connections, in how many channels, in which groups.
//!
//! Knows nothing of time or sockets. A group is measured by itself: it has its own connections, rate and
//! histograms.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail};

/// What `--shape` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `rooms=1000x10`: so many channels with so many members each. `channel=1x10000` is the same.
    Rooms { channels: u32, members: u32 },
    /// `idle=10000`: connections without a subscription; nobody publishes.
    Idle { connections: u32 },
    /// `idle=1000x10`: members of channels in which nobody publishes.
    IdleRooms { channels: u32, members: u32 },
    /// `bystander=10+10000`: a small room, measured alone and then beside one channel with a crowd.
    Bystander { room: u32, crowd: u32 },
}

/// Connections that are loaded and measured together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) connections: u32,
    /// 0: its connections subscribe to nothing.
    pub(crate) channels: u32,
}

impl Group {
    /// The channel of a connection. Neighbours join different channels, so that a room's members come from
    /// different source addresses and reach different shards.
    pub(crate) fn channel_of(&self, connection: u32) -> Option<u32> {
        (self.channels > 0).then(|| connection % self.channels)
    }

    pub(crate) fn members(&self) -> u32 {
        self.connections.checked_div(self.channels).unwrap_or(0)
    }
}

impl Shape {
    pub(crate) fn groups(self) -> Vec<Group> {
        match self {
            Self::Rooms { channels, members } => vec![group("rooms", channels * members, channels)],
            Self::Idle { connections } => vec![group("idle", connections, 0)],
            Self::IdleRooms { channels, members } => {
                vec![group("idle", channels * members, channels)]
            }
            Self::Bystander { room, crowd } => {
                vec![group("room", room, 1), group("crowd", crowd, 1)]
            }
        }
    }

    pub(crate) fn connections(self) -> u32 {
        self.groups().iter().map(|group| group.connections).sum()
    }

    pub(crate) fn publishes(self) -> bool {
        matches!(self, Self::Rooms { .. } | Self::Bystander { .. })
    }
}

impl FromStr for Shape {
    type Err = anyhow::Error;

    fn from_str(raw: &str) -> anyhow::Result<Self> {
        let (kind, numbers) = raw
            .split_once('=')
            .with_context(|| format!("`{raw}` is not a shape; {SHAPES}"))?;
        let shape = match kind {
            "rooms" | "channel" => {
                let (channels, members) = pair(numbers, 'x')?;
                Self::Rooms { channels, members }
            }
            "idle" if numbers.contains('x') => {
                let (channels, members) = pair(numbers, 'x')?;
                Self::IdleRooms { channels, members }
            }
            "idle" => Self::Idle {
                connections: number(numbers)?,
            },
            "bystander" => {
                let (room, crowd) = pair(numbers, '+')?;
                Self::Bystander { room, crowd }
            }
            _ => bail!("`{kind}` is not a shape; {SHAPES}"),
        };
        Ok(shape)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rooms { channels, members } => write!(f, "rooms={channels}x{members}"),
            Self::Idle { connections } => write!(f, "idle={connections}"),
            Self::IdleRooms { channels, members } => write!(f, "idle={channels}x{members}"),
            Self::Bystander { room, crowd } => write!(f, "bystander={room}+{crowd}"),
        }
    }
}

fn group(name: &'static str, connections: u32, channels: u32) -> Group {
    Group {
        name,
        connections,
        channels,
    }
}

fn pair(raw: &str, separator: char) -> anyhow::Result<(u32, u32)> {
    let (left, right) = raw
        .split_once(separator)
        .with_context(|| format!("`{raw}` lacks the `{separator}`; {SHAPES}"))?;
    let (left, right) = (number(left)?, number(right)?);
    // Checked here once, so that products and sums of a shape's parts never overflow.
    if u64::from(left) * u64::from(right) > u64::from(CONNECTIONS_MAX) {
        bail!("`{raw}` is more than {CONNECTIONS_MAX} connections");
    }
    Ok((left, right))
}

fn number(raw: &str) -> anyhow::Result<u32> {
    match raw.parse() {
        Ok(number @ 1..=CONNECTIONS_MAX) => Ok(number),
        _ => bail!("`{raw}` is not a number from 1 to {CONNECTIONS_MAX}"),
    }
}

/// Connections of one run: more than any process here may hold as files.
const CONNECTIONS_MAX: u32 = 1_000_000;

const SHAPES: &str = "shapes are rooms=CHANNELSxMEMBERS, channel=1xMEMBERS, idle=N, idle=CHANNELSxMEMBERS and bystander=ROOM+CROWD";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: Shape) {
        assert_eq!(raw.parse::<Shape>().unwrap(), expected);
    }

    #[test]
    fn shapes_are_read() {
        check(
            "rooms=1000x10",
            Shape::Rooms {
                channels: 1000,
                members: 10,
            },
        );
        check(
            "channel=1x10000",
            Shape::Rooms {
                channels: 1,
                members: 10_000,
            },
        );
        check(
            "idle=10000",
            Shape::Idle {
                connections: 10_000,
            },
        );
        check(
            "idle=1000x10",
            Shape::IdleRooms {
                channels: 1000,
                members: 10,
            },
        );
        check(
            "bystander=10+10000",
            Shape::Bystander {
                room: 10,
                crowd: 10_000,
            },
        );
    }

    #[test]
    fn other_shapes_are_refused() {
        for raw in [
            "",
            "rooms",
            "rooms=",
            "rooms=10",
            "rooms=0x10",
            "rooms=10x",
            "rooms=-1x2",
            "idle=0",
            "bystander=10x10",
            "rooms=4294967295x4294967295",
            "squares=2x2",
        ] {
            assert!(raw.parse::<Shape>().is_err(), "{raw} was accepted");
        }
    }

    #[test]
    fn every_room_gets_its_members() {
        let group = &Shape::Rooms {
            channels: 7,
            members: 3,
        }
        .groups()[0];
        let mut members = [0; 7];
        for connection in 0..group.connections {
            members[group.channel_of(connection).unwrap() as usize] += 1;
        }
        assert_eq!(members, [3; 7]);
    }
}
