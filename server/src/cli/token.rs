//! `parlor token`: a token for a user, signed with a key of the configuration.

use clap::Args;
use parlor::auth::{Auth, Capability, NewToken, OneOrMany};
use parlor::config::{Layers, Span};
use parlor::kind::Verb;

use super::ConfigArgs;
use super::config::{Unusable, layers, read};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// The user's id.
    user: String,
    /// Patterns of channels that the user may use; `{user}` stands for the id.
    #[arg(
        long = "channels",
        value_name = "PATTERN",
        default_value = "*",
        value_delimiter = ','
    )]
    channels: Vec<String>,
    /// What the user may do there.
    #[arg(long, value_name = "VERB", default_values = ["subscribe", "publish", "signal", "history", "presence"], value_delimiter = ',')]
    allow: Vec<String>,
    /// How long it is good: `30m`, `24h`, `7d`.
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    expires: String,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn token(args: &TokenArgs) -> anyhow::Result<()> {
    let config = read(&layers(&args.config, Layers::default())?)?;
    let auth = Auth::new(config.auth).map_err(|error| Unusable(error.to_string()))?;
    if let Some(unknown) = args.allow.iter().find(|name| Verb::parse(name).is_none()) {
        anyhow::bail!("--allow {unknown}: there is no such verb");
    }
    let expires = Span::parse(&args.expires).ok_or_else(|| {
        anyhow::anyhow!(
            "--expires {}: needs a duration such as 30m or 24h",
            args.expires
        )
    })?;
    let capability = Capability {
        channels: OneOrMany::Many(args.channels.clone()),
        allow: args.allow.clone(),
    };
    let token = NewToken {
        user: Some(args.user.clone()),
        caps: vec![capability],
        expires_in: expires.0,
        ..NewToken::default()
    };
    println!("{}", auth.issue(&token)?);
    Ok(())
}
