//! An event's row: what of an entry stands on the disk, readable with any SQLite tool.

use std::sync::Arc;

use bytes::Bytes;
use parlor_protocol::{Epoch, EventKind, Format, Payload, Tag, Tags, Time};
use rusqlite::types::{FromSqlError, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, params};

use crate::hub::{Frames, LogEntry};

pub(super) fn insert(
    connection: &Connection,
    channel: i64,
    entry: &LogEntry,
) -> rusqlite::Result<()> {
    let tags = (!entry.tags.is_empty()).then(|| tags_to_text(&entry.tags));
    let (format, data) = match entry.payload.format {
        Format::Json => ("json", ValueRef::Text(&entry.payload.bytes)),
        Format::Binary => ("binary", ValueRef::Blob(&entry.payload.bytes)),
    };
    connection
        .prepare_cached(
            "INSERT INTO event (channel, offset, time, seq, tag, prev, kind, id, user, tags, format, data)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            channel,
            entry.offset.cast_signed(),
            entry.time.0.cast_signed(),
            entry.seq.cast_signed(),
            entry.tag.0.cast_signed(),
            entry.prev.0.cast_signed(),
            entry.kind.as_str(),
            entry.id.as_deref(),
            entry.user.as_deref(),
            tags,
            format,
            ToSqlOutput::Borrowed(data),
        ])?;
    Ok(())
}

/// Overwrites what these events said; their places stay. Erasures are passed over: they say only offsets, and readers need them.
pub(super) fn erase(
    connection: &Connection,
    channel: i64,
    offsets: &[u64],
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE event SET id = NULL, user = NULL, tags = NULL, format = 'erased', data = ''
         WHERE channel = ? AND offset = ? AND kind <> 'erase'",
    )?;
    for offset in offsets {
        statement.execute(params![channel, offset.cast_signed()])?;
    }
    Ok(())
}

/// Reads a row of `offset, time, seq, tag, prev, kind, id, user, tags, format, data`.
pub(super) fn read(row: &Row<'_>, epoch: Epoch) -> rusqlite::Result<LogEntry> {
    let unsigned = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
    let data = row.get_ref(10)?;
    let (ValueRef::Text(bytes) | ValueRef::Blob(bytes)) = data else {
        return Err(FromSqlError::InvalidType.into());
    };
    let (format, erased) = match row.get_ref(9)?.as_str()? {
        "json" => (Format::Json, false),
        "binary" => (Format::Binary, false),
        "erased" => (Format::Binary, true),
        _ => return Err(FromSqlError::InvalidType.into()),
    };
    Ok(LogEntry {
        epoch,
        offset: unsigned(0)?,
        time: Time(unsigned(1)?),
        seq: unsigned(2)?,
        tag: Tag(unsigned(3)?),
        prev: Tag(unsigned(4)?),
        kind: EventKind::from(row.get_ref(5)?.as_str()?),
        id: text(row, 6)?,
        user: text(row, 7)?,
        tags: row
            .get_ref(8)?
            .as_str_or_null()?
            .map(text_to_tags)
            .unwrap_or_default(),
        payload: Payload {
            format,
            bytes: Bytes::copy_from_slice(bytes),
        },
        erased,
        no_echo_to: None,
        frames: Frames::default(),
    })
}

fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Arc<str>>> {
    Ok(row.get_ref(index)?.as_str_or_null()?.map(Arc::from))
}

/// `name=value&name=value`, where `%`, `&` and `=` are escaped as in a URL's query.
fn tags_to_text(tags: &Tags) -> String {
    let pairs: Vec<String> = tags
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect();
    pairs.join("&")
}

fn text_to_tags(text: &str) -> Tags {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (unescape(name), unescape(value)))
        .collect()
}

fn escape(raw: &str) -> String {
    // `%` first: it must not meet the ones that the others bring.
    raw.replace('%', "%25")
        .replace('&', "%26")
        .replace('=', "%3D")
}

fn unescape(text: &str) -> String {
    text.replace("%3D", "=")
        .replace("%26", "&")
        .replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_back_as_they_were() {
        let pairs = [
            ("a", "1"),
            ("b&c=", "%26=&%"),
            ("", ""),
            ("%25", "ü\n\0"),
            ("x", ""),
        ];
        let tags: Tags = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(text_to_tags(&tags_to_text(&tags)), tags);
    }
}
