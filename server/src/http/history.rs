//! `history`: a page of a channel's log.

#![allow(
    unused_qualifications,
    reason = "utoipa writes out the path of a parameter type"
)]

use axum::Json;
use axum::extract::State;
use parlor_protocol::command::{Direction, History};
use parlor_protocol::{ErrorCode, Time};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::HistoryBody;
use super::body::Params;
use super::problem::{Problem, ProblemBody};
use crate::commands::{self, Caller};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryParams {
    channel: String,
    /// `backward` (default): newest first. `forward`: oldest first.
    #[param(inline)]
    direction: Option<Towards>,
    /// Exclusive: events before (backward) or after (forward) this offset.
    offset: Option<u64>,
    /// Exclusive: events before or after this time, in 100 ns ticks since 1970.
    time: Option<String>,
    /// How many events at most.
    limit: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Towards {
    Backward,
    Forward,
}

/// Read a page of a channel's log.
#[utoipa::path(
    get, path = "/v1/history", params(HistoryParams),
    responses((status = 200, body = HistoryBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn history(
    State(api): State<Api>,
    caller: Caller,
    Params(params): Params<HistoryParams>,
) -> Result<Json<HistoryBody>, Problem> {
    let time = params.time.map(|text| text.parse().map(Time)).transpose();
    let time =
        time.map_err(|_| ErrorCode::BadRequest.with("time: needs 100 ns ticks since 1970"))?;
    let direction = match params.direction {
        Some(Towards::Forward) => Direction::Forward,
        Some(Towards::Backward) | None => Direction::Backward,
    };
    let HistoryParams {
        channel,
        offset,
        limit,
        ..
    } = params;
    let command = History {
        channel,
        direction,
        offset,
        time,
        limit,
    };
    let page = commands::history::history(&api.node, &caller, command).await?;
    let parlor_protocol::reply::Page {
        events,
        more,
        epoch,
        position,
        offset,
    } = page;
    Ok(Json(HistoryBody {
        events,
        more,
        epoch,
        position,
        offset,
    }))
}
