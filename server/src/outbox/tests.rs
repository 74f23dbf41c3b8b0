//! What an outbox promises to pushers and to the writer.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use parlor_protocol::{Alias, CloseCode, Form};

use super::{Dirty, Frame, Lane, Outbox, Pushed};

const ALIAS: Alias = Alias(7);

fn outbox(bytes_max: usize) -> (Rc<Outbox>, Rc<Dirty>) {
    let dirty = Rc::new(Dirty::default());
    (
        Outbox::new(0, Form::Json, bytes_max, Rc::clone(&dirty)),
        dirty,
    )
}

fn frame(len: usize) -> Frame {
    Frame::of_payload(Form::Json, &vec![b'x'; len])
}

/// Takes at most `limit` bytes of one write.
fn write(outbox: &Outbox, limit: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let answer = outbox.write_with(|slices| {
        let joined: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        out.extend_from_slice(&joined[..joined.len().min(limit)]);
        Ok::<_, Infallible>(out.len())
    });
    assert!(answer.is_some(), "something waits");
    out
}

/// Counts how often it is rung.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn bytes_leave_in_order_whatever_the_socket_takes() {
    let (outbox, _) = outbox(4096);
    let mut expected = Vec::new();
    for len in [1, 125, 126, 300] {
        let frame = frame(len);
        expected.extend_from_slice(frame.as_bytes());
        assert_eq!(outbox.push(&frame, ALIAS, Lane::Near), Pushed::Queued);
    }
    let mut sent = Vec::new();
    for limit in (1..).map(|step| step % 7 + 1) {
        if outbox.is_empty() {
            break;
        }
        sent.extend(write(&outbox, limit));
    }
    assert_eq!(sent, expected);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn a_full_outbox_refuses_events_but_never_replies() {
    let (outbox, _) = outbox(1000);
    assert_eq!(outbox.push(&frame(900), ALIAS, Lane::Near), Pushed::Queued);
    assert_eq!(
        outbox.push(&frame(900), ALIAS, Lane::Near),
        Pushed::Overflow
    );
    outbox.push_reply(frame(900));
    assert!(outbox.bytes() > 1800);
}

#[test]
fn an_outbox_stands_in_a_lane_once() {
    let (outbox, dirty) = outbox(4096);
    for _ in 0..3 {
        outbox.push(&frame(10), ALIAS, Lane::Bulk);
    }
    outbox.push_reply(frame(10));
    let mut taken = Vec::new();
    dirty.take(Lane::Near, 9, &mut taken);
    assert_eq!(taken.len(), 1);
    dirty.take(Lane::Bulk, 9, &mut taken);
    assert_eq!(taken.len(), 2);
    assert!(dirty.is_empty());
}

#[test]
fn bulk_gets_one_slice_in_four_while_near_has_work() {
    let dirty = Rc::new(Dirty::default());
    let fill = |lane: Lane| {
        Outbox::new(0, Form::Json, 4096, Rc::clone(&dirty)).push(&frame(1), ALIAS, lane)
    };
    fill(Lane::Near);
    fill(Lane::Bulk);
    let lanes: Vec<Lane> = (0..8).map(|_| dirty.next_lane()).collect();
    assert_eq!(lanes.iter().filter(|lane| **lane == Lane::Bulk).count(), 2);
}

#[test]
fn closing_as_slow_finishes_the_half_sent_frame_and_says_why() {
    let (outbox, _) = outbox(4096);
    let first = frame(100);
    outbox.push(&first, ALIAS, Lane::Near);
    outbox.push(&frame(200), ALIAS, Lane::Near);
    let mut sent = write(&outbox, 10);
    outbox.close(CloseCode::Slow, None);
    assert_eq!(outbox.push(&frame(1), ALIAS, Lane::Near), Pushed::Closed);
    sent.extend(write(&outbox, usize::MAX));
    assert!(sent.starts_with(first.as_bytes()));
    let rest = &sent[first.len()..];
    assert!(String::from_utf8_lossy(rest).contains(r#""disconnect""#));
    assert!(rest.ends_with(Frame::close(4001, "slow").as_bytes()));
    assert!(outbox.is_empty());
}

#[test]
fn taking_back_a_channel_leaves_the_others_and_the_half_sent_frame() {
    let (outbox, _) = outbox(4096);
    outbox.push(&frame(50), ALIAS, Lane::Near);
    outbox.push(&frame(60), Alias(8), Lane::Near);
    outbox.push(&frame(70), ALIAS, Lane::Near);
    write(&outbox, 5);
    outbox.take_back(ALIAS);
    let rest = write(&outbox, usize::MAX);
    assert_eq!(rest.len(), frame(50).len() - 5 + frame(60).len());
}

#[test]
fn an_outbox_whose_connection_is_gone_stays_empty() {
    let (outbox, _) = outbox(4096);
    outbox.push(&frame(50), ALIAS, Lane::Bulk);
    outbox.abandon();
    assert_eq!(outbox.push(&frame(50), ALIAS, Lane::Bulk), Pushed::Closed);
    outbox.push_reply(frame(50));
    outbox.close(CloseCode::Slow, None);
    assert!(outbox.is_empty());
}

#[test]
fn the_end_of_a_blocked_outbox_wakes_whoever_waits_for_its_socket() {
    let (outbox, dirty) = outbox(4096);
    outbox.set_blocked(true);
    outbox.push(&frame(50), ALIAS, Lane::Near);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let context = Context::from_waker(&waker);
    assert!(outbox.poll_closing(&context).is_pending());
    outbox.close(CloseCode::Slow, None);
    assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    assert!(outbox.poll_closing(&context).is_ready());
    assert!(
        dirty.is_empty(),
        "the drain is not told: nothing can be sent"
    );
}
