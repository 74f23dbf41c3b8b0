//! The frames that wait in an outbox, oldest first, and how far the oldest is sent.
//!
//! Nearly always one frame waits, or none. So the oldest stands here and not in the queue's own block: a delivery then
//! touches no memory beside the outbox, and a connection that nothing waits for holds no block at all.

use std::collections::VecDeque;
use std::io::IoSlice;

use parlor_protocol::Alias;

use super::Frame;

/// Slices given to one write. More do not pay: the kernel copies them all in the same call.
pub const SLICES_MAX: usize = 64;

/// What a waiting frame costs beside its bytes, about.
const ENTRY_OVERHEAD: usize = 32;

#[derive(Default)]
pub(super) struct Backlog {
    /// The oldest. `None` only when nothing waits.
    head: Option<Entry>,
    /// What follows the head.
    rest: VecDeque<Entry>,
    /// Bytes of the head that are sent already.
    head_sent: usize,
    /// Bytes that wait, each entry's overhead included.
    bytes: usize,
}

pub(super) struct Entry {
    pub(super) frame: Frame,
    /// The channel of a live event, so that the policy "skip to latest" can take it back.
    pub(super) alias: Option<Alias>,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Bytes that wait, each entry's overhead included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it would hold with this frame.
    pub(super) fn bytes_with(&self, frame: &Frame) -> usize {
        self.bytes + cost(frame)
    }

    pub(super) fn add(&mut self, entry: Entry) {
        self.bytes += cost(&entry.frame);
        if self.head.is_none() {
            self.head = Some(entry);
        } else {
            self.rest.push_back(entry);
        }
    }

    /// Hands at most [`SLICES_MAX`] slices of what waits to `look`; `None` when nothing waits.
    pub(super) fn with_slices<T>(&self, look: impl FnOnce(&[IoSlice<'_>]) -> T) -> Option<T> {
        let head = self.head.as_ref()?;
        let first = IoSlice::new(&head.frame.as_bytes()[self.head_sent..]);
        if self.rest.is_empty() {
            return Some(look(&[first]));
        }
        let mut slices = [first; SLICES_MAX];
        let mut used = 1;
        for (slice, entry) in slices[1..].iter_mut().zip(&self.rest) {
            *slice = IoSlice::new(entry.frame.as_bytes());
            used += 1;
        }
        Some(look(&slices[..used]))
    }

    /// So many more bytes are sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        let mut left = bytes + self.head_sent;
        while let Some(head) = &self.head {
            let len = head.frame.len();
            if left < len {
                break;
            }
            left -= len;
            self.bytes -= cost(&head.frame);
            self.head = self.rest.pop_front();
        }
        self.head_sent = left;
    }

    /// Drops whatever `stays` does not want, but never a frame that is half sent.
    pub(super) fn retain(&mut self, stays: impl Fn(&Entry) -> bool) {
        self.rest.retain(&stays);
        if self.head_sent == 0 && !self.head.as_ref().is_some_and(&stays) {
            self.head = self.rest.pop_front();
        }
        let entries = self.head.iter().chain(&self.rest);
        self.bytes = entries.map(|entry| cost(&entry.frame)).sum();
    }

    /// Drops everything: nothing can be sent any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives back what a burst had taken, once it is sent.
    pub(super) fn shrink(&mut self) {
        if self.rest.is_empty() {
            self.rest = VecDeque::new();
        }
    }

    /// A planted fault: the newest two change places, if both are whole and of one channel.
    pub(super) fn swap_newest(&mut self) {
        match (self.rest.len(), &mut self.head) {
            (0, _) => {}
            (1, Some(head)) if self.head_sent == 0 => {
                if head.alias == self.rest[0].alias {
                    std::mem::swap(head, &mut self.rest[0]);
                }
            }
            (1, _) => {}
            (count, _) => {
                if self.rest[count - 1].alias == self.rest[count - 2].alias {
                    self.rest.swap(count - 1, count - 2);
                }
            }
        }
    }
}

fn cost(frame: &Frame) -> usize {
    frame.len() + ENTRY_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_burst_took_is_given_back_once_it_is_sent() {
        let mut backlog = Backlog::default();
        let frame = Frame::pong(b"?");
        let len = frame.len();
        for _ in 0..1_000 {
            let frame = frame.clone();
            backlog.add(Entry { frame, alias: None });
        }
        backlog.sent(999 * len);
        backlog.shrink();
        assert!(!backlog.is_empty(), "the last is not sent");
        backlog.sent(len);
        backlog.shrink();
        assert!(backlog.is_empty());
        assert_eq!((backlog.bytes(), backlog.rest.capacity()), (0, 0));
    }
}
