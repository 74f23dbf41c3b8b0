//! `publish` and its relatives: one, many, one to many channels, and what is never logged.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use futures_util::future::join_all;
use parlor_protocol::command::{Publish, Signal};
use parlor_protocol::reply::Published;
use parlor_protocol::{ErrorCode, Tags, WireError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Api;
use super::answer::{ItemResult, PublishedBody, Results, payload, present};
use super::body::Body;
use super::caller::Asker;
use super::problem::{Problem, ProblemBody};
use crate::commands;

/// Items of one list, and channels of one broadcast.
const ITEMS_MAX: usize = 1_000;

/// What became of one publish.
type Outcome = Result<Published, WireError>;

/// A message for a channel.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PublishBody {
    channel: String,
    /// Chosen by the sender, unique per channel: a retry with the same id is published once.
    id: Option<String>,
    /// Small labels beside the message.
    #[serde(default)]
    tags: Tags,
    /// Any JSON, or else `data_b64`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    data: Option<Box<RawValue>>,
    /// Binary data, in base64.
    data_b64: Option<String>,
}

/// Messages, published in this order.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PublishManyBody {
    messages: Vec<PublishBody>,
}

/// One message for many channels.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct BroadcastBody {
    channels: Vec<String>,
    /// Unique per channel: a retry with the same id is published once in each.
    id: Option<String>,
    #[serde(default)]
    tags: Tags,
    /// Any JSON, or else `data_b64`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    data: Option<Box<RawValue>>,
    /// Binary data, in base64.
    data_b64: Option<String>,
}

/// An event that is fanned out and never logged.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SignalBody {
    channel: String,
    /// Any JSON, or else `data_b64`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    data: Option<Box<RawValue>>,
    /// Binary data, in base64.
    data_b64: Option<String>,
}

/// When the signal was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignalledBody {
    /// In 100 ns ticks since 1970, as a decimal string.
    time: String,
}

/// Publish a message. It is answered when it is as safe as the channel's kind promises.
#[utoipa::path(
    post, path = "/v1/publish", request_body = PublishBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same as `id` in the body")),
    responses((status = 200, body = PublishedBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn publish(
    State(api): State<Api>,
    asker: Asker,
    headers: HeaderMap,
    Body(body): Body<PublishBody>,
) -> Result<Json<PublishedBody>, Problem> {
    let id = chosen_id(&headers, body.id)?;
    let payload = payload(body.data, body.data_b64)?;
    let published = run(
        &api,
        &asker,
        Publish {
            channel: body.channel,
            id,
            echo: true,
            tags: body.tags,
            payload,
        },
    )?;
    Ok(Json(published.await?.into()))
}

/// Publish many messages. Each succeeds or fails by itself; their order is kept.
#[utoipa::path(
    post, path = "/v1/publish_many", request_body = PublishManyBody,
    responses((status = 200, body = Results), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn publish_many(
    State(api): State<Api>,
    asker: Asker,
    Body(body): Body<PublishManyBody>,
) -> Result<Json<Results>, Problem> {
    check_count(body.messages.len())?;
    let mut queued = Vec::with_capacity(body.messages.len());
    for message in body.messages {
        let_others_go_on().await;
        let PublishBody {
            channel,
            id,
            tags,
            data,
            data_b64,
        } = message;
        let outcome = payload(data, data_b64).and_then(|payload| {
            let publish = Publish {
                channel: channel.clone(),
                id,
                echo: true,
                tags,
                payload,
            };
            run(&api, &asker, publish)
        });
        queued.push((channel, outcome));
    }
    Ok(Json(outcomes(queued).await))
}

/// Publish one message to many channels. Each succeeds or fails by itself; a message that is no good is refused as a whole.
#[utoipa::path(
    post, path = "/v1/broadcast", request_body = BroadcastBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same as `id` in the body")),
    responses((status = 200, body = Results), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn broadcast(
    State(api): State<Api>,
    asker: Asker,
    headers: HeaderMap,
    Body(body): Body<BroadcastBody>,
) -> Result<Json<Results>, Problem> {
    check_count(body.channels.len())?;
    let message = Publish {
        channel: String::new(),
        id: chosen_id(&headers, body.id)?,
        echo: true,
        tags: body.tags,
        payload: payload(body.data, body.data_b64)?,
    };
    // Once for all channels: to check a large payload takes longer than everything else that a channel costs.
    message.check()?;
    let mut queued = Vec::with_capacity(body.channels.len());
    for channel in body.channels {
        let_others_go_on().await;
        let publish = Publish {
            channel: channel.clone(),
            ..message.clone()
        };
        queued.push((channel, queue(&api, &asker, publish)));
    }
    Ok(Json(outcomes(queued).await))
}

/// Send an event that is never logged: typing, cursors.
#[utoipa::path(
    post, path = "/v1/signal", request_body = SignalBody,
    responses((status = 200, body = SignalledBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn signal(
    State(api): State<Api>,
    asker: Asker,
    Body(body): Body<SignalBody>,
) -> Result<Json<SignalledBody>, Problem> {
    let signal = Signal {
        channel: body.channel,
        payload: payload(body.data, body.data_b64)?,
    };
    signal.check()?;
    asker.take_publish(&api, &signal.channel)?;
    let signalled = commands::signal::signal(&api.node, &asker.caller, signal)?;
    Ok(Json(SignalledBody {
        time: signalled.time.0.to_string(),
    }))
}

/// Checks and queues one publish at once; the future waits for its outcome.
fn run(
    api: &Api,
    asker: &Asker,
    publish: Publish,
) -> Result<impl Future<Output = Outcome> + Send + use<>, WireError> {
    publish.check()?;
    queue(api, asker, publish)
}

/// The same for one that was checked: what is left to look at is the channel, its rate and the right to it.
fn queue(
    api: &Api,
    asker: &Asker,
    publish: Publish,
) -> Result<impl Future<Output = Outcome> + Send + use<>, WireError> {
    asker.take_logged(api, &publish.channel)?;
    commands::publish::publish(&api.node, &asker.caller, publish)
}

/// Between the items of a list, which may be long: the shard has other connections to serve.
async fn let_others_go_on() {
    tokio::task::coop::consume_budget().await;
}

/// Waits for all that was queued, and answers in the order of the list.
async fn outcomes<F>(queued: Vec<(String, Result<F, WireError>)>) -> Results
where
    F: Future<Output = Outcome>,
{
    let results = queued.into_iter().map(|(channel, queued)| async move {
        let outcome = match queued {
            Ok(outcome) => outcome.await,
            Err(error) => Err(error),
        };
        ItemResult::new(channel, outcome)
    });
    Results {
        results: join_all(results).await,
    }
}

fn check_count(items: usize) -> Result<(), WireError> {
    match items {
        0 => Err(ErrorCode::BadRequest.with("the list is empty")),
        1..=ITEMS_MAX => Ok(()),
        _ => Err(ErrorCode::TooMany.with(format!("the list has more than {ITEMS_MAX} items"))),
    }
}

/// The id from the body or from the header `Idempotency-Key`; both must agree.
fn chosen_id(headers: &HeaderMap, id: Option<String>) -> Result<Option<String>, WireError> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(id);
    };
    let key = key
        .to_str()
        .map_err(|_| ErrorCode::BadRequest.with("Idempotency-Key: not plain text"))?;
    // The header is a structured string: quotes around it are its form, not its content.
    let key = key
        .strip_prefix('"')
        .and_then(|key| key.strip_suffix('"'))
        .unwrap_or(key);
    match id {
        Some(id) if id != key => Err(ErrorCode::BadRequest.with("Idempotency-Key and id differ")),
        _ => Ok(Some(key.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_and_the_body_name_the_same_id() {
        let mut headers = HeaderMap::new();
        assert_eq!(chosen_id(&headers, Some("a".into())), Ok(Some("a".into())));
        headers.insert("idempotency-key", "\"a\"".parse().expect("a value"));
        assert_eq!(chosen_id(&headers, None), Ok(Some("a".into())));
        assert_eq!(chosen_id(&headers, Some("a".into())), Ok(Some("a".into())));
        assert!(chosen_id(&headers, Some("b".into())).is_err());
    }
}
