//! The HTTP API for backends, its description, the demo page, health and metrics.
//!
//! It translates requests to the same commands that sockets run, and their outcomes to JSON: what is allowed is
//! decided there, never here. Reading order: `routes` (what there is), `caller` (who asks), `guard` (what surrounds
//! every answer), then one file per noun.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;

use crate::node::Node;

mod answer;
mod body;
mod caller;
mod channel;
mod cors;
mod demo;
mod erase;
mod guard;
mod health;
mod history;
mod metrics;
mod openapi;
mod presence;
mod problem;
mod publish;
mod rate;
mod revoke;
mod routes;
mod token;
mod user;

pub use metrics::serve_metrics;
pub use problem::Problem;

/// What the API is told. Plain values: `config` fills them in.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    /// Whether `/` is the demo page; in development mode it always is.
    pub demo: bool,
    /// Web origins whose pages may call the API: `https://host:port`, exact.
    pub origins: Vec<String>,
    /// Any page may.
    pub any_origin: bool,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// Requests per second of one user, or of one token without a user; 0: no limit. Backends are not limited.
    pub commands_per_second_max: u32,
}

/// What every handler sees.
#[derive(Clone, Debug)]
struct Api {
    node: Arc<Node>,
    config: Arc<HttpConfig>,
    rates: Arc<rate::Rates>,
}

/// Everything on the main port but the WebSocket.
pub fn router(node: Arc<Node>, config: HttpConfig) -> Router {
    let mut router = routes::router();
    if config.demo || node.auth.is_dev() {
        router = router.merge(demo::router());
    }
    guard::around(
        router,
        Api {
            node,
            config: Arc::new(config),
            rates: Arc::default(),
        },
    )
}
