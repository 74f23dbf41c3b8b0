//! Parlor's own commands, written by its codec.

use bytes::Bytes;
use parlor_protocol::codec::encode_command;
use parlor_protocol::command::{ClientInfo, Connect, Pong, Publish, Recover, Subscribe};
use parlor_protocol::{Command, Envelope, Form, Format, Payload, Tags};

use crate::dialect::Hello;
use crate::frames;

/// The first frame of a connection.
pub(crate) fn connect(form: Form, hello: &Hello) -> Vec<u8> {
    let mut recover = hello.recover.clone().map(Recover::From);
    let subscription = |channel: &String| Subscribe {
        channel: channel.clone(),
        token: None,
        recover: recover.take(),
        presence: false,
    };
    let connect = Connect {
        user: hello.token.is_none().then(|| hello.user.clone()),
        token: hello.token.clone(),
        client: Some(ClientInfo {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        subscriptions: hello.channels.iter().map(subscription).collect(),
        ..Connect::default()
    };
    frame(form, Some(CONNECT_ID), Command::Connect(connect))
}

/// The answer to the server's `ping` push.
pub(crate) fn pong(form: Form) -> Vec<u8> {
    frame(form, None, Command::Pong(Pong {}))
}

/// A publish; its number in the run is its command's.
pub(crate) fn publish(
    form: Form,
    number: u64,
    id: Option<String>,
    channel: &str,
    data: &str,
) -> Vec<u8> {
    let publish = Publish {
        channel: channel.to_owned(),
        id,
        echo: true,
        tags: Tags::new(),
        payload: Payload {
            format: Format::Json,
            bytes: Bytes::copy_from_slice(data.as_bytes()),
        },
    };
    // The scenario made sure that all numbers fit.
    frame(form, u32::try_from(number).ok(), Command::Publish(publish))
}

fn frame(form: Form, id: Option<u32>, command: Command) -> Vec<u8> {
    frames::command(form, &encode_command(form, &Envelope { id, command }))
}

/// The number of `connect`, out of the way of the publishes' numbers.
pub(crate) const CONNECT_ID: u32 = u32::MAX;
