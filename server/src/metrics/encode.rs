//! The text of a scrape.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{HTTP_ROWS, Histogram, Kind, Metrics, NODE_ROWS, Row, SHARD_ROWS, process};

/// Everything `metrics` counts, in the OpenMetrics text form.
pub(super) fn encode(metrics: &Arc<Metrics>) -> String {
    let mut text = String::new();
    let mut own = Registry::with_prefix("parlor");
    own.register_collector(Box::new(Table(Arc::clone(metrics))));
    let mut process = Registry::default();
    process.register_collector(Box::new(process::Process));
    let written = text::encode_registry(&mut text, &own)
        .and_then(|()| text::encode_registry(&mut text, &process))
        .and_then(|()| text::encode_eof(&mut text));
    written.expect("a String takes everything that is written to it");
    text
}

/// Reads the table when a scrape asks.
#[derive(Debug)]
struct Table(Arc<Metrics>);

impl Collector for Table {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "The running version; always 1";
        let mut build = encoder.encode_descriptor("build_info", help, None, MetricType::Gauge)?;
        build
            .encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?
            .encode_gauge(&1_u64)?;
        for (row, read) in SHARD_ROWS {
            let mut samples = Vec::new();
            self.0
                .shards
                .iter()
                .for_each(|shard| read(shard, &mut samples));
            encode_row(&mut encoder, row, &samples)?;
        }
        for (row, field) in HTTP_ROWS {
            encode_row(
                &mut encoder,
                row,
                &[("", field(&self.0.http).load(Ordering::Relaxed))],
            )?;
        }
        for (metric, read) in &*self.0.readers.lock() {
            encode_row(&mut encoder, &NODE_ROWS[*metric as usize], &read())?;
        }
        for (histogram, read) in &*self.0.histograms.lock() {
            encode_histogram(&mut encoder, histogram.row(), &read())?;
        }
        Ok(())
    }
}

fn encode_row<V: AsRef<str>>(
    encoder: &mut DescriptorEncoder<'_>,
    row: &Row,
    samples: &[(V, u64)],
) -> fmt::Result {
    let kind = match row.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
    };
    // The encoder ends the help text with a full stop of its own.
    let help = row.help.trim().trim_end_matches('.');
    let mut metric = encoder.encode_descriptor(row.name, help, None, kind)?;
    for (value, count) in samples {
        if row.label.is_empty() {
            encode_sample(&mut metric, row.kind, *count)?;
        } else {
            encode_sample(
                &mut metric.encode_family(&[(row.label, value.as_ref())])?,
                row.kind,
                *count,
            )?;
        }
    }
    Ok(())
}

fn encode_histogram(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&'static str, &'static str),
    Histogram { buckets, sum }: &Histogram,
) -> fmt::Result {
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder
        .encode_descriptor(name, help, None, MetricType::Histogram)?
        .encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
}

fn encode_sample(metric: &mut MetricEncoder<'_>, kind: Kind, count: u64) -> fmt::Result {
    match kind {
        Kind::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&count, None),
        Kind::Gauge => metric.encode_gauge(&count),
    }
}
