//! Does one step of a message's walk so many times and nothing else, so that callgrind can count its instructions:
//! `instructions WORK TIMES`. `bench/instructions` runs it with two counts and takes the difference.

use std::convert::Infallible;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use parlor::broker::embedded::EmbeddedConfig;
use parlor::broker::{Append, Broker as _, Embedded};
use parlor::hub::{ConnectionId, Frames, Hub, LogEntry, ShardId, Subscriber, Table};
use parlor::kind::{ChannelKind, Durability, SlowPolicy};
use parlor::outbox::{Dirty, Outbox};
use parlor::pattern::Pattern;
use parlor_protocol::codec::{decode_commands, encode_command, encode_push};
use parlor_protocol::command::Publish;
use parlor_protocol::{
    Alias, ChannelName, Command, Envelope, Epoch, EventKind, Form, Format, Payload, Position, Push,
    Tag, Tags, Time,
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, times] = arguments.as_slice() else {
        bail!("usage: instructions WORK TIMES");
    };
    let times: u64 = times.parse().context("TIMES is a number")?;
    match work.as_str() {
        "decode-json" => decode(Form::Json, times),
        "decode-msgpack" => decode(Form::MsgPack, times),
        "encode-json" => encode(Form::Json, times),
        "encode-msgpack" => encode(Form::MsgPack, times),
        "publish-memory" => publish(times)?,
        "fan-out" => fan_out(times)?,
        _ => bail!("there is no work `{work}`"),
    }
    Ok(())
}

/// A publish of a client, from the frame's payload to a typed command.
fn decode(form: Form, times: u64) {
    let publish = Publish {
        channel: "room:42".to_owned(),
        id: Some("m-1".to_owned()),
        echo: true,
        tags: Tags::new(),
        payload: payload(),
    };
    let frame = encode_command(
        form,
        &Envelope {
            id: Some(7),
            command: Command::Publish(publish),
        },
    );
    for _ in 0..times {
        drop(black_box(decode_commands(form, black_box(&frame))));
    }
}

/// A live event, to the bytes of a frame's payload.
fn encode(form: Form, times: u64) {
    let push = Push::Event {
        alias: Alias(7),
        event: entry(1).to_event(),
    };
    for _ in 0..times {
        drop(black_box(encode_push(form, black_box(&push))));
    }
}

/// A message into the embedded broker's memory log, to which nobody listens.
fn publish(times: u64) -> anyhow::Result<()> {
    let broker = Embedded::open(EmbeddedConfig::default(), Arc::new(Hub::new(1)))?;
    let kind = Arc::new(ChannelKind {
        name: "room".to_owned(),
        pattern: Pattern::new("room:*"),
        durability: Durability::Memory,
        history_len_max: 100,
        history_age_max: Duration::from_secs(600),
        presence: false,
        slow: SlowPolicy::Close,
        allowed: Vec::new(),
        publish_rate_max: 100,
    });
    for _ in 0..times {
        let appended = broker.append(Append {
            channel: channel()?,
            kind: Arc::clone(&kind),
            event: EventKind::Message,
            dedup: None,
            user: Some("ann".into()),
            tags: Tags::new(),
            payload: payload(),
            no_echo_to: None,
        });
        drop(black_box(appended));
    }
    Ok(())
}

/// One event from the channel's tail into the outboxes of its subscribers and out again; one time is one subscriber.
fn fan_out(times: u64) -> anyhow::Result<()> {
    let (hub, shard, name, dirty) = (Hub::new(1), ShardId(0), channel()?, Rc::<Dirty>::default());
    let (channel, mut table) = (hub.enter(&name, shard), Table::new(shard));
    let mut outboxes = Vec::new();
    for number in 0..SUBSCRIBERS {
        let ephemerals_since = table.begin_joining(&channel);
        if number == 0 {
            let top = channel.learn_top(Position {
                epoch: EPOCH,
                offset: 0,
                tag: Tag(0),
            });
            table.start_from(channel.alias(), top);
        }
        let outbox = Outbox::new(0, Form::Json, 1 << 20, Rc::clone(&dirty));
        outboxes.push(Rc::clone(&outbox));
        let subscriber = Subscriber {
            connection: ConnectionId(number),
            outbox,
            cursor: 0,
            ephemerals_since,
            presence: false,
            slow: SlowPolicy::Close,
        };
        table
            .enter(channel.alias(), subscriber)
            .context("a subscriber did not enter")?;
    }
    for offset in 1..=times / SUBSCRIBERS {
        hub.deliver(&name, Arc::new(entry(offset)));
        black_box(table.advance(channel.alias()));
        for outbox in &outboxes {
            let write = |slices: &[std::io::IoSlice<'_>]| {
                Ok::<_, Infallible>(slices.iter().map(|slice| slice.len()).sum())
            };
            black_box(outbox.write_with(write));
        }
    }
    Ok(())
}

fn channel() -> anyhow::Result<ChannelName> {
    ChannelName::parse("room:42").map_err(|error| anyhow::anyhow!(error.text))
}

fn payload() -> Payload {
    Payload {
        format: Format::Json,
        bytes: Bytes::from(format!("\"{:x<126}\"", "")),
    }
}

fn entry(offset: u64) -> LogEntry {
    LogEntry {
        epoch: EPOCH,
        offset,
        seq: offset,
        tag: Tag(offset + 100),
        prev: Tag(offset + 99),
        time: Time(17_000_000_000_000_000 + offset),
        kind: EventKind::Message,
        id: Some("m-1".into()),
        user: Some("ann".into()),
        tags: Tags::new(),
        payload: payload(),
        erased: false,
        no_echo_to: None,
        frames: Frames::default(),
    }
}

const EPOCH: Epoch = Epoch(5);
const SUBSCRIBERS: u64 = 1_000;
