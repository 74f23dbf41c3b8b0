//! How rosters are read.

use parlor_protocol::reply::Reply;
use parlor_protocol::{ErrorCode, Form, codec};

use super::world::{World, channel, entry, json};
use crate::hub::ConnectionId;

fn crowd(size: u64) -> World {
    let world = World::new();
    for number in 0..size {
        world.join(
            "room",
            &format!("user{number:03}"),
            &format!("s{number}"),
            number,
        );
    }
    world
}

#[test]
fn pages_cover_everybody_exactly_once_while_others_come_and_go() {
    let world = crowd(100);
    let (mut seen, mut cursor, mut turn) = (Vec::new(), None, 0);
    loop {
        let page = world.page("room", 7, cursor.as_deref());
        assert!(page.members.len() <= 7);
        seen.extend(page.members.into_iter().map(|member| member.user));
        // Those with an odd number go, the last one of the page among them, and strangers come anywhere.
        let gone = seen.len() as u64 - 1;
        if gone % 2 == 1 {
            world.leave("room", &format!("s{gone}"), gone);
        }
        world.join(
            "room",
            &format!("user{turn:03}-new"),
            &format!("new{turn}"),
            1_000 + turn,
        );
        turn += 13;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let stayed = (0..100).step_by(2).map(|number| format!("user{number:03}"));
    for user in stayed {
        assert_eq!(seen.iter().filter(|one| **one == user).count(), 1, "{user}");
    }
    assert!(seen.is_sorted());
}

#[test]
fn a_limit_of_nothing_gives_the_counts() {
    let page = crowd(5).page("room", 0, None);
    assert_eq!(
        (page.members.len(), page.users, page.connections, page.next),
        (0, 5, 5, None)
    );
}

#[test]
fn the_last_page_has_no_next() {
    let world = crowd(4);
    let first = world.page("room", 2, None);
    let second = world.page("room", 2, first.next.as_deref());
    assert_eq!(
        (first.members.len(), second.members.len(), second.next),
        (2, 2, None)
    );
}

#[test]
fn nobody_knows_an_unknown_channel() {
    let page = World::new().snapshot("room");
    assert_eq!(
        (
            page.members.len(),
            page.users,
            page.connections,
            page.version
        ),
        (0, 0, 0, 0)
    );
}

#[test]
fn a_foreign_cursor_is_refused() {
    let world = crowd(3);
    let long = "A".repeat(100_000);
    for cursor in ["?", "a", "_w", "user001 ", long.as_str()] {
        let refusal = world
            .presence
            .snapshot(&channel("room"), 10, Some(cursor))
            .expect_err("a foreign cursor");
        assert_eq!(refusal.kind(), Some(ErrorCode::BadRequest), "{cursor}");
    }
}

#[test]
fn a_page_fits_its_frame_whatever_it_holds() {
    let world = World::new();
    for number in 0..400 {
        let mut one = entry(&format!("\"\u{2}{number:03}"), &format!("s{number}"));
        one.info = Some(json(&format!("[{}0]", "0,".repeat(number * 5))));
        world.presence.join(
            &channel("room"),
            ConnectionId(number as u64),
            &one,
            world.now,
        );
    }
    let (mut seen, mut cursor) = (0, None);
    loop {
        let page = world.page("room", 500, cursor.as_deref());
        seen += page.members.len();
        cursor.clone_from(&page.next);
        let reply = Ok(Reply::Presence(page));
        for form in Form::ALL {
            let bytes = codec::encode_reply(form, u32::MAX, &reply).len();
            assert!(bytes <= 48 * 1_024, "{form:?}: {bytes} bytes");
        }
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, 400);
}

#[test]
fn a_member_shows_some_of_many_sessions_and_all_are_counted() {
    let world = World::new();
    for number in 0..100 {
        world.join("room", "bot", &format!("s{number:02}"), number);
    }
    let page = world.snapshot("room");
    assert_eq!(
        (page.members[0].sessions.len(), page.users, page.connections),
        (32, 1, 100)
    );
}
