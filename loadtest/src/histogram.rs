//! Latencies in an HDR histogram: recorded in µs, told in ms, kept whole as base64 of HDR's own V2 form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// Latencies of one kind. About 100 KiB; one for each thread and stage, never one for each connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Latencies(Histogram<u64>);

/// What a reader wants to know of a histogram, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p99_9_ms: f64,
    pub(crate) max_ms: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, MICROS_MAX, SIGNIFICANT_DIGITS)
                .expect("the bounds are constants that fit"),
        )
    }

    /// For one second of one group: some 20 KiB, exact to 1 %.
    pub(crate) fn coarse() -> Self {
        Self(
            Histogram::new_with_bounds(1, MICROS_MAX, COARSE_DIGITS)
                .expect("the bounds are constants that fit"),
        )
    }

    /// Longer than the bound counts as the bound.
    pub(crate) fn record_ns(&mut self, ns: u64) {
        self.0.saturating_record(ns / 1_000);
    }

    /// One that stands for so many.
    pub(crate) fn record_many_ns(&mut self, ns: u64, count: u64) {
        self.0.saturating_record_n(ns / 1_000, count);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("all histograms have the same bounds");
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// The latency in ms below which this share (0 to 1) lies.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1_000.0
    }

    pub(crate) fn summary(&self) -> Summary {
        let at = |share| self.quantile_ms(share);
        Summary {
            count: self.0.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms: self.0.max() as f64 / 1_000.0,
        }
    }
}

impl From<Latencies> for String {
    fn from(latencies: Latencies) -> Self {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&latencies.0, &mut bytes)
            .expect("a vector takes all bytes");
        STANDARD.encode(bytes)
    }
}

impl TryFrom<String> for Latencies {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        let bytes = STANDARD.decode(text)?;
        anyhow::ensure!(bytes.len() <= BYTES_MAX, "a histogram is too large");
        let read: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| anyhow::anyhow!("not a histogram: {error}"))?;
        // Into bounds of our own, so that adding it to others never fails.
        let mut latencies = if read.sigfig() <= COARSE_DIGITS {
            Self::coarse()
        } else {
            Self::new()
        };
        if latencies.0.add(&read).is_err() {
            anyhow::bail!("a histogram reaches beyond two minutes");
        }
        Ok(latencies)
    }
}

/// Of one histogram that is read back.
const BYTES_MAX: usize = 1 << 20;
const COARSE_DIGITS: u8 = 2;
/// Two minutes.
const MICROS_MAX: u64 = 120_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_told_in_ms() {
        let mut latencies = Latencies::new();
        for ms in 1..=1000 {
            latencies.record_ns(ms * 1_000_000);
        }
        let summary = latencies.summary();
        assert_eq!(summary.count, 1000);
        assert!((summary.p50_ms - 500.0).abs() < 1.0, "{summary:?}");
        assert!((summary.p99_ms - 990.0).abs() < 1.0, "{summary:?}");
        assert!((summary.max_ms - 1000.0).abs() < 1.0, "{summary:?}");
    }

    #[test]
    fn a_histogram_survives_being_written_down() {
        let mut latencies = Latencies::new();
        for ms in 1..=1000 {
            latencies.record_ns(ms * 1_000_000);
        }
        let text = serde_json::to_string(&latencies).unwrap();
        let read: Latencies = serde_json::from_str(&text).unwrap();
        assert_eq!(read.summary(), latencies.summary());
        assert!(serde_json::from_str::<Latencies>("\"AAAA\"").is_err());
    }

    #[test]
    fn a_coarse_histogram_adds_to_a_fine_one() {
        let (mut fine, mut coarse) = (Latencies::new(), Latencies::coarse());
        coarse.record_ns(7_000_000);
        fine.add(&coarse);
        assert_eq!(fine.len(), 1);
        assert!((fine.quantile_ms(0.5) - 7.0).abs() < 0.1);
    }

    #[test]
    fn an_hour_counts_as_the_bound() {
        let mut latencies = Latencies::new();
        latencies.record_ns(3_600_000_000_000);
        assert!(latencies.summary().max_ms >= 120_000.0);
    }
}
