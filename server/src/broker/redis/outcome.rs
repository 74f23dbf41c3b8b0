//! What became of a batch: the answer of its script, item by item.

use parlor_protocol::{Epoch, Position, Tag, Time};

use super::head::hex;
use crate::broker::{Append, Appended};

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcomes {
    /// Of each item.
    pub(super) items: Vec<Outcome>,
    /// Publish ids that had to go before their window was over.
    pub(super) ids_forgotten_early: u64,
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Logged {
        pseq: u64,
        position: Position,
        time: Time,
    },
    Duplicate {
        position: Position,
        time: Time,
    },
    IdReused,
    PassedOn {
        pseq: u64,
    },
    Refused(String),
}

/// Hex digits of an epoch.
const EPOCH_DIGITS: usize = 16;

/// The answer's first line: the entry's number, and in a batch of events its time, its channels' epochs and, if any, how many
/// ids had to go.
struct First<'a> {
    pseq: u64,
    time: Option<Time>,
    epochs: &'a str,
    ids_forgotten_early: u64,
}

/// Reads an answer, given the channel's number and the tag of each item that is logged. None when it is of unknown form.
pub(super) fn outcomes(answer: &str, items: &[Option<(usize, Tag)>]) -> Option<Outcomes> {
    let (first, lines) = answer.split_once('\n')?;
    let first = First::parse(first)?;
    let mut lines = lines.split('\n');
    let items = items
        .iter()
        .map(|item| outcome(&first, lines.next()?, *item))
        .collect::<Option<_>>()?;
    lines.next().is_none().then_some(Outcomes {
        items,
        ids_forgotten_early: first.ids_forgotten_early,
    })
}

impl<'a> First<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            pseq: words.next()?.parse().ok()?,
            time: words.next().and_then(|time| time.parse().ok()).map(Time),
            epochs: words.next().unwrap_or(""),
            ids_forgotten_early: words.next().map_or(Some(0), |ids| ids.parse().ok())?,
        })
    }

    /// Channels count from 1.
    fn epoch(&self, number: usize) -> Option<Epoch> {
        let begin = (number - 1) * EPOCH_DIGITS;
        Some(Epoch(hex(self.epochs.get(begin..begin + EPOCH_DIGITS)?)?))
    }
}

fn outcome(first: &First<'_>, line: &str, item: Option<(usize, Tag)>) -> Option<Outcome> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some(match word {
        "D" => {
            let (position, time) = place_of(rest)?;
            Outcome::Duplicate { position, time }
        }
        "R" => Outcome::IdReused,
        "E" => Outcome::PassedOn { pseq: first.pseq },
        "N" => Outcome::PassedOn { pseq: 0 },
        "X" => Outcome::Refused(rest.to_owned()),
        offset => {
            let (number, tag) = item?;
            let position = Position {
                epoch: first.epoch(number)?,
                offset: offset.parse().ok()?,
                tag,
            };
            let own_time = (!rest.is_empty()).then(|| rest.parse().ok().map(Time));
            Outcome::Logged {
                pseq: first.pseq,
                position,
                time: own_time.unwrap_or(first.time)?,
            }
        }
    })
}

/// "offset epoch tag time".
fn place_of(raw: &str) -> Option<(Position, Time)> {
    let mut words = raw.split(' ');
    let offset = words.next()?.parse().ok()?;
    let epoch = Epoch(hex(words.next()?)?);
    let tag = Tag(hex(words.next()?)?);
    Some((
        Position { epoch, offset, tag },
        Time(words.next()?.parse().ok()?),
    ))
}

impl Outcome {
    /// What the publisher is told of a kept event.
    pub(super) fn appended(&self, append: &Append) -> Option<Appended> {
        let (position, time, duplicate) = match self {
            Self::Logged { position, time, .. } => (*position, *time, false),
            Self::Duplicate { position, time } => (*position, *time, true),
            Self::IdReused | Self::PassedOn { .. } | Self::Refused(_) => return None,
        };
        Some(Appended {
            position,
            time,
            durability: append.kind.durability,
            duplicate,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_outcome() {
        let at = |epoch, offset, tag| Position {
            epoch: Epoch(epoch),
            offset,
            tag: Tag(tag),
        };
        let answer = "12 17000000000000000 00000000000000aa00000000000000cc\n\
            7\n8 17000000000000001\nD 3 00000000000000ee 00000000000000ff 16000000000000000\nR\nE\nN\nX no room";
        let logged = |number, tag| Some((number, Tag(tag)));
        let items = [
            logged(1, 0xb1),
            logged(2, 0xb2),
            logged(1, 0xb3),
            logged(1, 0xb4),
            None,
            None,
            logged(2, 0xb5),
        ];
        let expected = [
            Outcome::Logged {
                pseq: 12,
                position: at(0xaa, 7, 0xb1),
                time: Time(17_000_000_000_000_000),
            },
            Outcome::Logged {
                pseq: 12,
                position: at(0xcc, 8, 0xb2),
                time: Time(17_000_000_000_000_001),
            },
            Outcome::Duplicate {
                position: at(0xee, 3, 0xff),
                time: Time(16_000_000_000_000_000),
            },
            Outcome::IdReused,
            Outcome::PassedOn { pseq: 12 },
            Outcome::PassedOn { pseq: 0 },
            Outcome::Refused("no room".to_owned()),
        ];
        let expected = Outcomes {
            items: expected.into(),
            ids_forgotten_early: 0,
        };
        assert_eq!(outcomes(answer, &items), Some(expected));
    }

    #[test]
    fn an_answer_says_how_many_ids_had_to_go() {
        let check = |answer: &str, items: &[_], expected: u64| {
            let outcomes = outcomes(answer, items).unwrap();
            assert_eq!(outcomes.ids_forgotten_early, expected, "{answer}");
        };
        let logged = [Some((1, Tag(1)))];
        check("12 17000000000000000 00000000000000aa\n7", &logged, 0);
        check("12 17000000000000000 00000000000000aa 500\n7", &logged, 500);
        check("12 17000000000000000  500\nE", &[None], 500);
        check("12\nE", &[None], 0);
    }

    #[test]
    fn an_answer_of_another_form_is_none() {
        let one = [Some((1, Tag(1)))];
        let check = |answer| assert_eq!(outcomes(answer, &one), None, "{answer}");
        check("");
        check("12 17000000000000000 00000000000000aa");
        check("12 17000000000000000 00000000000000aa\n7\n8");
        check("12 17000000000000000 00000000000000a\n7");
        check("12\n7");
        check("12 17000000000000000 00000000000000aa\nA 7");
        check("12 17000000000000000 00000000000000aa many\n7");
    }
}
