//! `presence` and `occupancy`: who is in a channel, and how many.

#![allow(
    unused_qualifications,
    reason = "utoipa writes out the path of a parameter type"
)]

use axum::Json;
use axum::extract::State;
use parlor_protocol::command::Presence;
use parlor_protocol::reply::{Member, Members};
use parlor_protocol::{ErrorCode, Payload};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::body::Params;
use super::problem::{Problem, ProblemBody};
use crate::commands::{self, Caller};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PresenceParams {
    channel: String,
    /// Members at most.
    limit: Option<u32>,
    /// From the page before: its `next`.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OccupancyParams {
    channel: String,
}

/// A page of a channel's members.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MembersBody {
    #[schema(value_type = Vec<MemberSchema>)]
    members: Vec<Member>,
    /// Users in the channel.
    users: u64,
    /// Connections of these users.
    connections: u64,
    version: u64,
    /// Asks for the next page as `cursor`; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A user who is in a channel.
#[derive(ToSchema)]
#[schema(as = Member)]
#[expect(
    dead_code,
    reason = "only its schema is used: members are written by the protocol crate"
)]
pub(super) struct MemberSchema {
    user: String,
    /// From the user's token.
    #[schema(value_type = Option<Object>)]
    info: Option<Payload>,
    /// What the user set itself.
    #[schema(value_type = Option<Object>)]
    state: Option<Payload>,
    sessions: Vec<String>,
}

/// How many are in a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OccupancyBody {
    channel: String,
    users: u64,
    connections: u64,
}

/// Read who is in a channel.
#[utoipa::path(
    get, path = "/v1/presence", params(PresenceParams),
    responses((status = 200, body = MembersBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn presence(
    State(api): State<Api>,
    caller: Caller,
    Params(params): Params<PresenceParams>,
) -> Result<Json<MembersBody>, Problem> {
    const CURSOR_BYTES_MAX: usize = 512;
    let PresenceParams {
        channel,
        limit,
        cursor,
    } = params;
    if cursor
        .as_ref()
        .is_some_and(|cursor| cursor.len() > CURSOR_BYTES_MAX)
    {
        return Err(ErrorCode::TooLarge.with("cursor: not one of ours").into());
    }
    let found = commands::presence::presence(
        &api.node,
        &caller,
        Presence {
            channel,
            limit,
            cursor,
        },
    )
    .await?;
    let Members {
        members,
        users,
        connections,
        version,
        next,
    } = found;
    Ok(Json(MembersBody {
        members,
        users,
        connections,
        version,
        next,
    }))
}

/// Count who is in a channel.
#[utoipa::path(
    get, path = "/v1/occupancy", params(OccupancyParams),
    responses((status = 200, body = OccupancyBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn occupancy(
    State(api): State<Api>,
    caller: Caller,
    Params(OccupancyParams { channel }): Params<OccupancyParams>,
) -> Result<Json<OccupancyBody>, Problem> {
    let command = Presence {
        channel: channel.clone(),
        limit: Some(0),
        cursor: None,
    };
    let Members {
        users, connections, ..
    } = commands::presence::presence(&api.node, &caller, command).await?;
    Ok(Json(OccupancyBody {
        channel,
        users,
        connections,
    }))
}
