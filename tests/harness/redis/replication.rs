//! One process following another: replicas, promotion, a cut between them.

use super::ask::eventually;
use super::{Redis, RedisOptions};

impl Redis {
    /// A new replica, configured alike. Waits until it has everything.
    ///
    /// # Panics
    /// When it does not start or does not catch up.
    pub fn start_replica(&self) -> Self {
        self.start_replica_with(self.options.clone())
    }

    /// One that reaches this primary by another port, a proxy's.
    ///
    /// # Panics
    /// When it does not start or does not catch up.
    pub fn start_replica_through(&self, port: u16) -> Self {
        let replica = Self::start_with(self.options.clone().replica_of(port));
        replica.wait_until_linked();
        replica
    }

    /// One with its own options.
    ///
    /// # Panics
    /// When it does not start or does not catch up.
    pub fn start_replica_with(&self, options: RedisOptions) -> Self {
        let replica = Self::start_with(options.replica_of(self.port()));
        replica.wait_until_linked();
        replica
    }

    /// Follows another primary from now on. Does not wait.
    ///
    /// # Panics
    /// When it refuses.
    pub fn follow(&self, primary: &Self) {
        self.follow_port(primary.port());
    }

    /// The same by port, for example a proxy's in between.
    ///
    /// # Panics
    /// When it refuses.
    pub fn follow_port(&self, port: u16) {
        self.ask(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    }

    /// `REPLICAOF NO ONE`.
    ///
    /// # Panics
    /// When it refuses.
    pub fn promote(&self) {
        self.ask(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Cuts a replica off: it goes on following, but nobody. It stays what it was, and gets nothing any more.
    ///
    /// # Panics
    /// When it refuses.
    pub fn cut(&self) {
        // Nobody listens on port 1.
        self.follow_port(1);
    }

    /// Waits until a replica's link is up and the first copy is through.
    ///
    /// # Panics
    /// When it never is.
    pub fn wait_until_linked(&self) {
        eventually("the replica to have its primary's data", || {
            let up = self.info("master_link_status")? == "up";
            let done = self.info("master_sync_in_progress")? == "0";
            (up && done).then_some(())
        });
    }

    /// Waits until this replica has all that the primary wrote so far.
    ///
    /// # Panics
    /// When it never has.
    pub fn wait_until_level_with(&self, primary: &Self) {
        let written = primary.written().expect("a primary that answers");
        eventually("the replica to be level", || {
            let level = self.info("master_link_status")? == "up" && self.written()? >= written;
            level.then_some(())
        });
    }

    /// Bytes of the replication stream that it wrote or took in.
    pub fn written(&self) -> Option<u64> {
        self.info("master_repl_offset")?.parse().ok()
    }

    /// Whether it says that it is a primary.
    pub fn is_primary(&self) -> bool {
        self.info("role").is_some_and(|role| role == "master")
    }
}
