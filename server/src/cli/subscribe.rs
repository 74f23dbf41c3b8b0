//! `parlor subscribe`: channels followed live, over as many connections as it takes.

use std::io;
use std::time::{Duration, Instant};

use clap::Args;
use parlor::transport::client::{DialError, Incoming, Server, Socket};
use parlor_protocol::client::{ClientConfig, ClientEvent, ClientSession, Continuity, Effect};
use parlor_protocol::command::{ClientInfo, Recover, Subscribe};
use parlor_protocol::{CloseCode, Form};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::http::ServerArgs;
use super::shown;

/// How long opening a connection, or a write on it, may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct SubscribeArgs {
    #[arg(required = true)]
    channels: Vec<String>,
    /// Begin with the newest events.
    #[arg(long, default_value_t = 10, value_name = "N")]
    latest: u32,
    /// Who to be, in development mode.
    #[arg(long)]
    user: Option<String>,
    /// Print each event as a line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn subscribe(args: SubscribeArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        // Before anything else, and for as long as this goes on: the first listener takes Ctrl-C's own effect away for good.
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            ended = follow(args) => ended,
            _ = interrupt.recv() => Ok(()),
        }
    });
    // Not dropped: that would wait for a name that is being looked up.
    runtime.shutdown_background();
    ended
}

async fn follow(args: SubscribeArgs) -> anyhow::Result<()> {
    let server = args.server.server()?;
    let began = Instant::now();
    let mut session = session(&args)?;
    session.start(began.elapsed());
    let mut socket: Option<Socket> = None;
    loop {
        while let Some(effect) = session.poll() {
            match effect {
                Effect::Connect => match open(&server, PATIENCE).await {
                    Ok(open) => {
                        socket = Some(open);
                        session.opened(began.elapsed());
                    }
                    Err(error) if error.is_final() => {
                        anyhow::bail!("unable to reach {}: {error}", args.server.url)
                    }
                    Err(error) => {
                        eprintln!(
                            "{}",
                            shown::remark(&format!("unable to reach {}: {error}", args.server.url))
                        );
                        session.closed(None, began.elapsed());
                    }
                },
                Effect::Send(frame) => {
                    let sent = match &mut socket {
                        Some(open) => {
                            let sent = timeout(PATIENCE, open.send(frame)).await;
                            matches!(sent, Ok(Ok(())))
                        }
                        None => false,
                    };
                    if !sent {
                        socket = None;
                        session.closed(None, began.elapsed());
                    }
                }
                Effect::Close => socket = None,
                Effect::Event(event) => show(&event, args.json)?,
            }
        }
        if session.is_stopped() {
            anyhow::bail!("the server ended the connection for good");
        }
        let deadline = session
            .deadline()
            .map(|at| tokio::time::Instant::from_std(began + at));
        tokio::select! {
            incoming = next(&mut socket) => match incoming {
                Incoming::Frame(frame) => session.received(&frame, began.elapsed()),
                Incoming::Closed(code) => {
                    socket = None;
                    session.closed(code, began.elapsed());
                }
            },
            () = until(deadline) => session.tick(began.elapsed()),
        }
    }
}

fn session(args: &SubscribeArgs) -> anyhow::Result<ClientSession> {
    let client = ClientInfo {
        name: "parlor-cli".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let config = ClientConfig {
        token: args.server.key.clone(),
        user: args.user.clone(),
        client: Some(client),
        ..ClientConfig::default()
    };
    let seed = getrandom::u64().map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let mut session = ClientSession::new(config, seed);
    for channel in &args.channels {
        let recover = (args.latest > 0).then_some(Recover::Latest(args.latest));
        session.subscribe(Subscribe {
            channel: channel.clone(),
            token: None,
            recover,
            presence: false,
        });
    }
    Ok(session)
}

/// Connects. A server that takes the connection and then says nothing would hold an attempt for ever.
async fn open(server: &Server, patience: Duration) -> Result<Socket, DialError> {
    match timeout(patience, Socket::open(server, Form::Json)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let text = format!("no answer in {} s", patience.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text).into())
        }
    }
}

async fn next(socket: &mut Option<Socket>) -> Incoming {
    match socket {
        Some(open) => open.next().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn show(event: &ClientEvent, json: bool) -> anyhow::Result<()> {
    match event {
        ClientEvent::Event { channel, event } => {
            let mut value: Value = serde_json::to_value(event)?;
            if json {
                value["channel"] = Value::from(&**channel);
                println!("{value}");
            } else {
                println!("{}", shown::event(channel, &value));
            }
        }
        ClientEvent::ConnectRefused(error) => anyhow::bail!("{error}"),
        other => {
            if let Some(text) = remark(other) {
                // Beside the events, so that they can be piped.
                eprintln!("{}", shown::remark(&text));
            }
        }
    }
    Ok(())
}

fn remark(event: &ClientEvent) -> Option<String> {
    match event {
        ClientEvent::Disconnected { code, retry_in } => {
            let name =
                code.and_then(|code| CloseCode::ALL.iter().find(|known| known.number() == code));
            let why = name.map_or("connection lost", |code| code.text());
            Some(match retry_in {
                Some(delay) => format!("{why}; trying again in {:.1} s", delay.as_secs_f64()),
                None => why.to_owned(),
            })
        }
        ClientEvent::Subscribed {
            subscribed,
            continuity,
        } => Some(match continuity {
            Continuity::First => format!("following {}", subscribed.channel),
            Continuity::Complete => format!("following {}; nothing is missing", subscribed.channel),
            Continuity::Broken(reason) => {
                let why = reason.map_or("the server began anew".to_owned(), |reason| {
                    format!("{reason:?}")
                });
                format!(
                    "following {}; something may be missing here ({why})",
                    subscribed.channel
                )
            }
        }),
        ClientEvent::SubscribeRefused { channel, error } => Some(format!("{channel}: {error}")),
        ClientEvent::Unsubscribed {
            channel, reason, ..
        } => Some(format!("no longer following {channel}: {reason}")),
        ClientEvent::Advanced {
            channel,
            offset,
            reason,
        } => Some(format!(
            "{channel}: passed over events up to {offset} ({reason})"
        )),
        ClientEvent::Gap {
            channel,
            expected,
            got,
        } => Some(format!("{channel}: expected event {expected}, got {got}")),
        ClientEvent::Lost { channel, from, to } => {
            Some(format!("{channel}: the server lost events {from} to {to}"))
        }
        ClientEvent::Status(status) if status.degraded => {
            Some("the server cannot keep events at the moment".to_owned())
        }
        ClientEvent::Status(_) => Some("the server is well again".to_owned()),
        ClientEvent::TokenExpiring { expires_in } => {
            Some(format!("the token ends in {} s", expires_in.as_secs()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_server_that_takes_the_connection_and_says_nothing_is_given_up() {
        // The kernel takes it: nobody has to accept.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", silent.local_addr().expect("an address"));
        let server = Server::at(&url, None).expect("a server's URL");
        let error = open(&server, Duration::from_millis(10)).await;
        let error = error.expect_err("nothing is said");
        assert!(!error.is_final() && error.to_string().contains("no answer"));
    }
}
