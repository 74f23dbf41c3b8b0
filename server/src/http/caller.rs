//! Who asks: an API key or a token in the `Authorization` header, never in the URL.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use parlor_protocol::{ErrorCode, WireError};

use super::Api;
use super::problem::Problem;
use crate::auth::Identity;
use crate::commands::Caller;

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Ok(Self {
            identity: identity(api, &parts.headers)?,
            connection: None,
        })
    }
}

fn identity(api: &Api, headers: &HeaderMap) -> Result<Arc<Identity>, WireError> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => api.node.auth.dev_backend().ok_or_else(|| {
            ErrorCode::BadKey.with("an API key or a token is needed: `Authorization: Bearer …`")
        }),
        (Some(one), None) => {
            match one.to_str().ok().and_then(bearer) {
                Some(bearer) => api.node.auth.verify_bearer(bearer),
                None => Err(ErrorCode::BadKey
                    .with("the header is not of the form `Authorization: Bearer …`")),
            }
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
