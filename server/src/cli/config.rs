//! `parlor config`, and how all commands read the configuration.

use std::fmt;

use clap::{Args, Subcommand};
use parlor::auth::Auth;
use parlor::config::{Config, Layers, docs};
use parlor::transport::tls::Certificate;

use super::ConfigArgs;

#[derive(Debug, Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether the server would start with it.
    Check(ConfigArgs),
    /// Print every value in force and where it came from; secrets are not shown.
    Show(ConfigArgs),
    /// Print the table of keys as Markdown.
    Docs,
}

/// The configuration cannot be used: the process exits with 78.
#[derive(Debug)]
pub(super) struct Unusable(pub(super) String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

impl From<parlor::config::Error> for Unusable {
    fn from(error: parlor::config::Error) -> Self {
        Self(error.to_string())
    }
}

pub(super) fn config(command: &ConfigCommand) -> anyhow::Result<()> {
    match &command.action {
        Action::Check(args) => {
            let config = read(&layers(args, Layers::default())?)?;
            let auth = check(config)?;
            println!("The configuration is good.");
            if !auth.has_keys() {
                println!("It has no keys: `parlor` will not start with it, only `parlor dev`.");
            }
        }
        Action::Show(args) => print!(
            "{}",
            layers(args, Layers::default())?
                .show()
                .map_err(Unusable::from)?
        ),
        Action::Docs => print!("{}", docs()),
    }
    Ok(())
}

/// Looks at what the configuration only names: keys, and the certificate.
pub(super) fn check(config: Config) -> Result<Auth, Unusable> {
    if let Some(files) = config.transport.certificate {
        Certificate::load(files).map_err(|error| Unusable(error.to_string()))?;
    }
    Auth::new(config.auth).map_err(|error| Unusable(error.to_string()))
}

/// Lays file, environment and flags over what `layers` holds already.
pub(super) fn layers(args: &ConfigArgs, mut layers: Layers) -> Result<Layers, Unusable> {
    if let Some(path) = &args.config {
        layers.read_file(path)?;
    }
    // Variables that are not text cannot be ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    for warning in layers.read_environment(variables)? {
        eprintln!("parlor: {warning}");
    }
    for (key, value) in [
        ("server.listen", &args.listen),
        ("server.shards", &args.shards),
        ("storage.data_dir", &args.data),
    ] {
        if let Some(value) = value {
            layers.set_flag(key, value)?;
        }
    }
    for pair in &args.set {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Unusable(format!("--set {pair}: needs the form KEY=VALUE")))?;
        layers.set_flag(key.trim(), value)?;
    }
    Ok(layers)
}

pub(super) fn read(layers: &Layers) -> Result<Config, Unusable> {
    Ok(Config::from_layers(layers)?)
}
