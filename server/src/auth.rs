//! Who may do what: identities, their grants, and the ways to prove an identity.
//!
//! It knows tokens and keys; no sockets, no channels' contents.

use std::sync::Arc;

use parlor_protocol::{ChannelName, Payload, Time};

use crate::kind::{ChannelKind, Verb};
use crate::pattern::Pattern;

/// Somebody who proved who they are, with what they may do.
#[derive(Clone, Debug)]
pub struct Identity {
    pub who: Who,
    /// Shown to others in presence: JSON from the token.
    pub info: Option<Payload>,
    pub grants: Vec<Grant>,
    /// When the proof ends; none for API keys and development mode.
    pub expires_at: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A person: `u:` in dedup scopes.
    User(Arc<str>),
    /// A connection whose token names no user: may read, is never present.
    Anonymous,
    /// A backend by its key's name: `k:` in dedup scopes.
    Backend(Arc<str>),
}

/// Verbs on the channels that match a pattern (`{user}` already filled in).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub channels: Pattern,
    pub verbs: Vec<Verb>,
}

impl Identity {
    pub fn user(&self) -> Option<&Arc<str>> {
        match &self.who {
            Who::User(user) => Some(user),
            Who::Anonymous | Who::Backend(_) => None,
        }
    }

    /// Whether a claim or the channel's kind allows it.
    pub fn may(&self, verb: Verb, channel: &ChannelName, kind: &ChannelKind) -> bool {
        kind.allowed.contains(&verb)
            || self.grants.iter().any(|grant| grant.verbs.contains(&verb) && grant.channels.matches(channel.as_str()))
    }

    /// Whose publish ids these are.
    pub fn sender(&self) -> Option<Arc<str>> {
        match &self.who {
            Who::User(user) => Some(format!("u:{user}").into()),
            Who::Backend(key) => Some(format!("k:{key}").into()),
            Who::Anonymous => None,
        }
    }
}
