//! `parlor`: the server itself, until a signal ends it.

use std::future::Future;
use std::io::IsTerminal as _;

use parlor::app::{self, Addresses};
use parlor::config::{Config, Layers, LogConfig, LogFormat};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::ConfigArgs;
use super::config::{Unusable, check, layers, read};

/// What a stranger is told who starts a server that nobody could use.
const NO_KEYS: &str = "there are no keys, so nobody could connect

  To try it on this machine:   parlor dev
  To run it:                   parlor key backend     makes an API key
                               PARLOR_AUTH_SECRET     signs tokens (32 bytes or more)
                               parlor config docs     lists all settings";

/// Open files beside the connections: the log, listeners, scrapes.
const SPARE_FILES: u64 = 256;

pub(super) fn serve(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = read(&layers(args, Layers::default())?)?;
    if !check(config.clone())?.has_keys() {
        return Err(Unusable(NO_KEYS.to_owned()).into());
    }
    let scheme = match config.transport.certificate {
        Some(_) => "https",
        None => "http",
    };
    run(config, move |addresses| {
        println!("listening on {scheme}://{}", addresses.http)
    })
}

/// Runs the server on this thread's own runtime until SIGTERM or SIGINT; a second one ends it at once.
pub(super) fn run(config: Config, ready: impl FnOnce(Addresses)) -> anyhow::Result<()> {
    start_logs(&config.log)?;
    raise_file_limit(&config);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stop = until_told()?;
        // Its errors name their causes in their own words: a chain would say them twice.
        app::run(config, stop, ready)
            .await
            .map_err(|error| anyhow::anyhow!("{error}"))
    })
}

fn until_told() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        told(&mut terminate, &mut interrupt).await;
        tokio::spawn(async move {
            told(&mut terminate, &mut interrupt).await;
            warn!("Told twice to stop: ending without a drain.");
            std::process::exit(130);
        });
    })
}

async fn told(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Logs go to standard error, so that standard output stays readable by machines.
fn start_logs(config: &LogConfig) -> anyhow::Result<()> {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.filter)?)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
        LogFormat::Pretty => logs.with_target(false).try_init(),
    };
    started.map_err(anyhow::Error::from_boxed)
}

fn raise_file_limit(config: &Config) {
    let wanted = config.transport.connections_max.saturating_add(SPARE_FILES);
    match rlimit::increase_nofile_limit(wanted) {
        // Somebody who tries it out has no thousands of connections.
        Ok(limit) if limit < wanted && !config.auth.dev => {
            warn!(
                limit,
                wanted, "The limit of open files is below connections_max."
            );
        }
        Ok(limit) => info!(limit, "Raised the limit of open files."),
        Err(error) => warn!(%error, "Unable to raise the limit of open files."),
    }
}
