//! What happened in a run, as all parties saw it, on one timeline.
//!
//! Every client and publisher notes what it asked and what it got; the runner notes faults. Nobody judges here.
//! Read next: `fact` (what can be noted), then `checker` (what must hold of it).

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

mod fact;

pub(crate) use fact::{Fact, Known, Name, Outcome, Place, Start};

/// One noted fact.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Since the beginning of the run, on the monotonic clock.
    pub(crate) at: Duration,
    pub(crate) fact: Fact,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>11.6}  {}", self.at.as_secs_f64(), self.fact)
    }
}

/// A whole run. The order of records is the order of noting: what stands later did not happen before.
pub(crate) type Recording = Vec<Record>;

/// Shared by everybody who takes part in a run.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    start: Instant,
    /// Stands before the names of channels.
    tenant: Option<&'static str>,
    records: Arc<Mutex<Recording>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            tenant: None,
            records: Arc::default(),
        }
    }

    /// The same recording, for those who use another Parlor, whose channels have the same names.
    pub(crate) fn of_tenant(&self, tenant: &'static str) -> Self {
        Self {
            tenant: Some(tenant),
            ..self.clone()
        }
    }

    pub(crate) fn note(&self, mut fact: Fact) {
        if let (Some(tenant), Some(channel)) = (self.tenant, fact.channel_mut()) {
            *channel = format!("{tenant}/{channel}").into();
        }
        // A panic elsewhere must not hide what was noted before it.
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that times never go back.
        let at = self.start.elapsed();
        records.push(Record { at, fact });
    }

    /// Since the beginning of the run.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// A fault began, or something else that the runner did.
    pub(crate) fn fault(&self, what: impl Into<String>) {
        self.note(Fact::Fault { what: what.into() });
    }

    /// All that was noted so far.
    pub(crate) fn recording(&self) -> Recording {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.clone()
    }

    /// Looks at the newest records, without copying all of them.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        look(&records)
    }
}

/// Writes a recording for people, one record a line, and behind it what the servers logged.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write(recording: &[Record], logs: &str, path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for record in recording {
        writeln!(file, "{record}")?;
    }
    writeln!(file, "\n{logs}")?;
    file.flush()
}
