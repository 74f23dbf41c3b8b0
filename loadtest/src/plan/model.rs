//! What each thing costs, learned from measured runs. Linear, on purpose: every factor is a figure that a person
//! can check, and the error on a run kept aside tells whether that is good enough.

use anyhow::ensure;
use serde::Serialize;

use super::Run;
use super::fit::{fit, predict};
use crate::report::{Report, StageReport};

/// The factors. `None`: the runs do not tell.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Model {
    /// Cores per connection, publish/s, delivery/s, and publish/s that another node tails.
    pub(super) cpu: [f64; 4],
    /// CPU seconds of one new connection.
    pub(super) cpu_per_connect: Option<f64>,
    /// Resident bytes of a node that serves nobody.
    pub(super) memory_base: f64,
    /// Resident bytes per connection, channel on a node, and event published.
    pub(super) memory: [f64; 3],
    /// Bytes on the wire of a delivery, beside its payload.
    pub(super) delivery_overhead_bytes: Option<f64>,
    /// The same of a publish, with all else that clients say meanwhile.
    pub(super) publish_overhead_bytes: Option<f64>,
    pub(super) redis: Option<RedisModel>,
    /// How many of the runs had several nodes.
    pub(super) cluster_runs: usize,
}

/// What a publish costs Redis. Bytes are those beside its payload, which comes in once, is kept once, and goes out once to
/// each node.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct RedisModel {
    /// Cores per publish/s, and per publish/s and node that reads it.
    pub(super) cpu: [f64; 2],
    pub(super) in_overhead_bytes: f64,
    /// Per publish, and per publish and node.
    pub(super) out_overhead_bytes: [f64; 2],
    /// Of memory per event while logs still grow.
    pub(super) event_overhead_bytes: f64,
}

/// A measured figure beside what the model says of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Compared {
    pub(super) what: &'static str,
    pub(super) measured: f64,
    pub(super) predicted: f64,
}

impl Model {
    /// # Errors
    /// When no run has the server's CPU time and memory.
    pub(super) fn learn(runs: &[Run]) -> anyhow::Result<Self> {
        let (mut rows, mut cores) = (Vec::new(), Vec::new());
        for (run, stage) in stages(runs) {
            if let Some(used) = stage.server_cpu_cores {
                rows.push(cpu_row(run, stage));
                cores.push(used);
            }
        }
        let cpu = fit(&rows, &cores);
        ensure!(
            cpu.is_some(),
            "no run has the server's CPU time: measure on the server's machine, or name it with --server-pid"
        );
        let (mut rows, mut grown, mut bases) = (Vec::new(), Vec::new(), Vec::new());
        for run in runs {
            let server = &run.report.server;
            if let Some((before, end)) = server.resident_bytes_before.zip(server.resident_bytes_end)
            {
                rows.push(memory_row(&run.report));
                grown.push(end.saturating_sub(before) as f64);
                bases.push(before as f64 / f64::from(server.nodes));
            }
        }
        Ok(Self {
            cpu: cpu.unwrap_or_default(),
            cpu_per_connect: mean(
                runs.iter()
                    .filter_map(|run| run.report.server.cpu_us_per_new_connection),
            )
            .map(|us| us / 1e6),
            // A server that has served before is larger: the smallest start counts.
            memory_base: bases.into_iter().reduce(f64::min).unwrap_or(0.0),
            memory: fit(&rows, &grown).unwrap_or_default(),
            delivery_overhead_bytes: mean(stages(runs).filter_map(delivery_overhead)),
            publish_overhead_bytes: mean(stages(runs).filter_map(publish_overhead)),
            redis: redis(runs),
            cluster_runs: runs
                .iter()
                .filter(|run| run.report.server.nodes > 1)
                .count(),
        })
    }

    /// Cores of all nodes together.
    pub(super) fn cores(&self, row: &[f64; 4]) -> f64 {
        predict(row, &self.cpu)
    }

    /// Resident bytes of all nodes together, without what a node needs for itself.
    pub(super) fn bytes(&self, row: &[f64; 3]) -> f64 {
        predict(row, &self.memory)
    }

    /// Every figure of a run beside the model's word.
    pub(super) fn compare(&self, report: &Report) -> Vec<Compared> {
        let mut all = Vec::new();
        if let Some(stage) = report.stages.last() {
            if let Some((measured, predicted)) = self.network(report, stage) {
                all.push(Compared {
                    what: "network of all nodes, Mbit/s",
                    measured,
                    predicted,
                });
            }
            if let Some(measured) = stage.server_cpu_cores {
                let predicted = self.cores(&cpu_row(report, stage));
                all.push(Compared {
                    what: "server cores",
                    measured,
                    predicted,
                });
            }
            if let Some((redis, measured)) = self.redis.zip(stage.redis) {
                let rate = stage.publishes_per_s;
                let nodes = f64::from(report.server.nodes);
                let payload = report.scenario.payload_bytes;
                let predicted = predict(&[rate, rate * nodes], &redis.cpu);
                all.push(Compared {
                    what: "Redis cores",
                    measured: measured.cpu_cores,
                    predicted,
                });
                all.push(Compared {
                    what: "Redis in, Mbit/s",
                    measured: measured.in_bytes_per_s * BIT,
                    predicted: rate * redis.in_bytes(payload) * BIT,
                });
                all.push(Compared {
                    what: "Redis out, Mbit/s",
                    measured: measured.out_bytes_per_s * BIT,
                    predicted: rate * redis.out_bytes(payload, nodes) * BIT,
                });
                let event = payload + redis.event_overhead_bytes;
                all.push(Compared {
                    what: "growth of Redis's memory, MiB",
                    measured: measured.memory_growth_bytes / MIB,
                    predicted: rate * stage.seconds * event / MIB,
                });
            }
        }
        if let Some(end) = report.server.resident_bytes_end {
            let base = self.memory_base * f64::from(report.server.nodes);
            let predicted = (base + self.bytes(&memory_row(report))) / MIB;
            all.push(Compared {
                what: "server memory, MiB",
                measured: end as f64 / MIB,
                predicted,
            });
        }
        all
    }
}

impl Model {
    /// Bytes per second to and from the clients of all nodes.
    pub(super) fn client_bytes(&self, publishes: f64, deliveries: f64, payload: f64) -> f64 {
        let delivery = payload + self.delivery_overhead_bytes.unwrap_or(0.0);
        let publish = payload + self.publish_overhead_bytes.unwrap_or(0.0);
        deliveries * delivery + publishes * publish
    }

    /// Measured and predicted, in Mbit/s; where there were deliveries, and a metrics page that counted their bytes.
    fn network(&self, report: &Report, stage: &StageReport) -> Option<(f64, f64)> {
        let bytes = stage.server_delivery_bytes? + stage.server_received_bytes?;
        let payload = report.scenario.payload_bytes;
        let (publishes, deliveries) = (stage.publishes_per_s, stage.deliveries_per_s);
        let predicted = self.client_bytes(publishes, deliveries, payload);
        (deliveries > 0.0).then_some((bytes / stage.seconds * BIT, predicted * BIT))
    }
}

impl RedisModel {
    /// Bytes to Redis for each publish.
    pub(super) fn in_bytes(&self, payload: f64) -> f64 {
        payload + self.in_overhead_bytes
    }

    /// Bytes from Redis for each publish: all nodes read all that is published.
    pub(super) fn out_bytes(&self, payload: f64, nodes: f64) -> f64 {
        let [own, read] = self.out_overhead_bytes;
        own + (payload + read) * nodes
    }
}

fn stages(runs: &[Run]) -> impl Iterator<Item = (&Report, &StageReport)> {
    runs.iter().flat_map(|run| {
        run.report
            .stages
            .iter()
            .map(move |stage| (&run.report, stage))
    })
}

fn cpu_row(report: &Report, stage: &StageReport) -> [f64; 4] {
    let rate = stage.publishes_per_s;
    let others = f64::from(report.server.nodes - 1);
    [
        stage.online + f64::from(report.opening.publishers),
        rate,
        stage.deliveries_per_s,
        rate * others,
    ]
}

fn memory_row(report: &Report) -> [f64; 3] {
    let events: u64 = report.seconds.iter().map(|second| second.publishes).sum();
    [
        report.connections(),
        channels_on_nodes(report),
        events as f64,
    ]
}

/// A channel lives on each node that has one of its members.
fn channels_on_nodes(report: &Report) -> f64 {
    let channels = f64::from(report.opening.channels);
    let members = report.opening.ready as f64 / channels.max(1.0);
    channels * f64::from(report.server.nodes).min(members.max(1.0))
}

fn delivery_overhead((report, stage): (&Report, &StageReport)) -> Option<f64> {
    let deliveries = stage.server_deliveries.filter(|count| *count > 0.0)?;
    Some(beside_payload(
        report,
        stage.server_delivery_bytes? / deliveries,
    ))
}

fn publish_overhead((report, stage): (&Report, &StageReport)) -> Option<f64> {
    let published = stage.publishes_per_s * stage.seconds;
    Some(stage.server_received_bytes? / published)
        .filter(|bytes| published > 0.0 && bytes.is_finite())
        .map(|bytes| beside_payload(report, bytes))
}

/// What is left of so many bytes for each event when its payload is taken away.
fn beside_payload(report: &Report, bytes: f64) -> f64 {
    (bytes - report.scenario.payload_bytes).max(0.0)
}

fn redis(runs: &[Run]) -> Option<RedisModel> {
    let seen: Vec<_> = stages(runs)
        .filter_map(|(report, stage)| Some((report, stage, stage.redis?)))
        .filter(|(_, stage, _)| stage.publishes_per_s > 0.0)
        .collect();
    let row = |(report, stage, _): &(&Report, &StageReport, _)| {
        [
            stage.publishes_per_s,
            stage.publishes_per_s * f64::from(report.server.nodes),
        ]
    };
    let rows: Vec<_> = seen.iter().map(row).collect();
    let cores: Vec<_> = seen.iter().map(|(_, _, redis)| redis.cpu_cores).collect();
    let out_overheads = seen
        .iter()
        .zip(&rows)
        .map(|((report, _, redis), [_, read])| {
            (redis.out_bytes_per_s - read * report.scenario.payload_bytes).max(0.0)
        });
    Some(RedisModel {
        cpu: fit(&rows, &cores)?,
        in_overhead_bytes: mean(seen.iter().map(|(report, stage, redis)| {
            beside_payload(report, redis.in_bytes_per_s / stage.publishes_per_s)
        }))?,
        out_overhead_bytes: fit(&rows, &out_overheads.collect::<Vec<_>>())?,
        event_overhead_bytes: mean(seen.iter().map(|(report, stage, redis)| {
            let events = stage.publishes_per_s * stage.seconds;
            beside_payload(report, redis.memory_growth_bytes / events)
        }))?,
    })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

const MIB: f64 = 1_048_576.0;
/// Mbit of a byte.
const BIT: f64 = 8.0 / 1e6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RedisReport;

    /// Ten seconds with 100 publishes/s and 1,000 deliveries/s, of which each costs as many bytes as it should.
    fn run(nodes: u32, payload: f64) -> Run {
        let mut report = Report::default();
        report.scenario.payload_bytes = payload;
        report.server.nodes = nodes;
        let nodes = f64::from(nodes);
        report.stages.push(StageReport {
            seconds: 10.0,
            publishes_per_s: 100.0,
            deliveries_per_s: 1_000.0,
            server_cpu_cores: Some(0.1),
            server_deliveries: Some(10_000.0),
            server_delivery_bytes: Some(10_000.0 * (payload + 72.0)),
            server_received_bytes: Some(1_000.0 * (payload + 172.0)),
            redis: Some(RedisReport {
                cpu_cores: 0.05,
                memory_growth_bytes: 1_000.0 * (payload + 272.0),
                in_bytes_per_s: 100.0 * (payload + 872.0),
                out_bytes_per_s: 100.0 * (100.0 + nodes * (payload + 372.0)),
                ..RedisReport::default()
            }),
            ..StageReport::default()
        });
        Run {
            name: String::new(),
            report,
        }
    }

    fn near(found: f64, by_hand: f64) {
        assert!(
            (found - by_hand).abs() < by_hand * 1e-6,
            "{found}, by hand {by_hand}"
        );
    }

    #[test]
    fn bytes_are_learned_beside_the_payload_whatever_it_was() {
        let model = Model::learn(&[run(1, 4_096.0), run(2, 128.0), run(3, 1_024.0)]).unwrap();
        near(model.delivery_overhead_bytes.unwrap(), 72.0);
        near(model.publish_overhead_bytes.unwrap(), 172.0);
        let redis = model.redis.unwrap();
        near(redis.in_overhead_bytes, 872.0);
        near(redis.event_overhead_bytes, 272.0);
        near(redis.out_overhead_bytes[0], 100.0);
        near(redis.out_overhead_bytes[1], 372.0);
    }

    #[test]
    fn a_payload_goes_to_every_node_also_where_all_runs_had_as_many() {
        let model = Model::learn(&[run(2, 128.0), run(2, 128.0)]).unwrap();
        let redis = model.redis.unwrap();
        near(redis.out_bytes(128.0, 2.0), 100.0 + 2.0 * (128.0 + 372.0));
        near(
            redis.out_bytes(4_096.0, 2.0),
            100.0 + 2.0 * (4_096.0 + 372.0),
        );
    }
}
