//! The paths (`a::b::c`) that a source text names, groups spelled out, comments and texts left out.

/// A path with at least two names, or one that stands alone behind `use`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) names: Vec<String>,
}

/// All paths of a text, in their order.
pub(crate) fn paths(text: &str) -> Vec<Named> {
    let tokens = tokens(&without_comments(text));
    let mut found = Vec::new();
    let mut at = 0;
    let mut behind_use = false;
    while at < tokens.len() {
        if is_name(&tokens[at].1) {
            let (line, is_use) = (tokens[at].0, tokens[at].1 == "use");
            let mut here = Vec::new();
            at = path(&tokens, at, &[], &mut here);
            let is_path = |names: &Vec<String>| names.len() > 1 || behind_use;
            found.extend(
                here.into_iter()
                    .filter(is_path)
                    .map(|names| Named { line, names }),
            );
            behind_use = is_use;
        } else {
            behind_use = false;
            at += 1;
        }
    }
    found
}

type Token = (usize, String);

/// Reads one path, or several if it ends in a group. Gives the place behind it.
fn path(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|(_, token)| token == text);
    let mut names = prefix.to_vec();
    loop {
        match tokens.get(at) {
            Some((_, name)) if is_name(name) => names.push(name.clone()),
            Some((_, brace)) if brace == "{" && !names.is_empty() => {
                return group(tokens, at + 1, &names, found);
            }
            _ => break,
        }
        at += 1;
        if !is(at, "::") {
            break;
        }
        at += 1;
    }
    found.push(names);
    // At least one token is always consumed: what is neither a name nor a group is stepped over by the caller.
    at
}

fn group(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<Vec<String>>,
) -> usize {
    while let Some((_, token)) = tokens.get(at) {
        match token.as_str() {
            "}" => return at + 1,
            name if is_name(name) => at = path(tokens, at, prefix, found),
            _ => at += 1,
        }
    }
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let mut rest = content.trim_start();
        while let Some(first) = rest.chars().next() {
            let name = rest
                .find(|one: char| !one.is_alphanumeric() && one != '_')
                .unwrap_or(rest.len());
            let length = if name > 0 {
                name
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((line, rest[..length].to_owned()));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// The text with blanks where comments and the contents of `"texts"` were: lines stay where they are.
pub(crate) fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hidden = hidden_length(rest);
        if hidden == 0 {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            kept.extend(
                rest[..hidden]
                    .chars()
                    .map(|one| if one == '\n' { '\n' } else { ' ' }),
            );
            rest = &rest[hidden..];
        }
    }
    kept
}

/// How much of the text is a comment or a literal from its very beginning.
fn hidden_length(text: &str) -> usize {
    let until = |end: &str| text.find(end).unwrap_or(text.len());
    if text.starts_with("//") {
        until("\n")
    } else if text.starts_with("/*") {
        (until("*/") + 2).min(text.len())
    } else if let Some(hashes) = hashes_of_raw_text(text) {
        let end = format!("\"{hashes}");
        let body = 1 + hashes.len() + 1;
        text[body..]
            .find(&end)
            .map_or(text.len(), |at| body + at + end.len())
    } else if text.starts_with("'\"'") {
        3
    } else if text.starts_with("'\\\"'") {
        4
    } else if let Some(inner) = text.strip_prefix('"') {
        1 + quoted_length(inner)
    } else {
        0
    }
}

/// The hashes between `r` and the quote of a raw text.
fn hashes_of_raw_text(text: &str) -> Option<&str> {
    let hashes = text.strip_prefix('r')?;
    let quote = hashes.find(|one| one != '#')?;
    hashes[quote..].starts_with('"').then(|| &hashes[..quote])
}

/// The length of a text up to and with its closing quote.
fn quoted_length(inner: &str) -> usize {
    let mut is_escaped = false;
    for (at, one) in inner.char_indices() {
        match one {
            '"' if !is_escaped => return at + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    inner.len()
}

#[test]
fn paths_are_read_out_of_groups_and_code() {
    let text = "use a::{self, b::{c, d}};\nlet x = e::f::<G>(\"h::i\", '\"', r#\"n::o\"#); // j::k\nuse l as m;";
    let found: Vec<_> = paths(text)
        .into_iter()
        .map(|path| format!("{}:{}", path.line, path.names.join("::")))
        .collect();
    assert_eq!(
        found,
        ["1:a::self", "1:a::b::c", "1:a::b::d", "2:e::f", "3:l"]
    );
}
