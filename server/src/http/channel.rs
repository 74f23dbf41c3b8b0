//! What is known of a channel.

#![allow(
    unused_qualifications,
    reason = "utoipa writes out the path of a parameter type"
)]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::body::Params;
use super::problem::{Problem, ProblemBody};
use crate::commands::{self, Caller};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ChannelParams {
    channel: String,
}

/// A channel's kind and the state of its log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelBody {
    channel: String,
    /// The name of the configured kind.
    kind: String,
    /// `memory`, `disk` or `replicated`.
    durability: String,
    /// The newest event's number; 0: there was none.
    offset: u64,
    /// The oldest retained event's number.
    oldest: u64,
    /// The log's top: what a client resumes from.
    position: String,
    epoch: String,
    /// Whether anybody is subscribed on this node.
    subscribed: bool,
}

/// Read what is known of a channel.
#[utoipa::path(
    get, path = "/v1/channel", params(ChannelParams),
    responses((status = 200, body = ChannelBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn channel(
    State(api): State<Api>,
    caller: Caller,
    Params(ChannelParams { channel }): Params<ChannelParams>,
) -> Result<Json<ChannelBody>, Problem> {
    let info = commands::info::info(&api.node, &caller, &channel).await?;
    Ok(Json(ChannelBody {
        channel,
        kind: info.kind.name.clone(),
        durability: info.kind.durability.as_str().to_owned(),
        offset: info.top.offset,
        oldest: info.oldest,
        position: info.top.to_string(),
        epoch: info.top.epoch.to_string(),
        subscribed: info.subscribed,
    }))
}
