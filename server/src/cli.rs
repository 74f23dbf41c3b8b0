//! The command line. The only part that prints; it knows the library's front doors, not its rooms.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage (clap's), 78 the configuration cannot be used (`EX_CONFIG`).

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks through its standard streams"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

mod client;
mod config;
mod dev;
mod http;
mod key;
mod serve;
mod shown;
mod subscribe;
mod token;

/// A configuration that cannot be used: sysexits.h calls it `EX_CONFIG`.
const EXIT_CONFIG: u8 = 78;

/// A real-time chat server: channels, history and presence over one WebSocket.
#[derive(Debug, Parser)]
#[command(
    name = "parlor",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (as `parlor` alone does). Exits with 78 when the configuration cannot be used.
    Serve(ConfigArgs),
    /// Run in development mode: no keys, a demo page, this machine only.
    Dev(dev::DevArgs),
    /// Sign a token for a user with a key of the configuration.
    Token(token::TokenArgs),
    /// Make an API key, and the lines of configuration that know it.
    Key(key::KeyArgs),
    /// Check, show or explain the configuration.
    Config(config::ConfigCommand),
    /// Publish a message.
    Publish(client::PublishArgs),
    /// Follow channels live; resumes by itself.
    Subscribe(subscribe::SubscribeArgs),
    /// Read a page of a channel's history.
    History(client::HistoryArgs),
    /// Read who is in a channel.
    Presence(client::PresenceArgs),
    /// Print completions for a shell.
    Completions { shell: clap_complete::Shell },
}

/// Where the configuration comes from. Flags win over the environment, that wins over the file.
#[derive(Clone, Debug, Default, Args)]
struct ConfigArgs {
    /// A TOML file.
    #[arg(long, env = "PARLOR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any key: `--set server.demo=true`. `parlor config docs` lists them.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Threads that serve connections; 0: one per core.
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// Directory of the message log.
    #[arg(long, env = "PARLOR_DATA", value_name = "DIR")]
    data: Option<String>,
}

/// Runs the command of this process's arguments.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve::serve(&cli.serve),
        Some(Command::Serve(args)) => serve::serve(&args),
        Some(Command::Dev(args)) => dev::dev(&args),
        Some(Command::Token(args)) => token::token(&args),
        Some(Command::Key(args)) => key::key(&args),
        Some(Command::Config(args)) => config::config(&args),
        Some(Command::Publish(args)) => client::publish(&args),
        Some(Command::Subscribe(args)) => subscribe::subscribe(args),
        Some(Command::History(args)) => client::history(&args),
        Some(Command::Presence(args)) => client::presence(&args),
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "parlor", &mut std::io::stdout());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("parlor: {failure:#}");
            match failure.downcast_ref::<config::Unusable>() {
                Some(_) => ExitCode::from(EXIT_CONFIG),
                None => ExitCode::FAILURE,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_with_and_without_serve() {
        for line in [
            &["parlor", "--shards", "2"][..],
            &["parlor", "serve", "--shards", "2"],
        ] {
            let cli = Cli::try_parse_from(line).expect("it parses");
            let args = match cli.command {
                Some(Command::Serve(args)) => args,
                _ => cli.serve,
            };
            assert_eq!(args.shards.as_deref(), Some("2"));
        }
    }
}
