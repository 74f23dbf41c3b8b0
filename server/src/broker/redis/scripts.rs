//! The Lua scripts, each loaded by its hash and sent in full once a Redis does not know it.

use std::sync::LazyLock;

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

use super::link::Link;
use crate::planted::{self, Bug};

/// A script with the functions that all share.
#[derive(Debug)]
pub(super) struct Script {
    code: String,
    hash: String,
}

macro_rules! script {
    ($(#[$doc:meta])* $name:ident = $($file:literal),+) => {
        $(#[$doc])*
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!(include_str!("lua/common.lua"), $(include_str!($file)),+)));
    };
}

script! {
    /// Appends a batch of events.
    APPEND = "lua/batch.lua", "lua/append.lua", "lua/batch_end.lua"
}
script! {
    /// Changes members by a batch.
    CHANGE_MEMBERS = "lua/members.lua", "lua/batch.lua", "lua/change_members.lua", "lua/batch_end.lua"
}
script! {
    /// Reads a top or a page.
    READ = "lua/read.lua"
}
script! {
    /// Writes a log anew without what some entries said.
    ERASE = "lua/erase.lua"
}
script! {
    /// Settles a partition's generation.
    SETTLE = "lua/settle.lua"
}
script! {
    /// Looks for entries that may be lost.
    VERIFY = "lua/verify.lua"
}

script! {
    /// Reads a page of a channel's members.
    ROSTER = "lua/members.lua", "lua/roster.lua"
}
script! {
    /// Removes what a dead node owns.
    REAP = "lua/members.lua", "lua/reap.lua"
}

impl Script {
    fn new(code: &str) -> Self {
        let mut code = code.to_owned();
        if planted::has(Bug::CountRefusedAppend) {
            code = code.replace(COUNTED, REFUSED_AND_COUNTED);
        }
        Self {
            hash: redis::Script::new(&code).get_hash().to_owned(),
            code,
        }
    }

    /// Runs it.
    pub(super) async fn run(
        &self,
        link: &Link,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, RedisError> {
        let query = |command: Cmd| async move { link.query(&command).await };
        self.run_with(query, keys, arguments).await
    }

    /// Runs it by a query of the caller's own. A Redis that does not know it gets it in full: nothing was run in that case.
    pub(super) async fn run_with<T, F>(
        &self,
        query: impl Fn(Cmd) -> F,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<T, RedisError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let mut by_hash = call("EVALSHA", &self.hash, keys);
        arguments(&mut by_hash);
        match query(by_hash).await {
            Err(error) if is_unknown(&error) => {
                let mut in_full = call("EVAL", &self.code, keys);
                arguments(&mut in_full);
                query(in_full).await
            }
            other => other,
        }
    }
}

/// Where a planted fault goes: one append in many is refused, and its offset counted.
const COUNTED: &str = "  local offset_text = format('%d', offset + 1)\n";
const REFUSED_AND_COUNTED: &str = "  if offset % 30 == 29 then
    channel.offset = offset + 1
    return 'X refused'
  end
  local offset_text = format('%d', offset + 1)
";

/// Whether this is `NOSCRIPT`.
fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

fn call(how: &str, what: &str, keys: &[&str]) -> Cmd {
    let mut command = redis::cmd(how);
    command.arg(what).arg(keys.len()).arg(keys);
    command
}
