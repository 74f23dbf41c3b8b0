//! The kinds of channels that the tests use, by the beginnings of channel names.

use std::time::Duration;

use parlor::kind::{ChannelKind, ChannelKinds, Durability, SlowPolicy, Verb};
use parlor::pattern::Pattern;

/// Every kind, without limits on rates unless its name says so.
///
/// - `disk:*`, `memory:*`: long history, presence, slow readers are closed.
/// - `short:*`, `short-memory:*`: the newest five events. `brief:*`: events of the last second.
/// - `medium:*`: the newest three hundred events.
/// - `skip:*`: slow readers skip to the latest. `quiet:*`: no presence. `rated:*`: one publish a second.
/// - `open:*`: everybody may subscribe and publish without a claim.
///
/// # Panics
/// Never: the patterns do not overlap.
pub fn kinds() -> ChannelKinds {
    let disk = |name| kind(name, Durability::Disk);
    let memory = |name| kind(name, Durability::Memory);
    let short = |kind| ChannelKind {
        history_len_max: 5,
        ..kind
    };
    ChannelKinds::new(vec![
        disk("disk"),
        memory("memory"),
        short(disk("short")),
        short(memory("short-memory")),
        ChannelKind {
            history_len_max: 300,
            ..disk("medium")
        },
        ChannelKind {
            history_age_max: Duration::from_secs(1),
            ..disk("brief")
        },
        ChannelKind {
            slow: SlowPolicy::SkipToLatest,
            ..disk("skip")
        },
        ChannelKind {
            presence: false,
            ..memory("quiet")
        },
        ChannelKind {
            publish_rate_max: 1,
            ..memory("rated")
        },
        ChannelKind {
            allowed: vec![Verb::Subscribe, Verb::Publish],
            ..memory("open")
        },
    ])
    .expect("the patterns begin differently")
}

fn kind(name: &str, durability: Durability) -> ChannelKind {
    ChannelKind {
        name: name.to_owned(),
        pattern: Pattern::new(format!("{name}:*")),
        durability,
        history_len_max: 20_000,
        history_age_max: Duration::from_secs(24 * 3600),
        presence: true,
        slow: SlowPolicy::Close,
        allowed: Vec::new(),
        publish_rate_max: 0,
    }
}
