//! Who asks: an API key or a token in the `Authorization` header, never in the URL. Each request counts as a command.

use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use parlor_protocol::{ErrorCode, WireError};

use super::Api;
use super::problem::Problem;
use super::rate::Payer;
use crate::commands::Caller;

/// Who asks, and whose rates that counts toward.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) caller: Caller,
    /// None for backends: they are not limited.
    pub(super) payer: Option<Payer>,
}

impl Asker {
    /// Takes one publish from what they may in the channel's kind.
    ///
    /// # Errors
    /// `rate_limited`, with how long to wait.
    pub(super) fn take_publish(&self, api: &Api, channel: &str) -> Result<(), WireError> {
        let (payer, kinds) = (self.payer.as_ref(), &api.node.kinds);
        api.rates
            .take_publish(payer, kinds, channel, Instant::now())
    }

    /// The same for what is to be logged: a node that drains takes no more of that.
    ///
    /// # Errors
    /// Also `draining`.
    pub(super) fn take_logged(&self, api: &Api, channel: &str) -> Result<(), WireError> {
        if api.node.lifecycle.is_draining() {
            return Err(WireError::from(ErrorCode::Draining).retry_after_ms(1_000));
        }
        self.take_publish(api, channel)
    }
}

impl FromRequestParts<Api> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let asker = asker(api, &parts.headers)?;
        // Before the body is read: what is refused must cost little.
        api.rates.take_command(
            asker.payer.as_ref(),
            api.config.commands_per_second_max,
            Instant::now(),
        )?;
        Ok(asker)
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Ok(Asker::from_request_parts(parts, api).await?.caller)
    }
}

fn asker(api: &Api, headers: &HeaderMap) -> Result<Asker, WireError> {
    let auth = &api.node.auth;
    let (identity, payer) = match credentials(headers)? {
        None => {
            let backend = auth.dev_backend().ok_or_else(|| {
                ErrorCode::BadKey.with("an API key or a token is needed: `Authorization: Bearer …`")
            })?;
            (backend, None)
        }
        Some(bearer) => {
            let identity = auth.verify_bearer(bearer)?;
            let payer = Payer::of(&identity.who, bearer);
            (identity, payer)
        }
    };
    let caller = Caller {
        identity,
        channel_token: None,
        connection: None,
    };
    Ok(Asker { caller, payer })
}

/// The key or token that the request brings, if it brings one.
fn credentials(headers: &HeaderMap) -> Result<Option<&str>, WireError> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => {
            let bearer = one.to_str().ok().and_then(bearer);
            let refusal = "the header is not of the form `Authorization: Bearer …`";
            bearer
                .map(Some)
                .ok_or_else(|| ErrorCode::BadKey.with(refusal))
        }
        (Some(_), Some(_)) => Err(ErrorCode::BadKey.with("there are two `Authorization` headers")),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, credentials) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| credentials.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_credentials_are_taken() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }
}
