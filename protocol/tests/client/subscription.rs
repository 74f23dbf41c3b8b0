//! One channel of a client: refused, ended, renewed, made by the server.

use parlor_protocol::client::{ClientEvent, Continuity};
use parlor_protocol::command::{Recover, Subscribe};
use parlor_protocol::push::Unsubscribed;
use parlor_protocol::reply::SubscribeOutcome;
use parlor_protocol::{Alias, Command, ErrorCode, Form, Push, Reply};

use crate::harness::{MS, SECOND, Wire, message, subscribed};

#[test]
fn a_passing_refusal_of_a_subscription_is_asked_again_when_advised() {
    let mut wire = Wire::with_form(Form::Json);
    wire.session.subscribe(Subscribe::new("a"));
    wire.dial();
    let error = ErrorCode::StorageUnavailable.with("").retry_after_ms(3_000);
    wire.welcome(vec![SubscribeOutcome::Refused {
        channel: "a".to_owned(),
        error,
    }]);
    wire.tick(3 * SECOND - MS);
    assert!(wire.commands().is_empty());
    wire.tick(MS);
    let commands = wire.commands();
    wire.reply(commands[0].id, Ok(Reply::Subscribe(subscribed("a", 7, 3))));
    assert_eq!(wire.continuity(), Continuity::First);
}

#[test]
fn an_ended_subscription_is_told_or_renewed_as_the_server_says() {
    for resubscribe in [true, false] {
        let mut wire = Wire::live_in("a", 3);
        let (code, reason) = (2008, "revoked".to_owned());
        wire.push(Push::Unsubscribed(Unsubscribed {
            alias: Alias(7),
            channel: "a".to_owned(),
            code,
            reason,
            resubscribe,
            lost_from: None,
            lost_to: None,
        }));
        let commands = wire.commands();
        assert_eq!(commands.len(), usize::from(resubscribe));
        assert_eq!(wire.events().len(), usize::from(!resubscribe));
        wire.push(message(7, 4));
        assert_eq!(wire.offsets(), [0_u64; 0]);
    }
}

#[test]
fn what_the_server_lost_is_told_before_the_channel_is_subscribed_anew() {
    let mut wire = Wire::live_in("a", 3);
    wire.push(Push::Unsubscribed(Unsubscribed {
        alias: Alias(7),
        channel: "a".to_owned(),
        code: 2501,
        reason: "events were lost".to_owned(),
        resubscribe: true,
        lost_from: Some(2),
        lost_to: Some(3),
    }));
    let events = wire.events();
    assert!(
        matches!(&events[..], [ClientEvent::Lost { channel, from: 2, to: 3 }] if &**channel == "a"),
        "{events:?}"
    );
}

#[test]
fn after_unsubscribe_nothing_of_the_channel_is_told() {
    let mut wire = Wire::live_in("a", 3);
    wire.session.unsubscribe("a");
    wire.push(message(7, 4));
    assert!(wire.events().is_empty());
    assert!(matches!(&wire.commands()[0].command, Command::Unsubscribe(one) if one.channel == "a"));
    wire.close(None);
    assert!(wire.redial().subscriptions.is_empty());
}

#[test]
fn the_reply_to_an_outdated_subscribe_is_passed_over() {
    let mut wire = Wire::live_in("a", 3);
    wire.session.subscribe(Subscribe::new("b"));
    wire.session.unsubscribe("b");
    wire.session
        .subscribe(Subscribe::new("b").with_presence(true));
    let ids: Vec<_> = wire.commands().iter().map(|envelope| envelope.id).collect();
    wire.reply(ids[0], Ok(Reply::Subscribe(subscribed("b", 8, 1))));
    assert!(wire.events().is_empty());
    wire.reply(ids[2], Ok(Reply::Subscribe(subscribed("b", 8, 1))));
    assert_eq!(wire.events().len(), 1);
}

#[test]
fn a_subscription_that_the_server_made_is_adopted_and_resumed() {
    let mut wire = Wire::live_in("a", 3);
    wire.push(Push::Subscribed(subscribed("inbox", 8, 5)));
    wire.push(message(8, 6));
    assert!(matches!(
        wire.events()[..],
        [ClientEvent::Subscribed { .. }, ClientEvent::Event { .. }]
    ));
    wire.close(None);
    let subscriptions = wire.redial().subscriptions;
    assert_eq!(
        subscriptions[1].recover,
        Some(Recover::From("p6".to_owned()))
    );
}

#[test]
fn long_lists_of_subscriptions_are_split_by_the_frame_limit() {
    for form in Form::ALL {
        let mut wire = Wire::with_form(form);
        let names: Vec<_> = (0..500).map(|number| format!("{number:0>250}")).collect();
        for name in &names {
            wire.session.subscribe(Subscribe::new(name));
        }
        let connect = wire.dial();
        let mut asked: Vec<_> = connect
            .subscriptions
            .into_iter()
            .map(|one| one.channel)
            .collect();
        for envelope in wire.commands() {
            let Command::Subscribe(subscribe) = envelope.command else {
                panic!("{envelope:?}")
            };
            asked.push(subscribe.channel);
        }
        assert_eq!(asked, names);
        assert!(
            wire.longest_frame <= 65_536 && wire.longest_frame > 60_000,
            "{}",
            wire.longest_frame
        );
        assert!(wire.most_commands <= 128);
    }
}
