//! The numbers of channels run out and begin again, but none ever stands for two live channels.

use parlor_protocol::Alias;

use super::*;

const ELSEWHERE: ShardId = ShardId(1);

fn room(number: u32) -> ChannelName {
    ChannelName::parse(&format!("room:{number}")).unwrap()
}

fn enter(hub: &Hub, number: u32) -> Alias {
    hub.enter(&room(number), SHARD).alias()
}

#[test]
fn the_alias_of_a_live_channel_is_given_to_no_other_when_numbers_begin_again() {
    let hub = Hub::new(1);
    assert_eq!(enter(&hub, 1), Alias(1));
    let followed = hub.follow(&room(2), Box::new(|| ()));
    assert_eq!(followed.alias(), Alias(2));
    hub.next_alias.store(u32::MAX, Ordering::Relaxed);
    let taken: Vec<Alias> = (3..=5).map(|number| enter(&hub, number)).collect();
    assert_eq!(taken, [Alias(u32::MAX), Alias(3), Alias(4)]);
    hub.next_alias.store(u32::MAX, Ordering::Relaxed);
    let followed = hub.follow(&room(6), Box::new(|| ()));
    assert_eq!(followed.alias(), Alias(5));
    assert_eq!(enter(&hub, 1), Alias(1), "it is the one it was");
}

#[test]
fn an_alias_is_free_once_the_last_shard_let_go_of_its_channel() {
    let hub = Hub::new(2);
    let channel = hub.enter(&room(1), SHARD);
    hub.enter(&room(1), ELSEWHERE);
    assert!(!hub.exit(&channel, SHARD));
    hub.next_alias.store(u32::MAX, Ordering::Relaxed);
    assert_eq!(enter(&hub, 2), Alias(u32::MAX));
    assert_eq!(enter(&hub, 3), Alias(2), "another shard has 1");
    assert!(hub.exit(&channel, ELSEWHERE));
    assert_eq!(enter(&hub, 4), Alias(3), "1 waits until its turn comes");
    hub.next_alias.store(0, Ordering::Relaxed);
    assert_eq!(enter(&hub, 5), Alias(1));
}

#[test]
fn a_new_channel_never_gets_the_subscribers_of_a_long_lived_one() {
    let mut rig = Rig::new();
    let (_, outbox) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rig.hub
        .next_alias
        .store(rig.channel.alias().0, Ordering::Relaxed);
    let other = rig.hub.enter(&room(2), SHARD);
    rig.table.begin_joining(&other);
    let top = other.learn_top(newer(5, 0));
    rig.table.start_from(other.alias(), top);
    rig.hub.deliver(&room(2), Arc::new(entry(1, None)));
    while rig.table.advance(other.alias()) == Advanced::More {}
    assert!(offsets(&outbox).is_empty());
    assert!(rig.table.connections(other.alias()).is_empty());
}
