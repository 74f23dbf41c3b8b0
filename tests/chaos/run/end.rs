//! The end of a run: everything heals, everybody comes to rest, and each node is asked what it holds.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use parlor_protocol::Epoch;
use parlor_tests::{Backend, Seed};
use serde_json::Value;

use super::Scene;
use crate::recorder::{Fact, Name};
use crate::stage::Node;
use crate::workload::{Phase, publish_until_acked};

/// After the heal every publish knows its outcome within this time. It holds a client's longest pause before it comes back.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// The last event of each channel is everywhere within this time. Half-open sockets are noticed in it.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// Rosters are true within this time: a node's lease, and a session's grace.
const ROSTERS_WITHIN: Duration = Duration::from_secs(8);
const PAGE: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(20);

/// Mends whatever a script left broken, and sees that every node works again.
pub(super) fn heal(scene: &Scene, back_within: Duration) {
    for node in &scene.stage.nodes {
        node.front.heal();
        if let Some(back) = &node.back {
            back.heal();
        }
        if !node.is_running() {
            node.restart();
        }
    }
    scene.note(Fact::Healed {
        what: "everything".into(),
    });
    let channel = &scene.workload.channels[0];
    for (number, node) in scene.stage.nodes.iter().enumerate() {
        let id = format!("back-{}", node.name).into();
        let rng = Seed(number as u64).rng(5_000);
        let address = [node.front.address()];
        let publishing =
            publish_until_acked(&scene.recorder, &address, channel, &id, rng, back_within);
        if !scene.workload.block_on(publishing) {
            overdue(
                scene,
                format!(
                    "{} took no publish within {back_within:?} after everything healed",
                    node.name
                ),
            );
        }
    }
}

/// Publishers finish, and the last event of every channel reaches everybody.
pub(super) fn quiesce(scene: &Scene, seed: Seed) {
    scene.workload.order(Phase::Finishing);
    for name in scene.workload.wait_for_publishers(ANSWERED_WITHIN) {
        overdue(
            scene,
            format!("{name} has publishes without an outcome after {ANSWERED_WITHIN:?}"),
        );
    }
    let addresses = scene.stage.addresses();
    let mut sentinels = Vec::new();
    for (number, channel) in (0..).zip(&scene.workload.channels) {
        let id: Name = format!("last-of-{channel}").into();
        let rng = seed.rng(6_000 + number);
        let publishing = publish_until_acked(
            &scene.recorder,
            &addresses,
            channel,
            &id,
            rng,
            ANSWERED_WITHIN,
        );
        if scene.workload.block_on(publishing) {
            let (channel, id) = (channel.clone(), id);
            scene.note(Fact::Sentinel {
                channel: channel.clone(),
                id: id.clone(),
            });
            sentinels.push((channel, id));
        } else {
            overdue(
                scene,
                format!(
                    "the last event of {channel} was not acknowledged within {ANSWERED_WITHIN:?}"
                ),
            );
        }
    }
    wait_until_seen(scene, &sentinels);
}

/// Whoever has not seen them by then is found by the checker.
fn wait_until_seen(scene: &Scene, sentinels: &[(Name, Name)]) {
    let ids: HashSet<&Name> = sentinels.iter().map(|(_, id)| id).collect();
    let channels: HashSet<&Name> = sentinels.iter().map(|(channel, _)| channel).collect();
    let followed = scene
        .workload
        .follows()
        .filter(|(_, channel)| channels.contains(channel));
    let mut wanted: HashSet<(Name, Name)> = followed
        .map(|(by, channel)| (by.clone(), channel.clone()))
        .collect();
    let (end, mut read) = (Instant::now() + SEEN_WITHIN, 0);
    while !wanted.is_empty() && Instant::now() < end {
        scene.recorder.look(|records| {
            for record in &records[read..] {
                if let Fact::Received {
                    by, channel, id, ..
                } = &record.fact
                    && ids.contains(id)
                {
                    wanted.remove(&(by.clone(), channel.clone()));
                }
            }
            read = records.len();
        });
        std::thread::sleep(PAUSE);
    }
}

/// Asks every node for its histories and rosters.
pub(super) fn compare(scene: &Scene) {
    scene.workload.order(Phase::Parting);
    for channel in &scene.workload.channels {
        let users = scene.workload.stay_in(channel);
        scene.note(Fact::Present {
            channel: channel.clone(),
            users,
        });
    }
    let nodes = &scene.stage.nodes;
    let end = Instant::now() + ROSTERS_WITHIN;
    for channel in &scene.workload.channels {
        for node in nodes {
            let users = scene
                .workload
                .block_on(settled_roster(scene, node, channel, end));
            let (node, channel) = (node.name.as_str().into(), channel.clone());
            scene.note(Fact::Roster {
                node,
                channel,
                users,
            });
        }
    }
    for channel in &scene.workload.channels {
        for node in nodes {
            let history = scene.workload.block_on(history(node, channel));
            scene.note(history.unwrap_or_else(|| Fact::Overdue {
                what: format!("{} does not give the history of {channel}", node.name),
            }));
        }
    }
    scene.workload.order(Phase::Over);
}

/// Asks until it is true or its time is over.
async fn settled_roster(
    scene: &Scene,
    node: &Node,
    channel: &Name,
    end: Instant,
) -> BTreeSet<Name> {
    let truth = scene.workload.stay_in(channel);
    loop {
        let users = roster(&node.backend(), channel).await;
        let is_late = Instant::now() > end;
        match users {
            Some(users) if users == truth || is_late => return users,
            None if is_late => return BTreeSet::new(),
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn roster(backend: &Backend, channel: &Name) -> Option<BTreeSet<Name>> {
    let mut users = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/presence?channel={channel}{cursor}");
        let (status, page) = backend.try_get(&path).await?;
        let members = page["members"].as_array().filter(|_| status == 200)?;
        users.extend(
            members
                .iter()
                .filter_map(|member| member["user"].as_str().map(Name::from)),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Some(users),
        }
    }
}

async fn history(node: &Node, channel: &Name) -> Option<Fact> {
    let backend = node.backend();
    let mut entries: Vec<(u64, Name)> = Vec::new();
    loop {
        let after = entries.last().map_or(0, |(offset, _)| *offset);
        let path =
            format!("/v1/history?channel={channel}&direction=forward&offset={after}&limit={PAGE}");
        let (status, page) = backend.try_get(&path).await?;
        let events = page["events"].as_array().filter(|_| status == 200)?;
        entries.extend(events.iter().filter_map(entry));
        if page["more"].as_bool() != Some(true) || events.is_empty() {
            let epoch: Epoch = page["epoch"].as_str()?.parse().ok()?;
            return Some(Fact::History {
                node: node.name.as_str().into(),
                channel: channel.clone(),
                epoch: epoch.0,
                entries,
            });
        }
    }
}

/// An id that contradicts the data is no id that anybody published.
fn entry(event: &Value) -> Option<(u64, Name)> {
    let offset = event["offset"].as_u64()?;
    let id = event["id"].as_str().unwrap_or("(none)");
    let said = event["data"].as_str().unwrap_or_default();
    let words = said.split(' ').next().unwrap_or_default();
    let name = if words == id {
        id.into()
    } else {
        format!("{id} with the body of {words}").into()
    };
    Some((offset, name))
}

fn overdue(scene: &Scene, what: String) {
    scene.note(Fact::Overdue { what });
}
