//! The end of a run: everything heals, everybody comes to rest, and each node is asked what it holds.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parlor_protocol::Epoch;
use parlor_tests::Backend;
use serde_json::{Value, json};

use super::Scene;
use crate::recorder::{Fact, Name, Outcome};
use crate::stage::Node;
use crate::workload::{Phase, Post};

/// After the heal every publish knows its outcome within this time. It holds a client's longest pause before it comes back.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// The last event of each channel is everywhere within this time. Half-open sockets are noticed in it.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// Rosters are true within this time: a node's lease, and a session's grace.
const ROSTERS_WITHIN: Duration = Duration::from_secs(8);
/// Who keeps a roster has the same within this time: a diff waits for its tick, and a snapshot is asked for again after 0.5 s.
const HELD_WITHIN: Duration = Duration::from_secs(4);
const PAGE: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(20);

/// Mends whatever a script left broken, and sees that every node works again. False when one does not: there is no rest to wait for.
pub(super) fn heal(scene: &Scene, back_within: Duration) -> bool {
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
    let mut is_back = true;
    for node in &scene.stage.nodes {
        let id = format!("back-{}", node.name).into();
        if !post(scene, &[node.front.address()], channel, &id, back_within) {
            let name = &node.name;
            let what =
                format!("{name} took no publish within {back_within:?} after everything healed");
            overdue(scene, what);
            is_back = false;
        }
    }
    is_back
}

/// Publishers finish, and the last event of every channel reaches everybody.
pub(super) fn quiesce(scene: &Scene) {
    scene.workload.order(Phase::Finishing);
    for name in scene.workload.wait_for_publishers(ANSWERED_WITHIN) {
        overdue(
            scene,
            format!("{name} has publishes without an outcome after {ANSWERED_WITHIN:?}"),
        );
    }
    let addresses = scene.stage.addresses();
    let mut sentinels = Vec::new();
    let end = Instant::now() + ANSWERED_WITHIN;
    for channel in &scene.workload.channels {
        let id: Name = format!("last-of-{channel}").into();
        if post(
            scene,
            &addresses,
            channel,
            &id,
            end.saturating_duration_since(Instant::now()),
        ) {
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
    let wanted = followed
        .map(|(by, channel)| (by.clone(), channel.clone()))
        .collect();
    let mut places = HashMap::new();
    wait_until_none(scene, SEEN_WITHIN, wanted, |fact, wanted| match fact {
        Fact::Received {
            by, channel, id, ..
        } if ids.contains(id) => {
            wanted.remove(&(by.clone(), channel.clone()));
        }
        Fact::Answered {
            channel,
            id,
            outcome: Outcome::Acked(place),
            ..
        } if ids.contains(id) => {
            places.insert(channel.clone(), *place);
        }
        // After a break one may begin behind it.
        Fact::Subscribed {
            by, channel, top, ..
        } if places.get(channel) == Some(top) => {
            wanted.remove(&(by.clone(), channel.clone()));
        }
        _ => {}
    });
}

/// Hands every record to `settle`, the newest as they come, until nobody is waited for any more or the time is over.
fn wait_until_none(
    scene: &Scene,
    within: Duration,
    mut wanted: HashSet<(Name, Name)>,
    mut settle: impl FnMut(&Fact, &mut HashSet<(Name, Name)>),
) {
    let (end, mut read) = (Instant::now() + within, 0);
    while !wanted.is_empty() && Instant::now() < end {
        scene.recorder.look(|records| {
            for record in &records[read..] {
                settle(&record.fact, &mut wanted);
            }
            read = records.len();
        });
        std::thread::sleep(PAUSE);
    }
}

/// Asks every node for its histories and rosters.
pub(super) fn compare(scene: &Scene, rosters: bool) {
    scene.workload.order(Phase::Parting);
    for channel in &scene.workload.channels {
        for node in &scene.stage.nodes {
            let history = scene.workload.block_on(history(node, channel));
            scene.note(history.unwrap_or_else(|| Fact::Overdue {
                what: format!("{} does not give the history of {channel}", node.name),
            }));
        }
    }
    if rosters {
        rosters_become(scene, ROSTERS_WITHIN, |channel| {
            scene.workload.stay_in(channel)
        });
        // The last of all: whoever subscribes anew has no roster until its snapshot has come.
        wait_until_held(scene);
    }
    scene.workload.order(Phase::Over);
}

/// Waits until every node lists who is there in truth, or the time is over; the checker compares what is noted then.
pub(crate) fn rosters_become(
    scene: &Scene,
    within: Duration,
    truth: impl Fn(&Name) -> BTreeSet<Name>,
) {
    let end = Instant::now() + within;
    for channel in &scene.workload.channels {
        let present = truth(channel);
        for node in &scene.stage.nodes {
            let settling = settled_roster(node, channel, &present, end);
            let users = scene.workload.block_on(settling);
            let (users, channel) = (users.unwrap_or_default(), channel.clone());
            scene.note(Fact::Present {
                channel: channel.clone(),
                users: present.clone(),
            });
            scene.note(Fact::Roster {
                node: node.name.as_str().into(),
                channel,
                users,
            });
        }
    }
}

/// Waits until everybody who keeps a roster has the true one, or the time is over; the checker compares what was noted by then.
fn wait_until_held(scene: &Scene) {
    let channels = scene.workload.channels.iter();
    let truth: HashMap<&Name, BTreeSet<Name>> = channels
        .map(|channel| (channel, scene.workload.stay_in(channel)))
        .collect();
    let holders = scene.workload.holders();
    let wanted = holders
        .map(|(by, channel)| (by.clone(), channel.clone()))
        .collect();
    wait_until_none(scene, HELD_WITHIN, wanted, |fact, wanted| {
        let Fact::Holds { by, channel, known } = fact else {
            return;
        };
        let whose = (by.clone(), channel.clone());
        if truth.get(channel).is_some_and(|users| known.is_of(users)) {
            wanted.remove(&whose);
        } else {
            wanted.insert(whose);
        }
    });
}

/// Asks until it is true or its time is over.
async fn settled_roster(
    node: &Node,
    channel: &Name,
    truth: &BTreeSet<Name>,
    end: Instant,
) -> Option<BTreeSet<Name>> {
    loop {
        let users = roster(&node.backend(), channel).await;
        if users.as_ref() == Some(truth) || Instant::now() > end {
            return users;
        }
        tokio::time::sleep(PAUSE).await;
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
    let mut contents = Vec::new();
    loop {
        let after = entries.last().map_or(0, |(offset, _)| *offset);
        let path =
            format!("/v1/history?channel={channel}&direction=forward&offset={after}&limit={PAGE}");
        let (status, page) = backend.try_get(&path).await?;
        let events = page["events"].as_array().filter(|_| status == 200)?;
        for event in events {
            if let Some(entry) = entry(event) {
                entries.push(entry);
                contents.push(content(event));
            }
        }
        if page["more"].as_bool() != Some(true) || events.is_empty() {
            let epoch: Epoch = page["epoch"].as_str()?.parse().ok()?;
            return Some(Fact::History {
                node: node.name.as_str().into(),
                channel: channel.clone(),
                epoch: epoch.0,
                entries,
                contents,
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

/// A hash of the whole event. None of its fields is a node's own: all of them stand in the log, and the one that depends on who
/// reads (`own`) is in pushes only.
fn content(event: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.to_string().hash(&mut hasher);
    hasher.finish()
}

fn post(scene: &Scene, nodes: &[SocketAddr], channel: &Name, id: &Name, within: Duration) -> bool {
    let post = Post {
        recorder: &scene.recorder,
        by: "runner",
        nodes,
        channel,
        id,
        padding: 0,
    };
    scene.workload.block_on(post.within(within))
}

fn overdue(scene: &Scene, what: String) {
    scene.note(Fact::Overdue { what });
}

#[test]
fn every_field_of_an_event_counts_when_histories_are_compared() {
    let event = json!({
        "kind": "message", "offset": 2, "seq": 2, "position": "AAAAAAAAAAE.2.AAAAAAAAAAI",
        "time": "17", "id": "a", "user": "ann", "tags": { "x": "1" }, "data": "a xxx",
    });
    for field in event.as_object().expect("an object").keys() {
        let mut other = event.clone();
        other[field] = json!("another");
        assert_ne!(content(&event), content(&other), "{field}");
    }
}
