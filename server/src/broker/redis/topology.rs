//! Where the primary of a slot is: at a fixed address, where the Sentinels say, or where the Cluster's slots are.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::Value;
use redis::aio::MultiplexedConnection;

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

    /// Asks anew. True when the answer is another than before: links to the old primaries are worth nothing, even if
    /// they work. A primary that was frozen and thawed goes on as one for seconds after another took its place.
    pub(super) async fn has_changed(&self, config: &RedisConfig) -> bool {
        if config.url.mode == Mode::Standalone {
            return false;
        }
        // Nobody answers: that says nothing about the primaries.
        let Ok(map) = ask(config).await else {
            return false;
        };
        let before = self.known.lock().replace(map.clone());
        before.is_some_and(|before| before != map)
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
        Mode::Cluster => {
            let mut last = Fault::Unreachable("no address".to_owned());
            for address in addresses {
                match ask_cluster(config, address).await {
                    Ok(map) => return Ok(map),
                    Err(fault) => last = fault,
                }
            }
            Err(last)
        }
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

async fn ask_cluster(config: &RedisConfig, address: &Address) -> Result<Map, Fault> {
    let node = link::dial(config, address, ASK_TIMEOUT, true).await?;
    let ranges = slots(node, address).await?;
    if ranges.is_empty() {
        return Err(Fault::Unreachable(format!(
            "the cluster node at {address} serves no slots"
        )));
    }
    Ok(Map::Slots(ranges))
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
    Ok(answer.into_iter().filter_map(range).collect())
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
}
