//! What rides in a payload: when the publish was due and when it was sent.
//!
//! A JSON object of a fixed width, so that one template serves a whole run and a reader finds the
//! numbers by their keys: `{"due":1000000000123456,"sent":1000000000123999,"pad":"…"}`.

/// Both instants in ns since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) due_ns: u64,
    pub(crate) sent_ns: u64,
}

/// The payload of a stamp, `bytes` long where that is possible, [`PAYLOAD_BYTES_MIN`] otherwise.
pub(crate) fn payload(stamp: Stamp, bytes: usize) -> String {
    let (due, sent) = (BASE + stamp.due_ns, BASE + stamp.sent_ns);
    let padding = bytes.saturating_sub(PAYLOAD_BYTES_MIN);
    format!(r#"{{"due":{due},"sent":{sent},"pad":"{:x<padding$}"}}"#, "")
}

/// A number as it stands in a payload, turned back into ns.
pub(crate) fn ns_of(number: u64) -> Option<u64> {
    number.checked_sub(BASE)
}

/// Keeps every number at 16 digits (for 104 days) and below 2^53, where JSON is exact.
const BASE: u64 = 1_000_000_000_000_000;

/// Bytes of a payload without padding.
pub(crate) const PAYLOAD_BYTES_MIN: usize =
    r#"{"due":1000000000000000,"sent":1000000000000000,"pad":""}"#.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_the_length_asked_for() {
        for due_ns in [0, 1, 3_600_000_000_000] {
            let stamp = Stamp {
                due_ns,
                sent_ns: due_ns + 7,
            };
            assert_eq!(payload(stamp, 128).len(), 128);
            assert_eq!(payload(stamp, 1).len(), PAYLOAD_BYTES_MIN);
        }
    }

    #[test]
    fn a_payload_is_json() {
        let text = payload(
            Stamp {
                due_ns: 5,
                sent_ns: 9,
            },
            100,
        );
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["due"].as_u64().and_then(ns_of), Some(5));
        assert_eq!(value["sent"].as_u64().and_then(ns_of), Some(9));
    }
}
