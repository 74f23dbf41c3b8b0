//! Signals and presence diffs: fanned out, never logged, kept only as long as somebody may still want them.

use parlor_protocol::Alias;
use parlor_protocol::push::PresenceDiff;

use super::*;

fn signal(from: u64) -> EphemeralBody {
    let event = Event {
        kind: EventKind::Signal,
        offset: None,
        seq: None,
        position: None,
        time: Time(1),
        id: None,
        user: None,
        tags: Tags::new(),
        payload: Some(payload()),
        own: false,
        erased: false,
    };
    EphemeralBody::Signal {
        event,
        from: Some(ConnectionId(from)),
    }
}

fn diff(version: u64) -> EphemeralBody {
    EphemeralBody::Presence(PresenceDiff {
        alias: Alias(0),
        version,
        joined: Vec::new(),
        updated: Vec::new(),
        left: Vec::new(),
        users: 1,
        connections: 1,
    })
}

#[test]
fn signals_reach_everybody_but_their_sender_and_are_dropped_first() {
    let mut rig = Rig::new();
    let (_, sender) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    let (_, quick) = rig.subscribe(2, 1 << 20, SlowPolicy::Close);
    let (_, slow) = rig.subscribe(3, 1_000, SlowPolicy::Close);
    rig.publish([1, 2]);
    rig.advance_fully();
    rig.hub.deliver_ephemeral(&name(), signal(1));
    rig.advance_fully();
    let signals = |outbox: &Outbox| {
        let is_signal = |push: &Push| matches!(push, Push::Event { event, .. } if event.kind == EventKind::Signal);
        read(outbox).iter().filter(|push| is_signal(push)).count()
    };
    assert_eq!(
        (signals(&sender), signals(&quick), signals(&slow)),
        (0, 1, 0)
    );
    assert_eq!(slow.closing(), None);
}

fn versions(outbox: &Outbox) -> Vec<u64> {
    let pushes = read(outbox).into_iter();
    pushes
        .filter_map(|push| match push {
            Push::Presence(diff) => Some(diff.version),
            _ => None,
        })
        .collect()
}

#[test]
fn a_slow_reader_is_told_the_newest_presence_diff_once_there_is_room() {
    let mut rig = Rig::new();
    let slow = rig.watch(1, 1_000, SlowPolicy::Close);
    rig.hub.deliver_ephemeral(&name(), diff(1));
    rig.publish([1, 2]);
    rig.advance_fully();
    (2..=3).for_each(|version| rig.hub.deliver_ephemeral(&name(), diff(version)));
    rig.advance_fully();
    rig.table.tell_passed_over();
    assert_eq!(versions(&slow), [1], "the others wait for room");
    rig.table.tell_passed_over();
    assert_eq!(versions(&slow), [3], "which tells that one is missing");
    rig.table.tell_passed_over();
    assert!(versions(&slow).is_empty());
    assert_eq!(rig.table.tally.ephemerals_dropped, 1);
}

#[test]
fn a_presence_diff_is_not_taken_back_with_the_events_that_are_skipped() {
    let mut rig = Rig::new();
    let slow = rig.watch(1, 2_000, SlowPolicy::SkipToLatest);
    rig.hub.deliver_ephemeral(&name(), diff(1));
    rig.publish(1..=20);
    rig.advance_fully();
    assert_eq!(versions(&slow), [1]);
}

#[test]
fn a_presence_diff_outlives_the_signals_that_came_after_it() {
    let mut rig = Rig::new();
    let outbox = rig.watch(1, 1 << 20, SlowPolicy::Close);
    (1..=2).for_each(|version| rig.hub.deliver_ephemeral(&name(), diff(version)));
    (0..500).for_each(|_| rig.hub.deliver_ephemeral(&name(), signal(9)));
    rig.advance_fully();
    assert_eq!(versions(&outbox), [2]);
}

#[test]
fn what_is_pushed_while_a_subscriber_catches_up_is_not_missed() {
    let mut rig = Rig::new();
    rig.hub.deliver_ephemeral(&name(), signal(9));
    rig.advance_fully();
    let ephemerals_since = rig.table.begin_joining(&rig.channel);
    (0..2).for_each(|_| rig.hub.deliver_ephemeral(&name(), signal(9)));
    rig.advance_fully();
    let outbox = Outbox::new(0, Form::Json, 1 << 20, Rc::clone(&rig.dirty));
    let subscriber = Subscriber {
        connection: ConnectionId(1),
        outbox: Rc::clone(&outbox),
        cursor: 0,
        ephemerals_since,
        presence: false,
        slow: SlowPolicy::Close,
    };
    rig.table.enter(rig.channel.alias(), subscriber).unwrap();
    assert_eq!(read(&outbox).len(), 2);
    rig.hub.deliver_ephemeral(&name(), signal(9));
    rig.advance_fully();
    assert_eq!(read(&outbox).len(), 1);
}

#[test]
fn a_quiet_channel_holds_no_signals_once_every_shard_has_them_and_nobody_joins() {
    let mut rig = Rig::new();
    let (_, reader) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    let held = |rig: &Rig| rig.channel.ephemerals(0..u64::MAX).len();
    let say = |rig: &Rig| rig.hub.deliver_ephemeral(&name(), signal(9));
    say(&rig);
    rig.advance_fully();
    assert_eq!(held(&rig), 1, "the rig's own join may still want it");
    rig.table.leave_joining(rig.channel.alias());
    assert_eq!(held(&rig), 0);
    rig.hub.enter(&name(), ShardId(1));
    say(&rig);
    rig.advance_fully();
    assert_eq!(held(&rig), 1, "the other shard has not looked yet");
    rig.channel.untell(ShardId(1));
    rig.advance_fully();
    assert_eq!(held(&rig), 1, "the other shard could not take it yet");
    rig.channel.pull(ShardId(1), rig.channel.top().unwrap(), 0);
    assert_eq!(held(&rig), 0);
    assert_eq!(read(&reader).len(), 2);
}

#[test]
fn of_too_many_signals_the_newest_arrive() {
    let mut rig = Rig::new();
    let (_, outbox) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    (0..500).for_each(|_| rig.hub.deliver_ephemeral(&name(), signal(9)));
    rig.advance_fully();
    assert_eq!(read(&outbox).len(), 128);
}
