//! What the hub promises: order, completeness, one encoding, and policies for slow readers.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parlor_protocol::codec::{ServerMessage, decode_server};
use parlor_protocol::{
    ChannelName, CloseCode, Epoch, Event, EventKind, Form, Format, Payload, Position, Push, Tag,
    Tags, Time,
};

use super::{
    Advanced, Channel, ConnectionId, EphemeralBody, Frames, Hub, Letters, LogEntry, ShardId,
    Subscriber, SubscriberKey, Table,
};
use crate::kind::SlowPolicy;
use crate::outbox::{Dirty, Outbox};

mod aliases;
mod beginnings;
mod ephemerals;
mod lag;
mod tail;

const EPOCH: Epoch = Epoch(5);
const SHARD: ShardId = ShardId(0);

/// One shard of a hub, with one channel.
struct Rig {
    hub: Hub,
    table: Table,
    channel: Arc<Channel>,
    dirty: Rc<Dirty>,
}

impl Rig {
    fn new() -> Self {
        let hub = Hub::new(2);
        let channel = hub.enter(&name(), SHARD);
        let mut table = Table::new(SHARD);
        // Holds the channel open, as a join under way does.
        table.begin_joining(&channel);
        let top = channel.learn_top(Position {
            epoch: EPOCH,
            offset: 0,
            tag: Tag(0),
        });
        table.start_from(channel.alias(), top);
        Self {
            hub,
            table,
            channel,
            dirty: Rc::default(),
        }
    }

    fn subscribe(
        &mut self,
        connection: u64,
        bytes_max: usize,
        slow: SlowPolicy,
    ) -> (SubscriberKey, Rc<Outbox>) {
        self.enter(connection, bytes_max, slow, false)
    }

    /// A subscriber with presence.
    fn watch(&mut self, connection: u64, bytes_max: usize, slow: SlowPolicy) -> Rc<Outbox> {
        self.enter(connection, bytes_max, slow, true).1
    }

    fn enter(
        &mut self,
        connection: u64,
        bytes_max: usize,
        slow: SlowPolicy,
        presence: bool,
    ) -> (SubscriberKey, Rc<Outbox>) {
        let outbox = Outbox::new(0, Form::Json, bytes_max, Rc::clone(&self.dirty));
        let ephemerals_since = self.table.begin_joining(&self.channel);
        let cursor = self.table.delivered(self.channel.alias()).unwrap().offset;
        let subscriber = Subscriber {
            connection: ConnectionId(connection),
            outbox: Rc::clone(&outbox),
            cursor,
            ephemerals_since,
            presence,
            slow,
        };
        (
            self.table.enter(self.channel.alias(), subscriber).unwrap(),
            outbox,
        )
    }

    fn publish(&self, offsets: impl IntoIterator<Item = u64>) {
        offsets
            .into_iter()
            .for_each(|offset| self.hub.deliver(&name(), Arc::new(entry(offset, None))));
    }

    fn advance(&mut self) -> Advanced {
        self.table.advance(self.channel.alias())
    }

    fn advance_fully(&mut self) {
        while self.advance() == Advanced::More {}
    }
}

fn name() -> ChannelName {
    ChannelName::parse("room:1").unwrap()
}

fn entry(offset: u64, no_echo_to: Option<ConnectionId>) -> LogEntry {
    LogEntry {
        epoch: EPOCH,
        offset,
        seq: offset,
        tag: Tag(offset + 100),
        prev: Tag(offset + 99),
        time: Time(offset),
        kind: EventKind::Message,
        id: None,
        user: None,
        tags: Tags::new(),
        payload: payload(),
        erased: false,
        no_echo_to,
        frames: Frames::default(),
    }
}

fn payload() -> Payload {
    Payload {
        format: Format::Json,
        bytes: vec![b'1'; 200].into(),
    }
}

/// Everything that waits, as a client would read it; the outbox is empty afterwards.
fn read(outbox: &Outbox) -> Vec<Push> {
    let mut bytes = Vec::new();
    let mut take = || {
        outbox.write_with(|slices| {
            slices
                .iter()
                .for_each(|slice| bytes.extend_from_slice(slice));
            Ok::<_, Infallible>(slices.iter().map(|slice| slice.len()).sum())
        })
    };
    while take().is_some() {}
    pushes(&bytes)
}

/// How many slices one write would take.
fn slices(outbox: &Outbox) -> usize {
    outbox
        .write_with(|slices| Err(slices.len()))
        .and_then(Result::err)
        .unwrap_or(0)
}

/// Unwraps unmasked frames.
fn pushes(mut bytes: &[u8]) -> Vec<Push> {
    let mut pushes = Vec::new();
    while let [opcode, len, rest @ ..] = bytes {
        let (len, rest) = match len {
            126 => (u16::from_be_bytes([rest[0], rest[1]]) as usize, &rest[2..]),
            len => (*len as usize, rest),
        };
        if *opcode == 0x81 {
            for message in decode_server(Form::Json, &rest[..len]).unwrap() {
                let ServerMessage::Push(push) = message else {
                    panic!("a reply among pushes")
                };
                pushes.push(push);
            }
        }
        bytes = &rest[len..];
    }
    pushes
}

fn offsets(outbox: &Outbox) -> Vec<u64> {
    read(outbox)
        .into_iter()
        .filter_map(|push| match push {
            Push::Event { event, .. } => event.offset,
            _ => None,
        })
        .collect()
}

#[test]
fn every_subscriber_gets_every_event_once_in_order() {
    let mut rig = Rig::new();
    let (_, first) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rig.publish(1..=3);
    rig.advance_fully();
    let (_, second) = rig.subscribe(2, 1 << 20, SlowPolicy::Close);
    rig.publish(4..=150);
    rig.advance_fully();
    assert_eq!(offsets(&first), (1..=150).collect::<Vec<_>>());
    assert_eq!(offsets(&second), (4..=150).collect::<Vec<_>>());
}

#[test]
fn what_waits_for_a_lagging_shard_leaves_as_one_block_for_those_who_get_all_of_it() {
    let mut rig = Rig::new();
    rig.publish(1..=2);
    rig.advance_fully();
    let (_, plain) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    let (_, no_echo) = rig.subscribe(2, 1 << 20, SlowPolicy::Close);
    rig.publish(3..=4);
    let quiet = Arc::new(entry(5, Some(ConnectionId(2))));
    rig.hub.deliver(&name(), quiet);
    rig.publish(6..=9);
    rig.advance_fully();
    assert_eq!((slices(&plain), slices(&no_echo)), (1, 7));
    assert_eq!(offsets(&plain), Vec::from_iter(3..=9));
    let own = read(&no_echo);
    assert!(matches!(&own[2], Push::Event { event, .. } if event.own && event.payload.is_none()));
    assert_eq!(own.len(), 7);
    assert_eq!(rig.table.tally.deliveries, 14);
}

#[test]
fn a_block_that_does_not_fit_is_given_as_far_as_it_does() {
    let mut rig = Rig::new();
    let (_, outbox) = rig.subscribe(1, 1_200, SlowPolicy::SkipToLatest);
    rig.publish(1..=9);
    rig.advance_fully();
    let got = read(&outbox);
    assert!(got.len() < 9, "the outbox holds a few only");
    assert!(rig.table.tally.skipped > 0);
}

#[test]
fn a_busy_channel_gives_others_a_turn() {
    let mut rig = Rig::new();
    rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rig.publish(1..=65);
    assert_eq!(rig.advance(), Advanced::More);
    assert_eq!(rig.advance(), Advanced::Done);
}

#[test]
fn a_shard_that_lags_behind_the_tail_reads_the_log_and_misses_nothing() {
    let mut rig = Rig::new();
    let (_, outbox) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rig.publish(1..=1000);
    let Advanced::ReadLog { after } = rig.advance() else {
        panic!("the tail holds no thousand events")
    };
    assert_eq!(after.offset, 0);
    assert_eq!(rig.advance(), Advanced::Done, "one read at a time");
    let log: Vec<_> = (1..=900)
        .map(|offset| Arc::new(entry(offset, None)))
        .collect();
    assert!(rig.table.deliver(rig.channel.alias(), &log));
    rig.advance_fully();
    assert_eq!(offsets(&outbox), (1..=1000).collect::<Vec<_>>());
}

#[test]
fn a_log_that_no_longer_holds_what_comes_next_is_not_delivered() {
    let mut rig = Rig::new();
    rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rig.publish(1..=1000);
    assert!(matches!(rig.advance(), Advanced::ReadLog { .. }));
    assert!(
        !rig.table
            .deliver(rig.channel.alias(), &[Arc::new(entry(5, None))])
    );
}

#[test]
fn a_new_life_of_the_log_is_noticed() {
    let mut rig = Rig::new();
    rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    let first = LogEntry {
        epoch: Epoch(6),
        offset: 1,
        seq: 1,
        tag: Tag(1),
        prev: Tag(0),
        time: Time(1),
        kind: EventKind::Message,
        id: None,
        user: None,
        tags: Tags::new(),
        payload: payload(),
        no_echo_to: None,
        frames: Frames::default(),
        erased: false,
    };
    rig.hub.deliver(&name(), Arc::new(first));
    assert_eq!(rig.advance(), Advanced::EpochChanged);
    assert_eq!(
        rig.table.connections(rig.channel.alias()),
        [ConnectionId(1)]
    );
}

#[test]
fn an_event_delivered_twice_by_a_broker_reaches_subscribers_once() {
    let mut rig = Rig::new();
    let (_, outbox) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rig.publish([1, 2, 2, 1, 3]);
    rig.advance_fully();
    assert_eq!(offsets(&outbox), [1, 2, 3]);
}

#[test]
fn an_event_is_encoded_once_for_all() {
    let event = entry(1, None);
    let alias = Rig::new().channel.alias();
    let (one, other) = (
        event.frame(alias, Form::Json),
        event.frame(alias, Form::Json),
    );
    assert_eq!(one.as_bytes().as_ptr(), other.as_bytes().as_ptr());
    assert_ne!(event.frame(alias, Form::MsgPack).as_bytes(), one.as_bytes());
}

#[test]
fn the_publisher_without_echo_gets_the_place_without_the_data() {
    let mut rig = Rig::new();
    let (_, own) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    let (_, other) = rig.subscribe(2, 1 << 20, SlowPolicy::Close);
    rig.hub
        .deliver(&name(), Arc::new(entry(1, Some(ConnectionId(1)))));
    rig.advance_fully();
    let copy = |outbox: &Outbox| match read(outbox).remove(0) {
        Push::Event { event, .. } => (event.offset, event.own, event.payload.is_some()),
        other => panic!("{other:?}"),
    };
    assert_eq!(copy(&own), (Some(1), true, false));
    assert_eq!(copy(&other), (Some(1), false, true));
}

#[test]
fn a_slow_reader_is_closed_and_others_keep_receiving() {
    let mut rig = Rig::new();
    let (_, slow) = rig.subscribe(1, 1_000, SlowPolicy::Close);
    let (_, quick) = rig.subscribe(2, 1 << 20, SlowPolicy::Close);
    rig.publish(1..=10);
    rig.advance_fully();
    assert_eq!(slow.closing(), Some(CloseCode::Slow));
    assert_eq!(offsets(&quick), (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_slow_reader_may_skip_to_the_latest_and_is_told() {
    let mut rig = Rig::new();
    let (_, outbox) = rig.subscribe(1, 2_000, SlowPolicy::SkipToLatest);
    rig.publish(1..=20);
    rig.advance_fully();
    assert_eq!(outbox.closing(), None);
    rig.table.tell_passed_over();
    let (mut position, mut advances) = (0, 0);
    for push in read(&outbox) {
        match push {
            Push::Event { event, .. } => {
                assert_eq!(
                    event.offset,
                    Some(position + 1),
                    "a hole that no advance told of"
                );
                position += 1;
            }
            Push::Advance(advance) => {
                assert_eq!(advance.reason, "skipped");
                position = advance.offset;
                advances += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        position == 20 && advances > 0,
        "at {position} after {advances} advances"
    );
    rig.publish([21]);
    rig.advance_fully();
    assert_eq!(offsets(&outbox), [21]);
}

#[tokio::test]
async fn an_inbox_holds_a_channel_once_however_much_it_advanced() {
    let mut rig = Rig::new();
    rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rig.publish(1..=50);
    let mut letters = Letters::default();
    rig.hub.inbox(SHARD).take(&mut letters).await;
    assert_eq!(letters.advanced, [rig.channel.alias()]);
    rig.advance_fully();
    rig.publish([51]);
    rig.hub.inbox(SHARD).take(&mut letters).await;
    assert_eq!(letters.advanced, [rig.channel.alias()]);
}

#[test]
fn a_channel_dies_with_its_last_subscriber_on_any_shard() {
    let mut rig = Rig::new();
    let alias = rig.channel.alias();
    let (key, _) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    let elsewhere = rig.hub.enter(&name(), ShardId(1));
    assert!(rig.table.leave_joining(alias).is_none());
    let left = rig.table.leave(alias, key).unwrap();
    assert!(!rig.hub.exit(&left, SHARD), "another shard still wants it");
    assert!(rig.hub.exit(&elsewhere, ShardId(1)));
    assert!(rig.hub.is_empty());
    assert_ne!(
        rig.hub.enter(&name(), SHARD).alias(),
        alias,
        "an alias is not used again"
    );
}

fn newer(epoch: u64, offset: u64) -> Position {
    Position {
        epoch: Epoch(epoch),
        offset,
        tag: Tag(7),
    }
}

#[test]
fn a_new_life_of_the_log_makes_a_shard_start_anew_and_names_what_was_lost() {
    let mut rig = Rig::new();
    rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rig.publish(1..=5);
    rig.advance_fully();
    rig.hub.restart(&name(), newer(6, 3), Some(4..=5));
    assert_eq!(rig.channel.lost(EPOCH), Some(4..=5));
    assert_eq!(rig.advance(), Advanced::EpochChanged);
    rig.table.restart(rig.channel.alias());
    assert_eq!(rig.table.delivered(rig.channel.alias()), Some(newer(6, 3)));
    assert_eq!(rig.advance(), Advanced::Done);
}

#[test]
fn each_life_remembers_its_own_losses_and_only_the_newest_lives_do() {
    let rig = Rig::new();
    for epoch in 6..30 {
        let lost = (epoch % 2 == 0).then_some(epoch..=epoch);
        rig.hub.restart(&name(), newer(epoch, 0), lost);
    }
    // The life of epoch 27 ended with the restart of 28.
    assert_eq!(rig.channel.lost(Epoch(27)), Some(28..=28));
    assert_eq!(rig.channel.lost(Epoch(28)), None, "nothing was lost then");
    assert_eq!(rig.channel.lost(EPOCH), None, "too long ago");
}

#[test]
fn a_followed_channel_rings_and_is_not_counted() {
    let rings = Arc::new(AtomicUsize::new(0));
    let hub = Hub::new(1);
    let counted = Arc::clone(&rings);
    let ring = move || {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let channel = hub.follow(&name(), Box::new(ring));
    assert!(hub.is_empty());
    hub.deliver(&name(), Arc::new(entry(1, None)));
    hub.deliver(&name(), Arc::new(entry(1, None)));
    assert_eq!(rings.load(Ordering::Relaxed), 1, "an entry is news once");
    assert_eq!(channel.tail_after(0, 9).unwrap().len(), 1);
    hub.restart(&name(), newer(6, 0), None);
    assert_eq!(rings.load(Ordering::Relaxed), 2);
    let entered = hub.enter(&name(), SHARD);
    assert!(!hub.exit(&entered, SHARD), "the process follows it still");
    assert_eq!(hub.names(), [name()]);
}
