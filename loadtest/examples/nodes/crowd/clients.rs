//! Many members of one channel, one task each.
//!
//! They connect first and join later, all at once. Each counts what presence pushes to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::light::{Light, PING, PONG};

/// Who belongs to a crowd: `count` users from number `first` on. The first `watchers` of them are told of changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Members {
    pub(crate) node: SocketAddr,
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) watchers: usize,
}

/// What all members of a crowd counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) connected: u64,
    pub(crate) joined: u64,
    /// Diffs that were pushed, to all watchers together, and their bytes.
    pub(crate) diffs: u64,
    pub(crate) diff_bytes: u64,
    /// Diffs that named somebody.
    pub(crate) named: u64,
    /// Watchers whose latest diff counted as many users as were announced.
    pub(crate) informed: u64,
    /// Members who lost their connection or were refused for good.
    pub(crate) lost: u64,
    /// Refusals that say when to ask again, as members then do.
    pub(crate) put_off: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.connected += other.connected;
        self.joined += other.joined;
        self.diffs += other.diffs;
        self.diff_bytes += other.diff_bytes;
        self.named += other.named;
        self.informed += other.informed;
        self.lost += other.lost;
        self.put_off += other.put_off;
    }

    /// Reads what [`Display`](std::fmt::Display) wrote.
    pub(crate) fn parse(line: &str) -> anyhow::Result<Self> {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [
            connected,
            joined,
            diffs,
            diff_bytes,
            named,
            informed,
            lost,
            put_off,
        ] = numbers[..]
        else {
            anyhow::bail!("these are no counts: {line}");
        };
        Ok(Self {
            connected,
            joined,
            diffs,
            diff_bytes,
            named,
            informed,
            lost,
            put_off,
        })
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} {} {} {} {} {} {}",
            self.connected,
            self.joined,
            self.diffs,
            self.diff_bytes,
            self.named,
            self.informed,
            self.lost,
            self.put_off
        )
    }
}

/// Connections that are open and wait for a word.
#[derive(Debug)]
pub(crate) struct Crowd {
    members: Members,
    shared: Arc<Shared>,
    join: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Shared {
    connected: AtomicU64,
    joined: AtomicU64,
    diffs: AtomicU64,
    diff_bytes: AtomicU64,
    named: AtomicU64,
    informed: AtomicU64,
    lost: AtomicU64,
    put_off: AtomicU64,
    is_over: AtomicBool,
    /// Users in all, when everybody is there.
    everybody: u64,
}

impl Crowd {
    /// Connects everybody to their node.
    pub(crate) async fn open(members: Members, everybody: usize) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            everybody: everybody as u64,
            ..Shared::default()
        });
        let (join, joining) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(OPENING_MAX));
        for number in 0..members.count {
            let slot = Arc::clone(&slots).acquire_owned().await?;
            let (shared, joining) = (Arc::clone(&shared), joining.clone());
            tokio::spawn(async move {
                let user = members.first + number;
                let hello = format!(r#"{{"id":1,"connect":{{"user":"u{user}"}}}}"#);
                let opened = Light::open(members.node, &hello).await;
                drop(slot);
                let lived = match opened {
                    Ok(light) => {
                        shared.connected.fetch_add(1, Ordering::AcqRel);
                        live(light, number < members.watchers, joining, &shared).await
                    }
                    Err(error) => Err(error.to_string()),
                };
                if let Err(reason) = lived
                    && !shared.is_over.load(Ordering::Acquire)
                {
                    shared.lose(&reason);
                }
            });
        }
        let crowd = Self {
            members,
            shared,
            join,
        };
        crowd
            .until(|counts| counts.connected + counts.lost >= members.count as u64)
            .await?;
        Ok(crowd)
    }

    /// Has everybody join the channel, and waits until all are answered.
    pub(crate) async fn join(&self) -> anyhow::Result<()> {
        self.begin_to_join();
        let count = self.members.count as u64;
        self.until(|counts| counts.joined + counts.lost >= count)
            .await
    }

    /// Has everybody join the channel.
    pub(crate) fn begin_to_join(&self) {
        self.join.send_replace(true);
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Counts {
            connected: read(&self.shared.connected),
            joined: read(&self.shared.joined),
            diffs: read(&self.shared.diffs),
            diff_bytes: read(&self.shared.diff_bytes),
            named: read(&self.shared.named),
            informed: read(&self.shared.informed),
            lost: read(&self.shared.lost),
            put_off: read(&self.shared.put_off),
        }
    }

    async fn until(&self, is_it: impl Fn(Counts) -> bool) -> anyhow::Result<()> {
        let give_up = Instant::now() + PATIENCE;
        while !is_it(self.counts()) {
            ensure!(Instant::now() < give_up, "gave up at {:?}", self.counts());
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Drop for Crowd {
    /// Who is cut off from now on is not lost.
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
    }
}

/// Ends with the crowd, or with the reason why the connection ended.
async fn live(
    mut light: Light,
    watches: bool,
    mut joining: watch::Receiver<bool>,
    shared: &Shared,
) -> Result<(), String> {
    let mut has_asked = false;
    let mut is_informed = false;
    let mut asks_again_at = None;
    loop {
        let mut wants_pong = false;
        let mut put_off = None;
        let take = |text: &str| {
            wants_pong |= text == PING;
            put_off = shared.take(text, &mut is_informed).or(put_off);
        };
        let again = tokio::time::sleep_until(asks_again_at.unwrap_or_else(Instant::now));
        tokio::select! {
            heard = light.hear(take) => heard?,
            () = again, if asks_again_at.is_some() => {
                asks_again_at = None;
                has_asked = false;
            }
            word = next_word(&mut joining, has_asked) => {
                if word.is_err() {
                    return Ok(());
                }
                if !has_asked {
                    let wish = format!(r#"{{"id":2,"subscribe":{{"channel":"{CHANNEL}","presence":{watches}}}}}"#);
                    light.say(&wish).await?;
                    has_asked = true;
                }
            }
        }
        if let Some(pause) = put_off {
            asks_again_at = Some(Instant::now() + pause);
        }
        if wants_pong {
            light.say(PONG).await?;
        }
    }
}

/// The word to join, or the end.
async fn next_word(
    joining: &mut watch::Receiver<bool>,
    has_asked: bool,
) -> Result<(), watch::error::RecvError> {
    if has_asked {
        return joining.changed().await;
    }
    joining.wait_for(|is_time| *is_time).await.map(drop)
}

impl Shared {
    /// How long to wait before the question is put again, when the answer asks for that.
    fn take(&self, text: &str, is_informed: &mut bool) -> Option<Duration> {
        if text.starts_with(r#"{"presence""#) {
            self.diffs.fetch_add(1, Ordering::AcqRel);
            self.diff_bytes
                .fetch_add(text.len() as u64, Ordering::AcqRel);
            let names = u64::from(text.contains(r#""joined""#));
            self.named.fetch_add(names, Ordering::AcqRel);
            let knows_all = number_after(text, r#""users":"#) == Some(self.everybody);
            match (*is_informed, knows_all) {
                (false, true) => drop(self.informed.fetch_add(1, Ordering::AcqRel)),
                (true, false) => drop(self.informed.fetch_sub(1, Ordering::AcqRel)),
                _ => {}
            }
            *is_informed = knows_all;
        } else if text.starts_with(r#"{"id":2,"subscribe""#) {
            self.joined.fetch_add(1, Ordering::AcqRel);
        } else if text.starts_with(r#"{"id":2"#) {
            let pause = number_after(text, r#""retry_after_ms":"#).map(Duration::from_millis);
            match pause {
                Some(_) => drop(self.put_off.fetch_add(1, Ordering::AcqRel)),
                None => self.lose(text),
            }
            return pause;
        }
        None
    }

    /// Says why, of the first few.
    fn lose(&self, reason: &str) {
        if self.lost.fetch_add(1, Ordering::AcqRel) < REASONS_MAX {
            eprintln!("a member was refused or lost: {reason}");
        }
    }
}

/// The number behind the last of such keys.
pub(crate) fn number_after(text: &str, key: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(key)?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}

/// In which everybody is.
pub(crate) const CHANNEL: &str = "memory:crowd";
/// Connections that are being opened at the same time: well below a server's accept queue.
const OPENING_MAX: usize = 128;
const REASONS_MAX: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(5);
