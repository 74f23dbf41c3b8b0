//! `parlor` as a command for people: what it prints, and how it ends.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};

use tokio::sync::mpsc;

use crate::patience::in_time;
use crate::process::{binary, signal};

/// A command that runs. Killed when dropped.
#[derive(Debug)]
pub struct Cli {
    child: Child,
    stdout: mpsc::Receiver<String>,
    stderr: mpsc::Receiver<String>,
}

impl Cli {
    /// Runs it with these arguments, and with nothing of what whoever runs the tests has set for it.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn run(arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        for name in ["PARLOR_URL", "PARLOR_KEY", "PARLOR_CA"] {
            command.env_remove(name);
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stdout = child.stdout.take().expect("its output is piped");
        let stderr = child.stderr.take().expect("its errors are piped");
        Self {
            child,
            stdout: lines(stdout),
            stderr: lines(stderr),
        }
    }

    /// A server in memory on the Redis at this URL, with more arguments.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn node_on(redis_url: &str, more: &[&str]) -> Self {
        let set = format!("redis.url={redis_url}");
        let node = ["dev", "--memory", "--port", "0", "--set", &set];
        Self::run(&[&node, more].concat())
    }

    /// The next line that it prints.
    ///
    /// # Panics
    /// When it ends without one, or none comes in time.
    pub async fn line(&mut self) -> String {
        match in_time("a line", self.stdout.recv()).await {
            Some(line) => line,
            None => panic!("it ended: {}", self.errors().await),
        }
    }

    /// The next line with these words on its standard error.
    ///
    /// # Panics
    /// When it ends without one, or none comes in time.
    pub async fn error_with(&mut self, words: &str) -> String {
        loop {
            let line = in_time(words, self.stderr.recv()).await;
            let line = line.unwrap_or_else(|| panic!("it ended without {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    /// SIGTERM. Does not wait.
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn ask_to_end(&self) {
        signal(self.child.id(), "TERM");
    }

    /// SIGINT, as Ctrl-C sends it. Does not wait.
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn interrupt(&self) {
        signal(self.child.id(), "INT");
    }

    /// Waits until it ends. Whether it succeeded, and what it wrote to its standard error.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn end(mut self) -> (bool, String) {
        let errors = self.errors().await;
        let status = self.child.wait().expect("its status");
        (status.success(), errors)
    }

    /// What it writes to its standard error, until it closes that.
    async fn errors(&mut self) -> String {
        let mut lines = Vec::new();
        while let Some(line) = in_time("its end", self.stderr.recv()).await {
            lines.push(line);
        }
        lines.join("\n")
    }
}

impl Drop for Cli {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Lines as they come, on a thread that ends with them.
fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                break;
            }
        }
    });
    told
}

/// Lines that wait to be looked at.
const LINES_MAX: usize = 64;
