//! Splitting of binary frames: a walk over MessagePack headers that allocates nothing and believes no
//! length before the bytes for it are there.

use std::borrow::Cow;

use super::FrameError;
use super::body::Body;
use super::split::{EMPTY, FRAME_DEPTH_MAX, Object, too_deep, too_many};

pub(super) fn split(frame: &[u8], objects_max: usize) -> Result<Vec<Object<'_>>, FrameError> {
    let mut reader = Reader { rest: frame };
    let objects = match reader.header()? {
        Header::Map(len) => vec![object(&mut reader, len, 1)?],
        Header::Array(len) => array(&mut reader, len, objects_max)?,
        _ => return Err(malformed("neither an object nor an array of objects")),
    };
    if reader.rest.is_empty() {
        Ok(objects)
    } else {
        Err(malformed("bytes behind its end"))
    }
}

fn array<'a>(
    reader: &mut Reader<'a>,
    len: usize,
    objects_max: usize,
) -> Result<Vec<Object<'a>>, FrameError> {
    if len == 0 {
        return Err(FrameError(EMPTY.to_owned()));
    }
    if len > objects_max {
        return Err(FrameError(too_many()));
    }
    let mut objects = Vec::with_capacity(len);
    for _ in 0..len {
        let Header::Map(len) = reader.header()? else {
            return Err(malformed("the array holds something that is not an object"));
        };
        objects.push(object(reader, len, 2)?);
    }
    Ok(objects)
}

fn object<'a>(reader: &mut Reader<'a>, len: usize, depth: usize) -> Result<Object<'a>, FrameError> {
    let mut object = Object::new();
    for _ in 0..len {
        let Header::Str(name) = reader.header()? else {
            return Err(malformed("a key is not a string"));
        };
        let name =
            str::from_utf8(reader.take(name)?).map_err(|_| malformed("a key is not utf-8"))?;
        let body = reader.span(depth)?;
        object.push(Cow::Borrowed(name), body);
    }
    Ok(object)
}

/// The path of the first string in a body's own fields that is not UTF-8; the body is known to be well-formed.
pub(super) fn field_that_is_not_utf8(body: &[u8]) -> Option<&str> {
    let mut reader = Reader { rest: body };
    let Ok(Header::Map(len)) = reader.header() else {
        return None;
    };
    for _ in 0..len {
        let Ok(Header::Str(name)) = reader.header() else {
            return None;
        };
        let name = str::from_utf8(reader.take(name).ok()?).ok()?;
        if let Body::MsgPack { utf8: false, .. } = reader.span(0).ok()? {
            return Some(name);
        }
    }
    None
}

/// What is left of a frame.
struct Reader<'a> {
    rest: &'a [u8],
}

/// The start of a value. Lengths are bytes to follow, or elements, or pairs.
enum Header {
    Scalar(usize),
    Str(usize),
    Bytes(usize),
    Array(usize),
    Map(usize),
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A big-endian number of 1, 2 or 4 bytes.
    fn number(&mut self, width: usize) -> Result<usize, FrameError> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn header(&mut self) -> Result<Header, FrameError> {
        let marker = self.number(1)?;
        let header = match marker {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0.. => Header::Scalar(0),
            0x80..=0x8f => Header::Map(marker & 0x0f),
            0x90..=0x9f => Header::Array(marker & 0x0f),
            0xa0..=0xbf => Header::Str(marker & 0x1f),
            0xc4..=0xc6 => Header::Bytes(self.number(1 << (marker - 0xc4))?),
            // An extension's type byte is counted with its content.
            0xc7..=0xc9 => Header::Bytes(self.number(1 << (marker - 0xc7))?.saturating_add(1)),
            0xca | 0xce | 0xd2 => Header::Scalar(4),
            0xcb | 0xcf | 0xd3 => Header::Scalar(8),
            0xcc | 0xd0 => Header::Scalar(1),
            0xcd | 0xd1 => Header::Scalar(2),
            0xd4..=0xd8 => Header::Bytes((1 << (marker - 0xd4)) + 1),
            0xd9..=0xdb => Header::Str(self.number(1 << (marker - 0xd9))?),
            0xdc | 0xdd => Header::Array(self.number(2 << (marker - 0xdc))?),
            0xde | 0xdf => Header::Map(self.number(2 << (marker - 0xde))?),
            _ => return Err(malformed("it holds the unused marker 0xc1")),
        };
        // Each element takes a byte at least: a declared length beyond that is a lie.
        let least = match header {
            Header::Scalar(len) | Header::Str(len) | Header::Bytes(len) | Header::Array(len) => len,
            Header::Map(len) => len.saturating_mul(2),
        };
        if least > self.rest.len() {
            Err(malformed("a declared length exceeds the frame"))
        } else {
            Ok(header)
        }
    }

    /// Passes over one value that stands `depth` containers deep.
    fn span(&mut self, depth: usize) -> Result<Body<'a>, FrameError> {
        let start = self.rest;
        let mut utf8 = true;
        // How many values are still to come in each open container.
        let mut open = [0_usize; FRAME_DEPTH_MAX];
        let mut level = 0;
        loop {
            let entered = match self.header()? {
                Header::Scalar(len) | Header::Bytes(len) => self.take(len).map(|_| 0)?,
                Header::Str(len) => {
                    utf8 &= str::from_utf8(self.take(len)?).is_ok();
                    0
                }
                Header::Array(len) => deeper(depth + level, len)?,
                Header::Map(len) => deeper(depth + level, len * 2)?,
            };
            if entered > 0 {
                open[level] = entered;
                level += 1;
                continue;
            }
            while level > 0 && open[level - 1] == 1 {
                level -= 1;
            }
            if level == 0 {
                break;
            }
            open[level - 1] -= 1;
        }
        Ok(Body::MsgPack {
            bytes: &start[..start.len() - self.rest.len()],
            utf8,
        })
    }
}

/// `values`, if one more container fits into `depth` others.
fn deeper(depth: usize, values: usize) -> Result<usize, FrameError> {
    if depth < FRAME_DEPTH_MAX {
        Ok(values)
    } else {
        Err(FrameError(too_deep()))
    }
}

fn malformed(what: &str) -> FrameError {
    FrameError(format!("not a messagepack frame: {what}"))
}
