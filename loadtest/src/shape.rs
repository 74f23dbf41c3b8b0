//! The shape of a load: how many connections, in how many channels, in which groups.
//!
//! Knows nothing of time or sockets. A group is measured by itself: it has its own connections, rate and
//! histograms.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, bail};

/// What `--shape` says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// `rooms=1000x10`: so many channels with so many members each. `channel=1x10000` is the same.
    Rooms { channels: u32, members: u32 },
    /// `zipf=1000x10000@1.1`: so many channels share so many connections, the nth largest in proportion to
    /// 1/n^exponent; a channel is published to in proportion to its members.
    Zipf {
        channels: u32,
        connections: u32,
        exponent: f64,
    },
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
    /// Where channels differ in size: how many connections they and those before them have.
    ends: Option<Arc<[u32]>>,
}

impl Group {
    /// The channel of a connection. Neighbours join different channels, so that a room's members come from
    /// different source addresses and reach different shards.
    pub(crate) fn channel_of(&self, connection: u32) -> Option<u32> {
        match &self.ends {
            Some(_) => Some(self.channel_of_publish(connection)),
            None => (self.channels > 0).then(|| connection % self.channels),
        }
    }

    /// The channel of the publish with this number: each in turn, or, where they differ in size, each as often as
    /// its members make it.
    pub(crate) fn channel_of_publish(&self, number: u32) -> u32 {
        let Some(ends) = &self.ends else {
            return number.checked_rem(self.channels).unwrap_or(0);
        };
        // The stride is a prime beyond all counts of connections, so that a round meets each member once.
        let member = u64::from(number) * STRIDE % u64::from(self.connections);
        let channel = ends.partition_point(|&end| u64::from(end) <= member);
        u32::try_from(channel).unwrap_or(0)
    }

    /// Members of a channel.
    pub(crate) fn members(&self, channel: u32) -> u32 {
        let Some(ends) = &self.ends else {
            return self.connections.checked_div(self.channels).unwrap_or(0);
        };
        let channel = channel as usize;
        let start = channel.checked_sub(1).map_or(0, |before| ends[before]);
        ends[channel] - start
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
            Self::Zipf {
                channels,
                connections,
                exponent,
            } => vec![Group {
                ends: Some(zipf_ends(channels, connections, exponent)),
                ..group("rooms", connections, channels)
            }],
            Self::Bystander { room, crowd } => {
                vec![group("room", room, 1), group("crowd", crowd, 1)]
            }
        }
    }

    pub(crate) fn connections(self) -> u32 {
        self.groups().iter().map(|group| group.connections).sum()
    }

    /// The same shape with about so many connections: more rooms, or more members where there is one channel.
    pub(crate) fn with_connections(self, wanted: u32) -> Self {
        let wanted = wanted.clamp(1, CONNECTIONS_MAX);
        let rooms = |channels: u32, members: u32| {
            if channels == 1 {
                (1, wanted)
            } else {
                ((wanted / members).max(1), members)
            }
        };
        match self {
            Self::Rooms { channels, members } => {
                let (channels, members) = rooms(channels, members);
                Self::Rooms { channels, members }
            }
            Self::IdleRooms { channels, members } => {
                let (channels, members) = rooms(channels, members);
                Self::IdleRooms { channels, members }
            }
            Self::Zipf {
                channels, exponent, ..
            } => Self::Zipf {
                channels,
                connections: wanted,
                exponent,
            },
            Self::Idle { .. } => Self::Idle {
                connections: wanted,
            },
            Self::Bystander { room, .. } => Self::Bystander {
                room,
                crowd: wanted.saturating_sub(room).max(1),
            },
        }
    }

    pub(crate) fn publishes(self) -> bool {
        matches!(
            self,
            Self::Rooms { .. } | Self::Zipf { .. } | Self::Bystander { .. }
        )
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
            "zipf" => {
                let (sizes, exponent) = numbers.split_once('@').unwrap_or((numbers, "1"));
                let (channels, connections) = two(sizes, 'x')?;
                let exponent = exponent.parse().ok();
                Self::Zipf {
                    channels,
                    connections,
                    exponent: exponent
                        .filter(|exponent| (0.0..=EXPONENT_MAX).contains(exponent))
                        .with_context(|| {
                            format!("`{raw}` has no exponent from 0 to {EXPONENT_MAX}")
                        })?,
                }
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
            Self::Zipf {
                channels,
                connections,
                exponent,
            } => write!(f, "zipf={channels}x{connections}@{exponent}"),
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
        ends: None,
    }
}

/// Shares `connections` out by Zipf's law, rounding so that no connection is left over.
fn zipf_ends(channels: u32, connections: u32, exponent: f64) -> Arc<[u32]> {
    let weights = || (1..=channels).map(|rank| f64::from(rank).powf(-exponent));
    let all: f64 = weights().sum();
    let ends = weights().scan(0.0, |sum, weight| {
        *sum += weight;
        Some((*sum / all * f64::from(connections)).round() as u32)
    });
    ends.collect()
}

fn two(raw: &str, separator: char) -> anyhow::Result<(u32, u32)> {
    let (left, right) = raw
        .split_once(separator)
        .with_context(|| format!("`{raw}` lacks the `{separator}`; {SHAPES}"))?;
    Ok((number(left)?, number(right)?))
}

fn pair(raw: &str, separator: char) -> anyhow::Result<(u32, u32)> {
    let (left, right) = two(raw, separator)?;
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

/// Beyond every connection's number, and a prime.
const STRIDE: u64 = 2_654_435_761;
const EXPONENT_MAX: f64 = 4.0;

const SHAPES: &str = "shapes are rooms=CHANNELSxMEMBERS, zipf=CHANNELSxCONNECTIONS@EXPONENT, channel=1xMEMBERS, idle=N, idle=CHANNELSxMEMBERS and bystander=ROOM+CROWD";

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
    fn zipf_shares_all_connections_out_and_publishes_by_size() {
        let shape: Shape = "zipf=50x1000@1.1".parse().unwrap();
        let group = &shape.groups()[0];
        let (mut members, mut publishes) = ([0; 50], [0; 50]);
        for number in 0..1000 {
            members[group.channel_of(number).unwrap() as usize] += 1;
            publishes[group.channel_of_publish(number) as usize] += 1;
        }
        assert_eq!(publishes, members);
        assert!((0..50).all(|channel| group.members(channel) == members[channel as usize]));
        assert!(members[0] > 250 && members.is_sorted_by(|one, two| *one + 1 >= *two));
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
            "zipf=10",
            "zipf=10x100@-1",
            "zipf=10x100@nan",
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
