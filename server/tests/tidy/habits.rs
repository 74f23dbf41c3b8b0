//! Habits of every file: a header, a bounded length, nothing left undone, no registry's name in a lock file.

use super::paths::without_comments;
use super::tree::Tree;

/// Lines of one file. A longer one holds a second noun.
const LINES_MAX: usize = 500;

pub(crate) fn faults(tree: &Tree) -> Vec<String> {
    tree.0
        .iter()
        .flat_map(|(path, text)| faults_of(path, text))
        .collect()
}

fn faults_of(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(format!("{path}: does not begin with //!"));
    }
    if path == "mod.rs" || path.ends_with("/mod.rs") {
        faults.push(format!("{path}: is called mod.rs"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{path}: has {lines} lines"));
    }
    for (line, content) in (1..).zip(without_comments(text).lines()) {
        let left = ["todo!", "unimplemented!", "dbg!"]
            .into_iter()
            .filter(|name| content.contains(name));
        faults.extend(left.map(|name| format!("{path}:{line}: {name} is left")));
    }
    faults
}

/// Whether a file of this name records where packages come from. Cargo's own names no download address.
pub(crate) fn is_foreign_lock_file(name: &str) -> bool {
    name != "Cargo.lock"
        && (name.ends_with(".lock") || name.contains("-lock.") || name == "npm-shrinkwrap.json")
}

pub(crate) fn lock_file_faults(tree: &Tree) -> Vec<String> {
    // Put together here, so that this file does not hold them.
    let hosts = [["npm", "js"].concat(), ["crates", ".io"].concat()];
    let names_one = |text: &str| {
        hosts.iter().any(|host| text.contains(host)) || text.contains(r#""resolved": "http"#)
    };
    tree.0
        .iter()
        .filter(|(_, text)| names_one(text))
        .map(|(path, _)| format!("{path}: names a registry"))
        .collect()
}
