//! The shape of the vector files, described for other languages in `vectors/README.md`.

use std::path::PathBuf;

use parlor_protocol::Form;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A value and how it is written in both forms, byte for byte.
#[derive(Serialize, Deserialize)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) value: Value,
    pub(crate) json: String,
    /// In hex.
    pub(crate) msgpack: String,
}

/// Another way to write `value`, or more around it: to be read as `value`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Compat {
    pub(crate) name: String,
    /// Who reads it: `server` or `client`.
    pub(crate) to: String,
    pub(crate) value: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) msgpack: Option<String>,
}

/// A client's frame that is refused, or of which a part is.
#[derive(Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) name: String,
    /// The frame as text, or in hex when it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) json_hex: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) msgpack: Option<String>,
    /// One for each object of the frame, or `bad_frame` alone.
    pub(crate) answers: Vec<Answer>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub(crate) enum Answer {
    Error {
        id: Option<u32>,
        error: String,
    },
    Command {
        id: Option<u32>,
        command: String,
    },
    /// The connection is closed. Written as `null`.
    BadFrame,
}

impl Refused {
    pub(crate) fn form(&self) -> Form {
        if self.msgpack.is_some() {
            Form::MsgPack
        } else {
            Form::Json
        }
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let text = self.json.as_ref().map(|text| text.clone().into_bytes());
        text.or_else(|| {
            self.json_hex
                .as_deref()
                .or(self.msgpack.as_deref())
                .map(unhex)
        })
        .expect("a frame")
    }
}

/// Compares a file with what it should hold, or writes it when blessed.
pub(crate) fn check_file<T: Serialize>(name: &str, vectors: &[T]) {
    let lines: Vec<_> = vectors
        .iter()
        .map(|vector| serde_json::to_string_pretty(vector).expect("json"))
        .collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    let path = path(name);
    if std::env::var_os("PARLOR_BLESS").is_some() {
        return std::fs::write(path, text).expect("writable");
    }
    let found = std::fs::read_to_string(path).expect("the file is committed");
    assert!(
        found == text,
        "vectors/{name} is stale; PARLOR_BLESS=1 writes it anew"
    );
}

pub(crate) fn load<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let text = std::fs::read_to_string(path(name)).expect("the file is committed");
    serde_json::from_str(&text).expect("a vector file")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(name)
}
