//! The members of one node, in this process or in one of their own, which is this program again and is spoken to in lines.

use std::net::SocketAddr;

use anyhow::bail;
use clap::Args;
use tokio::task::block_in_place;

use super::clients::{Counts, Crowd, Members};
use crate::hosted::Hosted;

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
        let hosted = Hosted::start("crowd-host", &[&[node.to_string()], &numbers[..]].concat())?;
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
