//! What rides in a payload: when the publish was due, when it was sent, and which of its channel's it is.
//!
//! One word of a fixed width that survives whatever a server does to the JSON around it (other spaces, another order of
//! keys, a string in a string): `{"at":"#1000000000123456-1000000000123999-00000042#","pad":"…"}`. A reader looks where
//! it stood last time and nearly always finds it there.

/// Both instants in ns since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) due_ns: u64,
    pub(crate) sent_ns: u64,
    /// From 1, dense within the channel: takes the place of an offset where a server has none. Below [`NUMBER_MAX`].
    pub(crate) number: u64,
}

/// Finds stamps; remembers where the last one stood.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Finder {
    at: usize,
}

/// The payload of a stamp, `bytes` long where that is possible, [`PAYLOAD_BYTES_MIN`] otherwise.
pub(crate) fn payload(stamp: Stamp, bytes: usize) -> String {
    let (due, sent, number) = (BASE + stamp.due_ns, BASE + stamp.sent_ns, stamp.number);
    let padding = bytes.saturating_sub(PAYLOAD_BYTES_MIN);
    format!(
        r##"{{"at":"#{due}-{sent}-{number:08}#","pad":"{:x<padding$}"}}"##,
        ""
    )
}

impl Finder {
    /// The first stamp in `bytes`, and where it ends.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Option<(Stamp, usize)> {
        if let Some(stamp) = bytes.get(self.at..).and_then(read) {
            return Some((stamp, self.at + STAMP_BYTES));
        }
        let (at, stamp) =
            memchr::memchr_iter(b'#', bytes).find_map(|at| Some((at, read(&bytes[at..])?)))?;
        self.at = at;
        Some((stamp, at + STAMP_BYTES))
    }
}

/// The stamp at the very start of `bytes`.
fn read(bytes: &[u8]) -> Option<Stamp> {
    let text: &[u8; STAMP_BYTES] = bytes.first_chunk()?;
    if (text[0], text[17], text[34], text[43]) != (b'#', b'-', b'-', b'#') {
        return None;
    }
    Some(Stamp {
        due_ns: sixteen(&text[1..17])?.checked_sub(BASE)?,
        sent_ns: sixteen(&text[18..34])?.checked_sub(BASE)?,
        number: eight(&text[35..43])?,
    })
}

fn sixteen(digits: &[u8]) -> Option<u64> {
    Some(eight(&digits[..8])? * 100_000_000 + eight(&digits[8..])?)
}

/// Eight decimal digits at once: there is one of these for every 8 digits of every delivery, so they are not read one by one.
fn eight(digits: &[u8]) -> Option<u64> {
    let word = u64::from_le_bytes(*digits.first_chunk()?);
    // A digit is 0x30 to 0x39: its upper half is 3, and still is when 6 is added.
    let upper_halves = |word: u64| word & 0xf0f0_f0f0_f0f0_f0f0;
    let all_three = 0x3030_3030_3030_3030;
    if upper_halves(word) != all_three
        || upper_halves(word.wrapping_add(0x0606_0606_0606_0606)) != all_three
    {
        return None;
    }
    // Pairs, then fours, then all eight: each step multiplies the earlier half and adds the later one.
    let pairs = (word & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    Some((fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32)
}

/// Keeps every instant at 16 digits, for 104 days.
const BASE: u64 = 1_000_000_000_000_000;
/// Beyond the last number that a stamp can hold.
pub(crate) const NUMBER_MAX: u64 = 100_000_000;
/// With both `#`.
const STAMP_BYTES: usize = "#1000000000000000-1000000000000000-00000000#".len();

/// Bytes of a payload without padding.
pub(crate) const PAYLOAD_BYTES_MIN: usize =
    r##"{"at":"#1000000000000000-1000000000000000-00000000#","pad":""}"##.len();

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(due_ns: u64) -> Stamp {
        Stamp {
            due_ns,
            sent_ns: due_ns + 7,
            number: due_ns % NUMBER_MAX,
        }
    }

    #[test]
    fn payloads_have_the_length_asked_for() {
        for due_ns in [0, 1, 3_600_000_000_000] {
            assert_eq!(payload(stamp(due_ns), 128).len(), 128);
            assert_eq!(payload(stamp(due_ns), 1).len(), PAYLOAD_BYTES_MIN);
        }
    }

    #[test]
    fn a_stamp_is_found_wherever_a_server_puts_it() {
        let mut finder = Finder::default();
        for (due_ns, before) in [
            (5, ""),
            (98_765_432_101, "#-#"),
            (7, r#"{\"x\":1}"#),
            (8, ""),
        ] {
            let text = payload(stamp(due_ns), 100);
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
            let bytes = format!("{before}{}", text.replace('"', "\\\""));
            let (found, end) = finder.find(bytes.as_bytes()).unwrap();
            assert_eq!(found, stamp(due_ns));
            assert!(bytes[..end].ends_with('#'));
        }
    }

    #[test]
    fn nothing_else_is_a_stamp() {
        let good = payload(stamp(5), 100);
        assert!(Finder::default().find(good.as_bytes()).is_some());
        for bad in [
            String::new(),
            good.replace('#', "+"),
            good[..40].to_owned(),
            good.replacen("00", "0:", 1),
            good.replacen("00", "0/", 1),
            good.replacen("00", "0a", 1),
        ] {
            assert_eq!(Finder::default().find(bad.as_bytes()), None, "{bad}");
        }
    }
}
