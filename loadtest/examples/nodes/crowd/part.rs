//! The members of one node, in this process or in one of their own, which is this program again and is spoken to in lines.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::task::block_in_place;

use super::clients::{Counts, Crowd, Members};

/// What a hosting process is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct HostOptions {
    node: SocketAddr,
    first: usize,
    count: usize,
    watchers: usize,
    everybody: usize,
}

/// Some members.
pub(super) enum Part {
    Here(Crowd),
    /// The process ends with it.
    Process(Box<Hosted>),
}

pub(super) struct Hosted {
    child: Child,
    say: ChildStdin,
    hear: Lines<BufReader<ChildStdout>>,
}

impl Part {
    pub(super) async fn here(members: Members, everybody: usize) -> anyhow::Result<Self> {
        Ok(Self::Here(Crowd::open(members, everybody).await?))
    }

    pub(super) fn in_a_process(members: Members, everybody: usize) -> anyhow::Result<Self> {
        let Members {
            node,
            first,
            count,
            watchers,
        } = members;
        let numbers = [first, count, watchers, everybody].map(|number| number.to_string());
        let mut child = Command::new(std::env::current_exe()?)
            .args(["crowd-host", &node.to_string()])
            .args(numbers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (say, out) = (child.stdin.take(), child.stdout.take());
        let mut hosted = Hosted {
            child,
            say: say.context("its input is piped")?,
            hear: BufReader::new(out.context("its output is piped")?).lines(),
        };
        hosted.line()?;
        Ok(Self::Process(Box::new(hosted)))
    }

    pub(super) fn begin_to_join(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Here(crowd) => crowd.begin_to_join(),
            Self::Process(hosted) => {
                hosted.ask("join")?;
            }
        }
        Ok(())
    }

    pub(super) fn counts(&mut self) -> anyhow::Result<Counts> {
        match self {
            Self::Here(crowd) => Ok(crowd.counts()),
            Self::Process(hosted) => Counts::parse(&hosted.ask("counts")?),
        }
    }
}

impl Hosted {
    fn ask(&mut self, what: &str) -> anyhow::Result<String> {
        writeln!(self.say, "{what}")?;
        self.line()
    }

    /// Holds its thread, but not the runtime.
    fn line(&mut self) -> anyhow::Result<String> {
        let line = block_in_place(|| self.hear.next());
        Ok(line.context("a process of members has ended")??)
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Hosts members until its input ends.
pub(crate) async fn host(options: &HostOptions) -> anyhow::Result<()> {
    let members = Members {
        node: options.node,
        first: options.first,
        count: options.count,
        watchers: options.watchers,
    };
    let crowd = Crowd::open(members, options.everybody).await?;
    println!("{}", crowd.counts());
    let mut told = std::io::stdin().lines();
    while let Some(line) = block_in_place(|| told.next()) {
        match line?.as_str() {
            "join" => crowd.begin_to_join(),
            "counts" => {}
            other => bail!("what is {other}?"),
        }
        println!("{}", crowd.counts());
    }
    Ok(())
}
