//! A frame's first reading: which objects it holds, and in each the id and the named bodies. Bodies stay
//! unread spans of the frame, so one bad command leaves its neighbours alone.

use std::borrow::Cow;

use super::body::Body;
use super::{Form, FrameError, split_json, split_msgpack};
use crate::limits::COMMANDS_PER_FRAME_MAX;

/// One object of a frame.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub(super) id: Id,
    /// Everything beside `id`, in the frame's order.
    pub(super) entries: Vec<(Cow<'a, str>, Body<'a>)>,
}

/// What stands as an object's `id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Absent,
    Is(u32),
    /// Not a number of 0 to 2^32 − 1, or there twice.
    Bad,
}

impl<'a> Object<'a> {
    pub(super) fn new() -> Self {
        Self {
            id: Id::Absent,
            entries: Vec::with_capacity(1),
        }
    }

    pub(super) fn push(&mut self, key: Cow<'a, str>, body: Body<'a>) {
        if key != "id" {
            self.entries.push((key, body));
        } else if self.id == Id::Absent {
            self.id = body.parse().map_or(Id::Bad, Id::Is);
        } else {
            self.id = Id::Bad;
        }
    }
}

/// How deep anything in a frame may nest: an array, a command, its body, and a payload at its own limit fit well.
pub(super) const FRAME_DEPTH_MAX: usize = 64;

/// Finds the objects of a frame.
///
/// # Errors
/// The frame is not well-formed, is neither an object nor an array of 1 to `objects_max` objects, or nests too deeply.
pub(super) fn split(
    form: Form,
    frame: &[u8],
    objects_max: usize,
) -> Result<Vec<Object<'_>>, FrameError> {
    match form {
        Form::Json => split_json::split(frame, objects_max),
        Form::MsgPack => split_msgpack::split(frame, objects_max),
    }
}

pub(super) fn too_many() -> String {
    format!("more than {COMMANDS_PER_FRAME_MAX} commands in one frame")
}

pub(super) fn too_deep() -> String {
    format!("it nests deeper than {FRAME_DEPTH_MAX}")
}

pub(super) const EMPTY: &str = "an empty array holds no command";
