//! Two looks at the network as what happened between them.

use crate::network::{Interface, Network};
use crate::report::NetworkReport;
use crate::watch::Boundary;

/// `None` where the machine does not tell. `bound_mbit_s` wins over what the interface says.
pub(super) fn report(
    begin: &Boundary,
    end: &Boundary,
    bound_mbit_s: Option<f64>,
) -> Option<NetworkReport> {
    let (from, to) = begin
        .sample
        .network
        .as_ref()
        .zip(end.sample.network.as_ref())?;
    let seconds = (end.sample.at - begin.sample.at).as_secs_f64().max(1e-3);
    let report = between(from, to, seconds);
    let queues = end.send_queues;
    Some(NetworkReport {
        bound_mbit_s: bound_mbit_s.or(report.bound_mbit_s),
        server_sockets: queues.sockets,
        server_sockets_full: queues.full,
        server_unsent_bytes: queues.bytes,
        ..report
    })
}

fn between(from: &Network, to: &Network, seconds: f64) -> NetworkReport {
    let grown = |before: u64, after: u64| after.saturating_sub(before);
    let carried = |now: &Interface| {
        let before = from.interfaces.iter().find(|one| one.name == now.name);
        let before = before.cloned().unwrap_or_default();
        (
            grown(before.in_bytes, now.in_bytes),
            grown(before.out_bytes, now.out_bytes),
        )
    };
    let busiest = to.interfaces.iter().max_by_key(|now| {
        let (inward, outward) = carried(now);
        inward + outward
    });
    let (inward, outward) = busiest.map(carried).unwrap_or_default();
    let mbit_s = |bytes: u64| bytes as f64 * 8.0 / 1e6 / seconds;
    let segments = grown(from.segments_sent, to.segments_sent);
    let again = grown(from.segments_sent_again, to.segments_sent_again);
    NetworkReport {
        interface: busiest.map(|one| one.name.clone()).unwrap_or_default(),
        in_mbit_s: mbit_s(inward),
        out_mbit_s: mbit_s(outward),
        bound_mbit_s: busiest.and_then(|one| Some(one.mbit_per_s? as f64)),
        segments_per_s: segments as f64 / seconds,
        // What is sent again is not counted as sent.
        sent_again_percent: again as f64 * 100.0 / (segments + again).max(1) as f64,
        connections_dropped: grown(from.connections_dropped, to.connections_dropped),
        memory_pressures: grown(from.memory_pressures, to.memory_pressures),
        ..NetworkReport::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(bytes: [u64; 2], segments: u64, again: u64) -> Network {
        let interface = |name: &str, bytes, mbit_per_s| Interface {
            name: name.to_owned(),
            in_bytes: bytes / 10,
            out_bytes: bytes,
            mbit_per_s,
        };
        Network {
            interfaces: vec![
                interface("lo", bytes[0], None),
                interface("eth0", bytes[1], Some(1_000)),
            ],
            segments_sent: segments,
            segments_sent_again: again,
            ..Network::default()
        }
    }

    #[test]
    fn the_busiest_interface_is_told_with_its_bound() {
        let (from, to) = (
            network([0, 0], 0, 0),
            network([1_000, 2_500_000_000], 980, 20),
        );
        let report = between(&from, &to, 20.0);
        assert_eq!(
            (report.interface.as_str(), report.bound_mbit_s),
            ("eth0", Some(1_000.0))
        );
        assert!((report.out_mbit_s - 1_000.0).abs() < 1e-6, "{report:?}");
        assert!((report.sent_again_percent - 2.0).abs() < 1e-9, "{report:?}");
    }
}
