//! The nodes of a Redis Cluster: what each says on where the slots are, and whom to believe.

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};

use super::{ASK_TIMEOUT, Map, SlotRange, hear, in_time};
use crate::broker::redis::config::{Address, RedisConfig};
use crate::broker::redis::fault::Fault;
use crate::broker::redis::link;

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

/// What a Cluster node said, or why it said nothing.
type Word = Result<(Worth, Vec<SlotRange>), Fault>;

/// What the Cluster node says whose word is worth most: one that was forgotten or cut off goes on naming the primaries of
/// before.
pub(super) async fn ask(config: &RedisConfig) -> Result<Map, Fault> {
    weigh(hear(|| ask_all(config)).await)
}

async fn ask_all(config: &RedisConfig) -> Vec<Word> {
    let asked = config.url.addresses.iter().map(|address| async move {
        let asked = ask_one(config, address);
        in_time(&format!("the cluster node at {address}"), asked).await
    });
    join_all(asked).await
}

/// Of equals the first: nodes may call one primary by different names, and a map that changes means new connections.
fn weigh(words: Vec<Word>) -> Result<Map, Fault> {
    let mut best: Option<(Worth, Vec<SlotRange>)> = None;
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

async fn ask_one(config: &RedisConfig, address: &Address) -> Word {
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// State, slots that are served, epoch; none says nothing.
    type Said = Option<(&'static str, u64, u64)>;

    /// All slots at a primary that tells whose word it is.
    fn slots_of(index: usize) -> Vec<SlotRange> {
        vec![SlotRange {
            first: 0,
            last: 16_383,
            primary: Address {
                host: "a".into(),
                port: index as u16,
            },
        }]
    }

    fn word((index, said): (usize, &Said)) -> Word {
        let (state, slots, epoch) = said.ok_or(Fault::Unreachable("silent".into()))?;
        let info = format!(
            "cluster_state:{state}\r\ncluster_slots_ok:{slots}\r\ncluster_slots_fail:0\r\n\
             cluster_current_epoch:{epoch}\r\ncluster_my_epoch:9\r\n"
        );
        Ok((Worth::of(&info), slots_of(index)))
    }

    /// Takes what each node says, in the order in which they are configured. The words of the node at this index are believed.
    #[track_caller]
    fn check(nodes: &[Said], expected: Option<usize>) {
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

    /// Takes what each node says when it is asked first, second and so on: so often they are asked, and this one is believed.
    async fn check_rounds(rounds: &[&[Said]], asked: usize, expected: Option<usize>) {
        let round = AtomicUsize::new(0);
        let ask = || async {
            let said = rounds[round.fetch_add(1, Ordering::Relaxed)];
            said.iter().enumerate().map(word).collect()
        };
        let believed = weigh(hear(ask).await).ok();
        let expected = expected.map(|index| Map::Slots(slots_of(index)));
        let asked_then = round.load(Ordering::Relaxed);
        assert_eq!((asked_then, believed), (asked, expected), "{rounds:?}");
    }

    #[tokio::test]
    async fn a_lone_cluster_node_is_not_believed_before_the_late_ones_were_asked_again() {
        let (forgotten, well) = (Some(("ok", 16_384, 3)), Some(("ok", 16_384, 7)));
        let lone: &[Said] = &[forgotten, None, None];
        check_rounds(&[lone, &[forgotten, well, well]], 2, Some(1)).await;
        check_rounds(&[lone, &[None, None, well]], 2, Some(2)).await;
        // Nobody else will ever come: the others may have been replaced, and the list be old.
        check_rounds(&[lone, lone], 2, Some(0)).await;
        check_rounds(&[lone, &[None, None, None]], 2, Some(0)).await;
        // Half of them are enough, and from none there is nothing to believe.
        check_rounds(&[&[well, None]], 1, Some(0)).await;
        check_rounds(&[&[None, None, None]], 1, None).await;
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
        let silent: Word = Err(Fault::Unreachable("silent".into()));
        let ranges: Vec<SlotRange> = Vec::new();
        let told = Ok((Worth::default(), ranges.clone()));
        assert_eq!(weigh(vec![silent, told]), Ok(Map::Slots(ranges)));
    }
}
