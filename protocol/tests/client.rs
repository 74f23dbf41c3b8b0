//! The client session against a scripted server, with time held still. Both sides speak through the codec.

#[path = "client/connection.rs"]
mod connection;
#[path = "client/harness.rs"]
mod harness;
#[path = "client/position.rs"]
mod position;
#[path = "client/request.rs"]
mod request;
#[path = "client/resume.rs"]
mod resume;
#[path = "client/subscription.rs"]
mod subscription;
