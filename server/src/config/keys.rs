//! The table of keys: what each is for. `*` stands for a name that the operator chooses.

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As in the file: `server.listen`.
    pub path: &'static str,
    /// How its text in the environment or in a flag becomes a value.
    pub shape: Shape,
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Also sizes and durations.
    Text,
    Number,
    /// `true` or `false`.
    Switch,
    /// Parted by commas.
    List,
}

impl Key {
    /// The variable that overrides the file; none for keys below a chosen name.
    pub fn variable(&self) -> Option<String> {
        let is_fixed = !self.path.contains('*');
        is_fixed.then(|| format!("{PREFIX}{}", self.path.to_uppercase().replace('.', "_")))
    }

    /// The key of this path, where any name fits a `*`.
    pub fn of(path: &str) -> Option<&'static Self> {
        let fits = |key: &&Self| {
            let (mut known, mut given) = (key.path.split('.'), path.split('.'));
            loop {
                match (known.next(), given.next()) {
                    (None, None) => return true,
                    (Some("*"), Some(_)) => {}
                    (Some(a), Some(b)) if a == b => {}
                    _ => return false,
                }
            }
        };
        KEYS.iter().find(fits)
    }
}

/// How our environment variables begin.
pub(super) const PREFIX: &str = "PARLOR_";

macro_rules! keys {
    ($($path:literal $shape:ident $help:literal;)*) => {
        /// Every key.
        pub const KEYS: &[Key] = &[$(Key { path: $path, shape: Shape::$shape, help: $help },)*];
    };
}

keys! {
    "server.listen" Text "Address and port for WebSockets and HTTP.";
    "server.shards" Number "Threads that serve connections, at most 64; 0: one per core.";
    "server.demo" Switch "Whether `/` shows the demo page.";
    "server.tls_certificate_file" Text "A PEM file with the certificate, and behind it those that lead to its authority: with it the port speaks TLS only (`wss`, `https`). Read again when it changes. Empty: plain.";
    "server.tls_key_file" Text "A PEM file with the certificate's private key, without a password.";
    "server.allowed_origins" List "Web origins that may open a socket besides the server's own, exact (`https://example.com`); `*`: all.";
    "server.connections_max" Number "WebSocket connections at most.";
    "server.pending_max" Number "Sockets per shard that still speak HTTP, at most: then the longest idle makes room.";
    "server.header_timeout" Text "How long a socket may take for the TLS handshake, then to send a request's head, then its body, and to take a part of the answer.";
    "server.drain_window" Text "Over how long a stopping server spreads its clients.";
    "metrics.listen" Text "Address and port of `/metrics` for Prometheus; empty: off.";
    "log.format" Text "`pretty` or `json`.";
    "log.filter" Text "What is logged, such as `info` or `parlor=debug,info`.";
    "connection.connect_timeout" Text "How long a fresh socket may take to send `connect`.";
    "connection.ping_interval" Text "How often clients are pinged, unless they ask otherwise.";
    "connection.ping_interval_min" Text "The shortest interval that a client may ask for.";
    "connection.ping_interval_max" Text "The longest interval that a client may ask for.";
    "connection.pong_timeout" Text "How long after a ping a client must have sent something.";
    "connection.expiry_notice" Text "How long before its token ends a client is told.";
    "connection.linger" Text "How long a closing connection may take to read what it is told.";
    "connection.outbox_bytes_max" Text "Bytes that may wait for one slow client.";
    "connection.frame_bytes_max" Text "Bytes of one incoming message.";
    "connection.channels_max" Number "Channels that one connection may subscribe.";
    "connection.history_page_max" Number "Events of one page of history.";
    "connection.commands_per_second_max" Number "Commands per second and connection; 0: no limit.";
    "storage.data_dir" Text "Directory of the message log; made when missing.";
    "storage.disk_bytes_max" Text "Bytes of the log on disk; 0: as far as the disk goes.";
    "storage.memory_bytes_max" Text "Bytes of history in memory, of all `memory` kinds together.";
    "redis.url" Text "Where the Redis is that makes many nodes one: `redis://host:port`, `redis+sentinel://host:port,…/name` or `redis+cluster://host:port,…`; `rediss…` for TLS. Empty: one node with its own storage.";
    "redis.prefix" Text "In front of every key, so that several Parlors can share one Redis.";
    "redis.user" Text "The user of Redis's access control list; empty: the default user.";
    "redis.password" Text "That user's password.";
    "redis.password_file" Text "A file with the password.";
    "redis.tls_ca_file" Text "A PEM file with the authority that signed Redis's certificates; empty: the system's.";
    "redis.confirmations" Number "Replicas that must confirm a `replicated` publish; 0: all that are attached.";
    "presence.grace" Text "How long somebody stays present without a connection.";
    "presence.members_pushed_max" Number "In channels with more users, presence pushes carry only counts.";
    "auth.secret" Text "Secret of at least 32 bytes that signs tokens with HS256; the short form of one token key.";
    "auth.api_key" Text "The secret of an API key named `default` that may do everything, without a dot; the short form of one API key.";
    "auth.issuers" List "Accepted `iss` of tokens; empty: not looked at.";
    "auth.audiences" List "Accepted `aud` of tokens; empty: tokens must have none.";
    "auth.leeway" Text "How far the clock of a token's issuer may differ; at most 30s.";
    "token_keys.*.algorithm" Text "`HS256`, `HS384`, `HS512`, `RS256`, `ES256` or `EdDSA`. The table's name is the key's `kid`.";
    "token_keys.*.secret" Text "For HS algorithms: the secret itself.";
    "token_keys.*.secret_file" Text "For HS algorithms: a file with the secret.";
    "token_keys.*.public_key_file" Text "A PEM file with the public key.";
    "token_keys.*.private_key_file" Text "A PEM file with the private key: lets the server issue tokens.";
    "token_keys.*.jwk_file" Text "A file with one JSON Web Key.";
    "api_keys.*.hash" Text "SHA-256 of the key, in hex: `parlor key` makes both. A key of your own has no dot, or it is taken for a token.";
    "api_keys.*.channels" List "Patterns of the channels that the key is for; default: all.";
    "api_keys.*.allow" List "What the key may do there; default: everything.";
    "kinds.*.pattern" Text "Which channels are of this kind: text with `*`. Patterns must not overlap.";
    "kinds.*.durability" Text "`disk`: an acknowledged message survives a power cut. `memory`: it lives as long as the process. `replicated`: it survives the loss of the Redis primary.";
    "kinds.*.history_len_max" Number "Events kept per channel.";
    "kinds.*.history_age_max" Text "How long an event is kept.";
    "kinds.*.presence" Switch "Whether the channels know who is in them.";
    "kinds.*.slow" Text "What happens to a client that reads too slowly: `close` or `skip_to_latest`.";
    "kinds.*.allow" List "What everybody who is connected may do there without a claim: `subscribe`, `publish`, `signal`, `history`, `presence`.";
    "kinds.*.publish_rate_max" Number "Publishes per second and connection; 0: no limit.";
}
