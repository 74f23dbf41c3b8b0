//! A backend that publishes over HTTP, one publish after the other, each repeated at another node until its outcome is known.

use std::net::SocketAddr;
use std::time::Duration;

use parlor_protocol::{Position, WireError};
use parlor_tests::{API_KEY, Backend};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::writer::outcome_of;
use super::{Part, Phase};
use crate::recorder::{Fact, Name, Outcome, Recorder};

/// How long one answer is waited for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(100);

/// Until the run is over, or the last publish is answered and no more is wanted.
pub(super) async fn live(part: Part, mut rng: StdRng) {
    let mut said = 0_u64;
    while part.orders.borrow().phase == Phase::Working {
        said += 1;
        let channel = part.channels.choose(&mut rng).expect("channels");
        let id: Name = format!("{}-{said}", part.name).into();
        let is_over = || part.orders.borrow().phase == Phase::Over;
        publish(
            &part.recorder,
            &part.name,
            &part.nodes,
            channel,
            &id,
            &mut rng,
            is_over,
        )
        .await;
        tokio::time::sleep(part.scale.pause).await;
    }
}

/// Publishes until it is acknowledged, at whichever node. False when it is not in time.
pub(crate) async fn publish_until_acked(
    recorder: &Recorder,
    nodes: &[SocketAddr],
    channel: &Name,
    id: &Name,
    mut rng: StdRng,
    time_max: Duration,
) -> bool {
    let end = Instant::now() + time_max;
    let by = "runner".into();
    publish(recorder, &by, nodes, channel, id, &mut rng, || {
        Instant::now() > end
    })
    .await
}

/// True once it is acknowledged.
async fn publish(
    recorder: &Recorder,
    by: &Name,
    nodes: &[SocketAddr],
    channel: &Name,
    id: &Name,
    rng: &mut StdRng,
    gives_up: impl Fn() -> bool,
) -> bool {
    let body = json!({ "channel": &**channel, "id": &**id, "data": format!("{id} posted") });
    let mut node = rng.random_range(0..nodes.len());
    loop {
        let note = |fact| recorder.note(fact);
        let (by, channel, id) = (by.clone(), channel.clone(), id.clone());
        note(Fact::Asked {
            by: by.clone(),
            channel: channel.clone(),
            id: id.clone(),
        });
        let (outcome, is_final) = ask(nodes[node], &body).await;
        let is_acked = matches!(outcome, Outcome::Acked(_));
        note(Fact::Answered {
            by,
            channel,
            id,
            outcome,
        });
        if is_final || gives_up() {
            return is_acked;
        }
        tokio::time::sleep(RETRY).await;
        node = (node + 1) % nodes.len();
    }
}

/// The outcome, and whether asking again is of no use.
async fn ask(node: SocketAddr, body: &Value) -> (Outcome, bool) {
    let backend = Backend::new(node).with_key(API_KEY);
    let posted = tokio::time::timeout(
        ANSWER_TIME_MAX,
        backend.try_post("/v1/publish", body.clone()),
    );
    let (status, answer) = match posted.await {
        Ok(Some(answer)) => answer,
        Ok(None) => return (Outcome::Unknown("no answer".into()), false),
        Err(_) => return (Outcome::Unknown("no answer in time".into()), false),
    };
    if status == 200 {
        let position = answer["position"]
            .as_str()
            .and_then(|text| text.parse::<Position>().ok());
        return match position {
            Some(position) => (Outcome::Acked(position.into()), true),
            None => (Outcome::Unknown(format!("no position: {answer}")), true),
        };
    }
    match problem(&answer) {
        Some(error) => (outcome_of(&error), error.code >= 2_000),
        None => (
            Outcome::Unknown(format!("status {status}: {answer}")),
            status < 500,
        ),
    }
}

fn problem(answer: &Value) -> Option<WireError> {
    Some(WireError {
        code: answer["code"].as_u64()?.try_into().ok()?,
        name: answer["name"].as_str()?.to_owned(),
        text: answer["detail"].as_str().unwrap_or_default().to_owned(),
        retry_after_ms: answer["retry_after_ms"].as_u64(),
    })
}
