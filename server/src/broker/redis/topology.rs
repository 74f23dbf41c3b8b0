//! Where the primary of a slot is: at a fixed address, where the Sentinels say, or where the Cluster's slots are.

use std::time::Duration;

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

    /// The same without asking anybody.
    pub(super) fn known_primary_of(&self, slot: u16) -> Option<Address> {
        self.known.lock().as_ref()?.primary_of(slot).ok()
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
        Mode::Sentinel { name } => {
            first_answer(addresses, |address| ask_sentinel(config, address, name)).await
        }
        Mode::Cluster => first_answer(addresses, |address| ask_cluster(config, address)).await,
    }
}

/// The first useful answer of several who should know.
async fn first_answer<'a, F>(
    addresses: &'a [Address],
    ask: impl Fn(&'a Address) -> F,
) -> Result<Map, Fault>
where
    F: Future<Output = Result<Map, Fault>>,
{
    let mut last = Fault::Unreachable("no address".to_owned());
    for address in addresses {
        match ask(address).await {
            Ok(map) => return Ok(map),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

async fn ask_sentinel(config: &RedisConfig, address: &Address, name: &str) -> Result<Map, Fault> {
    let mut sentinel = link::dial(config, address, ASK_TIMEOUT, false).await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let answer: Option<(String, u16)> = question.query_async(&mut sentinel).await?;
    match answer {
        Some((host, port)) => Ok(Map::One(Address { host, port })),
        None => Err(Fault::Unreachable(format!(
            "the Sentinel at {address} knows no primary called {name}"
        ))),
    }
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
