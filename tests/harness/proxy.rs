//! A TCP proxy between any two parties, whose faults are switched at run time: what a bad network does to a connection.
//!
//! It knows bytes, no protocol. It lives on a thread of its own, so a test that blocks does not hold it up.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::redis::{Port, eventually};

mod pump;

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    #[default]
    Pass,
    /// They arrive this much later, in order.
    Delay(Duration),
    /// They do not arrive until the flow is changed. The connection stays open: a half-open one, seen from both ends.
    Stall,
    /// They arrive in pieces of so many bytes, each a write of its own.
    Slice(usize),
}

/// A proxy. Connections through it end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    wanted: watch::Sender<Wanted>,
    seen: Arc<Seen>,
}

/// What the test wants.
#[derive(Clone, Debug)]
struct Wanted {
    target: SocketAddr,
    /// From who dialled to the target.
    up: Flow,
    down: Flow,
    refusing: bool,
    /// Raised to reset all connections that there are.
    resets: u64,
    stopped: bool,
}

/// What the proxy's thread tells.
#[derive(Debug, Default)]
struct Seen {
    listening: AtomicBool,
    connections: AtomicUsize,
}

impl Proxy {
    /// Before this address, passing everything.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(target: SocketAddr) -> Self {
        let port = Port::free();
        let wanted = Wanted {
            target,
            up: Flow::Pass,
            down: Flow::Pass,
            refusing: false,
            resets: 0,
            stopped: false,
        };
        let (wanted, orders) = watch::channel(wanted);
        let seen = Arc::<Seen>::default();
        let (address, told) = ((Ipv4Addr::LOCALHOST, port.number()).into(), seen.clone());
        thread::spawn(move || run(address, orders, &told));
        let proxy = Self { port, wanted, seen };
        proxy.wait_until_listening(true);
        proxy
    }

    /// Where to dial instead of the target.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// Connections through it now.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// From who dialled to the target.
    pub fn up(&self, flow: Flow) {
        self.wanted.send_modify(|wanted| wanted.up = flow);
    }

    /// From the target to who dialled.
    pub fn down(&self, flow: Flow) {
        self.wanted.send_modify(|wanted| wanted.down = flow);
    }

    /// Both directions.
    pub fn both(&self, flow: Flow) {
        self.wanted.send_modify(|wanted| {
            wanted.up = flow;
            wanted.down = flow;
        });
    }

    /// Ends every connection with RST towards both parties.
    pub fn reset(&self) {
        self.wanted.send_modify(|wanted| wanted.resets += 1);
    }

    /// From now on a dial is refused, as if nobody listened. Connections stay.
    ///
    /// # Panics
    /// When the listener does not close.
    pub fn refuse(&self) {
        self.wanted.send_modify(|wanted| wanted.refusing = true);
        self.wait_until_listening(false);
    }

    /// Takes dials again.
    ///
    /// # Panics
    /// When the port cannot be had back.
    pub fn accept(&self) {
        self.wanted.send_modify(|wanted| wanted.refusing = false);
        self.wait_until_listening(true);
    }

    /// Cuts the network: dials are refused, connections reset.
    ///
    /// # Panics
    /// When the listener does not close.
    pub fn cut(&self) {
        self.refuse();
        self.reset();
    }

    /// Passes everything again, for new connections too.
    ///
    /// # Panics
    /// When the port cannot be had back.
    pub fn heal(&self) {
        self.both(Flow::Pass);
        self.accept();
    }

    /// Leads new connections elsewhere.
    pub fn lead_to(&self, target: SocketAddr) {
        self.wanted.send_modify(|wanted| wanted.target = target);
    }

    /// Leads everybody elsewhere: connections that there are end with RST.
    pub fn turn_to(&self, target: SocketAddr) {
        self.lead_to(target);
        self.reset();
    }

    fn wait_until_listening(&self, wanted: bool) {
        eventually("the proxy to listen or to stop listening", || {
            (self.seen.listening.load(Ordering::Acquire) == wanted).then_some(())
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wanted.send_modify(|wanted| wanted.stopped = true);
    }
}

fn run(address: SocketAddr, orders: watch::Receiver<Wanted>, seen: &Arc<Seen>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the proxy")
        .block_on(serve(address, orders, seen));
}

/// Until it is stopped. Its connections end with its runtime.
async fn serve(address: SocketAddr, mut orders: watch::Receiver<Wanted>, seen: &Arc<Seen>) {
    let mut listener = None;
    loop {
        let wanted = orders.borrow_and_update().clone();
        if wanted.stopped {
            return;
        }
        if wanted.refusing {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        seen.listening.store(listener.is_some(), Ordering::Release);
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return },
            dialled = next_dial(listener.as_ref()) => {
                tokio::spawn(connect(dialled, wanted.target, orders.clone(), seen.clone()));
            }
        }
    }
}

async fn next_dial(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
    }
}

async fn connect(
    near: TcpStream,
    target: SocketAddr,
    orders: watch::Receiver<Wanted>,
    seen: Arc<Seen>,
) {
    seen.connections.fetch_add(1, Ordering::Relaxed);
    match TcpStream::connect(target).await {
        Ok(far) => pump::both_ways(near, far, orders).await,
        // Who dialled sees what it would have seen without a proxy, a moment later.
        Err(_) => pump::reset(&near),
    }
    seen.connections.fetch_sub(1, Ordering::Relaxed);
}
