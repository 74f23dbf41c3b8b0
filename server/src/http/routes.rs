//! The table of routes. Tests hold it against the OpenAPI document and against the operator's book.

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Method and path of each route that the book's table names.
    fn documented() -> BTreeSet<(String, String)> {
        let book = include_str!("../../../docs/operating.md");
        let (_, after) = book
            .split_once("| route | needs |\n|---|---|\n")
            .expect("the table's head");
        let (rows, _) = after.split_once("\n\n").expect("the table's end");
        rows.lines().flat_map(routes_in).collect()
    }

    /// A row begins "| `POST /a`, `/b` (what it is) |": a path without a method has the one before it.
    fn routes_in(row: &str) -> Vec<(String, String)> {
        let cell = row.split('|').nth(1).unwrap_or_default();
        let mut method = "";
        let mut routes = Vec::new();
        for code in cell.split('`').skip(1).step_by(2) {
            let path = match code.split_once(' ') {
                Some((named, path)) => {
                    method = named;
                    path
                }
                None => code,
            };
            routes.push((method.to_lowercase(), path.to_owned()));
        }
        routes
    }

    #[test]
    fn every_route_stands_in_the_operators_book_and_nothing_else() {
        let routed: BTreeSet<_> = ROUTES
            .iter()
            .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(documented(), routed);
    }

    #[test]
    fn a_row_of_the_book_is_read_as_people_read_it() {
        let route = |method: &str, path: &str| (method.to_owned(), path.to_owned());
        assert_eq!(
            routes_in("| `POST /a`, `/b/{c}` (for many), `GET /d` | `publish` on `*` |"),
            [
                route("post", "/a"),
                route("post", "/b/{c}"),
                route("get", "/d")
            ]
        );
    }
}
