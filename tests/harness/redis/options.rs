//! How a Redis of a test is configured. Knows the configuration file's words, not processes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use parlor::config::CertificateFiles;

use super::protects_itself;
use crate::authority::Authority;

/// Options of one process. The default keeps nothing on disk and evicts nothing.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// Lines of the configuration file: name and value. A later line wins.
    settings: Vec<(String, String)>,
    login: Option<(String, String)>,
    tls: Option<Tls>,
    sentinel: bool,
    clustered: bool,
}

/// With what a process speaks TLS, and nothing else.
#[derive(Clone, Debug)]
struct Tls {
    files: CertificateFiles,
    /// Of the authority, as a file and as its text.
    certificate: PathBuf,
    trusted: Vec<u8>,
}

impl RedisOptions {
    /// Any line of the configuration file.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    /// An append-only file that survives `kill -9`: `always`, `everysec` or `no` flushes.
    #[must_use]
    pub fn appendonly(self, fsync: &str) -> Self {
        self.setting("appendonly", "yes")
            .setting("appendfsync", fsync)
    }

    /// A bound on its memory, in Redis' own words (`3mb`), which refuses writes when reached.
    #[must_use]
    pub fn memory_max(self, bytes: &str) -> Self {
        self.setting("maxmemory", bytes)
            .setting("maxmemory-policy", "noeviction")
    }

    /// Refuses writes while fewer replicas than this answered within two seconds.
    #[must_use]
    pub fn replicas_min(self, replicas: usize) -> Self {
        self.setting("min-replicas-to-write", replicas.to_string())
            .setting("min-replicas-max-lag", "2")
    }

    /// The default user's password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.login = Some(("default".to_owned(), password.to_owned()));
        self.setting("requirepass", password)
            .setting("masterauth", password)
    }

    /// An ACL user, as whom tests log in, with these rules (`~parlor:* +@all`). The default user is switched off.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, rules: &str) -> Self {
        self.login = Some((name.to_owned(), password.to_owned()));
        self.setting("user", "default off")
            .setting("user", format!("{name} on >{password} {rules}"))
    }

    /// The ACL user `parlor` with what a node needs and no more, as an operator finds it in the book.
    ///
    /// # Panics
    /// When the book tells of no user.
    #[must_use]
    pub fn documented_user(self, password: &str) -> Self {
        let book = include_str!("../../../docs/operating.md");
        let (_, after) = book
            .split_once("user parlor on >PASSWORD ")
            .expect("the user's line");
        let (rules, _) = after.split_once("```").expect("the end of the block");
        let rules: Vec<_> = rules.split_whitespace().collect();
        self.user("parlor", password, &rules.join(" "))
    }

    /// Beside that user an operator's, who may everything: as him tests ask, nodes follow one another and Sentinels look.
    #[must_use]
    pub fn administered(mut self, password: &str) -> Self {
        self.login = Some(("admin".to_owned(), password.to_owned()));
        self.setting("user", format!("admin on >{password} ~* &* +@all"))
            .setting("masteruser", "admin")
            .setting("masterauth", password)
    }

    /// TLS and nothing else, with clients and with other Redis. The authority must outlive the process.
    ///
    /// # Panics
    /// When there is no certificate.
    #[must_use]
    pub fn tls(mut self, authority: &Authority) -> Self {
        let certificate = authority.certificate();
        self.tls = Some(Tls {
            files: authority.issue("redis"),
            trusted: std::fs::read(&certificate).expect("the authority's certificate"),
            certificate,
        });
        self
    }

    /// The authority that its clients must believe; none where it speaks no TLS.
    pub(super) fn authority(&self) -> Option<&[u8]> {
        self.tls.as_ref().map(|tls| &tls.trusted[..])
    }

    /// What its URLs begin with.
    pub(super) fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "rediss",
            None => "redis",
        }
    }

    /// The port by which others reach it, where that is not its own.
    pub(super) fn announced_at(self, port: u16) -> Self {
        self.setting("replica-announce-ip", "127.0.0.1")
            .setting("replica-announce-port", port.to_string())
    }

    pub(super) fn replica_of(self, primary: u16) -> Self {
        self.setting("replicaof", format!("127.0.0.1 {primary}"))
    }

    /// A Sentinel over nodes with these options. It asks for no password of its own.
    pub(super) fn sentinel(&self) -> Self {
        Self {
            tls: self.tls.clone(),
            sentinel: true,
            ..Self::default()
        }
    }

    pub(super) fn is_sentinel(&self) -> bool {
        self.sentinel
    }

    /// A node of a Cluster.
    pub(super) fn clustered(mut self) -> Self {
        self.clustered = true;
        self.setting("cluster-enabled", "yes")
            .setting("cluster-config-file", "nodes.conf")
    }

    pub(super) fn is_clustered(&self) -> bool {
        self.clustered
    }

    pub(super) fn login(&self) -> Option<(&str, &str)> {
        let (user, password) = self.login.as_ref()?;
        Some((user, password))
    }

    /// The configuration file's text.
    pub(super) fn file(&self, port: u16, directory: &Path) -> String {
        let mut text = format!(
            "bind 127.0.0.1\nprotected-mode no\ndir {}\n",
            directory.display()
        );
        text += &match &self.tls {
            Some(tls) => tls.lines(port),
            None => format!("port {port}\n"),
        };
        if !self.sentinel {
            // Diskless replication at once: a test does not wait five seconds for more replicas to come.
            text +=
                "save \"\"\nappendonly no\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n";
            text += "repl-ping-replica-period 1\n";
            if protects_itself() {
                text += "enable-debug-command yes\nenable-protected-configs yes\n";
            }
        }
        for (name, value) in &self.settings {
            writeln!(text, "{name} {value}").expect("a String takes everything");
        }
        text
    }
}

impl Tls {
    /// For the configuration file.
    fn lines(&self, port: u16) -> String {
        format!(
            "port 0\ntls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
             tls-auth-clients no\ntls-replication yes\ntls-cluster yes\n",
            self.files.certificate.display(),
            self.files.key.display(),
            self.certificate.display()
        )
    }
}
