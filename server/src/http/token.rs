//! Tokens for backends that have no JWT library.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use parlor_protocol::{ChannelName, ErrorCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Api;
use super::answer::json;
use super::body::Body;
use super::problem::{Problem, ProblemBody};
use crate::auth::{Capability, IssueError, NewToken, OneOrMany};
use crate::commands::{self, Caller};
use crate::kind::Verb;

/// How long a token is good when the request does not say.
const EXPIRES_IN_DEFAULT_S: u64 = 3_600;

/// What the token is to say.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TokenBody {
    /// The user; absent: an anonymous reader.
    user: Option<String>,
    /// A JSON object that others see in presence.
    #[schema(value_type = Option<Object>)]
    info: Option<Box<RawValue>>,
    /// What the user may do, and where.
    #[serde(default)]
    caps: Vec<CapabilityBody>,
    /// Makes it a subscription token, for this channel alone.
    channel: Option<String>,
    /// What a subscription token allows; by default to subscribe and to read.
    allow: Option<Vec<String>>,
    /// How long it is good, in seconds; by default an hour.
    expires_in_s: Option<u64>,
}

/// Verbs on channels.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CapabilityBody {
    /// Patterns with `*`; `{user}` stands for the user.
    channels: Vec<String>,
    /// `subscribe`, `publish`, `signal`, `history`, `presence`, `erase`, `manage`.
    allow: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssuedBody {
    token: String,
    expires_in_s: u64,
}

/// Issue a token for a user.
#[utoipa::path(
    post, path = "/v1/tokens", request_body = TokenBody,
    responses((status = 200, body = IssuedBody), (status = "default", body = ProblemBody, content_type = "application/problem+json")),
)]
pub(super) async fn issue(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<TokenBody>,
) -> Result<Json<IssuedBody>, Problem> {
    commands::manage::permitted_everywhere(&caller)?;
    let expires_in_s = body.expires_in_s.unwrap_or(EXPIRES_IN_DEFAULT_S);
    let token = api
        .node
        .auth
        .issue(&new_token(body, expires_in_s)?)
        .map_err(|error| match error {
            IssueError::NoSigningKey => ErrorCode::NotFound.with(error.to_string()),
            IssueError::Signing(_) => ErrorCode::Internal.into(),
            IssueError::TooEarly { wait_s } => ErrorCode::Busy
                .with(error.to_string())
                .retry_after_ms(wait_s.saturating_mul(1_000)),
            IssueError::User | IssueError::TooLong | IssueError::TooLarge => {
                ErrorCode::BadRequest.with(error.to_string())
            }
        })?;
    Ok(Json(IssuedBody {
        token,
        expires_in_s,
    }))
}

/// Checked here, so that nobody is given a token that would be refused.
fn new_token(body: TokenBody, expires_in_s: u64) -> Result<NewToken, Problem> {
    let TokenBody {
        user,
        info,
        caps,
        channel,
        allow,
        ..
    } = body;
    let info = info.map(json);
    if let Some(info) = &info {
        info.check()?;
        if !info.bytes.starts_with(b"{") {
            return Err(ErrorCode::BadRequest.with("info: needs an object").into());
        }
    }
    let verbs = caps
        .iter()
        .flat_map(|capability| &capability.allow)
        .chain(allow.iter().flatten());
    if let Some(unknown) = verbs.into_iter().find(|name| Verb::parse(name).is_none()) {
        return Err(ErrorCode::BadRequest
            .with(format!("allow: {unknown:.32} is not a verb"))
            .into());
    }
    if let Some(channel) = &channel {
        ChannelName::parse(channel)?;
    }
    let capability = |CapabilityBody { channels, allow }| Capability {
        channels: OneOrMany::Many(channels),
        allow,
    };
    let caps = caps.into_iter().map(capability).collect();
    Ok(NewToken {
        user,
        info,
        caps,
        channel,
        allow,
        expires_in: Duration::from_secs(expires_in_s),
    })
}
