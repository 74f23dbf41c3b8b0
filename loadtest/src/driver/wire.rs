//! One open connection in the hands of a reading thread.

use std::task::{Context, Poll, ready};

use super::stream::{Stream, Writing};
use crate::frames::{BadFrame, Frame, Frames};

/// A socket with the little that must be kept between two reads.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    frames: Frames,
    /// What the server sent right behind its handshake, until it is read.
    early: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: Stream, early: Vec<u8>) -> Self {
        Self {
            stream,
            frames: Frames::default(),
            early,
        }
    }

    /// A second handle to the socket, for a plain thread that writes.
    pub(crate) fn split(self) -> std::io::Result<(Self, Writing)> {
        let (stream, writing) = self.stream.split()?;
        Ok((Self { stream, ..self }, writing))
    }

    /// Reads what is there into the thread's scratch buffer and hands out its frames. Ready with `Err` at the
    /// connection's end, with a few words why.
    pub(crate) fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        take: impl FnMut(Frame<'_>) -> Result<(), BadFrame>,
    ) -> Poll<Result<(), String>> {
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            return Poll::Ready(self.feed(&early, take));
        }
        let came = match ready!(self.stream.poll_read(cx, scratch)) {
            Ok(came) if came.is_empty() => Err("closed without a close frame".to_owned()),
            Ok(came) => self.feed(&scratch[came], take),
            Err(error) => Err(format!("read failed: {}", error.kind())),
        };
        Poll::Ready(came)
    }

    fn feed(
        &mut self,
        bytes: &[u8],
        take: impl FnMut(Frame<'_>) -> Result<(), BadFrame>,
    ) -> Result<(), String> {
        let fed = self.frames.feed(bytes, take);
        fed.map_err(|BadFrame(what)| what.to_owned())
    }

    /// Sends a whole frame.
    pub(crate) async fn send(&mut self, frame: &[u8]) -> Result<(), String> {
        self.stream
            .write_all(frame)
            .await
            .map_err(|error| format!("write failed: {}", error.kind()))
    }
}

/// Bytes that one read takes at most; shared by all connections of a thread.
pub(crate) const SCRATCH_BYTES: usize = 128 * 1_024;
