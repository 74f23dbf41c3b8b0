//! The house rules that a reader of one file cannot see: who may import whom, which crate stays at which edge,
//! and a few habits. Reads the sources as text; the checker is checked on made-up trees.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/edges.rs"]
mod edges;
#[path = "tidy/habits.rs"]
mod habits;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/tree.rs"]
mod tree;

use tree::Tree;

/// What all checks find wrong with a server's sources.
fn faults(tree: &Tree) -> Vec<String> {
    [
        arrows::faults(tree),
        edges::faults(tree),
        habits::faults(tree),
    ]
    .concat()
}

#[track_caller]
fn assert_clean(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[track_caller]
fn check(files: &[(&str, &str)], expected: &str) {
    let files = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), format!("//! A file.\n{text}\n")));
    let found = faults(&Tree(files.collect())).join("\n");
    assert!(
        if expected.is_empty() {
            found.is_empty()
        } else {
            found.contains(expected)
        },
        "found: {found}"
    );
}

#[test]
fn the_servers_sources_are_tidy() {
    let tree = Tree::read("server/src");
    assert!(tree.0.len() > 20, "the sources were not found");
    assert_clean(&faults(&tree));
}

#[test]
fn the_other_crates_keep_the_habits() {
    for root in ["protocol/src", "loadtest/src", "server/tests", "tests"] {
        let faults = habits::faults(&Tree::read(root));
        assert_clean(
            &faults
                .iter()
                .map(|fault| format!("{root}/{fault}"))
                .collect::<Vec<_>>(),
        );
    }
}

#[test]
fn lock_files_name_no_registry() {
    let tree = Tree::read_named("", habits::is_foreign_lock_file);
    assert_clean(&habits::lock_file_faults(&tree));
}

#[test]
fn an_arrow_turned_around_in_the_real_tree_is_found() {
    let mut tree = Tree::read("server/src");
    let hub = tree
        .0
        .iter_mut()
        .find(|(path, _)| path == "hub.rs")
        .expect("there is a hub");
    hub.1.push_str("\nuse crate::presence::Presence;\n");
    assert!(
        arrows::faults(&tree)
            .iter()
            .any(|fault| fault.contains("hub may not import presence"))
    );
}

#[test]
fn arrows_to_the_right_are_fine() {
    check(
        &[
            ("session.rs", "use crate::{commands::publish, node::Node};"),
            ("commands.rs", ""),
            ("node.rs", ""),
        ],
        "",
    );
    check(
        &[
            ("hub/entry.rs", "use crate::kind::Durability;"),
            ("kind.rs", "use crate::pattern::Pattern;"),
            ("pattern.rs", ""),
        ],
        "",
    );
    check(
        &[
            (
                "presence/roster.rs",
                "use super::changes::Changes; use super::super::hub::Hub;",
            ),
            ("hub.rs", ""),
        ],
        "",
    );
    check(
        &[
            ("cli/publish.rs", "use parlor::config::Config;"),
            ("config.rs", ""),
        ],
        "",
    );
}

#[test]
fn arrows_to_the_left_are_found_however_they_are_written() {
    let session = ("session.rs", "");
    check(
        &[("hub.rs", "use crate::session::Connection;"), session],
        "hub may not import session",
    );
    check(
        &[
            (
                "hub.rs",
                "use crate::{outbox::Frame, session::{self, Connection}};",
            ),
            session,
        ],
        "hub may not import session",
    );
    check(
        &[
            ("hub/table.rs", "fn f() { crate::session::run(); }"),
            session,
        ],
        "hub/table.rs:2: hub may not import session",
    );
    check(
        &[
            ("hub/table.rs", "use super::super::session::Connection;"),
            session,
        ],
        "hub may not import session",
    );
    check(
        &[("hub.rs", "use super::session::Connection;"), session],
        "hub may not import session",
    );
    check(
        &[
            (
                "hub.rs",
                "mod tests {\n use super::super::session::Connection;\n}",
            ),
            session,
        ],
        "hub may not import session",
    );
}

#[test]
fn neighbours_do_not_import_each_other() {
    check(
        &[
            ("broker.rs", "use crate::presence::Presence;"),
            ("presence.rs", ""),
        ],
        "broker may not import presence",
    );
}

#[test]
fn what_a_comment_says_is_no_import() {
    check(
        &[
            (
                "hub.rs",
                "/// See [`crate::session`].\n// use crate::session;\n/* crate::session::x */",
            ),
            ("session.rs", ""),
        ],
        "",
    );
}

#[test]
fn circles_are_found() {
    check(
        &[
            ("kind.rs", "use crate::pattern::P;"),
            ("pattern.rs", "use crate::clock::C;"),
            ("clock.rs", "use crate::kind::K;"),
        ],
        "a circle: clock → kind → pattern → clock",
    );
}

#[test]
fn a_module_without_a_place_is_found() {
    check(&[("utils.rs", "")], "utils has no place among the arrows");
}

#[test]
fn crates_stay_at_their_edge() {
    check(
        &[("broker/embedded/writer.rs", "use rusqlite::Connection;")],
        "",
    );
    check(
        &[("hub/writer.rs", "use rusqlite::Connection;")],
        "hub/writer.rs:2: rusqlite does not belong here",
    );
    check(
        &[("session.rs", "fn f() { serde_json::to_string(&1); }")],
        "serde_json does not belong here",
    );
    check(
        &[("auth/config.rs", "use jsonwebtoken as jwt;")],
        "jsonwebtoken does not belong here",
    );
    check(&[("presence/redis/reaper.rs", "use redis::Client;")], "");
    check(
        &[("presence/roster.rs", "use redis::Client;")],
        "redis does not belong here",
    );
    check(
        &[(
            "presence.rs",
            "mod redis; use self::redis::Reaper; fn redis() {}",
        )],
        "",
    );
}

#[test]
fn the_hub_and_the_outbox_do_no_io() {
    check(&[("hub/inbox.rs", "use tokio::sync::Notify;")], "");
    check(
        &[("hub/inbox.rs", "use tokio::{sync::Notify, net::TcpStream};")],
        "hub does no IO: tokio::net",
    );
    check(
        &[("outbox.rs", "fn f(out: impl tokio::io::AsyncWrite) {}")],
        "outbox does no IO: tokio::io",
    );
}

#[test]
fn bad_habits_are_found() {
    check(&[("hub/mod.rs", "")], "hub/mod.rs: is called mod.rs");
    check(
        &[("hub.rs", "fn f() { todo!() }")],
        "hub.rs:2: todo! is left",
    );
    check(
        &[("hub.rs", "fn f() { dbg!(1); }")],
        "hub.rs:2: dbg! is left",
    );
    check(&[("hub.rs", "// todo!() said nobody")], "");
    check(&[("hub.rs", &"\n".repeat(499))], "hub.rs: has 501 lines");
    let bare = Tree(vec![("hub.rs".to_owned(), "use std::fmt;\n".to_owned())]);
    assert!(
        faults(&bare)
            .iter()
            .any(|fault| fault.contains("does not begin with //!"))
    );
}

#[test]
fn registries_in_lock_files_are_found() {
    let host = ["registry.npm", "js.org"].concat();
    let text = format!(r#"{{ "resolved": "https://{host}/a/-/a-1.0.0.tgz" }}"#);
    assert_eq!(
        habits::lock_file_faults(&Tree(vec![("sdk/package-lock.json".to_owned(), text)])).len(),
        1
    );
    assert!(
        habits::is_foreign_lock_file("package-lock.json")
            && !habits::is_foreign_lock_file("Cargo.lock")
    );
}
