//! `parlor key`: a new API key. The server keeps only its hash, so it is shown once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use parlor::config::api_key_hash;

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// The backend that will use it: letters, digits, `-` and `_`.
    name: String,
}

pub(super) fn key(args: &KeyArgs) -> anyhow::Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if args.name.is_empty() || !args.name.bytes().all(is_plain) {
        anyhow::bail!(
            "{}: a key's name has letters, digits, `-` and `_`",
            args.name
        );
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let secret = format!("parlor_{}", URL_SAFE_NO_PAD.encode(bytes));
    println!("# The key itself, for the backend; it is not shown again:\n# {secret}");
    println!(
        "[api_keys.{}]\nhash = \"{}\"",
        args.name,
        api_key_hash(&secret)
    );
    println!("# channels = [\"*\"]\n# allow = [\"publish\", \"history\"]   # default: everything");
    Ok(())
}
