//! The tables of errors, closes and limits stand in SPEC.md and in `vectors/tables.json` as in the code.
//! `PARLOR_BLESS=1 cargo test -p parlor-protocol --test tables` writes them anew.

use std::path::PathBuf;

use parlor_protocol::close::{CloseCode, Verdict};
use parlor_protocol::{ErrorCode, WireError, limits};
use serde_json::{Value, json};

#[test]
fn spec_holds_the_tables() {
    let mut spec = read("SPEC.md");
    for (name, table) in [
        ("errors", errors()),
        ("closes", closes()),
        ("limits", limit_table()),
    ] {
        spec = with_table(&spec, name, &table);
    }
    check("SPEC.md", &spec);
}

#[test]
fn the_json_tables_are_current() {
    let errors = ErrorCode::ALL.iter().map(|code| {
        json!({"code": code.number(), "name": code.name(), "http_status": code.http_status(), "text": code.text(), "action": action(*code)})
    });
    let closes = CloseCode::ALL.iter().map(|code| {
        json!({"code": code.number(), "name": code.name(), "text": code.text(), "verdict": verdict(*code)})
    });
    let limits = limits::ALL
        .iter()
        .map(|(name, value, text)| json!({"name": name, "value": value, "text": text.trim()}));
    let tables = json!({"errors": errors.collect::<Value>(), "closes": closes.collect::<Value>(), "limits": limits.collect::<Value>()});
    check("vectors/tables.json", &format!("{tables:#}\n"));
}

#[test]
fn codes_are_unique_and_in_order() {
    assert!(ErrorCode::ALL.is_sorted_by_key(|code| code.number()));
    assert!(CloseCode::ALL.is_sorted_by_key(|code| code.number()));
    let mut names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ErrorCode::ALL.len());
}

#[test]
fn an_error_is_retryable_exactly_when_its_range_says_so() {
    for code in ErrorCode::ALL {
        assert_eq!(
            WireError::from(*code).is_retryable(),
            action(*code) == "retry_later",
            "{code:?}"
        );
    }
}

fn errors() -> String {
    let mut table = "| code | name | HTTP status | text |\n|---|---|---|---|\n".to_owned();
    for code in ErrorCode::ALL {
        table += &format!(
            "| {} | `{}` | {} | {} |\n",
            code.number(),
            code.name(),
            code.http_status(),
            code.text()
        );
    }
    table
}

fn closes() -> String {
    let mut table = "| code | name | the client | text |\n|---|---|---|---|\n".to_owned();
    for code in CloseCode::ALL {
        let verdict = verdict(*code).replace('_', " ");
        table += &format!(
            "| {} | `{}` | {verdict} | {} |\n",
            code.number(),
            code.name(),
            code.text()
        );
    }
    table
}

fn limit_table() -> String {
    let mut table = "| name | value | meaning |\n|---|---|---|\n".to_owned();
    for (name, value, meaning) in limits::ALL {
        table += &format!(
            "| `{}` | {value} | {} |\n",
            name.to_lowercase(),
            meaning.trim()
        );
    }
    table
}

fn action(code: ErrorCode) -> &'static str {
    match code.number() {
        1000..2000 => "retry_later",
        2000..3000 => "do_not_repeat",
        3000..4000 => "new_token",
        number => panic!("{number} is in no range"),
    }
}

fn verdict(code: CloseCode) -> &'static str {
    match code.verdict() {
        Verdict::Resume => "resume",
        Verdict::Fresh => "fresh",
        Verdict::StayAway => "stay_away",
    }
}

/// The document with this table between its marks.
fn with_table(document: &str, name: &str, table: &str) -> String {
    let mark = format!("<!-- table: {name} -->\n");
    let (before, rest) = document.split_once(&mark).expect("the table's mark");
    let (_, after) = rest.split_once("<!-- end -->").expect("the table's end");
    format!("{before}{mark}{table}<!-- end -->{after}")
}

fn check(path: &str, expected: &str) {
    if std::env::var_os("PARLOR_BLESS").is_some() {
        return std::fs::write(absolute(path), expected).expect("writable");
    }
    assert!(
        read(path) == expected,
        "{path} is stale; PARLOR_BLESS=1 writes its tables anew"
    );
}

fn read(path: &str) -> String {
    std::fs::read_to_string(absolute(path)).unwrap_or_default()
}

fn absolute(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}
