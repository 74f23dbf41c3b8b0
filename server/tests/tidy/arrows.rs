//! Imports run one way: a module may use what stands further down this list, and nobody beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{Named, paths};
use super::tree::{Tree, top_module};

/// From the outside in.
const ROWS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["app"],
    &["transport", "gateway", "http"],
    &["config"],
    &["session"],
    &["commands"],
    &["node"],
    &["presence", "auth"],
    &["broker"],
    &["metrics"],
    &["hub"],
    &["outbox"],
];

/// Words that everybody uses. They use nothing but each other.
const LEAVES: &[&str] = &[
    "kind",
    "pattern",
    "clock",
    "planted",
    "accepting",
    "write_deadline",
    "trust",
];

/// Holds the list of modules, and imports nothing.
const ROOT: &str = "lib";

type Graph = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn faults(tree: &Tree) -> Vec<String> {
    let modules: BTreeSet<&str> = tree
        .0
        .iter()
        .map(|(path, _)| top_module(path))
        .filter(|name| *name != ROOT)
        .collect();
    let homeless = modules
        .iter()
        .filter(|name| row(name).is_none() && !LEAVES.contains(name));
    let mut faults: Vec<String> = homeless
        .map(|name| format!("{name} has no place among the arrows"))
        .collect();
    let mut graph = Graph::new();
    for (path, text) in tree.0.iter().filter(|(path, _)| top_module(path) != ROOT) {
        let from = top_module(path);
        for (line, to) in imports(path, text)
            .into_iter()
            .filter(|(_, to)| modules.contains(to.as_str()) && to != from)
        {
            if !may_import(from, &to) {
                faults.push(format!("{path}:{line}: {from} may not import {to}"));
            }
            graph.entry(from.to_owned()).or_default().insert(to);
        }
    }
    faults.extend(circle(&graph).map(|circle| format!("a circle: {}", circle.join(" → "))));
    faults
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

fn may_import(from: &str, to: &str) -> bool {
    LEAVES.contains(&to) || row(from).zip(row(to)).is_some_and(|(from, to)| from < to)
}

/// The root's modules that a file names, with the lines.
fn imports(path: &str, text: &str) -> Vec<(usize, String)> {
    let inner_module_at = text
        .lines()
        .position(|line| line.trim_end().ends_with('{') && line.trim_start().starts_with("mod "));
    let depth = |line: usize| {
        path.split('/').count() + usize::from(inner_module_at.is_some_and(|at| line > at + 1))
    };
    let below_root = |Named { line, names }: Named| {
        let climbs = names.iter().take_while(|name| *name == "super").count();
        let is_of_crate = names[0] == "crate"
            || (names[0] == "parlor" && ["main", "cli"].contains(&top_module(path)));
        let first = if is_of_crate {
            1
        } else if climbs > 0 && climbs == depth(line) {
            climbs
        } else {
            return None;
        };
        names.into_iter().nth(first).map(|name| (line, name))
    };
    paths(text).into_iter().filter_map(below_root).collect()
}

/// A circle of modules that import each other, if there is one.
fn circle(graph: &Graph) -> Option<Vec<String>> {
    graph
        .keys()
        .find_map(|start| way_back(graph, start, &mut vec![start.clone()], &mut BTreeSet::new()))
}

fn way_back(
    graph: &Graph,
    start: &str,
    way: &mut Vec<String>,
    seen: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    let here = way.last()?.clone();
    for next in graph.get(&here).into_iter().flatten() {
        way.push(next.clone());
        if next == start {
            return Some(way.clone());
        }
        if seen.insert(next.clone())
            && let Some(circle) = way_back(graph, start, way, seen)
        {
            return Some(circle);
        }
        way.pop();
    }
    None
}
