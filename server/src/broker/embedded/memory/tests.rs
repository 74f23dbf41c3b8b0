//! The memory store's bounds: what the shared contract suite cannot see from outside.

use std::thread;
use std::time::Instant;

use bytes::Bytes;
use parlor_protocol::{EventKind, Format, Payload, Tags};

use super::*;
use crate::broker::{Dedup, Range};
use crate::hub::ShardId;
use crate::kind::{ChannelKind, SlowPolicy};
use crate::pattern::Pattern;

fn store(change: impl FnOnce(&mut EmbeddedConfig)) -> MemoryLogs {
    let mut config = EmbeddedConfig::default();
    change(&mut config);
    MemoryLogs::new(&config, Arc::new(Hub::new(1)), Arc::new(Stats::default()))
}

fn kind(len_max: u64, age_max: Duration) -> Arc<ChannelKind> {
    Arc::new(ChannelKind {
        name: "any".to_owned(),
        pattern: Pattern::new("*"),
        durability: Durability::Memory,
        history_len_max: len_max,
        history_age_max: age_max,
        presence: false,
        slow: SlowPolicy::Close,
        allowed: Vec::new(),
        publish_rate_max: 10,
    })
}

const HOUR: Duration = Duration::from_secs(3_600);

fn append(channel: &str, kind: &Arc<ChannelKind>, bytes: usize) -> Append {
    Append {
        channel: ChannelName::parse(channel).unwrap(),
        kind: Arc::clone(kind),
        event: EventKind::Message,
        dedup: None,
        user: None,
        tags: Tags::new(),
        payload: Payload {
            format: Format::Binary,
            bytes: Bytes::from(vec![0; bytes]),
        },
        no_echo_to: None,
    }
}

fn with_id(id: usize, append: Append) -> Append {
    Append {
        dedup: Some(Dedup {
            sender: "u:ann".into(),
            id: id.to_string().into(),
        }),
        ..append
    }
}

/// Publish ids that are remembered.
fn ids(logs: &MemoryLogs) -> usize {
    let of_stripe = |stripe: &RwLock<Stripe>| -> usize {
        let rings = stripe.read();
        rings.values().map(|ring| ring.lock().ids()).sum()
    };
    logs.stripes.iter().map(of_stripe).sum()
}

fn read(logs: &MemoryLogs, channel: &str, kind: &Arc<ChannelKind>) -> LogPage {
    let channel = ChannelName::parse(channel).unwrap();
    let read = Read {
        channel,
        kind: Arc::clone(kind),
        range: Range::AfterOffset(0),
        limit: 1_000,
    };
    logs.read(&read).unwrap()
}

fn sweep_all(logs: &MemoryLogs) {
    (0..STRIPES).for_each(|stripe| logs.sweep(stripe, Pressure::Low));
}

#[test]
fn a_log_made_anew_has_a_new_epoch() {
    let logs = store(|_| ());
    let kind = kind(10, Duration::ZERO);
    let first = logs.append(append("room", &kind, 1)).unwrap();
    sweep_all(&logs);
    assert_eq!(logs.stats.memory_channels.load(Ordering::Relaxed), 0);
    let anew = logs.append(append("room", &kind, 1)).unwrap();
    assert_eq!(anew.position.offset, 1);
    assert_ne!(anew.position.epoch, first.position.epoch);
}

#[test]
fn a_log_that_somebody_listens_to_is_kept() {
    let logs = store(|_| ());
    let kind = kind(10, Duration::ZERO);
    let first = logs.append(append("room", &kind, 1)).unwrap();
    let _channel = logs
        .hub
        .enter(&ChannelName::parse("room").unwrap(), ShardId(0));
    sweep_all(&logs);
    let second = logs.append(append("room", &kind, 1)).unwrap();
    assert_eq!(
        (second.position.epoch, second.position.offset),
        (first.position.epoch, 2)
    );
}

#[test]
fn a_log_is_kept_while_it_remembers_a_publish_id() {
    let logs = store(|_| ());
    let kind = kind(0, HOUR);
    let publish = with_id(1, append("room", &kind, 1));
    let first = logs.append(publish.clone()).unwrap();
    sweep_all(&logs);
    let again = logs.append(publish).unwrap();
    assert_eq!((again.position, again.duplicate), (first.position, true));
}

#[test]
fn a_channel_holds_no_more_bytes_than_it_may() {
    let logs = store(|config| config.memory_channel_bytes_max = 10_000);
    let kind = kind(1_000, HOUR);
    for _ in 0..100 {
        logs.append(append("room", &kind, 1_000)).unwrap();
    }
    let page = read(&logs, "room", &kind);
    assert_eq!(
        (page.top.offset, page.oldest),
        (100, 94),
        "seven entries of 1,256 bytes fit into 10,000"
    );
    assert_eq!(logs.bytes(), 7 * 1_256);
}

#[test]
fn all_channels_together_hold_no_more_bytes_than_they_may() {
    let logs = store(|config| config.memory_bytes_max = 50_000);
    let kind = kind(1_000, HOUR);
    let _held = logs
        .hub
        .enter(&ChannelName::parse("room7").unwrap(), ShardId(0));
    for index in 0..500 {
        logs.append(append(&format!("room{}", index % 50), &kind, 1_000))
            .unwrap();
        assert!(logs.bytes() <= 50_000, "{} after {index}", logs.bytes());
    }
    assert_eq!(
        read(&logs, "room7", &kind).top.offset,
        10,
        "offsets go on whatever is dropped"
    );
}

#[test]
fn channels_beyond_the_bound_are_refused_until_others_are_idle() {
    let logs = store(|config| config.memory_channels_max = 2);
    let (lasting, fleeting) = (kind(10, HOUR), kind(10, Duration::ZERO));
    logs.append(append("a", &lasting, 1)).unwrap();
    logs.append(append("b", &fleeting, 1)).unwrap();
    let mut tries = 0;
    while let Err(refused) = logs.append(append("c", &lasting, 1)) {
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused}");
        tries += 1;
        assert!(tries <= STRIPES, "the sweep never found the idle log");
    }
    assert_eq!(read(&logs, "a", &lasting).entries.len(), 1);
}

#[test]
fn publish_ids_are_bounded_by_number() {
    let logs = store(|config| config.dedup_len_max = 10);
    let kind = kind(1_000, HOUR);
    for id in 0..100 {
        logs.append(with_id(id, append("room", &kind, 1))).unwrap();
    }
    assert_eq!(ids(&logs), 10);
    assert_eq!(logs.stats.ids_forgotten_early.load(Ordering::Relaxed), 90);
}

#[test]
fn the_oldest_ids_of_all_channels_are_forgotten_first() {
    let logs = store(|config| config.dedup_len_max = 10);
    let kind = kind(1_000, HOUR);
    let is_known = |channel: &str, id| {
        let publish = with_id(id, append(channel, &kind, 1));
        logs.append(publish).unwrap().duplicate
    };
    for id in 0..10 {
        assert!(!is_known("busy", id));
    }
    assert!(!is_known("quiet", 0));
    assert!(is_known("quiet", 0), "the only id that its channel has");
    assert!(is_known("busy", 1));
    assert!(!is_known("busy", 0), "it made room for the other");
    // One each of many channels: the order is theirs together, and no channel's own.
    for id in 0..100 {
        assert!(!is_known(&format!("room{id}"), id));
    }
    assert_eq!(ids(&logs), 10);
    for id in (90..100).rev() {
        assert!(is_known(&format!("room{id}"), id));
    }
    assert!(!is_known("room89", 89));
}

/// Waits for what the sweeper does.
fn until(what: &str, is_done: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_done() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        thread::yield_now();
    }
}

#[test]
fn what_expired_is_let_go_of_while_nobody_appends() {
    let logs = Arc::new(store(|_| ()));
    logs.append(append("room", &kind(10, Duration::ZERO), 1))
        .unwrap();
    assert_eq!(logs.stats.memory_channels.load(Ordering::Relaxed), 1);
    sweeper::start(&logs, Duration::ZERO).unwrap();
    until("the channel is still there", || {
        logs.stats.memory_channels.load(Ordering::Relaxed) == 0
    });
}

#[test]
fn an_id_whose_window_ended_takes_no_room_while_nobody_appends() {
    let logs = Arc::new(store(|config| config.dedup_window = Duration::ZERO));
    logs.append(with_id(1, append("room", &kind(10, HOUR), 1)))
        .unwrap();
    let ring = logs.ring(&ChannelName::parse("room").unwrap()).unwrap();
    assert_eq!((ids(&logs), Arc::weak_count(&ring)), (1, 1));
    sweeper::start(&logs, Duration::ZERO).unwrap();
    until("the id still has its place among all", || {
        (ids(&logs), Arc::weak_count(&ring)) == (0, 0)
    });
}

#[test]
fn a_page_ends_before_it_is_too_many_bytes_and_has_one_entry_at_least() {
    let logs = store(|_| ());
    let kind = kind(1_000, HOUR);
    for bytes in [2 << 20, 600 << 10, 600 << 10, 300 << 10] {
        logs.append(append("room", &kind, bytes)).unwrap();
    }
    let offsets = |range| {
        let read = Read {
            channel: ChannelName::parse("room").unwrap(),
            kind: Arc::clone(&kind),
            range,
            limit: 1_000,
        };
        let page = logs.read(&read).unwrap();
        let offsets: Vec<u64> = page.entries.iter().map(|entry| entry.offset).collect();
        (offsets, page.more)
    };
    assert_eq!(offsets(Range::AfterOffset(0)), (vec![1], true));
    assert_eq!(offsets(Range::AfterOffset(1)), (vec![2], true));
    assert_eq!(offsets(Range::AfterOffset(2)), (vec![3, 4], false));
    assert_eq!(offsets(Range::BeforeOffset(u64::MAX)), (vec![4, 3], true));
    assert_eq!(offsets(Range::BeforeOffset(2)), (vec![1], false));
}
