//! Presence: who is in a channel, per user with all their connections. An entry lives by its lease.
