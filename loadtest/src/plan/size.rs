//! The division: the future load by what a node can carry. Pure.

use anyhow::ensure;
use serde::Serialize;

use super::fit::predict;
use super::future::Future;
use super::model::Model;

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
    pub(super) redis: Option<RedisPlan>,
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
    let delivery = model.delivery_overhead_bytes.unwrap_or(0.0) + future.load.payload_bytes;
    let publish = model.publish_bytes.unwrap_or(future.load.payload_bytes);
    let network = move |nodes: f64| (deliveries * delivery + publishes * publish) * BIT / nodes;
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
    let rate = future.publishes_per_s();
    let row = [rate, rate * nodes];
    let cores = predict(&row, &redis.cpu);
    Some(RedisPlan {
        cores,
        primaries: (cores / future.redis.cpu_target).ceil().max(1.0) as u32,
        memory_bytes: future.events_kept() * redis.bytes_per_event * future.redis.memory_factor,
        in_mbit_s: rate * redis.in_bytes * BIT,
        out_mbit_s: predict(&row, &redis.out_bytes) * BIT,
    })
}

const NODES_MAX: u32 = 1_000;
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
