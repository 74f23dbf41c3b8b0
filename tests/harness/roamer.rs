//! A client that comes back, and to whichever node: [`ClientSession`] over real sockets to several servers.
//!
//! It carries out what the session wants. Unlike `Driver` it never panics over what a server does: it is for runs in which servers die.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use parlor_protocol::client::{ClientConfig, ClientEvent, ClientSession, Effect};
use parlor_protocol::codec::{ServerMessage, decode_server};
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::client::{Frame, Wire, WireReader, WireWriter};

/// Frames that wait to be written. More means that the server takes nothing.
const FRAMES_MAX: usize = 4_096;
/// How long TCP and the handshake may take together: a frozen server's kernel accepts.
const DIAL_TIME_MAX: Duration = Duration::from_secs(3);

/// What a roamer tells.
#[derive(Debug)]
pub enum Heard {
    /// The session's own word.
    Event(ClientEvent),
    /// What came over the wire, before the session judged it. Only while it is watched.
    Raw(ServerMessage),
}

/// One client.
#[derive(Debug)]
pub struct Roamer {
    pub session: ClientSession,
    /// Whether [`Heard::Raw`] is wanted.
    pub watched: bool,
    /// Bounds what the kernel takes in while nobody reads. For sockets to come.
    pub receive_bytes: Option<u32>,
    nodes: Vec<SocketAddr>,
    /// Index of the node that was dialled last.
    node: Option<usize>,
    form: parlor_protocol::Form,
    start: Instant,
    rng: StdRng,
    dialling: Option<Dial>,
    socket: Option<Socket>,
    heard: VecDeque<Heard>,
}

struct Dial(Pin<Box<dyn Future<Output = Option<Wire>> + Send>>);

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dial")
    }
}

#[derive(Debug)]
struct Socket {
    reader: WireReader,
    frames: mpsc::Sender<Vec<u8>>,
    writer: AbortHandle,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

impl Roamer {
    /// Among these nodes. It dials when [`Self::next`] is first called.
    ///
    /// # Panics
    /// When there are no nodes.
    pub fn new(nodes: Vec<SocketAddr>, config: ClientConfig, mut rng: StdRng) -> Self {
        assert!(!nodes.is_empty(), "a client needs a node");
        let form = config.form;
        let mut session = ClientSession::new(config, rng.random());
        session.start(Duration::ZERO);
        Self {
            session,
            watched: false,
            receive_bytes: None,
            nodes,
            node: None,
            form,
            start: Instant::now(),
            rng,
            dialling: None,
            socket: None,
            heard: VecDeque::new(),
        }
    }

    /// What comes next. May be dropped before it is done: nothing is lost.
    pub async fn next(&mut self) -> Heard {
        loop {
            self.carry_out();
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            self.wait().await;
        }
    }

    /// Loses the socket, as a bad network does. The session comes back by itself, elsewhere where it can.
    pub fn lose_socket(&mut self) {
        self.socket = None;
        self.dialling = None;
        self.session.closed(None, self.start.elapsed());
    }

    /// Index of the node that it is at, or was last.
    pub fn node(&self) -> Option<usize> {
        self.node
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.session.poll() {
            match effect {
                Effect::Connect => self.dial(),
                Effect::Send(frame) => {
                    let Some(socket) = &self.socket else { continue };
                    if socket.frames.try_send(frame).is_err() {
                        self.lose_socket();
                    }
                }
                Effect::Close => {
                    self.socket = None;
                    self.dialling = None;
                }
                Effect::Event(event) => self.heard.push_back(Heard::Event(event)),
            }
        }
    }

    fn dial(&mut self) {
        let node = self.another_node();
        self.node = Some(node);
        let opening = Wire::try_open_with(self.nodes[node], self.form, self.receive_bytes);
        let opening = async { tokio::time::timeout(DIAL_TIME_MAX, opening).await.ok()? };
        self.dialling = Some(Dial(Box::pin(opening)));
    }

    fn another_node(&mut self) -> usize {
        let count = self.nodes.len();
        match self.node {
            Some(last) if count > 1 => (last + self.rng.random_range(1..count)) % count,
            _ => self.rng.random_range(0..count),
        }
    }

    async fn wait(&mut self) {
        let deadline = self
            .session
            .deadline()
            .map(|deadline| self.start + deadline);
        let elapsed = |start: Instant| start.elapsed();
        tokio::select! {
            wire = dialled(&mut self.dialling) => {
                self.dialling = None;
                self.socket = wire.map(Socket::of);
                match self.socket {
                    Some(_) => self.session.opened(elapsed(self.start)),
                    None => self.session.closed(None, elapsed(self.start)),
                }
            }
            frame = read(&mut self.socket) => self.take(frame),
            () = until(deadline) => self.session.tick(elapsed(self.start)),
        }
    }

    fn take(&mut self, frame: Frame) {
        let code = match frame {
            Frame::Data(bytes) => {
                if self.watched
                    && let Ok(messages) = decode_server(self.form, &bytes)
                {
                    self.heard.extend(messages.into_iter().map(Heard::Raw));
                }
                return self.session.received(&bytes, self.start.elapsed());
            }
            Frame::Control => return,
            Frame::Close(code) => Some(code),
            Frame::End(_) => None,
        };
        self.socket = None;
        self.session.closed(code, self.start.elapsed());
    }
}

impl Socket {
    fn of(wire: Wire) -> Self {
        let (writer, reader) = wire.split();
        let (frames, waiting) = mpsc::channel(FRAMES_MAX);
        let writer = tokio::spawn(write(writer, waiting)).abort_handle();
        Self {
            reader,
            frames,
            writer,
        }
    }
}

/// Ends with its socket; the reader then tells the end.
async fn write(mut writer: WireWriter, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if !writer.send(frame).await {
            return;
        }
    }
}

async fn dialled(dialling: &mut Option<Dial>) -> Option<Wire> {
    match dialling {
        Some(dial) => dial.0.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn read(socket: &mut Option<Socket>) -> Frame {
    match socket {
        Some(socket) => socket.reader.read().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
