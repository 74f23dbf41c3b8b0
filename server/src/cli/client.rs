//! `parlor publish`, `history` and `presence`: one HTTP request each, shown for people or as JSON.

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::http::{ServerArgs, call, escaped};
use super::shown;

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    channel: String,
    /// JSON, or else a text: `hello` is published as `{"text":"hello"}`, as the demo page shows it.
    data: String,
    /// Chosen by you: the same id is published once, however often it is tried.
    #[arg(long)]
    id: Option<String>,
    /// Send an event that is never logged.
    #[arg(long)]
    signal: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    channel: String,
    /// Events at most.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Events before this offset.
    #[arg(long)]
    before: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(super) struct PresenceArgs {
    channel: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn publish(args: &PublishArgs) -> anyhow::Result<()> {
    let data = serde_json::from_str(&args.data).unwrap_or_else(|_| json!({ "text": args.data }));
    let mut body = json!({ "channel": args.channel, "data": data });
    if let Some(id) = &args.id {
        body["id"] = Value::from(id.as_str());
    }
    let path = if args.signal {
        "/v1/signal"
    } else {
        "/v1/publish"
    };
    println!("{}", call(&args.server, Method::POST, path, Some(&body))?);
    Ok(())
}

pub(super) fn history(args: &HistoryArgs) -> anyhow::Result<()> {
    let before = args
        .before
        .map(|offset| format!("&offset={offset}"))
        .unwrap_or_default();
    let path = format!(
        "/v1/history?channel={}&limit={}{before}",
        escaped(&args.channel),
        args.limit
    );
    let page = call(&args.server, Method::GET, &path, None)?;
    if args.json {
        println!("{page}");
        return Ok(());
    }
    // They come newest first; people read downwards.
    for event in page["events"].as_array().into_iter().flatten().rev() {
        println!("{}", shown::event(&args.channel, event));
    }
    Ok(())
}

pub(super) fn presence(args: &PresenceArgs) -> anyhow::Result<()> {
    let mut cursor: Option<String> = None;
    loop {
        let from = cursor
            .map(|cursor| format!("&cursor={}", escaped(&cursor)))
            .unwrap_or_default();
        let path = format!("/v1/presence?channel={}{from}", escaped(&args.channel));
        let page = call(&args.server, Method::GET, &path, None)?;
        if args.json {
            println!("{page}");
        } else {
            page["members"]
                .as_array()
                .into_iter()
                .flatten()
                .for_each(|member| println!("{}", shown::member(member)));
        }
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    Ok(())
}
