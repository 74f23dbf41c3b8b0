//! Several workers under one coordinator: what they say to each other, one JSON object a line.
//!
//! The coordinator tells each worker its share, starts all clocks at one instant and merges what they measured.
//! There is no secret between them: both listen and dial on loopback unless told otherwise.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cli::Options;
use crate::driver::outcome::{Outcome, Tick};
use crate::scenario::Share;

pub(crate) mod coordinator;
pub(crate) mod worker;

/// What the coordinator says.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// What time is it there?
    Clock,
    /// Open this share of a load.
    Open {
        options: Box<Options>,
        share: Share,
        /// The start of all channel names, the same for all workers.
        prefix: String,
    },
    /// Start at this time of the worker's clock, in ns.
    Start { at_ns: u64 },
    /// What all workers' publishes were acknowledged with: check against it, and tell what was measured.
    Finish { tops: Vec<Vec<u64>> },
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Clock {
        ns: u64,
    },
    Opened,
    /// While the clock runs.
    Tick(Tick),
    /// The highest acknowledged offsets of the own publishes; the load is over.
    Tops(Vec<Vec<u64>>),
    Measured(Box<Outcome>),
    Failed(String),
}

/// A connection between the two.
#[derive(Debug)]
struct Line {
    writing: TcpStream,
    reading: BufReader<TcpStream>,
}

impl Line {
    fn new(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        Ok(Self {
            writing: stream.try_clone()?,
            reading: BufReader::new(stream),
        })
    }

    fn say(&mut self, message: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(message)?;
        text.push('\n');
        Ok(self.writing.write_all(text.as_bytes())?)
    }

    /// Looks whether anybody is at the other end, without waiting and without taking what was said.
    ///
    /// # Errors
    /// When nobody is.
    fn ensure_open(&self) -> anyhow::Result<()> {
        self.writing.set_nonblocking(true)?;
        let peeked = self.writing.peek(&mut [0]);
        self.writing.set_nonblocking(false)?;
        match peeked {
            Ok(0) => bail!("the other end has gone"),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("the other end has gone"),
        }
    }

    /// `None` at the end.
    fn hear<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        let mut text = String::new();
        let mut bounded = (&mut self.reading).take(LINE_BYTES_MAX);
        if bounded.read_line(&mut text)? == 0 {
            return Ok(None);
        }
        ensure!(text.ends_with('\n'), "a line was cut or too long");
        let message = serde_json::from_str(&text).context("a line that is not understood")?;
        Ok(Some(message))
    }
}

/// A whole outcome with its histograms.
const LINE_BYTES_MAX: u64 = 256 << 20;
/// Opening many connections takes its time, and then nothing is said.
const SILENCE_MAX: Duration = Duration::from_secs(3_900);
