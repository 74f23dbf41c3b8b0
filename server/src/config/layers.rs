//! File, environment and flags over each other, each value with the place that it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Error;
use super::keys::{KEYS, Key, PREFIX, Shape};
use super::raw::Raw;

/// What was set, and by whom. Later calls win: file, then environment, then flags.
#[derive(Default)]
pub struct Layers {
    values: Table,
    sources: BTreeMap<String, Source>,
}

impl fmt::Debug for Layers {
    /// Without values: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File(PathBuf),
    /// The variable's name.
    Environment(String),
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Variables that begin like ours and are none: Kubernetes sets them for a service called `parlor`, clients of
/// the command line read the others.
const FOREIGN: [&str; 8] = [
    "SERVICE_", "PORT", "CONFIG", "DATA", "URL", "KEY", "TOKEN", "CA",
];

impl Layers {
    /// Reads a file into the lowest layer.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, or has an unknown key.
    pub fn read_file(&mut self, path: &Path) -> Result<(), Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            path: path.into(),
            source,
        })?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| Error::Toml {
            path: path.into(),
            reason: describe(&error, &text),
        })?;
        self.add_table(String::new(), table, &Source::File(path.into()))
    }

    /// Lays the environment over it. Returns warnings: variables that look like ours and are not.
    ///
    /// # Errors
    /// When a value is not of its key's shape, or a `…__FILE` cannot be read.
    pub fn read_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Vec<String>, Error> {
        let mut warnings = Vec::new();
        for (name, text) in variables {
            let Some(ours) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let (bare, is_file) = match name.strip_suffix("__FILE") {
                Some(bare) => (bare, true),
                None => (name.as_str(), false),
            };
            match KEYS
                .iter()
                .find(|key| key.variable().as_deref() == Some(bare))
            {
                Some(key) => {
                    let text = if is_file {
                        read_secret(Path::new(&text))?
                    } else {
                        text
                    };
                    self.set(key.path, key, &text, Source::Environment(name))?;
                }
                None if FOREIGN.iter().any(|foreign| ours.starts_with(foreign)) => {}
                None => warnings.push(format!(
                    "{name}: there is no such variable{}",
                    closest_variable(bare)
                )),
            }
        }
        Ok(warnings)
    }

    /// Lays one flag over it: `server.listen=127.0.0.1:9000`.
    ///
    /// # Errors
    /// When the key is unknown or the value is not of its shape.
    pub fn set_flag(&mut self, path: &str, text: &str) -> Result<(), Error> {
        let key = Key::of(path).ok_or_else(|| unknown(path))?;
        self.set(path, key, text, Source::Flag)
    }

    /// Where the value of this key comes from.
    pub fn source(&self, path: &str) -> &Source {
        self.sources.get(path).unwrap_or(&Source::Default)
    }

    pub(super) fn raw(&self) -> Result<Raw, Error> {
        serde_path_to_error::deserialize(Value::Table(self.values.clone())).map_err(|error| {
            Error::Value {
                key: error.path().to_string(),
                reason: error.inner().to_string().trim().replace('\n', " "),
            }
        })
    }

    fn add_table(&mut self, prefix: String, table: Table, source: &Source) -> Result<(), Error> {
        for (name, value) in table {
            let path = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}.{name}")
            };
            match value {
                Value::Table(inner) if Key::of(&path).is_none() => {
                    if !KEYS.iter().any(|key| is_within(&path, key.path)) {
                        return Err(unknown(&path));
                    }
                    self.add_table(path, inner, source)?;
                }
                _ if Key::of(&path).is_none() => return Err(unknown(&path)),
                value => self.put(&path, value, source.clone()),
            }
        }
        Ok(())
    }

    fn set(&mut self, path: &str, key: &Key, text: &str, source: Source) -> Result<(), Error> {
        let value = shaped(key.shape, text).map_err(|reason| Error::Value {
            key: format!("{path} (from {source})"),
            reason: reason.to_owned(),
        })?;
        self.put(path, value, source);
        Ok(())
    }

    fn put(&mut self, path: &str, value: Value, source: Source) {
        let mut names: Vec<&str> = path.split('.').collect();
        let Some(last) = names.pop() else { return };
        let mut table = &mut self.values;
        for name in names {
            let inner = table
                .entry(name)
                .or_insert_with(|| Value::Table(Table::new()));
            // The file was checked on its way in: where a key has keys below it, there stands a table.
            let Value::Table(inner) = inner else { return };
            table = inner;
        }
        table.insert(last.to_owned(), value);
        self.sources.insert(path.to_owned(), source);
    }
}

fn shaped(shape: Shape, text: &str) -> Result<Value, &'static str> {
    let text = text.trim();
    match shape {
        Shape::Text => Ok(Value::String(text.to_owned())),
        Shape::Number => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| "needs a whole number"),
        Shape::Switch => text
            .parse()
            .map(Value::Boolean)
            .map_err(|_| "needs true or false"),
        Shape::List => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Ok(Value::Array(
                items.map(|item| Value::String(item.to_owned())).collect(),
            ))
        }
    }
}

/// A secret from a file, without the line break that editors add.
pub(super) fn read_secret(path: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        path: path.into(),
        source,
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The place and the fault, without the line itself: it may hold a secret.
fn describe(error: &toml::de::Error, text: &str) -> String {
    let line = error
        .span()
        .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

/// Whether a table of this path may hold the key.
fn is_within(table: &str, key: &str) -> bool {
    let mut names = key.split('.');
    table.split('.').all(|name| {
        names
            .next()
            .is_some_and(|known| known == "*" || known == name)
    }) && names.next().is_some()
}

fn unknown(path: &str) -> Error {
    let last = path.rsplit('.').next().unwrap_or(path);
    let best = KEYS
        .iter()
        .map(|key| {
            let whole = strsim::jaro_winkler(path, key.path);
            let name = strsim::jaro_winkler(last, key.path.rsplit('.').next().unwrap_or(key.path));
            (key.path, whole.max(name * 0.95))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let hint = match best {
        Some((known, likeness)) if likeness > 0.8 => format!("; did you mean `{known}`?"),
        _ => "; `parlor config docs` lists them".to_owned(),
    };
    Error::UnknownKey {
        key: path.to_owned(),
        hint,
    }
}

fn closest_variable(name: &str) -> String {
    let variables = KEYS.iter().filter_map(Key::variable);
    let best = variables
        .map(|known| (strsim::jaro_winkler(name, &known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, known)) if likeness > 0.8 => format!("; did you mean `{known}`?"),
        _ => String::new(),
    }
}
