//! Third-party crates stay at their edge, so that replacing one touches one folder.

use super::paths::paths;
use super::tree::{Tree, top_module};

/// A crate, and the beginnings of the paths where it may be named.
const EDGES: &[(&str, &[&str])] = &[
    ("redis", &["broker/redis", "presence/redis"]),
    ("tokio_tungstenite", &["transport/", "transport.rs"]),
    ("tungstenite", &["transport/", "transport.rs"]),
    ("jsonwebtoken", &["auth/jwt.rs"]),
    ("rmp_serde", &["http/", "http.rs", "config/", "config.rs"]),
    // Claims are JSON by their standard.
    (
        "serde_json",
        &[
            "http/",
            "http.rs",
            "config/",
            "config.rs",
            "auth/claims.rs",
            // What nodes tell each other is JSON in reserved channels.
            "auth/revocations.rs",
            "node/orders.rs",
            // A client of the HTTP API.
            "cli/",
            "auth/jwt.rs",
        ],
    ),
    ("rusqlite", &["broker/"]),
    ("httparse", &["transport/"]),
    (
        "rustls",
        &["transport/", "transport.rs", "broker/redis", "trust.rs"],
    ),
];

/// Modules that are plain state.
const WITHOUT_IO: &[&str] = &["hub", "outbox"];

pub(crate) fn faults(tree: &Tree) -> Vec<String> {
    tree.0
        .iter()
        .flat_map(|(path, text)| faults_of(path, text))
        .collect()
}

fn faults_of(path: &str, text: &str) -> Vec<String> {
    let module = top_module(path);
    let mut faults = Vec::new();
    for named in paths(text) {
        let line = named.line;
        let edge = EDGES.iter().find(|(name, _)| *name == named.names[0]);
        if let Some((name, places)) = edge
            && !places.iter().any(|place| path.starts_with(place))
        {
            faults.push(format!("{path}:{line}: {name} does not belong here"));
        }
        let [first, second, ..] = named.names.as_slice() else {
            continue;
        };
        if WITHOUT_IO.contains(&module)
            && first == "tokio"
            && ["net", "io", "fs", "process"].contains(&second.as_str())
        {
            faults.push(format!(
                "{path}:{line}: {module} does no IO: tokio::{second}"
            ));
        }
    }
    faults
}
