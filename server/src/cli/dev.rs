//! `parlor dev`: everything a newcomer needs on one screen, and nothing that a stranger could reach.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use parlor::auth::{
    Algorithm, ApiKey, Auth, Capability, KeyMaterial, NewToken, OneOrMany, Secret, TokenKey,
    all_grants,
};
use parlor::config::{Config, Layers, api_key_hash};

use super::config::{Unusable, layers, read};
use super::{ConfigArgs, serve};

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Port to listen on; 0: any free one.
    #[arg(long, conflicts_with = "listen")]
    port: Option<u16>,
    /// Keep nothing: all channels live in memory, until the process ends.
    #[arg(long)]
    memory: bool,
}

/// Two people for whom tokens are printed.
const PEOPLE: [&str; 2] = ["ann", "bob"];

const TOKEN_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The file in the data directory that keeps keys and tokens the same over restarts.
const SECRET_FILE: &str = "dev-secret";

pub(super) fn dev(args: &DevArgs) -> anyhow::Result<()> {
    let mut config = configure(args)?;
    if !config.listen.ip().is_loopback() {
        let text = format!(
            "development mode needs no keys, so it listens on loopback only, not on {}",
            config.listen.ip()
        );
        return Err(Unusable(text).into());
    }
    let secret = match &config.storage.data_dir {
        Some(directory) => kept_secret(directory)
            .with_context(|| format!("unable to use {}", directory.display()))?,
        None => random_secret()?,
    };
    let api_key = format!("dev_{:.32}", api_key_hash(&format!("API key of {secret}")));
    add_keys(&mut config, &secret, &api_key);
    let tokens = tokens(&config)?;
    let kept = where_kept(&config);
    serve::run(config, move |addresses| {
        print!("{}", welcome(addresses.http, &kept, &api_key, &tokens));
        println!("listening on http://{}", addresses.http);
        // A pipe is not flushed by itself, and whoever waits for the line waits long.
        io::stdout().flush().unwrap_or_default();
    })
}

fn configure(args: &DevArgs) -> Result<Config, Unusable> {
    let mut base = Layers::default();
    // Below everything else, so that all of it can still be set.
    base.set_flag("metrics.listen", "")?;
    base.set_flag("server.drain_window", "1s")?;
    base.set_flag("log.filter", "warn")?;
    let mut layers = layers(&args.config, base)?;
    if let Some(port) = args.port {
        layers.set_flag("server.listen", &format!("127.0.0.1:{port}"))?;
    }
    let mut config = read(&layers)?;
    config.demo = true;
    // It listens on loopback only, and its links and examples are plain.
    config.transport.certificate = None;
    config.auth.dev = true;
    if args.memory {
        config.keep_in_memory();
    }
    Ok(config)
}

fn add_keys(config: &mut Config, secret: &str, api_key: &str) {
    if config.auth.token_keys.is_empty() {
        let material = KeyMaterial::Secret(Secret::new(secret));
        config.auth.token_keys.push(TokenKey {
            kid: None,
            algorithm: Algorithm::Hs256,
            material,
            private_pem: None,
        });
    }
    let key = ApiKey {
        name: "dev-key".to_owned(),
        hash: api_key_hash(api_key),
        grants: all_grants(),
    };
    config.auth.api_keys.push(key);
}

/// Tokens for two people, where a key of the configuration can sign them.
fn tokens(config: &Config) -> anyhow::Result<Vec<(&'static str, String)>> {
    let auth = Auth::new(config.auth.clone()).map_err(|error| Unusable(error.to_string()))?;
    let verbs = ["subscribe", "publish", "signal", "history", "presence"];
    let everything = Capability {
        channels: OneOrMany::One("*".to_owned()),
        allow: verbs.into_iter().map(str::to_owned).collect(),
    };
    let issue = |user: &'static str| {
        let caps = vec![everything.clone()];
        let token = NewToken {
            user: Some(user.to_owned()),
            caps,
            expires_in: TOKEN_LIFETIME,
            ..NewToken::default()
        };
        auth.issue(&token).ok().map(|token| (user, token))
    };
    Ok(PEOPLE.into_iter().filter_map(issue).collect())
}

/// What becomes of messages, in words.
fn where_kept(config: &Config) -> String {
    match (&config.redis, &config.storage.data_dir) {
        (Some(redis), _) => format!("in Redis, keys begin with {}:", redis.prefix),
        (None, Some(directory)) => format!("kept in {}", directory.display()),
        (None, None) => "in memory, gone when the process ends".to_owned(),
    }
}

fn welcome(address: SocketAddr, kept: &str, api_key: &str, tokens: &[(&str, String)]) -> String {
    let people: String = tokens
        .iter()
        .map(|(user, token)| format!("  token {user}   {token}\n"))
        .collect();
    format!(
        "
  DEVELOPMENT MODE: nobody needs a key or a token. Only this machine can connect.

  open        http://{address}/
  publish     curl http://{address}/v1/publish --json '{{\"channel\":\"room:lobby\",\"data\":{{\"text\":\"hello\"}}}}'
  follow      parlor subscribe room:lobby --url http://{address}
  messages    {kept}

  To try what production needs (Authorization: Bearer …):
  API key     {api_key}
{people}
"
    )
}

/// The secret of this data directory: the same after a restart, so that tokens and keys stay good.
fn kept_secret(directory: &Path) -> anyhow::Result<String> {
    fs::create_dir_all(directory)?;
    let path: PathBuf = directory.join(SECRET_FILE);
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let secret = random_secret()?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&path)?.write_all(secret.as_bytes())?;
    Ok(secret)
}

/// 64 hex digits nobody can guess.
fn random_secret() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tokens_outlive_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = kept_secret(directory.path()).expect("made");
        assert_eq!(kept_secret(directory.path()).expect("kept"), first);
        assert_eq!(first.len(), 64);
    }

    #[test]
    fn the_printed_keys_are_good() {
        let mut config = Config::defaults().expect("good defaults");
        config.auth.dev = true;
        let secret = random_secret().expect("random");
        add_keys(&mut config, &secret, "dev_key");
        let tokens = tokens(&config).expect("good keys");
        let auth = Auth::new(config.auth).expect("good keys");
        assert_eq!(tokens.len(), PEOPLE.len());
        for (user, token) in tokens {
            assert_eq!(
                auth.verify(&token)
                    .expect("good")
                    .user()
                    .map(|user| &**user),
                Some(user)
            );
        }
        assert!(auth.verify_bearer("dev_key").is_ok());
    }

    #[test]
    fn it_says_where_messages_are_kept() {
        let config = |key, value| {
            let mut layers = Layers::default();
            layers.set_flag(key, value).expect("a key");
            read(&layers).expect("good values")
        };
        let on_disk = config("storage.data_dir", "words");
        assert_eq!(where_kept(&on_disk), "kept in words");
        let in_redis = config("redis.url", "redis://127.0.0.1:6379");
        assert_eq!(where_kept(&in_redis), "in Redis, keys begin with parlor:");
    }
}
