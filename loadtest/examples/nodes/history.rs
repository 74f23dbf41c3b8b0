//! Pages of history over the socket: from the embedded log, from Redis, and from the Go peer on Redis, asked by the same clients, in turns.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use crate::cost::{self, Cost, Meter};
use crate::line::{Dialect, Line};
use crate::peer::Peer;
use crate::stage::{self, Node, Settings};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Connections that read, each with one page in flight.
    #[arg(long, default_value_t = 16)]
    pub(crate) readers: usize,
    /// Events in a page.
    #[arg(long, default_value_t = 100)]
    pub(crate) page: usize,
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// The program of `loadtest/peers/centrifuge`, to be measured too.
    #[arg(long)]
    pub(crate) peer: Option<PathBuf>,
}

/// Who is asked.
struct Source {
    name: &'static str,
    address: SocketAddr,
    dialect: Dialect,
    meter: Meter,
}

/// One source's rounds.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Cost>,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<Vec<Measured>> {
    let redis = stage::redis();
    let alone = Node::start(None, Settings::default())?;
    let node = Node::start(Some(&redis), Settings::default())?;
    fill(alone.address()).await?;
    fill(node.address()).await?;
    let mut sources = vec![
        Source {
            name: "Parlor, embedded",
            address: alone.address(),
            dialect: Dialect::Parlor,
            meter: Meter::new([alone.id()], None),
        },
        Source {
            name: "Parlor on Redis",
            address: node.address(),
            dialect: Dialect::Parlor,
            meter: Meter::new([node.id()], redis.id()),
        },
    ];
    let (channels, events) = (CHANNELS.to_string(), EVENTS.to_string());
    let arguments = [
        "-work",
        "history",
        "-channels",
        &channels,
        "-history-size",
        &events,
    ];
    let peer = options
        .peer
        .as_ref()
        .map(|binary| Peer::start(binary, &arguments))
        .transpose()?;
    if let Some(peer) = &peer {
        sources.push(Source {
            name: "centrifuge on Redis",
            address: peer.address(),
            dialect: Dialect::Centrifuge,
            meter: Meter::new([Some(peer.id())], peer.redis.id()),
        });
    }
    let mut measured: Vec<_> = sources
        .iter()
        .map(|source| Measured {
            name: source.name,
            rounds: Vec::new(),
        })
        .collect();
    for _ in 0..options.rounds {
        for (source, measured) in sources.iter().zip(&mut measured) {
            measured.rounds.push(read(source, options).await?);
        }
    }
    Ok(measured)
}

/// The same messages in every channel, by the socket.
async fn fill(node: SocketAddr) -> anyhow::Result<()> {
    let mut line = Line::open(node, Dialect::Parlor, "writer").await?;
    for channel in 0..CHANNELS {
        for first in (0..EVENTS).step_by(FRAME) {
            let commands: Vec<_> = (first..EVENTS.min(first + FRAME))
                .map(|number| {
                    let id = ID_FIRST + number;
                    format!(r#"{{"id":{id},"publish":{{"channel":"disk:{channel}","data":"{number:06}{:x<120}"}}}}"#, "")
                })
                .collect();
            line.say(format!("[{}]", commands.join(","))).await?;
            let mut answered = 0;
            while answered < commands.len() {
                let text = line.hear().await?;
                ensure!(!text.contains(r#""error""#), "{text}");
                answered += text.matches(r#""publish":{"#).count();
            }
        }
    }
    Ok(())
}

/// One round.
async fn read(source: &Source, options: &Options) -> anyhow::Result<Cost> {
    let (is_over, pages) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut readers = Vec::with_capacity(options.readers);
    for number in 0..options.readers {
        let line = Line::open(source.address, source.dialect, &format!("r{number}")).await?;
        let (is_over, pages) = (Arc::clone(&is_over), Arc::clone(&pages));
        readers.push(tokio::spawn(turn_pages(
            line,
            source.dialect,
            number,
            options.page,
            is_over,
            pages,
        )));
    }
    tokio::time::sleep(WARM_UP).await;
    let (before, first) = (source.meter.read(), pages.load(Ordering::Acquire));
    tokio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
    let cost = source
        .meter
        .since(before, pages.load(Ordering::Acquire) - first);
    is_over.store(true, Ordering::Release);
    for reader in readers {
        reader.await??;
    }
    Ok(cost)
}

async fn turn_pages(
    mut line: Line,
    dialect: Dialect,
    reader: usize,
    page: usize,
    is_over: Arc<AtomicBool>,
    pages: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut turn = reader;
    while !is_over.load(Ordering::Acquire) {
        // Every channel in turn, and another place in it each time.
        let (channel, offset) = (turn % CHANNELS, turn * 37 % (EVENTS - page));
        let question = match dialect {
            Dialect::Parlor => format!(
                r#"{{"channel":"disk:{channel}","direction":"forward","offset":{offset},"limit":{page}}}"#
            ),
            Dialect::Centrifuge => format!(
                r#"{{"channel":"room:{channel}","limit":{page},"since":{{"offset":{offset}}}}}"#
            ),
        };
        let answer = line.ask("history", &question).await?;
        ensure!(answer.len() > page * PAYLOAD, "a short page: {answer}");
        pages.fetch_add(1, Ordering::AcqRel);
        turn += 1;
    }
    Ok(())
}

pub(crate) fn print(measured: &[Measured], options: &Options) {
    println!(
        "pages of {} events of {PAYLOAD} B, {CHANNELS} channels with {EVENTS} events, {} readers with one page in flight, {} rounds of {} s: median (lowest to highest)",
        options.page, options.readers, options.rounds, options.seconds
    );
    for source in measured {
        println!("{}", cost::line(source.name, &source.rounds));
    }
}

const CHANNELS: usize = 20;
const EVENTS: usize = 1_000;
/// Bytes of each payload in JSON.
const PAYLOAD: usize = 128;
const FRAME: usize = 64;
const ID_FIRST: usize = 100;
const WARM_UP: Duration = Duration::from_secs(1);
