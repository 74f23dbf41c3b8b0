//! `signal`: heard by those who are there, kept nowhere.

use parlor_protocol::EventKind;
use parlor_tests::{everywhere, json, said};

#[test]
fn a_signal_is_heard_by_the_others_and_kept_nowhere() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in ["disk:a", "memory:a"] {
            let mut audience = server.audience("ann", channel).await;
            let mut bob = server.join("bob").await;
            bob.subscribe(channel).await;
            let signalled = bob.signal(channel, json(r#"{"typing":true}"#)).await;
            for ann in &mut audience {
                let event = ann.event().await;
                assert_eq!(
                    (event.kind.clone(), event.time),
                    (EventKind::Signal, signalled.time)
                );
                assert_eq!(
                    (event.offset, event.seq, event.position.clone()),
                    (None, None, None)
                );
                assert_eq!(event.user.as_deref(), Some("bob"));
                assert_eq!(event.payload, Some(json(r#"{"typing":true}"#)));
            }
            // The message behind it shows that the signal would have come by now.
            bob.publish(channel, "after").await;
            let heard = bob.event().await;
            assert_eq!(
                (said(&heard), heard.offset),
                ("after", Some(1)),
                "the sender does not hear itself"
            );
            assert_eq!(bob.whole_history(channel).await.len(), 1);
        }
    });
}

#[test]
fn a_late_subscriber_hears_no_signal_of_before() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.audience("ann", "disk:a").await;
        let mut bob = server.join("bob").await;
        bob.signal("disk:a", json("1")).await;
        let mut late = server.audience("late", "disk:a").await;
        bob.publish("disk:a", "message").await;
        assert_eq!(ann[0].event().await.kind, EventKind::Signal);
        for late in &mut late {
            assert_eq!(late.event().await.kind, EventKind::Message);
        }
    });
}

#[test]
fn a_signal_to_nobody_is_answered_too() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        ann.signal("disk:empty", json("1")).await;
    });
}
