//! Sizes and durations as people write them: `64KiB`, `24h`.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A number of bytes: `262144`, `"256KiB"`, `"1MB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// A span of time: `"250ms"`, `"20s"`, `"5m"`, `"24h"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub std::time::Duration);

/// Largest first, so that the shortest writing is found first.
const SIZES: [(&str, u64); 7] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
];

/// In ms, largest first.
const SPANS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Size {
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let unit = match unit {
            "" | "B" => 1,
            "KB" => 1_000,
            _ => SIZES.iter().find(|(name, _)| *name == unit)?.1,
        };
        number.checked_mul(unit).map(Self)
    }
}

impl Duration {
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let unit = if (number, unit) == (0, "") {
            1
        } else {
            SPANS.iter().find(|(name, _)| *name == unit)?.1
        };
        number
            .checked_mul(unit)
            .map(|ms| Self(std::time::Duration::from_millis(ms)))
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    match units
        .iter()
        .find(|(_, unit)| value >= *unit && value.is_multiple_of(*unit))
    {
        Some((name, unit)) => write!(f, "{}{name}", value / unit),
        None => write!(f, "{value}"),
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &SIZES)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX) {
            0 => f.write_str("0s"),
            ms => write(f, ms, &SPANS),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 65536, \"64KiB\" or \"1MB\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        Size::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
        u64::try_from(bytes)
            .map(Size)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"250ms\", \"20s\", \"5m\", \"24h\" or \"7d\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        Duration::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_size(text: &str, bytes: Option<u64>, shown: &str) {
        assert_eq!(Size::parse(text), bytes.map(Size), "{text}");
        if let Some(bytes) = bytes {
            assert_eq!(Size(bytes).to_string(), shown);
        }
    }

    #[test]
    fn sizes_are_read_and_shown() {
        check_size("65536", Some(65_536), "64KiB");
        check_size("64KiB", Some(65_536), "64KiB");
        check_size("1 MB", Some(1_000_000), "1MB");
        check_size("1000", Some(1000), "1kB");
        check_size("3GiB", Some(3 << 30), "3GiB");
        check_size("17", Some(17), "17");
        check_size("0", Some(0), "0");
        for wrong in ["", "KiB", "-1", "1.5MB", "1 kilobyte", "99999999999999TiB"] {
            check_size(wrong, None, "");
        }
    }

    #[track_caller]
    fn check_span(text: &str, ms: Option<u64>, shown: &str) {
        assert_eq!(
            Duration::parse(text).map(|span| span.0.as_millis()),
            ms.map(u128::from),
            "{text}"
        );
        if let Some(ms) = ms {
            assert_eq!(
                Duration(std::time::Duration::from_millis(ms)).to_string(),
                shown
            );
        }
    }

    #[test]
    fn durations_are_read_and_shown() {
        check_span("250ms", Some(250), "250ms");
        check_span("20s", Some(20_000), "20s");
        check_span("90s", Some(90_000), "90s");
        check_span("24h", Some(86_400_000), "1d");
        check_span("0", Some(0), "0s");
        for wrong in ["", "20", "1w", "-1s", "1h30m", "1.5s"] {
            check_span(wrong, None, "");
        }
    }
}
