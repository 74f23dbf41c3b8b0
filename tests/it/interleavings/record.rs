//! What everybody saw together: each place of a log names one event, and what was acknowledged is in it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use parlor_protocol::reply::Published;
use parlor_protocol::{Event, Position, Time};
use parlor_tests::said;

/// Shared by all clients of one conversation.
#[derive(Debug, Default)]
pub(crate) struct Record {
    seen: RefCell<HashMap<Place, Seen>>,
    acknowledged: RefCell<Vec<Acknowledged>>,
}

/// Channel, epoch and offset.
type Place = (String, u64, u64);

/// The event's time, and its words once somebody saw them.
type Seen = (Time, Option<String>);

#[derive(Debug)]
struct Acknowledged {
    channel: String,
    words: String,
    position: Position,
    time: Time,
}

impl Record {
    /// Somebody saw an event, pushed or read.
    #[track_caller]
    pub(crate) fn saw(&self, channel: &str, event: &Event) {
        let position = place(event);
        let words = (!event.own).then(|| said(event).to_owned());
        let key = (channel.to_owned(), position.epoch.0, position.offset);
        let mut seen = self.seen.borrow_mut();
        let known = seen
            .entry(key)
            .or_insert_with(|| (event.time, words.clone()));
        assert_eq!(known.0, event.time, "{channel}: two times at {position:?}");
        if let (Some(known), Some(words)) = (&known.1, &words) {
            assert_eq!(known, words, "{channel}: two events at {position:?}");
        }
        known.1 = known.1.take().or(words);
    }

    /// A publish was answered.
    pub(crate) fn acknowledged(&self, channel: &str, words: &str, published: &Published) {
        let position: Position = published.position.parse().expect("a position");
        assert_eq!(position.offset, published.offset);
        self.acknowledged.borrow_mut().push(Acknowledged {
            channel: channel.to_owned(),
            words: words.to_owned(),
            position,
            time: published.time,
        });
    }

    /// Holds the log against everything that was seen and acknowledged. Without `keeps_all` the kind forgets.
    pub(crate) fn check(&self, channel: &str, history: &[Event], keeps_all: bool) {
        let mut by_offset = HashMap::new();
        let mut words = HashSet::new();
        for event in history {
            self.saw(channel, event);
            assert!(
                words.insert(said(event)),
                "{channel}: {} stands there twice",
                said(event)
            );
            by_offset.insert(place(event).offset, event);
        }
        let first = history.first().map_or(1, |event| place(event).offset);
        assert!(
            !keeps_all || first == 1,
            "{channel}: the log forgot its beginning"
        );
        assert_eq!(history.len(), by_offset.len());
        assert!(
            history
                .iter()
                .map(|event| place(event).offset)
                .eq(first..first + history.len() as u64),
            "{channel}: a hole"
        );
        assert!(
            history.is_sorted_by(|one, next| one.time < next.time),
            "{channel}: time went back"
        );
        for one in self
            .acknowledged
            .borrow()
            .iter()
            .filter(|one| one.channel == channel)
        {
            match by_offset.get(&one.position.offset) {
                Some(event) => {
                    assert_eq!(
                        (said(event), event.time),
                        (one.words.as_str(), one.time),
                        "{channel}: {one:?}"
                    );
                    assert_eq!(place(event), one.position);
                }
                None => assert!(
                    one.position.offset < first,
                    "{channel}: acknowledged and lost: {one:?}"
                ),
            }
        }
    }
}

/// Where an event stands.
#[track_caller]
pub(crate) fn place(event: &Event) -> Position {
    let position = event
        .position
        .as_deref()
        .expect("a logged event has a position");
    let position: Position = position.parse().expect("a position");
    assert_eq!(Some(position.offset), event.offset);
    position
}
