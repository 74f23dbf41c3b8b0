//! Reading: one small task per connection takes frames in, has its commands run, and ends the connection.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use parlor_protocol::codec::CommandError;
use parlor_protocol::{CloseCode, Command, Envelope, Form, codec};

use super::asked::Asked;
use super::inlet::{Ended, Incoming, Inlet};
use super::peer::Peer;
use super::under_way::UnderWay;
use crate::metrics;
use crate::outbox::Frame;
use crate::session::Session;
use crate::transport::shard::Shard;

/// Publishes of one connection that may be under way; then its reading waits.
const PUBLISHING_MAX: usize = 128;

/// Commands of one connection in a row may take so long; then others of the shard have their turn.
const TURN_TIME: Duration = Duration::from_millis(1);

/// The kernel has told all to a closing peer: how long its own close may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a connection's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client said goodbye.
    Left,
    /// The socket is gone.
    Lost,
    /// We close it.
    Closing,
}

/// Serves the connection until it ends.
pub(super) async fn run(shard: Rc<Shard>, peer: Rc<Peer>, read_ahead: Vec<u8>) {
    let inlet = Inlet::new(read_ahead, shard.config().frame_bytes_max);
    let end = converse(&shard, &peer, inlet).await;
    // Boxed: its waiting would be room in the future of each connection for all of its life.
    Box::pin(finish(&shard, peer, end)).await;
}

/// Takes the connection out of everything, when it is its turn, and closes its socket.
async fn finish(shard: &Shard, peer: Rc<Peer>, end: End) {
    if end == End::Lost {
        peer.session().outbox().abandon();
    }
    let turn = shard.ends().turn().await;
    peer.session().close(end == End::Left);
    if end != End::Lost {
        drop(turn);
        say_goodbye(shard, &peer).await;
    }
    shard.remove_peer(&peer);
    count_end(shard, &peer, end);
}

async fn converse(shard: &Rc<Shard>, peer: &Rc<Peer>, mut inlet: Inlet) -> End {
    let session = peer.session();
    let outbox = session.outbox();
    let mut publishing = UnderWay::default();
    let mut asked = Asked::default();
    loop {
        if peer.has_failed() {
            return End::Lost;
        }
        if let Some((code, retry_after_ms)) = peer.told_to_leave() {
            peer.set_unread(true);
            // What was accepted is answered first. Boxed, as the end is.
            let answered = finish_publishes(session, &mut publishing);
            Box::pin(beside_writing(shard, peer, answered)).await;
            outbox.close(code, retry_after_ms);
        }
        if outbox.closing().is_some() {
            return End::Closing;
        }
        let has_room = !outbox.is_over_bound();
        if has_room && !asked.is_empty() {
            peer.set_unread(true);
            run_asked(shard, peer, &mut asked, &mut publishing).await;
            if session.take_plan_changed() {
                peer.plan(shard);
            }
            continue;
        }
        let may_publish = publishing.len() < PUBLISHING_MAX;
        // Room in the outbox is its own to make: where it takes nothing in, its silence counts.
        peer.set_unread(!may_publish);
        tokio::select! {
            biased;
            () = peer.wake.notified() => {}
            // Nobody else would tell while the socket is full: it may stay so for ever.
            () = poll_fn(|context| outbox.poll_closing(context)), if outbox.is_blocked() => {}
            writable = poll_fn(|context| peer.socket().poll_write_ready(context)), if outbox.is_blocked() => {
                if writable.is_err() {
                    return End::Lost;
                }
                unblock(shard, peer);
            }
            (id, result) = publishing.next(), if !publishing.is_empty() => session.reply(id, &result),
            () = poll_fn(|context| outbox.poll_room(context)), if !has_room => {}
            message = inlet.next(peer.socket(), shard.scratch()), if has_room && may_publish => {
                let message = match message {
                    Ok(message) => message,
                    Err(Ended::Gone) => return End::Lost,
                    Err(Ended::Fault(code)) => {
                        outbox.close(code, None);
                        continue;
                    }
                };
                peer.heard();
                let (form, bytes) = match message {
                    Incoming::Close => {
                        outbox.close_in_answer(Frame::close(1000, ""));
                        return End::Left;
                    }
                    Incoming::Ping(payload) => {
                        outbox.push_reply(Frame::pong(&payload));
                        continue;
                    }
                    Incoming::Pong => continue,
                    Incoming::Text(bytes) => (Form::Json, bytes),
                    Incoming::Binary(bytes) => (Form::MsgPack, bytes),
                };
                // With room, nothing waits from the frame before.
                asked = Asked::new(decode(shard, peer, form, bytes));
            }
        }
    }
}

/// Runs what a frame asked for, while the outbox has room for the answers: a frame is small, but the pages of history that
/// it can ask for are a hundred times what may wait for one connection.
async fn run_asked(shard: &Shard, peer: &Peer, asked: &mut Asked, publishing: &mut UnderWay) {
    let outbox = peer.session().outbox();
    let mut began = Instant::now();
    while outbox.closing().is_none()
        && !outbox.is_over_bound()
        && let Some(command) = asked.take()
    {
        if let Some(run) = begin(shard, peer, command, publishing) {
            run.await;
        }
        // What is answered from memory never pauses by itself. Yielding lets the runtime look at other sockets first.
        if began.elapsed() >= TURN_TIME && !asked.is_empty() {
            tokio::task::yield_now().await;
            began = Instant::now();
        }
    }
}

/// Waits for what takes its time, and meanwhile for a full socket: the drain leaves that to this task, and the events of a client
/// that reads would pile up.
async fn beside_writing(shard: &Shard, peer: &Peer, running: impl Future<Output = ()>) {
    let outbox = peer.session().outbox();
    let mut running = pin!(running);
    loop {
        // Whoever called looks at everything that `wake` may have meant.
        tokio::select! {
            biased;
            () = &mut running => return,
            writable = poll_fn(|context| peer.socket().poll_write_ready(context)), if outbox.is_blocked() && !peer.has_failed() => {
                match writable {
                    Ok(()) => unblock(shard, peer),
                    Err(_) => peer.fail(),
                }
            }
            () = peer.wake.notified() => {}
        }
    }
}

/// The socket takes more: the drain goes on. Somebody at the other end took in what it was full of, and may not have come to the
/// pings behind that: a client that lives, however slow it is. One that is gone makes no room.
fn unblock(shard: &Shard, peer: &Peer) {
    metrics::incr(&shard.state().counters().write_wakeups);
    peer.heard();
    peer.session().outbox().set_blocked(false);
}

async fn finish_publishes(session: &Session, publishing: &mut UnderWay) {
    while !publishing.is_empty() {
        let (id, result) = publishing.next().await;
        session.reply(id, &result);
    }
}

/// The commands of one WebSocket message, sent as the type that its form has. None when the connection must close.
fn decode(
    shard: &Shard,
    peer: &Peer,
    form: Form,
    bytes: Vec<u8>,
) -> Vec<Result<Envelope, CommandError>> {
    let outbox = peer.session().outbox();
    if form != outbox.form() {
        outbox.close(CloseCode::WrongFrameType, None);
        return Vec::new();
    }
    metrics::incr(&shard.state().counters().frames_in);
    metrics::add(&shard.state().counters().bytes_in, bytes.len() as u64);
    codec::decode_commands(form, &bytes).unwrap_or_else(|_| {
        outbox.close(CloseCode::BadFrame, None);
        Vec::new()
    })
}

/// Does what can be done at once. What takes longer is returned in a box: an idle connection's future need not have room
/// for it.
fn begin<'a>(
    shard: &'a Shard,
    peer: &'a Peer,
    command: Result<Envelope, CommandError>,
    publishing: &'a mut UnderWay,
) -> Option<LocalBoxFuture<'a, ()>> {
    let session = peer.session();
    match command {
        Ok(Envelope {
            id,
            command: Command::Publish(publish),
        }) => {
            if let Some(publish) = session.publish(id, publish, Instant::now()) {
                publishing.add(publish);
            }
            None
        }
        Ok(envelope) => {
            let run = run_command(session, envelope, publishing);
            Some(beside_writing(shard, peer, run).boxed_local())
        }
        Err(error) => {
            session.reply_to_bad_command(error, Instant::now());
            None
        }
    }
}

/// Publishes run side by side; anything else waits until they are answered, so that a client's commands take
/// effect in the order in which it sent them.
async fn run_command(session: &Rc<Session>, envelope: Envelope, publishing: &mut UnderWay) {
    finish_publishes(session, publishing).await;
    session.handle(envelope, Instant::now()).await;
}

/// Sends what is left, then ends the socket in both directions, within the linger time.
async fn say_goodbye(shard: &Shard, peer: &Peer) {
    let sent = tokio::time::timeout(shard.config().linger, flush(peer)).await;
    if !matches!(sent, Ok(true)) || peer.socket().end_writing().is_err() {
        return;
    }
    // Reading to the end keeps the kernel from answering late bytes with a reset, which would
    // destroy what the peer has not read yet.
    drop(tokio::time::timeout(GOODBYE, read_to_end(shard, peer)).await);
}

/// True when everything was sent.
async fn flush(peer: &Peer) -> bool {
    let outbox = peer.session().outbox();
    // Blocked and empty: TLS has the rest.
    while !outbox.is_empty() || outbox.is_blocked() {
        if peer.has_failed() {
            return false;
        }
        tokio::select! {
            () = peer.wake.notified() => {}
            writable = peer.socket().writable(), if outbox.is_blocked() => {
                if writable.is_err() {
                    return false;
                }
                outbox.set_blocked(false);
            }
        }
    }
    true
}

async fn read_to_end(shard: &Shard, peer: &Peer) {
    while peer.socket().readable().await.is_ok() {
        // Neither of the two calls ever pauses while bytes keep coming: without this, a peer that never
        // stops sending would hold the whole shard.
        tokio::task::coop::consume_budget().await;
        let read = shard
            .scratch()
            .with(|scratch| peer.socket().try_read(scratch));
        match read {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn count_end(shard: &Shard, peer: &Peer, end: End) {
    let counters = shard.state().counters();
    metrics::decr(&counters.connections_open);
    match (end, peer.session().outbox().closing()) {
        (End::Closing, Some(code)) => metrics::incr(counters.connections_closed.of(code)),
        _ => metrics::incr(&counters.connections_left),
    }
}
