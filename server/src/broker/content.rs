//! Which publish it was and what it said, in 16 bytes each: enough to know a retry, and to tell it from another message under
//! the same id.

use parlor_protocol::{ChannelName, Format};
use sha2::{Digest as _, Sha256};

use crate::broker::{Append, Dedup};

/// SHA-256 over channel, sender and id, cut to 128 bits: what a store keeps of them, so that an erasure leaves no name behind.
/// Without a key, which would have to lie beside it: nobody can read a name out of it, but a guess can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdHash(pub(crate) [u8; 16]);

impl IdHash {
    pub(crate) fn of(channel: &ChannelName, dedup: &Dedup) -> Self {
        let mut hasher = Sha256::new();
        part(&mut hasher, channel.as_str().as_bytes());
        part(&mut hasher, dedup.sender.as_bytes());
        part(&mut hasher, dedup.id.as_bytes());
        Self(short(hasher))
    }
}

/// SHA-256 over kind, format, payload and tags, cut to 128 bits: a sender can only fool itself with a collision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentHash(pub(crate) [u8; 16]);

impl ContentHash {
    pub(crate) fn of(append: &Append) -> Self {
        let mut hasher = Sha256::new();
        part(&mut hasher, append.event.as_str().as_bytes());
        part(
            &mut hasher,
            match append.payload.format {
                Format::Json => b"json",
                Format::Binary => b"binary",
            },
        );
        part(&mut hasher, &append.payload.bytes);
        for (name, value) in &append.tags {
            part(&mut hasher, name.as_bytes());
            part(&mut hasher, value.as_bytes());
        }
        Self(short(hasher))
    }
}

fn short(hasher: Sha256) -> [u8; 16] {
    let digest = hasher.finalize();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

/// Each part with its length, so that no two lists of parts read the same.
fn part(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use parlor_protocol::{EventKind, Payload, Tags};

    use super::*;
    use crate::kind::{ChannelKind, Durability, SlowPolicy};
    use crate::pattern::Pattern;

    fn append() -> Append {
        Append {
            channel: ChannelName::parse("room").unwrap(),
            kind: Arc::new(ChannelKind {
                name: "any".to_owned(),
                pattern: Pattern::new("*"),
                durability: Durability::Memory,
                history_len_max: 10,
                history_age_max: Duration::from_secs(60),
                presence: false,
                slow: SlowPolicy::Close,
                allowed: Vec::new(),
                publish_rate_max: 10,
            }),
            event: EventKind::Message,
            dedup: None,
            user: None,
            tags: Tags::new(),
            payload: Payload {
                format: Format::Json,
                bytes: Bytes::from_static(b"1"),
            },
            no_echo_to: None,
        }
    }

    fn tagged(tags: &[(&str, &str)]) -> Append {
        let tags = tags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Append { tags, ..append() }
    }

    #[test]
    fn every_part_of_the_content_counts() {
        let first = ContentHash::of(&append());
        let others = [
            Append {
                event: EventKind::Other("pin".to_owned()),
                ..append()
            },
            Append {
                payload: Payload {
                    format: Format::Binary,
                    bytes: Bytes::from_static(b"1"),
                },
                ..append()
            },
            Append {
                payload: Payload {
                    format: Format::Json,
                    bytes: Bytes::from_static(b"2"),
                },
                ..append()
            },
            tagged(&[("a", "b")]),
        ];
        for other in &others {
            assert_ne!(first, ContentHash::of(other), "{other:?}");
        }
        assert_eq!(
            first,
            ContentHash::of(&Append {
                user: Some("ann".into()),
                ..append()
            }),
            "the sender is part of the key instead"
        );
    }

    #[test]
    fn every_part_of_an_id_counts_and_where_each_ends() {
        let of = |channel: &str, sender: &str, id: &str| {
            let dedup = Dedup {
                sender: sender.into(),
                id: id.into(),
            };
            IdHash::of(&ChannelName::parse(channel).unwrap(), &dedup)
        };
        let first = of("room", "u:ann", "1");
        assert_eq!(first, of("room", "u:ann", "1"));
        for other in [
            of("attic", "u:ann", "1"),
            of("room", "u:bob", "1"),
            of("room", "u:ann", "2"),
            of("room", "u:an", "n1"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn moving_a_byte_between_parts_is_other_content() {
        assert_ne!(
            ContentHash::of(&tagged(&[("ab", "c")])),
            ContentHash::of(&tagged(&[("a", "bc")]))
        );
    }
}
