//! Sizes of payloads: one, or several with their shares.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, ensure};
use parlor_protocol::limits::PAYLOAD_BYTES_MAX;

use crate::spread;
use crate::stamp::PAYLOAD_BYTES_MIN;

/// `128`, or `128:0.8,1024:0.2`. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PayloadSizes(Vec<(usize, f64)>);

impl PayloadSizes {
    /// The size of the publish with this number: the sizes are spread evenly, and the same in every run.
    pub(crate) fn of(&self, number: u64) -> usize {
        spread::pick(&self.0, number)
    }

    /// Bytes of a payload on average.
    pub(crate) fn mean(&self) -> f64 {
        self.0
            .iter()
            .map(|(bytes, share)| *bytes as f64 * share)
            .sum()
    }
}

impl FromStr for PayloadSizes {
    type Err = anyhow::Error;

    fn from_str(raw: &str) -> anyhow::Result<Self> {
        let parse = |part: &str| {
            let (bytes, share) = part.split_once(':').unwrap_or((part, "1"));
            let parsed = bytes.trim().parse().ok().zip(share.trim().parse().ok());
            parsed.with_context(|| format!("`{part}` is not BYTES or BYTES:SHARE"))
        };
        let mut sizes: Vec<(usize, f64)> = raw.split(',').map(parse).collect::<Result<_, _>>()?;
        let sum: f64 = sizes.iter().map(|(_, share)| share).sum();
        for (bytes, share) in &mut sizes {
            ensure!(
                (PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(bytes),
                "a payload has {PAYLOAD_BYTES_MIN} to {PAYLOAD_BYTES_MAX} bytes, since it carries two times"
            );
            ensure!(
                *share > 0.0 && share.is_finite(),
                "a share of payloads is more than 0"
            );
            *share /= sum;
        }
        Ok(Self(sizes))
    }
}

impl fmt::Display for PayloadSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(only, _)] = self.0.as_slice() {
            return write!(f, "{only}");
        }
        for (index, (bytes, share)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{bytes}:{share}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_in_their_shares() {
        let sizes: PayloadSizes = "100:3,1000:1".parse().unwrap();
        let large = (0..1000).filter(|number| sizes.of(*number) == 1000).count();
        assert!((245..=255).contains(&large), "{large}");
        assert!((sizes.mean() - 325.0).abs() < 1e-9);
        assert_eq!(sizes.to_string(), "100:0.75,1000:0.25");
        assert_eq!("128".parse::<PayloadSizes>().unwrap().of(7), 128);
    }

    #[test]
    fn odd_sizes_are_refused() {
        for raw in ["", "10", "128:0", "128:-1", "128:x", "40000", "128,"] {
            assert!(raw.parse::<PayloadSizes>().is_err(), "{raw} was accepted");
        }
    }
}
