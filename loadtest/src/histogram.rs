//! Latencies in an HDR histogram: recorded in µs, told in ms.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies of one kind. About 100 KiB; one for each thread and stage, never one for each connection.
#[derive(Clone, Debug)]
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

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, MICROS_MAX, SIGNIFICANT_DIGITS)
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

    pub(crate) fn summary(&self) -> Summary {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
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
    fn an_hour_counts_as_the_bound() {
        let mut latencies = Latencies::new();
        latencies.record_ns(3_600_000_000_000);
        assert!(latencies.summary().max_ms >= 120_000.0);
    }
}
