//! Ending tokens before their time.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::body::Body;
use super::problem::{Problem, ProblemBody};
use crate::auth::Revocation;
use crate::commands::revoke::Wish;
use crate::commands::{self, Caller};

/// Which tokens: all of a `user`, one by its `token_id`, or everybody's that were `issued_before` a second. Times are in
/// seconds since 1970.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeBody {
    /// All tokens of this user that were issued so far, or `issued_before` if that is given.
    user: Option<String>,
    /// The token with this `jti`.
    token_id: Option<String>,
    /// Tokens whose `iat` is earlier; those without one count as earlier.
    issued_before: Option<u64>,
    /// When the token ends that `token_id` names: so long it is remembered. By default 400 days.
    expires_at: Option<u64>,
}

/// What was revoked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevokedBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    /// Tokens that say in `iat` that they were issued from this second on are good. Those that this API issues are at once; while
    /// the second lies ahead, it issues none (`busy`).
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<u64>,
}

impl From<Revocation> for RevokedBody {
    fn from(revocation: Revocation) -> Self {
        let (user, token_id, issued_before) = match revocation {
            Revocation::User {
                user,
                issued_before,
            } => (Some(user.to_string()), None, Some(issued_before)),
            Revocation::Everyone { issued_before } => (None, None, Some(issued_before)),
            Revocation::Token { id, .. } => (None, Some(id.to_string()), None),
        };
        Self {
            user,
            token_id,
            issued_before,
        }
    }
}

/// Revoke tokens, on all nodes. They are refused from now on, and connections that were made with them are closed within a second. It cannot be taken back.
#[utoipa::path(
    post, path = "/v1/tokens/revoke", request_body = RevokeBody,
    responses((status = 200, body = RevokedBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<RevokeBody>,
) -> Result<Json<RevokedBody>, Problem> {
    let RevokeBody {
        user,
        token_id,
        issued_before,
        expires_at,
    } = body;
    let wish = Wish {
        user,
        token_id,
        issued_before,
        expires_at,
    };
    let revoked = commands::revoke::revoke(&api.node, &caller, wish).await?;
    Ok(Json(revoked.into()))
}
