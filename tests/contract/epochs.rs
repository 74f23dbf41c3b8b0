//! An epoch names one life of a log.

use parlor::broker::Range;
use parlor_protocol::Tag;

use crate::subject::{Factory, Settings, name};

pub(crate) async fn an_unwritten_channel_stands_before_its_first_event(factory: Factory) {
    let subject = factory(Settings::default());
    let read = subject.read("room", Range::AfterOffset(0), 10).await;
    let joined = subject
        .broker
        .join(&name("room"), &subject.kind)
        .await
        .unwrap();
    assert_eq!(read.top, joined);
    assert_eq!((joined.offset, joined.tag), (0, Tag(0)));
    let first = subject.append(subject.message("room", "x")).await.unwrap();
    assert_eq!(
        first.position.epoch, joined.epoch,
        "who joined before the first event sees no change of epoch"
    );
}

pub(crate) async fn a_channel_keeps_its_epoch(factory: Factory) {
    let subject = factory(Settings::default());
    let appended = subject.publish("room", 50).await;
    assert!(
        appended
            .iter()
            .all(|one| one.position.epoch == appended[0].position.epoch)
    );
    assert!(
        subject
            .log("room")
            .await
            .iter()
            .all(|entry| entry.epoch == appended[0].position.epoch)
    );
}
