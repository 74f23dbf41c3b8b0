//! What a shard takes from the log where the tail was trimmed: only what continues what it delivered.

use super::*;

/// A shard that delivered five events, then lagged behind the tail and reads the log.
fn reading() -> (Rig, Rc<Outbox>) {
    let mut rig = Rig::new();
    let (_, outbox) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rig.publish(1..=5);
    rig.advance_fully();
    rig.publish(6..=1000);
    let after = entry(5, None).position();
    assert_eq!(rig.advance(), Advanced::ReadLog { after });
    (rig, outbox)
}

/// The same place in another life. Its tags stay, so that nothing but the epoch tells the lives apart.
fn in_life(epoch: u64, offset: u64) -> Arc<LogEntry> {
    Arc::new(LogEntry {
        epoch: Epoch(epoch),
        ..entry(offset, None)
    })
}

#[track_caller]
fn check_refused(page: &[Arc<LogEntry>]) {
    let (mut rig, outbox) = reading();
    let alias = rig.channel.alias();
    assert!(!rig.table.deliver(alias, page));
    let delivered = Some(entry(5, None).position());
    assert_eq!(rig.table.delivered(alias), delivered);
    assert_eq!(offsets(&outbox), [1, 2, 3, 4, 5]);
}

#[test]
fn a_loss_is_told_although_the_next_life_passed_what_was_delivered() {
    let (mut rig, outbox) = reading();
    let alias = rig.channel.alias();
    // A failover takes 4 and all after it while the log is read, and the next life is at 20 by then.
    rig.hub.restart(&name(), newer(6, 3), Some(4..=1000));
    let page = Vec::from_iter((6..=20).map(|offset| in_life(6, offset)));
    assert!(!rig.table.deliver(alias, &page));
    assert_eq!(rig.table.lost(alias), Some(4..=1000));
    assert_eq!(rig.table.connections(alias), [ConnectionId(1)]);
    assert_eq!(offsets(&outbox), [1, 2, 3, 4, 5]);
    assert_eq!(rig.advance(), Advanced::EpochChanged);
    rig.table.restart(alias);
    assert_eq!(rig.table.lost(alias), None, "told already");
}

#[test]
fn a_page_that_does_not_continue_what_was_delivered_is_refused_whole() {
    let here = |offset| in_life(5, offset);
    check_refused(&[here(7), here(8)]);
    check_refused(&[here(6), here(8)]);
    // The next life of the log: at once, and behind what is left of this one.
    check_refused(&[in_life(6, 6), in_life(6, 7)]);
    check_refused(&[here(6), in_life(6, 7)]);
    // A log that was rolled back and went another way, under the same epoch.
    let strayed = Arc::new(LogEntry {
        prev: Tag(1),
        ..entry(6, None)
    });
    check_refused(&[strayed, here(7)]);
}

#[test]
fn what_was_erased_meanwhile_is_in_its_place() {
    let (mut rig, outbox) = reading();
    let erased = Arc::new(entry(6, None).to_tombstone());
    let page = [erased, in_life(5, 7)];
    assert!(rig.table.deliver(rig.channel.alias(), &page));
    assert_eq!(offsets(&outbox), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_read_is_not_for_those_who_came_after_everybody_had_left() {
    let mut rig = Rig::new();
    let alias = rig.channel.alias();
    let (key, _outbox) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rig.publish(1..=1000);
    let Advanced::ReadLog { after } = rig.advance() else {
        panic!("the tail holds no thousand events")
    };
    assert!(rig.table.is_reading(alias, after));
    assert!(rig.table.leave_joining(alias).is_none());
    assert!(rig.table.leave(alias, key).is_some());
    assert!(!rig.table.is_reading(alias, after), "nobody is there");
    rig.table.begin_joining(&rig.channel);
    let top = rig.channel.learn_top(after);
    rig.table.start_from(alias, top);
    assert!(!rig.table.is_reading(alias, after), "they need no read");
    rig.publish(1001..=2000);
    assert_eq!(rig.advance(), Advanced::ReadLog { after: top });
    assert!(!rig.table.is_reading(alias, after), "it is another read");
    assert!(rig.table.is_reading(alias, top));
}
