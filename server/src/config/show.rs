//! What `parlor config` prints: the values in force, and the table of keys.

use std::fmt::Write as _;

use toml::Value;

use super::keys::KEYS;
use super::layers::Layers;
use super::raw::Raw;
use super::{Error, Key};

impl Layers {
    /// Every value in force with the place that it came from; secrets are only said to be there.
    ///
    /// # Errors
    /// When a value is not of its key's type.
    pub fn show(&self) -> Result<String, Error> {
        let values = Value::try_from(self.raw()?).map_err(|error| Error::Value {
            key: "config".to_owned(),
            reason: error.to_string(),
        })?;
        let mut leaves = Vec::new();
        collect(String::new(), &values, &mut leaves);
        let width = leaves
            .iter()
            .map(|(path, value)| path.len() + value.len() + 3)
            .max()
            .unwrap_or(0)
            .min(64);
        let mut text = String::new();
        for (path, value) in leaves {
            let line = format!("{path} = {value}");
            // Writing into a String cannot fail.
            writeln!(text, "{line:width$}  # {}", self.source(&path)).unwrap_or_default();
        }
        Ok(text)
    }
}

/// The table of keys as Markdown, with defaults.
pub fn docs() -> String {
    let defaults = Value::try_from(Raw::default()).ok();
    let mut text = String::from("| key | default | environment | meaning |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = defaults
            .as_ref()
            .and_then(|values| find(values, key.path))
            .unwrap_or_default();
        let variable = key
            .variable()
            .map(|name| format!("`{name}`"))
            .unwrap_or_default();
        let default = if default.is_empty() {
            default
        } else {
            format!("`{default}`")
        };
        writeln!(
            text,
            "| `{}` | {default} | {variable} | {} |",
            key.path, key.help
        )
        .unwrap_or_default();
    }
    text
}

fn collect(prefix: String, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Table(table) if Key::of(&prefix).is_none() => {
            for (name, value) in table {
                let path = if prefix.is_empty() {
                    name.clone()
                } else {
                    format!("{prefix}.{name}")
                };
                collect(path, value, into);
            }
        }
        value => into.push((prefix, value.to_string())),
    }
}

fn find(values: &Value, path: &str) -> Option<String> {
    path.split('.')
        .try_fold(values, |value, name| value.get(name))
        .map(Value::to_string)
}
