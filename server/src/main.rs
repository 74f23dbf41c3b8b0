//! The binary `parlor`: the server, and its command line for people.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::main()
}
