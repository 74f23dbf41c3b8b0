//! A backend that publishes over HTTP, one publish after the other, each repeated at another node until its outcome is known
//! or its id may be forgotten.

use std::net::SocketAddr;
use std::time::Duration;

use parlor_protocol::{Position, WireError};
use parlor_tests::{API_KEY, Backend};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::writer::outcome_of;
use super::{Part, Phase, REPEATED_FOR_MAX};
use crate::recorder::{Fact, Name, Outcome, Recorder};

/// How long one answer is waited for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(100);
const PADDING_MAX: usize = 400;

/// One publish over HTTP, until its outcome is known.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    pub(crate) recorder: &'a Recorder,
    pub(crate) by: &'a str,
    /// Asked one after the other.
    pub(crate) nodes: &'a [SocketAddr],
    pub(crate) channel: &'a Name,
    pub(crate) id: &'a Name,
    /// Bytes that make the payload larger.
    pub(crate) padding: usize,
}

impl Post<'_> {
    /// True once it is acknowledged, false when it is not in time.
    pub(crate) async fn within(&self, time_max: Duration) -> bool {
        let end = Instant::now() + time_max;
        self.until(|| Instant::now() > end).await
    }

    async fn until(&self, is_over: impl Fn() -> bool) -> bool {
        let said = format!("{} {}", self.id, "x".repeat(self.padding));
        let body = json!({ "channel": &**self.channel, "id": &**self.id, "data": said });
        let begun = Instant::now();
        for node in self.nodes.iter().cycle() {
            self.note(None);
            let (outcome, is_final) = ask(*node, &body).await;
            let is_acked = matches!(outcome, Outcome::Acked(_));
            self.note(Some(outcome));
            if is_final || is_over() || begun.elapsed() > REPEATED_FOR_MAX {
                return is_acked;
            }
            tokio::time::sleep(RETRY).await;
        }
        false
    }

    fn note(&self, outcome: Option<Outcome>) {
        let (by, channel, id) = (self.by.into(), self.channel.clone(), self.id.clone());
        self.recorder.note(match outcome {
            None => Fact::Asked { by, channel, id },
            Some(outcome) => Fact::Answered {
                by,
                channel,
                id,
                outcome,
            },
        });
    }
}

/// Until the run is over, or the last publish is answered and no more is wanted.
pub(super) async fn live(mut part: Part, mut rng: StdRng) {
    let mut said = 0_u64;
    while part.orders.borrow().phase == Phase::Working {
        said += 1;
        part.nodes.shuffle(&mut rng);
        let post = Post {
            recorder: &part.recorder,
            by: &part.name,
            nodes: &part.nodes,
            channel: part.channels.choose(&mut rng).expect("channels"),
            id: &format!("{}-{said}", part.name).into(),
            padding: rng.random_range(0..PADDING_MAX),
        };
        post.until(|| part.orders.borrow().phase == Phase::Over)
            .await;
        tokio::time::sleep(part.scale.pause).await;
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
        Some(error) => (outcome_of(&error), !error.is_retryable()),
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
