//! `history/erase`: ends for good what some events said.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::PublishedBody;
use super::body::Body;
use super::caller::Asker;
use super::problem::{Problem, ProblemBody};
use crate::commands;
use crate::commands::erase::Wish;

/// Which events of a channel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EraseBody {
    channel: String,
    /// 1 to 100 offsets.
    offsets: Vec<u64>,
    /// The life of the log that they belong to, as `history` gives it: in another life the same offsets are other events, and nothing is erased.
    epoch: Option<String>,
}

/// Erase what events said, for good: data, user, tags and id are gone from the log, their places stay. An event of kind `erase` tells it to all subscribers; its place is the answer. Doing it again is harmless: so an error whose outcome is unknown becomes known.
#[utoipa::path(
    post, path = "/v1/history/erase", request_body = EraseBody,
    responses((status = 200, body = PublishedBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn erase(
    State(api): State<Api>,
    asker: Asker,
    Body(body): Body<EraseBody>,
) -> Result<Json<PublishedBody>, Problem> {
    asker.take_logged(&api, &body.channel)?;
    let EraseBody {
        channel,
        offsets,
        epoch,
    } = body;
    let wish = Wish {
        channel,
        offsets,
        epoch,
    };
    let told = commands::erase::erase(&api.node, &asker.caller, wish).await?;
    Ok(Json(told.into()))
}
