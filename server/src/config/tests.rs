//! What is written is what holds; what is wrong is named.

use std::time::Duration;

use super::raw::Raw;
use super::*;
use crate::auth::Auth;
use crate::kind::{Durability, SlowPolicy, Verb};

fn layers(text: &str) -> Result<Layers, Error> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("parlor.toml");
    std::fs::write(&path, text).expect("written");
    let mut layers = Layers::default();
    layers.read_file(&path)?;
    Ok(layers)
}

fn config(text: &str) -> Result<Config, Error> {
    Config::from_layers(&layers(text)?)
}

#[track_caller]
fn check_wrong(text: &str, expected: &str) {
    let error = config(text).expect_err(expected).to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn the_defaults_are_a_good_configuration() {
    let config = Config::defaults().expect("good defaults");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.session.outbox_bytes_max, 256 << 10);
    assert_eq!(config.kinds.0.len(), 1);
    let kind = &config.kinds.0[0];
    assert_eq!(
        (kind.pattern.as_str(), kind.durability),
        ("*", Durability::Disk)
    );
    assert!(
        kind.allowed.is_empty(),
        "nothing is allowed without a grant"
    );
    assert!(!Auth::new(config.auth).expect("no key is fine").has_keys());
}

#[test]
fn a_file_sets_kinds_and_keys() {
    let config = config(
        r#"
        [server]
        listen = "127.0.0.1:9000"
        allowed_origins = ["https://example.com"]
        [connection]
        outbox_bytes_max = "1MiB"
        connect_timeout = "3s"
        [kinds.rooms]
        pattern = "room:*"
        history_age_max = "24h"
        allow = ["subscribe", "history"]
        [kinds.games]
        pattern = "game:*"
        durability = "memory"
        slow = "skip_to_latest"
        [api_keys.shop]
        hash = "0000000000000000000000000000000000000000000000000000000000000000"
        channels = ["room:*"]
        allow = ["publish"]
        [token_keys.main]
        algorithm = "HS256"
        secret = "a secret of at least 32 bytes, for tests"
        "#,
    )
    .expect("a good file");
    assert_eq!(config.session.connect_timeout, Duration::from_secs(3));
    assert_eq!(config.session.outbox_bytes_max, 1 << 20);
    assert_eq!(config.kinds.0.len(), 2);
    let games = config
        .kinds
        .0
        .iter()
        .find(|kind| kind.name == "games")
        .expect("there");
    assert_eq!(
        (games.durability, games.slow),
        (Durability::Memory, SlowPolicy::SkipToLatest)
    );
    assert_eq!(config.auth.api_keys[0].grants[0].verbs, [Verb::Publish]);
    assert!(Auth::new(config.auth).expect("good keys").has_keys());
}

#[test]
fn what_is_wrong_is_named() {
    check_wrong("[server]\nlisen = \"a\"", "did you mean `server.listen`");
    check_wrong("[sever]\nlisten = \"a\"", "sever");
    check_wrong(
        "[kinds.a]\npatern = \"a\"",
        "did you mean `kinds.*.pattern`",
    );
    check_wrong("server = 1", "server");
    check_wrong(
        "[server]\nlisten = \"nowhere\"",
        "server.listen: needs an address",
    );
    check_wrong("[server]\nlisten = 5", "server.listen");
    check_wrong("[server]\nshards = 65", "server.shards: at most 64");
    check_wrong(
        "[server]\nallowed_origins = [\"example.com\"]",
        "not an origin",
    );
    check_wrong(
        "[connection]\nconnect_timeout = \"5 parsecs\"",
        "connection.connect_timeout",
    );
    check_wrong(
        "[connection]\noutbox_bytes_max = -1",
        "connection.outbox_bytes_max",
    );
    check_wrong(
        "[connection]\nping_interval = \"1s\"",
        "connection.ping_interval",
    );
    check_wrong("[kinds.a]\npattern = \"a b\"", "kinds.a.pattern");
    check_wrong(
        "[kinds.a]\ndurability = \"disk\"",
        "kinds.a: missing field `pattern`",
    );
    check_wrong(
        "[kinds.a]\npattern = \"a\"\ndurability = \"paper\"",
        "kinds.a.durability: needs `disk`, `memory` or `replicated`",
    );
    check_wrong(
        "[kinds.a]\npattern = \"a\"\ndurability = \"replicated\"",
        "kinds.a.durability: `replicated` needs a Redis",
    );
    check_wrong(
        "[kinds.a]\npattern = \"a\"\nallow = [\"fly\"]",
        "`fly` is none of",
    );
    check_wrong("[kinds.a]\npattern = \"a\"\nallow = [\"manage\"]", "manage");
    check_wrong("[kinds.a]\npattern = \"a\"\nallow = [\"erase\"]", "erase");
    check_wrong(
        "[kinds.a]\npattern = \"room:*\"\n[kinds.b]\npattern = \"*:1\"",
        "`a` and `b` overlap",
    );
    check_wrong(
        "[token_keys.a]\nalgorithm = \"none\"\nsecret = \"x\"",
        "token_keys.a.algorithm",
    );
    check_wrong("[token_keys.a]\nalgorithm = \"HS256\"", "exactly one of");
    check_wrong(
        "[token_keys.a]\nalgorithm = \"RS256\"\npublic_key_file = \"/nowhere\"",
        "/nowhere",
    );
    check_wrong(
        "[auth]\napi_key = \"canary.of.mine\"",
        "auth.api_key: has a dot",
    );
    check_wrong("[server\n", "line 1");
}

#[test]
fn a_broken_line_is_not_quoted() {
    let error = config("[auth]\nsecret = \"canary-secret\nx")
        .expect_err("no TOML")
        .to_string();
    assert!(!error.contains("canary"), "{error}");
}

fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect::<Vec<_>>()
        .into_iter()
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let mut layers =
        layers("[server]\nlisten = \"127.0.0.1:1\"\nshards = 1\ndrain_window = \"1s\"")
            .expect("good");
    let set = [
        ("PARLOR_SERVER_LISTEN", "127.0.0.1:2"),
        ("PARLOR_SERVER_SHARDS", "2"),
        ("HOME", "/root"),
    ];
    assert!(
        layers
            .read_environment(variables(&set))
            .expect("good")
            .is_empty()
    );
    layers
        .set_flag("server.listen", "127.0.0.1:3")
        .expect("good");
    let config = Config::from_layers(&layers).expect("good");
    assert_eq!((config.listen.port(), config.shards), (3, 2));
    assert_eq!(config.transport.drain_window, Duration::from_secs(1));
    assert_eq!(layers.source("server.listen"), &Source::Flag);
    assert_eq!(
        layers.source("server.shards"),
        &Source::Environment("PARLOR_SERVER_SHARDS".into())
    );
    assert_eq!(layers.source("server.demo"), &Source::Default);
}

#[test]
fn secrets_come_from_files_and_are_not_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("secret");
    std::fs::write(&path, "a canary secret of at least 32 bytes, for tests\n").expect("written");
    let mut layers = Layers::default();
    let file = path.to_str().expect("utf-8");
    layers
        .read_environment(variables(&[("PARLOR_AUTH_SECRET__FILE", file)]))
        .expect("good");
    let config = Config::from_layers(&layers).expect("good");
    assert!(
        Auth::new(config.auth.clone())
            .expect("a good key")
            .has_keys()
    );
    let shown = layers.show().expect("it shows");
    assert!(
        shown.contains("auth.secret = \"(secret)\"")
            && shown.contains("# PARLOR_AUTH_SECRET__FILE"),
        "{shown}"
    );
    assert!(
        !format!("{shown}{config:?}{layers:?}").contains("canary"),
        "{layers:?}"
    );
}

#[test]
fn the_password_of_redis_comes_from_a_file_and_is_not_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("password");
    std::fs::write(&path, "canary\n").expect("written");
    let text = format!(
        "[redis]\nurl = \"redis://127.0.0.1:1\"\npassword_file = {:?}",
        path.display().to_string()
    );
    let layers = layers(&text).expect("good");
    let config = Config::from_layers(&layers).expect("good");
    let redis = config.redis.clone().expect("a Redis");
    assert_eq!(redis.password.as_deref(), Some("canary"));
    let shown = layers.show().expect("it shows");
    assert!(
        !format!("{shown}{config:?}{layers:?}").contains("canary"),
        "{shown}"
    );
    check_wrong(
        &format!("{text}\npassword = \"another\""),
        "redis.password: stands beside redis.password_file",
    );
    check_wrong(
        "[redis]\nurl = \"redis://127.0.0.1:1\"\npassword_file = \"/nowhere\"",
        "/nowhere",
    );
}

#[test]
fn a_file_that_names_no_authority_for_redis_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ca.pem");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (pem, reason) in [
        ("nothing\n", "redis.tls_ca_file: holds no certificate"),
        (broken, "redis.tls_ca_file: "),
    ] {
        std::fs::write(&path, pem).expect("written");
        let path = path.display().to_string();
        check_wrong(
            &format!("[redis]\nurl = \"rediss://127.0.0.1:1\"\ntls_ca_file = {path:?}"),
            reason,
        );
    }
}

#[test]
fn unknown_variables_are_told_and_foreign_ones_are_not() {
    let mut layers = Layers::default();
    let set = [
        ("PARLOR_SERVER_LISTN", "x"),
        ("PARLOR_PORT", "tcp://10.0.0.1:80"),
        ("PARLOR_SERVICE_HOST", "10.0.0.1"),
        ("PARLOR_CA", "/etc/parlor/ca.pem"),
    ];
    let warnings = layers.read_environment(variables(&set)).expect("good");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("did you mean `PARLOR_SERVER_LISTEN`"),
        "{warnings:?}"
    );
    let error = layers
        .read_environment(variables(&[("PARLOR_SERVER_SHARDS", "many")]))
        .expect_err("no number");
    assert!(
        error.to_string().contains("PARLOR_SERVER_SHARDS"),
        "{error}"
    );
}

#[test]
fn the_table_of_keys_is_complete() {
    let everything = r#"
        [token_keys.a]
        algorithm = "HS256"
        [api_keys.a]
        hash = ""
        [kinds.a]
        pattern = "a"
        "#;
    let raw: Raw = layers(everything)
        .expect("known keys")
        .raw()
        .expect("of their types");
    let values = toml::Value::try_from(raw).expect("it can be written");
    let mut leaves = Vec::new();
    leaf_paths("", &values, &mut leaves);
    for leaf in &leaves {
        assert!(Key::of(leaf).is_some(), "{leaf} is not in the table");
    }
    for key in KEYS {
        let path = key.path.replace('*', "a");
        assert!(leaves.contains(&path), "{path} is in the table alone");
    }
}

fn leaf_paths(prefix: &str, value: &toml::Value, into: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let path = if prefix.is_empty() {
                    name.clone()
                } else {
                    format!("{prefix}.{name}")
                };
                leaf_paths(&path, value, into);
            }
        }
        _ => into.push(prefix.to_owned()),
    }
}

#[test]
fn memory_keeps_nothing_on_disk() {
    let mut config = Config::defaults().expect("good defaults");
    config.keep_in_memory();
    assert!(config.storage.data_dir.is_none());
    assert!(
        config
            .kinds
            .0
            .iter()
            .all(|kind| kind.durability == Durability::Memory)
    );
}

#[test]
fn a_bare_port_is_loopback() {
    let config = config("[server]\nlisten = \":8080\"\n[metrics]\nlisten = \"\"").expect("good");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert!(config.metrics_listen.is_none());
}

#[test]
fn a_certificate_and_its_key_come_together() {
    let both = "[server]\ntls_certificate_file = \"c.pem\"\ntls_key_file = \"k.pem\"";
    let files = config(both)
        .expect("good")
        .transport
        .certificate
        .expect("files");
    assert_eq!(files.certificate.to_str(), Some("c.pem"));
    assert_eq!(files.key.to_str(), Some("k.pem"));
    check_wrong(
        "[server]\ntls_certificate_file = \"c.pem\"",
        "server.tls_key_file: is missing beside server.tls_certificate_file",
    );
    check_wrong(
        "[server]\ntls_key_file = \"k.pem\"",
        "server.tls_certificate_file: is missing beside server.tls_key_file",
    );
    assert!(config("").expect("good").transport.certificate.is_none());
}
