//! What the servers of a comparison share: the first bytes of a connection and the bytes of a frame.
//!
//! Nothing here is Parlor's: these servers exist to show how fast the machine is without a chat server's work.

/// What a request asks for, by its path: `/sub/CHANNEL` or `/pub/CHANNEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To receive what is published in these channels, comma-separated in the path.
    Receive(Vec<String>),
    /// That each frame from here is published in this channel.
    Publish(String),
}

/// The wish in a whole HTTP request, and its key.
#[must_use]
pub fn wish(request: &str) -> Option<(Wish, &str)> {
    let path = request.strip_prefix("GET ")?.split(' ').next()?;
    let wish = if let Some(channels) = path.strip_prefix("/sub/") {
        Wish::Receive(channels.split(',').map(ToOwned::to_owned).collect())
    } else {
        Wish::Publish(path.strip_prefix("/pub/")?.to_owned())
    };
    let key = request.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value.trim())
    })?;
    Some((wish, key))
}

/// A client's frame at the start of `bytes`: its kind and payload range. `None` while it is not complete.
#[must_use]
pub fn client_frame(bytes: &[u8]) -> Option<(u8, [u8; 4], std::ops::Range<usize>)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (length, mask_at) = match second & 0x7f {
        126 => (
            usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
            4,
        ),
        127 => (
            usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?,
            10,
        ),
        short => (usize::from(short), 2),
    };
    let mask = *bytes.get(mask_at..)?.first_chunk()?;
    let (start, end) = (mask_at + 4, (mask_at + 4).checked_add(length)?);
    (bytes.len() >= end).then_some((first & 0x0f, mask, start..end))
}

/// Appends a server's text frame.
pub fn server_frame(payload: &[u8], into: &mut Vec<u8>) {
    into.push(0x81);
    match payload.len() {
        short @ 0..=125 => into.push(short as u8),
        length @ 126..=0xffff => {
            into.push(126);
            into.extend((length as u16).to_be_bytes());
        }
        length => {
            into.push(127);
            into.extend((length as u64).to_be_bytes());
        }
    }
    into.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read() {
        let request = "GET /sub/a:1,b HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: abc\r\n\r\n";
        let channels = vec!["a:1".to_owned(), "b".to_owned()];
        assert_eq!(wish(request), Some((Wish::Receive(channels), "abc")));
        assert_eq!(wish("GET /else HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn frames_are_whole_or_wait() {
        let frame = [0x81, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3];
        for end in 0..frame.len() {
            assert_eq!(client_frame(&frame[..end]), None);
        }
        assert_eq!(client_frame(&frame), Some((1, [1, 2, 3, 4], 6..9)));
        let mut out = Vec::new();
        server_frame(&[b'x'; 300], &mut out);
        assert_eq!(&out[..4], [0x81, 126, 1, 44]);
    }
}
