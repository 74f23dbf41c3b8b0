//! The outbox: what waits to be sent to one connection, bounded in bytes.
//!
//! It knows no socket: a writer takes slices from it and gives back how many bytes went out. An outbox lives
//! on one shard's thread. Pushing into it never waits; where it would grow over its bound it says so and the
//! channel's policy decides.

use std::cell::RefCell;
use std::fmt;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use parlor_protocol::push::{Disconnect, Push};
use parlor_protocol::{Alias, CloseCode, Form};

use crate::planted::{self, Bug};

mod backlog;
mod dirty;
mod frame;

pub use backlog::SLICES_MAX;
pub use dirty::{Dirty, Lane};
pub use frame::Frame;

use backlog::{Backlog, Entry};

/// One connection's queue of frames.
pub struct Outbox {
    /// Where the shard finds the connection.
    key: usize,
    form: Form,
    bytes_max: usize,
    dirty: Rc<Dirty>,
    queue: RefCell<Queue>,
}

#[derive(Default)]
struct Queue {
    backlog: Backlog,
    /// The connection's own task waits for the socket: the drain must leave it alone.
    blocked: bool,
    in_near: bool,
    in_bulk: bool,
    closing: Option<CloseCode>,
    /// Tasks that wait for room, or for the end.
    waiters: Vec<Waker>,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Queued,
    /// It would not fit: the frame was not taken.
    Overflow,
    /// The connection is closing: the frame was dropped.
    Closed,
}

impl Outbox {
    pub fn new(key: usize, form: Form, bytes_max: usize, dirty: Rc<Dirty>) -> Rc<Self> {
        Rc::new(Self {
            key,
            form,
            bytes_max,
            dirty,
            queue: RefCell::default(),
        })
    }

    pub fn key(&self) -> usize {
        self.key
    }

    pub fn form(&self) -> Form {
        self.form
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.queue.borrow().backlog.bytes()
    }

    /// Whether it is more than half full: what is dropped first is dropped now.
    pub fn is_under_pressure(&self) -> bool {
        self.bytes() > self.bytes_max / 2
    }

    /// Whether more waits than may: only replies get it there.
    pub fn is_over_bound(&self) -> bool {
        self.bytes() > self.bytes_max
    }

    pub fn closing(&self) -> Option<CloseCode> {
        self.queue.borrow().closing
    }

    /// Takes a live frame of a channel, unless it would not fit.
    pub fn push(self: &Rc<Self>, frame: &Frame, alias: Alias, lane: Lane) -> Pushed {
        let mut queue = self.queue.borrow_mut();
        if queue.closing.is_some() {
            return Pushed::Closed;
        }
        let is_full = queue.backlog.bytes_with(frame) > self.bytes_max;
        if is_full && !planted::has(Bug::IgnoreSlowCap) {
            return Pushed::Overflow;
        }
        queue.add(frame.clone(), Some(alias));
        if planted::has(Bug::SwapNeighbours) {
            queue.backlog.swap_newest();
        }
        self.list(&mut queue, lane);
        Pushed::Queued
    }

    /// Takes a reply or a notice. Never refused: replies are bounded by the commands that a client may have
    /// under way. The reader begins no command while the outbox is over its bound.
    pub fn push_reply(self: &Rc<Self>, frame: Frame) {
        self.push_lasting(frame, Lane::Near);
    }

    /// Takes what is never refused and never taken back: the caller bounds how much that is.
    pub fn push_lasting(self: &Rc<Self>, frame: Frame, lane: Lane) {
        let mut queue = self.queue.borrow_mut();
        if queue.closing.is_none() {
            queue.add(frame, None);
            self.list(&mut queue, lane);
        }
    }

    /// Ends the connection: what waits is dropped (but for a frame that is half sent), then the reason is sent as
    /// a `disconnect` push and as a close frame.
    pub fn close(self: &Rc<Self>, code: CloseCode, retry_after_ms: Option<u64>) {
        let mut queue = self.queue.borrow_mut();
        if queue.closing.is_some() {
            return;
        }
        if matches!(code, CloseCode::Slow) {
            queue.backlog.retain(|_| false);
        }
        let notice = Push::Disconnect(Disconnect {
            code: code.number(),
            name: code.name().to_owned(),
            text: code.text().to_owned(),
            retry_after_ms,
        });
        queue.add(Frame::of_push(self.form, &notice), None);
        queue.add(Frame::close(code.number(), code.name()), None);
        queue.closing = Some(code);
        queue.wake_all();
        self.list(&mut queue, Lane::Near);
    }

    /// Answers the peer's own close frame; nothing follows it.
    pub fn close_in_answer(self: &Rc<Self>, frame: Frame) {
        let mut queue = self.queue.borrow_mut();
        if queue.closing.is_none() {
            queue.add(frame, None);
            queue.closing = Some(CloseCode::Internal);
            queue.wake_all();
            self.list(&mut queue, Lane::Near);
        }
    }

    /// The socket is gone: whoever waits for room need not. It stays empty from now on.
    pub fn abandon(&self) {
        let mut queue = self.queue.borrow_mut();
        queue.backlog.clear();
        queue.closing.get_or_insert(CloseCode::Internal);
        queue.wake_all();
    }

    /// Takes back the waiting live events of a channel. A half-sent frame stays.
    pub fn take_back(&self, alias: Alias) {
        let mut queue = self.queue.borrow_mut();
        queue.backlog.retain(|entry| entry.alias != Some(alias));
    }

    /// Gives at most [`SLICES_MAX`] slices of what waits to `write`, and takes note of how many bytes it sent.
    /// Returns `write`'s answer, or `None` when nothing waits.
    pub fn write_with<E>(
        &self,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Option<Result<usize, E>> {
        let mut queue = self.queue.borrow_mut();
        let answer = queue.backlog.with_slices(write)?;
        if let Ok(sent) = &answer {
            queue.backlog.sent(*sent);
            if queue.backlog.bytes() <= self.bytes_max / 2 {
                queue.wake_all();
            }
        }
        Some(answer)
    }

    pub fn is_empty(&self) -> bool {
        self.queue.borrow().backlog.is_empty()
    }

    /// Gives back what a burst had taken, once it is sent.
    pub fn shrink(&self) {
        self.queue.borrow_mut().backlog.shrink();
    }

    /// The connection's task waits for the socket from now on (true), or gives the outbox back to the drain (false).
    pub fn set_blocked(self: &Rc<Self>, blocked: bool) {
        let mut queue = self.queue.borrow_mut();
        queue.blocked = blocked;
        if !blocked && !queue.backlog.is_empty() {
            self.list(&mut queue, Lane::Bulk);
        }
    }

    pub fn is_blocked(&self) -> bool {
        self.queue.borrow().blocked
    }

    /// Called by the drain when it takes the outbox from a lane.
    pub fn unlist(&self, lane: Lane) {
        let mut queue = self.queue.borrow_mut();
        match lane {
            Lane::Near => queue.in_near = false,
            Lane::Bulk => queue.in_bulk = false,
        }
    }

    /// Puts an outbox that has more to send back into its lane.
    pub fn relist(self: &Rc<Self>, lane: Lane) {
        let mut queue = self.queue.borrow_mut();
        self.list(&mut queue, lane);
    }

    /// Ready once at most half of the bound waits, or the connection closes.
    pub fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        let mut queue = self.queue.borrow_mut();
        if queue.backlog.bytes() <= self.bytes_max / 2 || queue.closing.is_some() {
            return Poll::Ready(());
        }
        queue.wait(context);
        Poll::Pending
    }

    /// Ready once the connection closes. Whoever waits for a full socket waits for this, too: the drain, which would find
    /// out, leaves a blocked outbox alone, and the socket of a reader that is gone never has room again.
    pub fn poll_closing(&self, context: &Context<'_>) -> Poll<()> {
        let mut queue = self.queue.borrow_mut();
        if queue.closing.is_some() {
            return Poll::Ready(());
        }
        queue.wait(context);
        Poll::Pending
    }

    fn list(self: &Rc<Self>, queue: &mut Queue, lane: Lane) {
        if queue.blocked {
            return;
        }
        let listed = match lane {
            Lane::Near => std::mem::replace(&mut queue.in_near, true),
            // Whoever is near is drained sooner anyway.
            Lane::Bulk => queue.in_near || std::mem::replace(&mut queue.in_bulk, true),
        };
        if !listed {
            self.dirty.add(Rc::clone(self), lane);
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("key", &self.key)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl Queue {
    fn add(&mut self, frame: Frame, alias: Option<Alias>) {
        self.backlog.add(Entry { frame, alias });
    }

    /// Has this task woken when there is room, and when the connection closes.
    fn wait(&mut self, context: &Context<'_>) {
        let waker = context.waker();
        if !self.waiters.iter().any(|other| other.will_wake(waker)) {
            self.waiters.push(waker.clone());
        }
    }

    fn wake_all(&mut self) {
        self.waiters.drain(..).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
