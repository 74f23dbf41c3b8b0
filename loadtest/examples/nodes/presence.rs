//! A snapshot of a channel with thousands of members, all pages of it: from a single node, from a node that holds the roster, from one that
//! must load it first, and from the Go peer, which has Redis tell everything each time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use serde_json::Value;

use crate::cost::{Cost, Meter};
use crate::crowd::clients::{CHANNEL, Crowd, Members};
use crate::latency::spread;
use crate::line::{Dialect, Line};
use crate::peer::Peer;
use crate::stage::{self, Node, Settings};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 10_000)]
    pub(crate) members: usize,
    /// Snapshots of each round: CPU is told in hundredths of a second.
    #[arg(long, default_value_t = 50)]
    pub(crate) snapshots: usize,
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// The program of `loadtest/peers/centrifuge`, to be measured too.
    #[arg(long)]
    pub(crate) peer: Option<PathBuf>,
}

/// One source's rounds.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Cost>,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<Vec<Measured>> {
    let mut measured = vec![embedded(options).await?];
    measured.extend(on_redis(options).await?);
    if let Some(binary) = &options.peer {
        let members = options.members.to_string();
        let peer = Peer::start(binary, &["-work", "presence", "-members", &members])?;
        let meter = Meter::new([Some(peer.id())], peer.redis.id());
        measured.push(Measured {
            name: "centrifuge on Redis",
            rounds: rounds(peer.address(), Dialect::Centrifuge, &meter, options).await?,
        });
    }
    Ok(measured)
}

async fn embedded(options: &Options) -> anyhow::Result<Measured> {
    let node = Node::start(None, settings())?;
    let _crowd = gathered(node.address(), options.members).await?;
    let meter = Meter::new([node.id()], None);
    Ok(Measured {
        name: "Parlor, one node",
        rounds: rounds(node.address(), Dialect::Parlor, &meter, options).await?,
    })
}

/// All members are at one node, who asks is at another.
async fn on_redis(options: &Options) -> anyhow::Result<Vec<Measured>> {
    let redis = stage::redis();
    let full = Node::start(Some(&redis), settings())?;
    let _crowd = gathered(full.address(), options.members).await?;
    let mut first_asked = Vec::new();
    let mut held = Vec::new();
    for _ in 0..options.rounds {
        // A new node has no roster yet.
        let node = Node::start(Some(&redis), settings())?;
        let meter = Meter::new([node.id()], redis.id());
        first_asked
            .push(snapshots(node.address(), Dialect::Parlor, &meter, 1, options.members).await?);
        held.push(
            snapshots(
                node.address(),
                Dialect::Parlor,
                &meter,
                options.snapshots,
                options.members,
            )
            .await?,
        );
    }
    Ok(vec![
        Measured {
            name: "Parlor on Redis, first",
            rounds: first_asked,
        },
        Measured {
            name: "Parlor on Redis, then",
            rounds: held,
        },
    ])
}

fn settings() -> Settings {
    Settings {
        // Thousands of idle connections shall not be heard while something else is measured.
        ping_interval: Duration::from_secs(300),
        ..Settings::default()
    }
}

/// So many members in the channel.
async fn gathered(node: SocketAddr, count: usize) -> anyhow::Result<Crowd> {
    let members = Members {
        node,
        first: 0,
        count,
        watchers: 0,
    };
    let crowd = Crowd::open(members, count).await?;
    crowd.join().await?;
    ensure!(crowd.counts().lost == 0, "{:?}", crowd.counts());
    await_members(node, CHANNEL, count).await?;
    Ok(crowd)
}

/// Until a node counts them all.
pub(crate) async fn await_members(
    node: SocketAddr,
    channel: &str,
    count: usize,
) -> anyhow::Result<()> {
    let mut line = Line::open(node, Dialect::Parlor, "asker").await?;
    let give_up = Instant::now() + PATIENCE;
    loop {
        let question = format!(r#"{{"channel":"{channel}","limit":0}}"#);
        let answer = line.ask_value("presence", &question).await?;
        if answer["users"] == count {
            return Ok(());
        }
        ensure!(Instant::now() < give_up, "{count} members are not {answer}");
        tokio::time::sleep(LOOK).await;
    }
}

async fn rounds(
    address: SocketAddr,
    dialect: Dialect,
    meter: &Meter,
    options: &Options,
) -> anyhow::Result<Vec<Cost>> {
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        rounds.push(snapshots(address, dialect, meter, options.snapshots, options.members).await?);
    }
    Ok(rounds)
}

/// One after the other, by one client.
async fn snapshots(
    address: SocketAddr,
    dialect: Dialect,
    meter: &Meter,
    count: usize,
    members: usize,
) -> anyhow::Result<Cost> {
    let mut line = Line::open(address, dialect, "asker").await?;
    let before = meter.read();
    for _ in 0..count {
        let named = match dialect {
            Dialect::Parlor => pages(&mut line).await?,
            Dialect::Centrifuge => whole(&mut line).await?,
        };
        ensure!(named == members, "{named} of {members} members are named");
    }
    Ok(meter.since(before, count as u64))
}

/// All pages; returns how many members they named, each of them once.
pub(crate) async fn pages(line: &mut Line) -> anyhow::Result<usize> {
    let mut users = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let question = format!(r#"{{"channel":"{CHANNEL}","limit":500{cursor}}}"#);
        let page = line.ask_value("presence", &question).await?;
        let members = page["members"].as_array().map_or(&[][..], Vec::as_slice);
        for member in members {
            let user = member["user"].as_str().unwrap_or_default();
            ensure!(users.insert(user.to_owned()), "{user} is named twice");
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!(r#","cursor":{}"#, Value::from(next)),
            None => return Ok(users.len()),
        }
    }
}

/// The peer has no pages.
async fn whole(line: &mut Line) -> anyhow::Result<usize> {
    let answer = line
        .ask_value("presence", r#"{"channel":"room:0"}"#)
        .await?;
    Ok(answer["presence"]
        .as_object()
        .map_or(0, serde_json::Map::len))
}

pub(crate) fn print(measured: &[Measured], options: &Options) {
    println!(
        "snapshots of {} members, one after the other by one client, {} rounds of {}: median (lowest to highest)",
        options.members, options.rounds, options.snapshots
    );
    for source in measured {
        let ms = |take: fn(&Cost) -> f64| {
            spread(
                source
                    .rounds
                    .iter()
                    .map(|cost| take(cost) * 1e3 / cost.pieces as f64),
            )
        };
        println!(
            "  {:<24} ms {:<28} CPU ms: server {:<26} Redis {}",
            source.name,
            ms(|cost| cost.took.as_secs_f64()),
            ms(|cost| cost.servers_s),
            ms(|cost| cost.redis_s),
        );
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
