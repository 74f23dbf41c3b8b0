//! The division: the future load by what a node can carry. Pure.

use anyhow::ensure;
use serde::Serialize;

use super::fit::predict;
use super::future::Future;
use super::model::{Model, RedisModel};

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    /// Nodes to run, the spare ones included.
    pub(super) nodes: u32,
    pub(super) spare: u32,
    /// For each thing that nodes are needed for, how many without the spare ones.
    pub(super) needs: Vec<Need>,
    /// Of each node while the spare ones are lost.
    pub(super) cores_per_node: f64,
    pub(super) memory_per_node_bytes: f64,
    pub(super) network_per_node_mbit_s: f64,
    pub(super) connections_per_node: f64,
    pub(super) loss: Loss,
    pub(super) redis: Option<RedisPlan>,
}

/// What happens when the spare nodes are lost at once.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Loss {
    /// Connections that come back at the other nodes.
    pub(super) connections: f64,
    /// The least time in which all cores of the others can take them. `None`: no run tells what one costs.
    pub(super) reconnect_s: Option<f64>,
}

/// One reason for nodes.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Need {
    pub(super) what: &'static str,
    /// Of one node, in its unit, with this many nodes.
    pub(super) per_node: f64,
    pub(super) allowed: f64,
    pub(super) nodes: u32,
}

/// What Redis must be.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct RedisPlan {
    pub(super) cores: f64,
    /// Primaries over which partitions must be spread.
    pub(super) primaries: u32,
    pub(super) memory_bytes: f64,
    pub(super) in_mbit_s: f64,
    pub(super) out_mbit_s: f64,
}

/// A kind of need: its name, its part for each of so many nodes, and what one node may carry.
type Part<'a> = (&'static str, Box<dyn Fn(f64) -> f64 + 'a>, f64);

impl Plan {
    /// # Errors
    /// When no number of nodes is enough, since each node's own share does not shrink.
    pub(super) fn of(model: &Model, future: &Future) -> anyhow::Result<Self> {
        let parts = parts(model, future);
        let mut needs = Vec::new();
        for (what, part, allowed) in &parts {
            let enough = (1..=NODES_MAX).find(|nodes| part(f64::from(*nodes)) <= *allowed);
            ensure!(
                enough.is_some(),
                "no number of nodes is enough for {what}: {:.2} of {allowed:.2} with {NODES_MAX} nodes; take larger ones",
                part(f64::from(NODES_MAX))
            );
            let nodes = enough.unwrap_or(NODES_MAX);
            needs.push(Need {
                what,
                per_node: part(f64::from(nodes)),
                allowed: *allowed,
                nodes,
            });
        }
        let serving = needs.iter().map(|need| need.nodes).max().unwrap_or(1);
        let left = f64::from(serving);
        let nodes = serving + future.node.spare;
        let part = |index: usize| (parts[index].1)(left);
        Ok(Self {
            nodes,
            spare: future.node.spare,
            cores_per_node: part(0),
            memory_per_node_bytes: part(1),
            network_per_node_mbit_s: part(2),
            connections_per_node: part(3),
            needs,
            loss: loss(model, future, nodes),
            redis: redis(model, future, f64::from(nodes)),
        })
    }
}

fn parts<'a>(model: &'a Model, future: &'a Future) -> [Part<'a>; 4] {
    let (node, connections) = (&future.node, future.connections());
    let (publishes, deliveries) = (future.publishes_per_s(), future.deliveries_per_s());
    let connecting =
        future.load.connects_per_s * future.load.growth * model.cpu_per_connect.unwrap_or(0.0);
    let cores = move |nodes: f64| {
        let row = [
            connections,
            publishes,
            deliveries,
            publishes * (nodes - 1.0),
        ];
        (model.cores(&row) + connecting) / nodes
    };
    let memory = move |nodes: f64| {
        // Channels whose members are on several nodes live on each; in the worst case on every one that has a member.
        let spread = nodes.min(future.load.members_per_room.max(1.0));
        let channels = future.channels() * spread;
        model.memory_base + model.bytes(&[connections, channels, 0.0]) / nodes
    };
    let clients = model.client_bytes(publishes, deliveries, future.load.payload_bytes);
    let network = move |nodes: f64| {
        let redis = redis(model, future, nodes);
        let redis = redis.map_or(0.0, |redis| redis.in_mbit_s + redis.out_mbit_s);
        (clients * BIT + redis) / nodes
    };
    [
        ("CPU, cores", Box::new(cores), node.cores * node.cpu_target),
        (
            "memory, bytes",
            Box::new(memory),
            node.memory_gib * GIB * node.memory_target,
        ),
        (
            "network, Mbit/s",
            Box::new(network),
            node.network_mbit_s * NETWORK_TARGET,
        ),
        (
            "connections",
            Box::new(move |nodes: f64| connections / nodes),
            node.connections_max,
        ),
    ]
}

fn redis(model: &Model, future: &Future, nodes: f64) -> Option<RedisPlan> {
    let redis = model.redis?;
    let (rate, payload) = (future.publishes_per_s(), future.load.payload_bytes);
    let cores = predict(&[rate, rate * nodes], &redis.cpu);
    Some(RedisPlan {
        cores,
        primaries: (cores / future.redis.cpu_target).ceil().max(1.0) as u32,
        memory_bytes: bytes_in_redis(&redis, future) * future.redis.memory_factor,
        in_mbit_s: rate * redis.in_bytes(payload) * BIT,
        out_mbit_s: rate * redis.out_bytes(payload, nodes) * BIT,
    })
}

/// Of events that are kept, and of those whose ids are remembered, so that a retry stays one: these without their payloads.
fn bytes_in_redis(redis: &RedisModel, future: &Future) -> f64 {
    let (kept, payload) = (future.events_kept(), future.load.payload_bytes);
    let remembered = future.publishes_per_s() * REMEMBERED_S;
    (kept + remembered) * redis.event_overhead_bytes + kept * payload
}

/// What others must take over when the spare nodes are lost.
fn loss(model: &Model, future: &Future, nodes: u32) -> Loss {
    let (spare, left) = (future.node.spare, nodes - future.node.spare);
    let connections = future.connections() / f64::from(nodes) * f64::from(spare);
    let cpu = model.cpu_per_connect.map(|each| {
        let cores = future.node.cores * f64::from(left);
        connections * each / cores
    });
    Loss {
        connections,
        reconnect_s: cpu,
    }
}

const NODES_MAX: u32 = 1_000;
/// Two windows of five minutes: an id is forgotten when both have passed.
const REMEMBERED_S: f64 = 600.0;
const GIB: f64 = 1_073_741_824.0;
/// Mbit of a byte.
const BIT: f64 = 8.0 / 1e6;
/// Bursts need the rest.
const NETWORK_TARGET: f64 = 0.6;

#[cfg(test)]
mod tests {
    use super::*;

    fn future(text: &str) -> Future {
        let text = format!(
            "[load]\nusers-online = 50000\nrooms = 5000\nmembers-per-room = 10\nmessages-per-s = 1000\n{text}"
        );
        toml::from_str(&text).unwrap()
    }

    /// 10 µs a delivery, 10 KiB a connection.
    fn model() -> Model {
        Model {
            cpu: [0.0, 0.0, 1e-5, 0.0],
            memory: [10_240.0, 0.0, 0.0],
            memory_base: 20e6,
            ..Model::default()
        }
    }

    #[test]
    fn the_scarcest_thing_decides_and_one_node_is_spare() {
        // 10,000 deliveries/s: 0.1 cores. 50,000 connections: 0.5 GB.
        let plan = Plan::of(
            &model(),
            &future("[node]\ncores = 1\nconnections-max = 20000\n"),
        )
        .unwrap();
        assert_eq!((plan.nodes, plan.spare), (4, 1));
        assert!((plan.connections_per_node - 50_000.0 / 3.0).abs() < 1.0);
        assert_eq!(plan.needs[0].nodes, 1);
    }

    fn near(found: f64, by_hand: f64) {
        assert!(
            (found - by_hand).abs() < by_hand * 1e-9,
            "{found}, by hand {by_hand}"
        );
    }

    /// A future and a model that has round numbers with the payload of 128 bytes, so that a person can follow.
    fn round() -> (Model, Future) {
        round_with("")
    }

    /// The same with this in the description of the load.
    fn round_with(load: &str) -> (Model, Future) {
        let redis = RedisModel {
            cpu: [1e-4, 5e-5],
            in_overhead_bytes: 872.0,
            out_overhead_bytes: [100.0, 372.0],
            event_overhead_bytes: 272.0,
        };
        let model = Model {
            cpu: [2e-6, 1e-4, 1e-5, 5e-5],
            cpu_per_connect: Some(1e-4),
            memory: [10_000.0, 1_000.0, 0.0],
            memory_base: 20e6,
            delivery_overhead_bytes: Some(72.0),
            publish_overhead_bytes: Some(172.0),
            redis: Some(redis),
            ..Model::default()
        };
        let node = "connects-per-s = 100\nhistory-per-room = 100\n[node]\ncores = 0.5\ncpu-target = 0.5\nmemory-gib = 16\n";
        (model, future(&format!("{load}{node}")))
    }

    #[test]
    fn every_formula_is_as_by_hand() {
        let (model, future) = round();
        let plan = Plan::of(&model, &future).unwrap();
        // 50,000 connections × 2 µs + 1,000 publishes × 100 µs + 10,000 deliveries × 10 µs + 100 new ones × 100 µs = 0.31 cores,
        // and 1,000 × 50 µs for each node but one; a node may use 0.25. One: 0.31. Two: 0.36 / 2.
        assert_eq!((plan.needs[0].nodes, plan.nodes, plan.spare), (2, 3, 1));
        near(plan.cores_per_node, 0.18);
        // Each of the two left holds 25,000 connections, and of each room some members.
        near(
            plan.memory_per_node_bytes,
            20e6 + 25_000.0 * 10_000.0 + 5_000.0 * 1_000.0,
        );
        near(plan.connections_per_node, 25_000.0);
        // Clients: 10,000 × (128 + 72) + 1,000 × (128 + 172) = 2.3 MB/s; Redis: 1,000 × (128 + 872) in, 1,000 × (100 + (128 + 372) × 2) out.
        near(plan.network_per_node_mbit_s, (2.3 + 1.0 + 1.1) * 8.0 / 2.0);
    }

    #[test]
    fn a_lost_node_throws_its_connections_on_the_others() {
        let (model, future) = round();
        let plan = Plan::of(&model, &future).unwrap();
        // A third of 50,000, at 100 µs each, on the half core of each of the two that are left.
        near(plan.loss.connections, 50_000.0 / 3.0);
        near(plan.loss.reconnect_s.unwrap(), 50_000.0 / 3.0 * 1e-4 / 1.0);
        // That is what the spare one is for: with it lost, no node is above its targets.
        assert!(
            plan.needs
                .iter()
                .all(|need| need.nodes <= plan.nodes - plan.spare)
        );
    }

    #[test]
    fn the_size_of_redis_is_as_by_hand() {
        let (model, future) = round();
        let redis = Plan::of(&model, &future).unwrap().redis.unwrap();
        // Three nodes read along.
        near(redis.cores, 1_000.0 * (1e-4 + 3.0 * 5e-5));
        assert_eq!(redis.primaries, 1);
        // 5,000 rooms × 100 events at 400 bytes, and the ids of ten minutes at 128 less, twice.
        near(
            redis.memory_bytes,
            (500_000.0 * 400.0 + 600_000.0 * 272.0) * 2.0,
        );
        near(redis.in_mbit_s, 8.0);
        near(redis.out_mbit_s, (100.0 + 500.0 * 3.0) * 8.0 / 1e3);
    }

    #[test]
    fn a_larger_payload_is_more_to_carry_and_to_keep_everywhere() {
        let (model, future) = round_with("payload-bytes = 4096\n");
        let plan = Plan::of(&model, &future).unwrap();
        let redis = plan.redis.unwrap();
        near(
            redis.memory_bytes,
            (500_000.0 * (4_096.0 + 272.0) + 600_000.0 * 272.0) * 2.0,
        );
        near(redis.in_mbit_s, (4_096.0 + 872.0) * 8.0 / 1e3);
        let out = |nodes: f64| (100.0 + (4_096.0 + 372.0) * nodes) * 8.0 / 1e3;
        near(redis.out_mbit_s, out(3.0));
        // With one lost two are left, and read along.
        let clients = (10_000.0 * (4_096.0 + 72.0) + 1_000.0 * (4_096.0 + 172.0)) * 8.0 / 1e6;
        let network = clients + redis.in_mbit_s + out(2.0);
        near(plan.network_per_node_mbit_s, network / 2.0);
    }

    #[test]
    fn growth_multiplies_the_load() {
        let plan = Plan::of(&model(), &future("growth = 11.0\n[node]\ncores = 1\nspare = 0\nmemory-gib = 64\nconnections-max = 1e6\n")).unwrap();
        // 1.1 cores at 0.6 of one core each.
        assert_eq!(plan.nodes, 2);
    }

    #[test]
    fn what_every_node_must_do_cannot_be_divided() {
        let model = Model {
            cpu: [0.0, 0.0, 1e-5, 1e-2],
            ..model()
        };
        assert!(Plan::of(&model, &future("[node]\ncores = 1\n")).is_ok());
        let tailing = Model {
            cpu: [1e-3, 0.0, 0.0, 1e-2],
            ..model
        };
        assert!(Plan::of(&tailing, &future("[node]\ncores = 1\n")).is_err());
    }
}
