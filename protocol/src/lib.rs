//! Parlor's wire language: the types of every command, reply and push, their JSON and MessagePack
//! codecs, the tables of errors, closes and limits, and the client's side as a state machine.
//!
//! No sockets, no clock, no runtime: bytes and values go in, values and bytes come out. `SPEC.md` beside
//! this crate says the same in prose for SDK authors; `vectors/` holds golden frames for all SDKs' tests.

pub mod channel;
pub mod client;
pub mod close;
pub mod codec;
pub mod command;
pub mod error;
pub mod event;
pub mod limits;
pub mod payload;
pub mod position;
pub mod push;
pub mod reply;
pub mod time;

pub use channel::{Alias, ChannelName};
pub use client::ClientSession;
pub use close::CloseCode;
pub use codec::Form;
pub use command::{Command, Envelope};
pub use error::{ErrorCode, WireError};
pub use event::{Erasure, Event, EventKind, Tags};
pub use payload::{Format, Payload};
pub use position::{Epoch, Position, Tag};
pub use push::Push;
pub use reply::Reply;
pub use time::Time;
