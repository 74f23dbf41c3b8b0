//! What the user asked and the server has not yet answered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::ClientSession;
use super::effect::{ClientEvent, Effect, Failure, RequestId};
use crate::codec::encode_command;
use crate::command::{Command, Envelope};
use crate::error::ErrorCode;

/// Requests that are to be sent, and everything that waits for its reply.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// In the order of asking; repetitions stand before what was never sent.
    waiting: VecDeque<Request>,
    /// By the id on the present socket.
    in_flight: BTreeMap<u32, Flight>,
    last_request: u64,
    last_wire_id: u32,
}

/// What a wire id was used for.
#[derive(Debug)]
pub(super) enum Flight {
    /// With the channels of its subscriptions, in order.
    Connect(Vec<Arc<str>>),
    Subscribe(Arc<str>),
    Unsubscribe,
    Request(Box<Request>),
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) handle: RequestId,
    envelope: Envelope,
    first_sent: Option<Duration>,
}

/// As many requests wait for their replies as the session keeps: [`REQUESTS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to take another request; {REQUESTS_MAX} wait for their replies")]
pub struct TooManyRequests;

/// Requests that one session keeps, sent or not.
pub const REQUESTS_MAX: usize = 4_096;

impl Requests {
    pub(super) fn wire_id(&mut self) -> u32 {
        self.last_wire_id = self.last_wire_id.wrapping_add(1);
        self.last_wire_id
    }

    pub(super) fn fly(&mut self, id: u32, flight: Flight) {
        self.in_flight.insert(id, flight);
    }

    pub(super) fn land(&mut self, id: u32) -> Option<Flight> {
        self.in_flight.remove(&id)
    }

    /// The socket is gone. Publishes with an id wait to be repeated; the others that were sent are returned.
    pub(super) fn lost(&mut self) -> Vec<RequestId> {
        let mut failed = Vec::new();
        // From the newest to the oldest, so that the oldest ends up in front.
        for (_, flight) in std::mem::take(&mut self.in_flight).into_iter().rev() {
            let Flight::Request(request) = flight else {
                continue;
            };
            if request.is_repeatable() {
                self.waiting.push_front(*request);
            } else {
                failed.push(request.handle);
            }
        }
        self.last_wire_id = 0;
        failed.reverse();
        failed
    }

    /// Forgets all of them.
    pub(super) fn drain(&mut self) -> Vec<RequestId> {
        let mut handles = self.lost();
        handles.extend(self.waiting.drain(..).map(|request| request.handle));
        handles
    }

    /// When the oldest repetition stops being safe.
    pub(super) fn next_expiry(&self, dedup_window: Duration) -> Option<Duration> {
        let first_sent = self.waiting.front()?.first_sent?;
        Some(first_sent + safe_part(dedup_window))
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }
}

impl Request {
    fn is_repeatable(&self) -> bool {
        matches!(&self.envelope.command, Command::Publish(publish) if publish.id.is_some())
    }
}

impl ClientSession {
    pub(super) fn ask(&mut self, command: Command) -> Result<RequestId, TooManyRequests> {
        if self.requests.len() >= REQUESTS_MAX {
            return Err(TooManyRequests);
        }
        self.requests.last_request += 1;
        let handle = RequestId(self.requests.last_request);
        let envelope = Envelope { id: None, command };
        let request = Request {
            handle,
            envelope,
            first_sent: None,
        };
        self.requests.waiting.push_back(request);
        if self.is_live() {
            self.send_waiting();
        }
        Ok(handle)
    }

    /// Sends all that waits, the oldest first.
    pub(super) fn send_waiting(&mut self) {
        self.expire_requests();
        while let Some(mut request) = self.requests.waiting.pop_front() {
            let id = self.requests.wire_id();
            request.envelope.id = Some(id);
            request.first_sent.get_or_insert(self.now);
            let frame = encode_command(self.config.form, &request.envelope);
            if frame.len() > self.limits.frame_bytes_max as usize {
                // The server would close the connection for it.
                let error = ErrorCode::TooLarge.with("the command is larger than a frame may be");
                let result = Err(Failure::Refused(error));
                self.tell(ClientEvent::Reply {
                    request: request.handle,
                    result,
                });
                continue;
            }
            self.requests.fly(id, Flight::Request(Box::new(request)));
            self.effects.push_back(Effect::Send(frame));
        }
    }

    /// Gives up those whose repetition might be taken for a new publish.
    pub(super) fn expire_requests(&mut self) {
        while self
            .requests
            .next_expiry(self.dedup_window())
            .is_some_and(|expiry| expiry <= self.now)
        {
            if let Some(request) = self.requests.waiting.pop_front() {
                self.tell(ClientEvent::Reply {
                    request: request.handle,
                    result: Err(Failure::Expired),
                });
            }
        }
    }
}

/// The server's window runs from its own first sight, and the repetition needs time to arrive.
fn safe_part(dedup_window: Duration) -> Duration {
    dedup_window / 10 * 9
}
