//! A broker that fails when a test says so: as a Redis that is away, or that lost what it had acknowledged.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use parlor::app::Opened;
use parlor::broker::embedded::EmbeddedConfig;
use parlor::broker::{Append, Appended, Broker, Embedded, Erase, Error, LogPage, Read};
use parlor::config::Config;
use parlor::hub::{EphemeralBody, Hub};
use parlor::kind::ChannelKind;
use parlor_protocol::{ChannelName, Epoch, EventKind, Position, Tag, Tags};
use tokio::sync::watch;

use crate::kinds::kinds;
use crate::say::text;

/// What a test does to its server's broker.
#[derive(Debug, Default)]
pub struct Frailty {
    down: AtomicBool,
    readings: Gate,
    appends: Gate,
    hub: OnceLock<Arc<Hub>>,
    /// Not held: it keeps its directory from whoever starts there again.
    broker: OnceLock<Weak<Embedded>>,
    standstill: Standstill,
}

/// Where a test holds up what passes.
#[derive(Debug)]
struct Gate {
    shut: watch::Sender<bool>,
    /// How many wait before it.
    waiting: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            shut: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
        }
    }
}

impl Gate {
    /// Waits as long as it is shut.
    async fn pass(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let mut shut = self.shut.subscribe();
        // What it gives back is a lock, which must not be held over the next wait.
        drop(shut.wait_for(|shut| !*shut).await);
        self.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

/// Where a test makes shards stand still: it blocks their threads, as too much work would.
#[derive(Debug)]
struct Standstill {
    is_on: Mutex<bool>,
    ended: Condvar,
    /// How many shards stand still.
    standing: watch::Sender<usize>,
}

impl Default for Standstill {
    fn default() -> Self {
        Self {
            is_on: Mutex::new(false),
            ended: Condvar::new(),
            standing: watch::Sender::new(0),
        }
    }
}

impl Standstill {
    fn set(&self, is_on: bool) {
        *self.is_on.lock().expect("nobody panics with it") = is_on;
        self.ended.notify_all();
    }

    /// Blocks whoever calls as long as it is on.
    fn pass(&self) {
        let is_on = self.is_on.lock().expect("nobody panics with it");
        if !*is_on {
            return;
        }
        self.standing.send_modify(|standing| *standing += 1);
        let ended = self.ended.wait_while(is_on, |is_on| *is_on);
        drop(ended.expect("nobody panics with it"));
        self.standing.send_modify(|standing| *standing -= 1);
    }
}

impl Frailty {
    /// Everything fails from now on, with "try again".
    pub fn fail(&self) {
        self.down.store(true, Ordering::Relaxed);
    }

    /// Everything works again.
    pub fn recover(&self) {
        self.down.store(false, Ordering::Relaxed);
    }

    /// Readings wait until [`Frailty::go_on`], and find then what the log holds then. Those of the server's own channels go on, so
    /// that backends' orders come meanwhile.
    pub fn hold_readings(&self) {
        self.readings.shut.send_replace(true);
    }

    /// Waits until a reading waits.
    ///
    /// # Panics
    /// When none comes.
    pub async fn until_held(&self) {
        let mut waiting = self.readings.waiting.subscribe();
        let held = waiting.wait_for(|waiting| *waiting > 0);
        crate::in_time("a reading to wait", held)
            .await
            .expect("the sender is here");
    }

    /// Appends are done, but not answered until [`Frailty::go_on`]. Those of the server's own channels are.
    pub fn hold_appends(&self) {
        self.appends.shut.send_replace(true);
    }

    pub fn go_on(&self) {
        self.readings.shut.send_replace(false);
        self.appends.shut.send_replace(false);
    }

    /// From now on a shard that appends stands still in the call, until [`Frailty::let_shards_go`]: it delivers nothing.
    pub fn hold_shards(&self) {
        self.standstill.set(true);
    }

    pub fn let_shards_go(&self) {
        self.standstill.set(false);
    }

    /// Waits until so many shards stand still.
    ///
    /// # Panics
    /// When they do not.
    pub async fn until_standing(&self, shards: usize) {
        let mut standing = self.standstill.standing.subscribe();
        let all = standing.wait_for(|standing| *standing == shards);
        crate::in_time("the shards to stand still", all)
            .await
            .expect("the sender is here");
    }

    /// Appends these numbers to a channel's log past the shards, which may stand still.
    ///
    /// # Panics
    /// When they are not logged, or the server has not started.
    pub async fn append_past_shards(&self, channel: &str, numbers: Range<u64>) {
        let broker = self.broker.get().and_then(Weak::upgrade);
        let broker = broker.expect("the server runs");
        let channel = ChannelName::parse(channel).expect("a name");
        let kind = kinds().of(&channel).cloned().expect("a kind");
        let waiting: Vec<_> = numbers
            .map(|number| {
                broker.append(Append {
                    channel: channel.clone(),
                    kind: Arc::clone(&kind),
                    event: EventKind::Message,
                    dedup: None,
                    user: None,
                    tags: Tags::new(),
                    payload: text(number),
                    no_echo_to: None,
                })
            })
            .collect();
        for appended in waiting {
            appended.await.expect("it is logged");
        }
    }

    /// The channel's log begins a new life, without these entries of the old one.
    ///
    /// # Panics
    /// Before the server started, and for what is no channel's name.
    pub fn begin_new_life(&self, channel: &str, lost: Option<std::ops::RangeInclusive<u64>>) {
        let top = Position {
            epoch: Epoch(0xA11F),
            offset: 0,
            tag: Tag(0),
        };
        let name = ChannelName::parse(channel).expect("a name");
        let hub = self.hub.get().expect("the server started");
        hub.restart(&name, top, lost);
    }

    /// The embedded broker behind this frailty.
    pub(crate) fn open(self: &Arc<Self>, config: &Config, hub: &Arc<Hub>) -> Opened {
        let embedded = EmbeddedConfig {
            data_dir: config.storage.data_dir.clone(),
            ..EmbeddedConfig::default()
        };
        let broker = Embedded::open(embedded, Arc::clone(hub)).expect("an embedded broker");
        let broker = Arc::new(broker);
        // A second start on the same directory has its own of both.
        let _first = self.hub.set(Arc::clone(hub));
        let _first = self.broker.set(Arc::downgrade(&broker));
        let frail = Frail {
            broker,
            frailty: Arc::clone(self),
        };
        Opened {
            broker: Box::new(frail),
            stats: None,
            secret: None,
            members: None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        match self.down.load(Ordering::Relaxed) {
            true => Err(Error::Unavailable {
                reason: "the test wants it".to_owned(),
                retry_after: Duration::from_millis(100),
            }),
            false => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Frail {
    broker: Arc<Embedded>,
    frailty: Arc<Frailty>,
}

impl Broker for Frail {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<Appended, Error>> {
        self.frailty.standstill.pass();
        if let Err(error) = self.frailty.check() {
            return ready(Err(error)).boxed();
        }
        let is_reserved = append.channel.is_reserved();
        // The call itself queues: what waits keeps its order.
        let appended = self.broker.append(append);
        let frailty = Arc::clone(&self.frailty);
        async move {
            if !is_reserved {
                frailty.appends.pass().await;
            }
            appended.await
        }
        .boxed()
    }

    fn join(
        &self,
        channel: &ChannelName,
        kind: &Arc<ChannelKind>,
    ) -> BoxFuture<'static, Result<Position, Error>> {
        match self.frailty.check() {
            Ok(()) => self.broker.join(channel, kind),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn broadcast(&self, channel: &ChannelName, body: EphemeralBody) {
        if self.frailty.check().is_ok() {
            self.broker.broadcast(channel, body);
        }
    }

    fn leave(&self, channel: &ChannelName) {
        self.broker.leave(channel);
    }

    fn read(&self, read: Read) -> BoxFuture<'static, Result<LogPage, Error>> {
        let (broker, frailty) = (Arc::clone(&self.broker), Arc::clone(&self.frailty));
        async move {
            if !read.channel.is_reserved() {
                frailty.readings.pass().await;
            }
            frailty.check()?;
            broker.read(read).await
        }
        .boxed()
    }

    fn erase(&self, erase: Erase) -> BoxFuture<'static, Result<Appended, Error>> {
        match self.frailty.check() {
            Ok(()) => self.broker.erase(erase),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn health(&self) -> Result<(), String> {
        self.frailty.check().map_err(|error| error.to_string())
    }

    fn shut_down(&self) {
        self.broker.shut_down();
    }
}
