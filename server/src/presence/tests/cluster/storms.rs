//! Large channels.

use std::time::Duration;

use super::super::super::PresenceConfig;
use super::super::world::{GRACE, TICK, channel};
use super::net::Net;

#[test]
fn a_hundred_thousand_in_one_channel_are_told_in_few_words() {
    let mut net = Net::with(
        2,
        PresenceConfig {
            grace: GRACE,
            tick: TICK,
            ..PresenceConfig::default()
        },
    );
    net.registry.rows_max = 1_000;
    net.watch(1, "stadium");
    const CROWD: u64 = 100_000;
    for number in 0..CROWD {
        let name = format!("u{number}");
        net.join(0, "stadium", &name, &name, number);
        // Ten thousand a second.
        if number % 100 == 99 {
            net.pass(Duration::from_millis(10));
        }
    }
    net.pass(Duration::from_secs(3));
    let counts = net.nodes[1].presence.counts(&channel("stadium"));
    assert_eq!(counts, (CROWD, CROWD));
    let diffs = std::mem::take(&mut net.nodes[1].diffs);
    assert!(diffs.len() < 40, "{} diffs", diffs.len());
    let named = diffs.iter().filter(|(_, diff)| !diff.joined.is_empty());
    assert!(named.count() <= 2, "large channels are told in counts");
    let page = net.nodes[1]
        .presence
        .snapshot(&channel("stadium"), 100, None)
        .expect("a page");
    assert_eq!((page.members.len(), page.users), (100, CROWD));

    net.kill(0);
    net.pass(Duration::from_secs(6));
    let counts = net.nodes[1].presence.counts(&channel("stadium"));
    assert_eq!(counts, (0, 0));
    assert!(net.nodes[1].diffs.len() < 10);
}
