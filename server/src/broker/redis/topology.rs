//! Where the primary of a slot is: at a fixed address, where the Sentinels say, or where the Cluster's slots are.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};

use super::config::{Address, Mode, RedisConfig};
use super::fault::Fault;
use super::link;

/// How long a Sentinel or a Cluster node may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);

/// What is known of the topology. Forgotten whenever Redis says that it changed.
#[derive(Debug, Default)]
pub(super) struct Topology {
    known: Mutex<Option<Map>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Map {
    /// All slots at one primary.
    One(Address),
    Slots(Vec<SlotRange>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SlotRange {
    first: u16,
    last: u16,
    primary: Address,
}

impl Topology {
    /// The primary of a slot, as last heard.
    ///
    /// # Errors
    /// Nobody who could say it answers.
    pub(super) async fn primary_of(
        &self,
        config: &RedisConfig,
        slot: u16,
    ) -> Result<Address, Fault> {
        if let Some(map) = self.known.lock().clone() {
            return map.primary_of(slot);
        }
        let map = ask(config).await?;
        let address = map.primary_of(slot);
        *self.known.lock() = Some(map);
        address
    }

    /// The same without asking; none while it must be asked.
    pub(super) fn known_primary(&self, slot: u16) -> Option<Address> {
        let known = self.known.lock();
        known.as_ref()?.primary_of(slot).ok()
    }

    /// All primaries.
    ///
    /// # Errors
    /// As [`Self::primary_of`].
    pub(super) async fn primaries(&self, config: &RedisConfig) -> Result<Vec<Address>, Fault> {
        self.primary_of(config, 0).await?;
        let mut primaries = match self.known.lock().clone() {
            Some(Map::One(address)) => vec![address],
            Some(Map::Slots(ranges)) => ranges.into_iter().map(|range| range.primary).collect(),
            None => Vec::new(),
        };
        primaries.sort();
        primaries.dedup();
        Ok(primaries)
    }

    /// Asks anew. True when one of these slots has another primary than before: links to the old one are worth nothing, even
    /// if they work. A primary that was frozen and thawed goes on as one for seconds after another took its place.
    pub(super) async fn has_changed(&self, config: &RedisConfig, slots: &[u16]) -> bool {
        if config.url.mode == Mode::Standalone {
            return false;
        }
        // Nobody answers: that says nothing about the primaries.
        let Ok(map) = ask(config).await else {
            return false;
        };
        let before = self.known.lock().replace(map.clone());
        before.is_some_and(|before| before.differs(&map, slots))
    }

    /// Whether the Sentinels name another primary now. Where none answers, that says nothing about it; in a Cluster who
    /// thaws hears from the others at once that its slots are taken.
    pub(super) async fn is_past(&self, config: &RedisConfig, address: &Address) -> bool {
        let Mode::Sentinel { name } = &config.url.mode else {
            return false;
        };
        let named = ask_sentinels(config, name).await;
        named.is_ok_and(|map| map != Map::One(address.clone()))
    }

    /// Ask anew next time.
    pub(super) fn forget(&self) {
        *self.known.lock() = None;
    }
}

impl Map {
    /// Whether another primary serves one of these slots there.
    fn differs(&self, other: &Self, slots: &[u16]) -> bool {
        let mut slots = slots.iter();
        slots.any(|slot| self.primary_of(*slot) != other.primary_of(*slot))
    }

    fn primary_of(&self, slot: u16) -> Result<Address, Fault> {
        match self {
            Self::One(address) => Ok(address.clone()),
            Self::Slots(ranges) => {
                let range = ranges
                    .iter()
                    .find(|range| (range.first..=range.last).contains(&slot));
                let range = range.ok_or_else(|| {
                    Fault::Unreachable(format!("no node of the cluster serves slot {slot}"))
                })?;
                Ok(range.primary.clone())
            }
        }
    }
}

async fn ask(config: &RedisConfig) -> Result<Map, Fault> {
    let addresses = &config.url.addresses;
    match &config.url.mode {
        Mode::Standalone => Ok(Map::One(addresses[0].clone())),
        Mode::Sentinel { name } => ask_sentinels(config, name).await,
        Mode::Cluster => ask_cluster(config).await,
    }
}

/// What the Sentinel with the newest configuration says: one that was cut off still names the primary of before.
async fn ask_sentinels(config: &RedisConfig, name: &str) -> Result<Map, Fault> {
    let asked = config.url.addresses.iter().map(|address| async move {
        let asked = tokio::time::timeout(ASK_TIMEOUT, ask_sentinel(config, address, name)).await;
        asked.unwrap_or_else(|_| {
            Err(Fault::Unreachable(format!(
                "the Sentinel at {address} is silent"
            )))
        })
    });
    let mut newest: Option<(u64, Address)> = None;
    let mut last = Fault::Unreachable("no Sentinel".to_owned());
    for answer in join_all(asked).await {
        match answer {
            Ok(known) if newest.as_ref().is_none_or(|held| held.0 < known.0) => {
                newest = Some(known)
            }
            Ok(_) => {}
            Err(fault) => last = fault,
        }
    }
    newest.map(|(_, address)| Map::One(address)).ok_or(last)
}

/// The primary that a Sentinel names, and the epoch of its configuration.
async fn ask_sentinel(
    config: &RedisConfig,
    address: &Address,
    name: &str,
) -> Result<(u64, Address), Fault> {
    let mut sentinel = link::dial(config, address, ASK_TIMEOUT, false).await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("MASTER").arg(name);
    let answer: HashMap<String, String> = question.query_async(&mut sentinel).await?;
    let field = |name: &str| answer.get(name);
    let primary = field("ip")
        .cloned()
        .zip(field("port").and_then(|port| port.parse().ok()));
    let (host, port) = primary.ok_or_else(|| {
        Fault::Unreachable(format!(
            "the Sentinel at {address} knows no primary called {name}"
        ))
    })?;
    let epoch = field("config-epoch")
        .and_then(|epoch| epoch.parse().ok())
        .unwrap_or(0);
    Ok((epoch, Address { host, port }))
}

/// What a node's word on the slots is worth; compared field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    /// It hears most of the masters. One that is cut off says that it is not well.
    is_well: bool,
    /// Where it is not: slots of which it hears the master. Who is cut off hears hardly any, whatever its epoch: a replica
    /// raises that with each election that nobody hears of.
    slots_heard: u64,
    /// Rises whenever slots go elsewhere. One that the others have forgotten stays behind.
    epoch: u64,
}

type NodesWord = (Worth, Vec<SlotRange>);

/// What the Cluster node says whose word is worth most: one that was forgotten or cut off goes on naming the primaries of
/// before.
async fn ask_cluster(config: &RedisConfig) -> Result<Map, Fault> {
    let asked = config.url.addresses.iter().map(|address| async move {
        let asked = tokio::time::timeout(ASK_TIMEOUT, ask_node(config, address)).await;
        asked.unwrap_or_else(|_| {
            Err(Fault::Unreachable(format!(
                "the cluster node at {address} is silent"
            )))
        })
    });
    weigh(join_all(asked).await)
}

/// Of equals the first: nodes may call one primary by different names, and a map that changes means new connections.
fn weigh(words: Vec<Result<NodesWord, Fault>>) -> Result<Map, Fault> {
    let mut best: Option<NodesWord> = None;
    let mut last = Fault::Unreachable("no cluster node".to_owned());
    for word in words {
        match word {
            Ok(word) if best.as_ref().is_none_or(|held| held.0 < word.0) => best = Some(word),
            Ok(_) => {}
            Err(fault) => last = fault,
        }
    }
    best.map(|(_, ranges)| Map::Slots(ranges)).ok_or(last)
}

async fn ask_node(config: &RedisConfig, address: &Address) -> Result<NodesWord, Fault> {
    let mut node = link::dial(config, address, ASK_TIMEOUT, true).await?;
    // First, so that the slots are never older than what they are said to be worth.
    let worth = worth(&mut node).await;
    let ranges = slots(node, address).await?;
    if ranges.is_empty() {
        return Err(Fault::Unreachable(format!(
            "the cluster node at {address} serves no slots"
        )));
    }
    Ok((worth, ranges))
}

async fn worth(node: &mut MultiplexedConnection) -> Worth {
    let mut question = redis::cmd("CLUSTER");
    question.arg("INFO");
    let answer: Result<String, RedisError> = question.query_async(node).await;
    // A user who may not ask this believes the first node that answers.
    answer.map_or_else(|_| Worth::default(), |text| Worth::of(&text))
}

impl Worth {
    /// Takes what `CLUSTER INFO` says.
    fn of(text: &str) -> Self {
        let number = |name| -> u64 {
            let field = link::field(text, name);
            field.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        let is_well = link::field(text, "cluster_state") == Some("ok");
        Self {
            is_well,
            slots_heard: if is_well {
                0
            } else {
                number("cluster_slots_ok")
            },
            epoch: number("cluster_current_epoch"),
        }
    }
}

async fn slots(mut node: MultiplexedConnection, asked: &Address) -> Result<Vec<SlotRange>, Fault> {
    let mut question = redis::cmd("CLUSTER");
    question.arg("SLOTS");
    let answer: Vec<Vec<Value>> = question.query_async(&mut node).await?;
    let range = |row: Vec<Value>| {
        let first = redis::from_redis_value(row.first()?.clone()).ok()?;
        let last = redis::from_redis_value(row.get(1)?.clone()).ok()?;
        let Value::Array(primary) = row.get(2)? else {
            return None;
        };
        let host: String = redis::from_redis_value(primary.first()?.clone()).unwrap_or_default();
        let port = redis::from_redis_value(primary.get(1)?.clone()).ok()?;
        // An empty host means: the one that you asked.
        let host = if host.is_empty() {
            asked.host.clone()
        } else {
            host
        };
        Some(SlotRange {
            first,
            last,
            primary: Address { host, port },
        })
    };
    let mut ranges: Vec<_> = answer.into_iter().filter_map(range).collect();
    // Up to Redis 6.2 each node has an order of its own.
    ranges.sort_by_key(|range| range.first);
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_nobody_serves_is_an_error() {
        let address = Address {
            host: "a".into(),
            port: 1,
        };
        let map = Map::Slots(vec![SlotRange {
            first: 0,
            last: 10,
            primary: address.clone(),
        }]);
        assert_eq!(map.primary_of(10), Ok(address));
        assert!(matches!(map.primary_of(11), Err(Fault::Unreachable(_))));
    }

    #[test]
    fn only_slots_that_are_used_matter_when_slots_move() {
        let range = |(first, last, port): &(u16, u16, u16)| SlotRange {
            first: *first,
            last: *last,
            primary: Address {
                host: "a".into(),
                port: *port,
            },
        };
        let map = |ranges: &[(u16, u16, u16)]| Map::Slots(ranges.iter().map(range).collect());
        let before = map(&[(0, 9, 1), (10, 19, 2)]);
        let differs = |after: &[(u16, u16, u16)]| before.differs(&map(after), &[3, 12]);
        assert!(!differs(&[(0, 9, 1), (10, 19, 2)]));
        assert!(!differs(&[(0, 4, 1), (5, 19, 2)]), "five moved");
        assert!(differs(&[(0, 12, 1), (13, 19, 2)]), "twelve moved");
        assert!(differs(&[(10, 19, 2)]), "nobody serves three");
    }

    /// Takes what each node says, in the order in which they are configured: state, slots that are served, epoch. The words
    /// of the node at this index are believed.
    #[track_caller]
    fn check(nodes: &[Option<(&str, u64, u64)>], expected: Option<usize>) {
        let slots_of = |index: usize| {
            vec![SlotRange {
                first: 0,
                last: 16_383,
                primary: Address {
                    host: "a".into(),
                    port: index as u16,
                },
            }]
        };
        let word = |(index, node): (usize, &Option<(&str, u64, u64)>)| -> Result<NodesWord, Fault> {
            let (state, slots, epoch) = node.ok_or(Fault::Unreachable("silent".into()))?;
            let info = format!(
                "cluster_state:{state}\r\ncluster_slots_ok:{slots}\r\ncluster_slots_fail:0\r\n\
                 cluster_current_epoch:{epoch}\r\ncluster_my_epoch:9\r\n"
            );
            Ok((Worth::of(&info), slots_of(index)))
        };
        let words = nodes.iter().enumerate().map(word);
        let believed = weigh(words.collect()).ok();
        let expected = expected.map(|index| Map::Slots(slots_of(index)));
        assert_eq!(believed, expected, "{nodes:?}");
    }

    #[test]
    fn the_cluster_node_that_knows_the_newest_is_believed() {
        let well = |epoch| Some(("ok", 16_384, epoch));
        check(&[well(6), well(7), well(7)], Some(1));
        check(&[None, well(6)], Some(1));
        check(&[None, None], None);
        // Forgotten: it knows of no move since, and hears of everybody.
        check(&[Some(("ok", 16_384, 3)), Some(("ok", 10_922, 7))], Some(1));
    }

    #[test]
    fn a_cluster_node_that_is_cut_off_is_believed_last() {
        let cut_off = Some(("fail", 0, 40));
        check(&[cut_off, Some(("ok", 16_384, 7))], Some(1));
        // A shard is gone, and the others call the cluster down.
        check(&[cut_off, Some(("fail", 10_922, 7))], Some(1));
        check(&[cut_off, None], Some(0));
    }

    #[test]
    fn a_cluster_node_that_does_not_tell_what_it_is_worth_is_believed_all_the_same() {
        let silent: Result<NodesWord, Fault> = Err(Fault::Unreachable("silent".into()));
        let ranges: Vec<SlotRange> = Vec::new();
        let told = Ok((Worth::default(), ranges.clone()));
        assert_eq!(weigh(vec![silent, told]), Ok(Map::Slots(ranges)));
    }
}
