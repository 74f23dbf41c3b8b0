//! What one client sees of one channel, and what it may see next.

use parlor_protocol::command::Recover;
use parlor_protocol::push::Unsubscribed;
use parlor_protocol::reply::{NotRecovered, Subscribed};
use parlor_protocol::{Alias, Event, Position};

use super::record::place;

/// A reader's knowledge of a channel.
#[derive(Debug)]
pub(crate) struct View {
    channel: String,
    /// Behind the last event it dealt with.
    cursor: Option<String>,
    /// While subscribed.
    live: Option<Live>,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    alias: Alias,
    next: u64,
}

impl View {
    pub(crate) fn new(channel: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            cursor: None,
            live: None,
        }
    }

    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    pub(crate) fn alias(&self) -> Option<Alias> {
        self.live.map(|live| live.alias)
    }

    /// The offset that must come next, while subscribed.
    pub(crate) fn next(&self) -> Option<u64> {
        self.live.map(|live| live.next)
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self) {
        self.live = None;
    }

    pub(crate) fn subscribed(&mut self, reply: &Subscribed, asked: Option<&Recover>) {
        assert!(
            self.live.is_none(),
            "{}: subscribed twice: {reply:?}",
            self.channel
        );
        let next = match (asked, reply.recovered) {
            (None, None) => reply.offset + 1,
            (Some(Recover::From(position)), Some(true)) => self.next_after(position, reply),
            (Some(Recover::Latest(wanted)), Some(true)) => {
                let next = reply.from.unwrap_or(reply.offset + 1);
                assert!(
                    reply.offset + 1 - next <= u64::from(*wanted),
                    "{}: more than {asked:?}: {reply:?}",
                    self.channel
                );
                next
            }
            (Some(Recover::From(_)), Some(false)) => {
                // Nothing else happens to these logs: they live as long as the server, and only short ones forget.
                assert_eq!(
                    reply.reason,
                    Some(NotRecovered::Expired),
                    "{}: {reply:?}",
                    self.channel
                );
                assert!(
                    self.channel.starts_with("short"),
                    "{}: {reply:?}",
                    self.channel
                );
                reply.offset + 1
            }
            _ => panic!("{}: {asked:?} was answered by {reply:?}", self.channel),
        };
        self.live = Some(Live {
            alias: reply.alias,
            next,
        });
        if next == reply.offset + 1 {
            self.cursor = Some(reply.position.clone());
        }
    }

    fn next_after(&self, position: &str, reply: &Subscribed) -> u64 {
        let asked: Position = position.parse().expect("a position");
        let missed = (asked.offset < reply.offset).then_some((asked.offset + 1, reply.offset));
        assert_eq!(
            reply.from.zip(reply.to),
            missed,
            "{}: from {position}: {reply:?}",
            self.channel
        );
        asked.offset + 1
    }

    pub(crate) fn unsubscribed(&mut self) {
        assert!(
            self.live.take().is_some(),
            "{}: unsubscribed twice",
            self.channel
        );
    }

    /// The server ended it: only a log that forgets may overtake its reader.
    pub(crate) fn ended_by_server(&mut self, ended: &Unsubscribed) {
        assert!(
            ended.resubscribe && self.channel.starts_with("short"),
            "{}: {ended:?}",
            self.channel
        );
        self.unsubscribed();
    }

    pub(crate) fn event(&mut self, event: &Event) {
        let live = self.live.as_mut().expect("found by its alias");
        assert_eq!(
            event.offset,
            Some(live.next),
            "{}: a gap, a duplicate or disorder: {event:?}",
            self.channel
        );
        live.next += 1;
        place(event);
        self.cursor.clone_from(&event.position);
    }
}
