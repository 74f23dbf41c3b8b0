//! What is published: a number that no other message of the run has, and when it was due.

use parlor_protocol::{Event, Payload};
use parlor_tests::json;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) number: u64,
    /// In ns of the run's clock.
    pub(super) due_ns: u64,
}

/// 128 bytes.
pub(super) fn payload(mark: Mark) -> Payload {
    let Mark { number, due_ns } = mark;
    json(format!("\"{number:010} {due_ns:020} {:x<94}\"", ""))
}

/// Nothing when somebody else published it.
pub(super) fn read(event: &Event) -> Option<Mark> {
    let text = str::from_utf8(&event.payload.as_ref()?.bytes).ok()?;
    let mut words = text.strip_prefix('"')?.split(' ');
    let number = words.next()?.parse().ok()?;
    let due_ns = words.next()?.parse().ok()?;
    Some(Mark { number, due_ns })
}
