//! A Redis Cluster: three masters with a replica each, node timeout one second.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use ::redis::from_redis_value;

use super::ask::eventually;
use super::{Redis, RedisOptions};

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;
/// Keys moved by one `MIGRATE`.
const KEYS_MAX: usize = 100;
const MIGRATE_TIME_MAX: Duration = Duration::from_secs(5);

/// The nodes: at first the three masters, then the replica of each in the same order.
#[derive(Debug)]
pub struct RedisCluster {
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Waits until all slots are served and all replicas are level.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start() -> Self {
        Self::start_with(&RedisOptions::default())
    }

    /// Its nodes with options. Where they ask for a password, slots cannot be moved.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_with(options: &RedisOptions) -> Self {
        let node = |_| Redis::start_with(clustered(options));
        let cluster = Self {
            nodes: (0..MASTERS * 2).map(node).collect(),
        };
        cluster.form();
        cluster
    }

    /// A node by itself that serves all slots and calls that well: what a Cluster's nodes have forgotten goes on like this,
    /// with the slots that it knew.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_forgotten() -> Redis {
        let node = Redis::start_with(clustered(&RedisOptions::default()));
        add_slots(&node, 0..SLOTS);
        eventually("the node to be well", || is_well(&node).then_some(()));
        node
    }

    /// What a Parlor node is given.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self
            .nodes
            .iter()
            .map(|node| node.address().to_string())
            .collect();
        let scheme = self.nodes[0].options.scheme();
        format!("{scheme}+cluster://{}", addresses.join(","))
    }

    /// The master that serves a key, by a majority of the running nodes' view.
    ///
    /// # Panics
    /// When no node answers.
    pub fn master_of_key(&self, key: &str) -> &Redis {
        self.master_of(self.slot_of(key))
    }

    /// # Panics
    /// When no node answers.
    pub fn slot_of(&self, key: &str) -> u16 {
        let answer = self.any().ask(&["CLUSTER", "KEYSLOT", key]);
        from_redis_value(answer).expect("a slot")
    }

    /// # Panics
    /// When no node knows.
    pub fn master_of(&self, slot: u16) -> &Redis {
        eventually("a master for the slot", || {
            let id = self.owner_of(slot)?;
            self.nodes
                .iter()
                .find(|node| my_id(node).as_ref() == Some(&id))
        })
    }

    /// The replica of a master.
    ///
    /// # Panics
    /// When it has none.
    pub fn replica_of(&self, master: &Redis) -> &Redis {
        let port = Some(master.port().to_string());
        eventually("a replica of the master", || {
            self.nodes
                .iter()
                .find(|node| !node.is_primary() && node.info("master_port") == port)
        })
    }

    /// `CLUSTER FAILOVER` on a replica: `FORCE` when its master is gone, `TAKEOVER` without asking anybody. Waits until it took over.
    ///
    /// # Panics
    /// When it does not.
    pub fn failover(&self, replica: &Redis, how: Option<&str>) {
        let mut command = vec!["CLUSTER", "FAILOVER"];
        command.extend(how);
        replica.ask(&command);
        eventually("the replica to take over", || {
            replica.is_primary().then_some(())
        });
    }

    /// Waits until every running node calls the cluster well.
    ///
    /// # Panics
    /// When that never is so.
    pub fn wait_until_well(&self) {
        eventually("the cluster to be well", || {
            let well = self
                .nodes
                .iter()
                .filter(|node| node.is_running())
                .all(is_well);
            well.then_some(())
        });
    }

    /// Moves a slot with all its keys to another master, as `redis-cli --cluster reshard` does.
    ///
    /// # Panics
    /// When a node refuses.
    pub fn move_slot(&self, slot: u16, to: &Redis) {
        let from = self.begin_move(slot, to);
        while self.move_keys(slot, from, to) > 0 {}
        self.end_move(slot, from, to);
    }

    /// Opens a slot's move: from now on the old master answers ASK for keys that it does not have. Returns the old master.
    ///
    /// # Panics
    /// When a node refuses.
    pub fn begin_move(&self, slot: u16, to: &Redis) -> &Redis {
        let from = self.master_of(slot);
        let (slot, from_id, to_id) = (slot.to_string(), id_of(from), id_of(to));
        to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        from
    }

    /// Moves some of its keys. Returns how many; with none left the move can end.
    ///
    /// # Panics
    /// When a node refuses.
    pub fn move_keys(&self, slot: u16, from: &Redis, to: &Redis) -> usize {
        self.move_some_keys(slot, from, to, KEYS_MAX)
    }

    /// The same with a bound on how many: what stays behind makes scripts over several keys answer TRYAGAIN.
    ///
    /// # Panics
    /// When a node refuses.
    pub fn move_some_keys(&self, slot: u16, from: &Redis, to: &Redis, keys_max: usize) -> usize {
        let (slot, count) = (slot.to_string(), keys_max.to_string());
        let answer = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, &count]);
        let keys: Vec<String> = from_redis_value(answer).expect("keys");
        if keys.is_empty() {
            return 0;
        }
        let port = to.port().to_string();
        let time = MIGRATE_TIME_MAX.as_millis().to_string();
        let mut command = vec![
            "MIGRATE",
            "127.0.0.1",
            &port,
            "",
            "0",
            &time,
            "REPLACE",
            "KEYS",
        ];
        command.extend(keys.iter().map(String::as_str));
        from.ask(&command);
        keys.len()
    }

    /// Gives the slot to its new master.
    ///
    /// # Panics
    /// When a node refuses.
    pub fn end_move(&self, slot: u16, from: &Redis, to: &Redis) {
        let (slot, id) = (slot.to_string(), id_of(to));
        let masters = self.nodes.iter().filter(|node| {
            node.port() != from.port() && node.port() != to.port() && node.is_primary()
        });
        // The new one first: otherwise nobody serves the slot for a moment.
        for node in [to, from].into_iter().chain(masters) {
            node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
    }

    fn form(&self) {
        let (masters, replicas) = self.nodes.split_at(MASTERS);
        for (number, master) in masters.iter().enumerate() {
            let slots = SLOTS * number / MASTERS..SLOTS * (number + 1) / MASTERS;
            add_slots(master, slots);
            let epoch = (number + 1).to_string();
            master.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
        }
        for node in &self.nodes[1..] {
            let port = node.port().to_string();
            self.nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        eventually("the nodes to meet", || {
            let met = self
                .nodes
                .iter()
                .all(|node| field(node, "cluster_known_nodes") == Some(MASTERS * 2));
            met.then_some(())
        });
        for (replica, master) in replicas.iter().zip(masters) {
            let id = id_of(master);
            eventually("the replica to know its master", || {
                replica.try_ask(&["CLUSTER", "REPLICATE", &id]).ok()
            });
            replica.wait_until_linked();
        }
        self.wait_until_well();
        self.wait_until_replicas_are_known();
    }

    /// A client that asks any node for the topology then hears of every replica.
    fn wait_until_replicas_are_known(&self) {
        eventually("every node to know all replicas", || {
            let known = self.nodes.iter().all(|node| {
                let text = nodes_of(node);
                text.values().filter(|line| line.contains("slave")).count() == MASTERS
            });
            known.then_some(())
        });
    }

    fn any(&self) -> &Redis {
        let mut nodes = self.nodes.iter();
        nodes
            .find(|node| is_well(node))
            .expect("a node that is well")
    }

    /// The id of the slot's owner, as the owner itself says: others may hear late.
    fn owner_of(&self, slot: u16) -> Option<String> {
        let owners = self.nodes.iter().filter_map(|node| {
            let lines = nodes_of(node);
            let (id, line) = lines.iter().find(|(_, line)| line.contains("myself"))?;
            let serves = line.contains("master") && serves(line, slot);
            let epoch: u64 = line.split_whitespace().nth(6)?.parse().ok()?;
            serves.then(|| (epoch, id.clone()))
        });
        owners.max().map(|(_, id)| id)
    }
}

fn clustered(options: &RedisOptions) -> RedisOptions {
    let options = options.clone().clustered();
    options
        .setting("cluster-node-timeout", "1000")
        // Only the channels of a lost shard pause.
        .setting("cluster-require-full-coverage", "no")
        // A test promotes replicas that lag on purpose.
        .setting("cluster-replica-validity-factor", "0")
}

fn add_slots(node: &Redis, slots: Range<usize>) {
    // One by one: `ADDSLOTSRANGE` is newer than 6.2.
    let slots: Vec<_> = slots.map(|slot| slot.to_string()).collect();
    let mut command = vec!["CLUSTER", "ADDSLOTS"];
    command.extend(slots.iter().map(String::as_str));
    node.ask(&command);
}

/// `CLUSTER NODES` of one node: its lines by id.
fn nodes_of(node: &Redis) -> HashMap<String, String> {
    let answer = node.try_ask(&["CLUSTER", "NODES"]);
    let text: String = answer
        .ok()
        .and_then(|answer| from_redis_value(answer).ok())
        .unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| Some((line.split_once(' ')?.0.to_owned(), line.to_owned())));
    lines.collect()
}

/// Whether a line's ranges hold the slot. They stand behind the eight fields of a node.
fn serves(line: &str, slot: u16) -> bool {
    line.split_whitespace().skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = (first.parse::<u16>(), last.parse::<u16>());
        matches!(bounds, (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    })
}

fn my_id(node: &Redis) -> Option<String> {
    from_redis_value(node.try_ask(&["CLUSTER", "MYID"]).ok()?).ok()
}

fn id_of(node: &Redis) -> String {
    my_id(node).expect("a node that answers")
}

fn field(node: &Redis, name: &str) -> Option<usize> {
    let text: String = from_redis_value(node.try_ask(&["CLUSTER", "INFO"]).ok()?).ok()?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| *key == name)?.1.parse().ok()
}

fn is_well(node: &Redis) -> bool {
    let answer = node.try_ask(&["CLUSTER", "INFO"]);
    let text: Option<String> = answer.ok().and_then(|answer| from_redis_value(answer).ok());
    text.is_some_and(|text| {
        text.contains("cluster_state:ok") && text.contains("cluster_slots_ok:16384")
    })
}
