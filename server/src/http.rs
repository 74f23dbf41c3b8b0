//! The HTTP API for backends, its description, the demo page, health and metrics.
//!
//! It translates requests to the same commands that sockets run, and their outcomes to JSON: what is allowed is
//! decided there, never here. Reading order: `routes` (what there is), `caller` (who asks), `guard` (what surrounds
//! every answer), then one file per noun.

use std::sync::Arc;

use axum::Router;

use crate::node::Node;

mod answer;
mod body;
mod caller;
mod channel;
mod demo;
mod guard;
mod health;
mod history;
mod metrics;
mod openapi;
mod presence;
mod problem;
mod publish;
mod routes;
mod token;
mod user;

pub use metrics::serve_metrics;
pub use problem::Problem;

/// What every handler sees.
#[derive(Clone, Debug)]
struct Api {
    node: Arc<Node>,
}

/// Everything on the main port but the WebSocket. `demo`: whether `/` is the demo page.
pub fn router(node: Arc<Node>, demo: bool) -> Router {
    let mut router = routes::router();
    if demo || node.auth.is_dev() {
        router = router.merge(demo::router());
    }
    guard::around(router, Api { node })
}
