//! A process that is this program again, with connections of its own, spoken to in lines: one process has a bound on its open files.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use tokio::task::block_in_place;

/// Killed when dropped.
pub(crate) struct Hosted {
    child: Child,
    say: ChildStdin,
    hear: Lines<BufReader<ChildStdout>>,
}

impl Hosted {
    /// Starts this program with a hidden action. Returns when it has said its first line: it is ready then.
    pub(crate) fn start(action: &str, arguments: &[String]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(action)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (say, out) = (child.stdin.take(), child.stdout.take());
        let mut hosted = Self {
            child,
            say: say.context("its input is piped")?,
            hear: BufReader::new(out.context("its output is piped")?).lines(),
        };
        hosted.line()?;
        Ok(hosted)
    }

    pub(crate) fn ask(&mut self, what: &str) -> anyhow::Result<String> {
        writeln!(self.say, "{what}")?;
        self.line()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Holds its thread, but not the runtime.
    fn line(&mut self) -> anyhow::Result<String> {
        let line = block_in_place(|| self.hear.next());
        Ok(line.context("a process of clients has ended")??)
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
