//! What a backend can do with a user's connections.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::body::{Body, Named};
use super::problem::{Problem, ProblemBody};
use crate::commands::{self, Caller};

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SubscriptionBody {
    channel: String,
}

/// How many connections were told on the node that was asked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConnectionsBody {
    /// Connections of the user on this node; 0: the user is not connected here. Those on other nodes are told too,
    /// within a second.
    connections: usize,
}

/// End all connections of a user, on all nodes. They do not come back by themselves.
#[utoipa::path(
    post, path = "/v1/users/{user}/disconnect", params(("user" = String, Path)),
    responses((status = 200, body = ConnectionsBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn disconnect(
    State(api): State<Api>,
    caller: Caller,
    Named(user): Named<String>,
) -> Result<Json<ConnectionsBody>, Problem> {
    let connections = commands::manage::disconnect(&api.node, &caller, &user).await?;
    Ok(Json(ConnectionsBody { connections }))
}

/// Subscribe all present connections of a user to a channel, on all nodes.
#[utoipa::path(
    post, path = "/v1/users/{user}/subscribe", params(("user" = String, Path)), request_body = SubscriptionBody,
    responses((status = 200, body = ConnectionsBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn subscribe(
    State(api): State<Api>,
    caller: Caller,
    Named(user): Named<String>,
    Body(body): Body<SubscriptionBody>,
) -> Result<Json<ConnectionsBody>, Problem> {
    let connections = commands::manage::subscribe(&api.node, &caller, &user, &body.channel).await?;
    Ok(Json(ConnectionsBody { connections }))
}

/// End the subscriptions of all connections of a user to a channel, on all nodes.
#[utoipa::path(
    post, path = "/v1/users/{user}/unsubscribe", params(("user" = String, Path)), request_body = SubscriptionBody,
    responses((status = 200, body = ConnectionsBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn unsubscribe(
    State(api): State<Api>,
    caller: Caller,
    Named(user): Named<String>,
    Body(body): Body<SubscriptionBody>,
) -> Result<Json<ConnectionsBody>, Problem> {
    let connections =
        commands::manage::unsubscribe(&api.node, &caller, &user, &body.channel).await?;
    Ok(Json(ConnectionsBody { connections }))
}
