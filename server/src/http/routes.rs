//! The table of routes. A test holds it against the OpenAPI document.

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use super::problem::Problem;
use super::{
    Api, channel, erase, health, history, openapi, presence, publish, revoke, token, user,
};

/// How a route is made.
type Make = fn() -> MethodRouter<Api>;

/// Routes of the API: method, path, handler.
pub(super) const ROUTES: &[(&str, &str, Make)] = &[
    ("post", "/v1/publish", || post(publish::publish)),
    ("post", "/v1/publish_many", || post(publish::publish_many)),
    ("post", "/v1/broadcast", || post(publish::broadcast)),
    ("post", "/v1/signal", || post(publish::signal)),
    ("get", "/v1/history", || get(history::history)),
    ("post", "/v1/history/erase", || post(erase::erase)),
    ("get", "/v1/presence", || get(presence::presence)),
    ("get", "/v1/occupancy", || get(presence::occupancy)),
    ("get", "/v1/channel", || get(channel::channel)),
    ("post", "/v1/users/{user}/disconnect", || {
        post(user::disconnect)
    }),
    ("post", "/v1/users/{user}/subscribe", || {
        post(user::subscribe)
    }),
    ("post", "/v1/users/{user}/unsubscribe", || {
        post(user::unsubscribe)
    }),
    ("post", "/v1/tokens", || post(token::issue)),
    ("post", "/v1/tokens/revoke", || post(revoke::revoke)),
    ("get", "/healthz", || get(health::healthz)),
    ("get", "/readyz", || get(health::readyz)),
    ("get", "/openapi.json", || get(openapi::document)),
];

pub(super) fn router() -> Router<Api> {
    let routed = ROUTES
        .iter()
        .fold(Router::new(), |router, (_, path, make)| {
            router.route(path, make())
        });
    routed
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
}
