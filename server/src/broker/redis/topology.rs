//! Where the primary of a slot is: at a fixed address, where the Sentinels say, or where the Cluster's slots are.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;

use super::config::{Address, Mode, RedisConfig};
use super::fault::Fault;
use super::link;

mod nodes;

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
        Mode::Cluster => nodes::ask(config).await,
    }
}

/// What all say who are asked. Asked once more where fewer than half said anything: a pause of this machine may have made the
/// others late, and one that was not may tell of what was before. The newer words come first.
async fn hear<T, Words>(ask: impl Fn() -> Words) -> Vec<Result<T, Fault>>
where
    Words: Future<Output = Vec<Result<T, Fault>>>,
{
    let first = ask().await;
    let said = first.iter().filter(|word| word.is_ok()).count();
    if said == 0 || said * 2 >= first.len() {
        return first;
    }
    let mut words = ask().await;
    words.extend(first);
    words
}

/// What somebody answers, or that he is silent.
async fn in_time<T>(who: &str, asked: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let asked = tokio::time::timeout(ASK_TIMEOUT, asked).await;
    asked.unwrap_or_else(|_| Err(Fault::Unreachable(format!("{who} is silent"))))
}

/// What the Sentinel with the newest configuration says: one that was cut off still names the primary of before.
async fn ask_sentinels(config: &RedisConfig, name: &str) -> Result<Map, Fault> {
    let ask_all = || {
        join_all(config.url.addresses.iter().map(|address| async move {
            let asked = ask_sentinel(config, address, name);
            in_time(&format!("the Sentinel at {address}"), asked).await
        }))
    };
    let mut newest: Option<(u64, Address)> = None;
    let mut last = Fault::Unreachable("no Sentinel".to_owned());
    for answer in hear(ask_all).await {
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
}
