//! Random bytes to a live server: it answers with codes, never dies, and never says anything malformed.

use std::collections::BTreeMap;

use parlor_protocol::Form;
use parlor_tests::{Seed, everywhere};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::bystanders::Bystanders;
use crate::case::Case;
use crate::msgpack::encode;
use crate::raw::{Fate, Raw, frame, opcode};

/// Messages per case.
const MESSAGES: usize = 1_000;
/// Sockets per case that say noise below the WebSocket protocol.
const SOCKETS: usize = 150;

const COMMANDS: &str = include_str!("../../protocol/vectors/commands.json");
const REFUSED: &str = include_str!("../../protocol/vectors/refused.json");

/// Codes with which the server may end whom it does not understand.
const CODES: [u16; 7] = [1000, 1002, 1003, 1007, 1009, 4403, 4404];

/// What noise is made of.
struct Seeds {
    form: Form,
    /// The golden frames, as bytes.
    frames: Vec<Vec<u8>>,
    /// The golden commands, as values.
    values: Vec<Value>,
}

impl Seeds {
    fn of(form: Form) -> Self {
        let files = [COMMANDS, REFUSED]
            .map(|file| serde_json::from_str::<Vec<Value>>(file).expect("a vector file"));
        let bytes = |vector: &Value| match form {
            Form::Json => vector["json"].as_str().map(|text| text.as_bytes().to_vec()),
            Form::MsgPack => vector["msgpack"].as_str().map(unhex),
        };
        let frames = files.iter().flatten().filter_map(bytes).collect();
        let values = files[0]
            .iter()
            .map(|vector| vector["value"].clone())
            .collect();
        Self {
            form,
            frames,
            values,
        }
    }

    /// A command with a few wrong values, a golden frame with a few wrong bytes, or nothing but random bytes.
    fn noise(&self, rng: &mut StdRng) -> Vec<u8> {
        let mut bytes = match rng.random_range(0..10) {
            0 => {
                let len = rng.random_range(0..200);
                (0..len).map(|_| rng.random()).collect()
            }
            1..=3 => {
                let mut bytes = self.frames[rng.random_range(0..self.frames.len())].clone();
                for _ in 0..rng.random_range(1..4) {
                    damage(rng, &mut bytes, &self.frames);
                }
                bytes
            }
            _ => {
                let mut value = self.values[rng.random_range(0..self.values.len())].clone();
                for _ in 0..rng.random_range(1..3) {
                    distort(rng, &mut value, &self.values);
                }
                encode(self.form, &value)
            }
        };
        bytes.truncate(60_000);
        bytes
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

/// Something else in the place of some value in this one.
fn distort(rng: &mut StdRng, value: &mut Value, others: &[Value]) {
    let inside = match value {
        Value::Object(fields) if !fields.is_empty() && rng.random_ratio(5, 6) => {
            let at = rng.random_range(0..fields.len());
            fields.iter_mut().nth(at).map(|(_, value)| value)
        }
        Value::Array(values) if !values.is_empty() && rng.random_ratio(5, 6) => {
            let at = rng.random_range(0..values.len());
            values.get_mut(at)
        }
        _ => None,
    };
    if let Some(inside) = inside {
        return distort(rng, inside, others);
    }
    *value = match rng.random_range(0..10) {
        0 => Value::Null,
        1 => json!(rng.random::<bool>()),
        2 => json!(rng.random::<u64>() >> rng.random_range(0..64)),
        3 => json!(rng.random::<i64>()),
        4 => json!(rng.random::<f64>() * 1e300),
        5 => json!("x".repeat(rng.random_range(0..600))),
        6 => json!(String::from_utf8_lossy(&rng.random::<[u8; 12]>())),
        7 => json!({"from": rng.random::<u32>().to_string(), "": []}),
        8 => Value::Array(vec![value.clone(); rng.random_range(0..200)]),
        _ => others[rng.random_range(0..others.len())].clone(),
    };
}

fn damage(rng: &mut StdRng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = rng.random_range(0..=bytes.len());
    match rng.random_range(0..6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, rng.random()),
        2 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        3 if at < bytes.len() => {
            bytes[at] = *b"\x00\xff{}[]\",:\\9-"[rng.random_range(0..12)..]
                .first()
                .expect("one of them")
        }
        4 => {
            let other = &seeds[rng.random_range(0..seeds.len())];
            bytes.extend(&other[rng.random_range(0..=other.len())..]);
        }
        _ => {
            let again = bytes[at..].to_vec();
            bytes.splice(at..at, again);
        }
    }
}

#[test]
fn no_message_kills_the_server() {
    let seed = Seed::chosen();
    let _witness = seed.witness();
    everywhere(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let seeds = Seeds::of(at.form);
        let mut rng = seed.rng(at.shards as u64);
        let mut fates = BTreeMap::<String, usize>::new();
        let mut mallory = Raw::joined(server.address(), at.form, "mallory").await;
        for number in 0..MESSAGES {
            let bytes = seeds.noise(&mut rng);
            let _case = Case(bytes.clone());
            mallory.say(&bytes).await;
            let fate = mallory.fate(4_000_000_000 + number as u32).await;
            *fates.entry(format!("{fate:?}")).or_default() += 1;
            match fate {
                Fate::Lives => {}
                Fate::Closed(code) => {
                    assert!(CODES.contains(&code), "{code}");
                    mallory = Raw::joined(server.address(), at.form, "mallory").await;
                }
                Fate::Lost => panic!("it ended without a word"),
            }
            if number % 100 == 0 {
                bystanders.talk().await;
            }
        }
        eprintln!("{:?} with {} shard(s): {fates:?}", at.form, at.shards);
        bystanders.talk().await;
        server.stop().await;
    });
}

#[test]
fn no_bytes_below_the_protocol_kill_the_server() {
    let seed = Seed::chosen();
    let _witness = seed.witness();
    everywhere(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let mut rng = seed.rng(at.shards as u64);
        for number in 0..SOCKETS {
            let mut mallory = match number % 3 {
                0 => Raw::dial(server.address(), at.form).await,
                1 => Raw::upgraded(server.address(), at.form).await,
                _ => Raw::joined(server.address(), at.form, "mallory").await,
            };
            let len = rng.random_range(0..400);
            let mut bytes: Vec<u8> = (0..len).map(|_| rng.random()).collect();
            if number % 2 == 0 {
                // Likely headers reach further than random ones.
                let whole = frame(
                    opcode(at.form) | if rng.random() { 0x80 } else { 0 },
                    &bytes,
                );
                bytes = whole[..rng.random_range(0..=whole.len())].to_vec();
                for _ in 0..rng.random_range(0..2) {
                    damage(
                        &mut rng,
                        &mut bytes,
                        &[vec![0x88, 0x80, 0, 0, 0, 0], vec![0x89, 0x80, 0, 0, 0, 0]],
                    );
                }
            }
            let _case = Case(bytes.clone());
            mallory.send(&bytes).await;
            mallory.finish().await;
            if number % 3 == 0 {
                let said = mallory.rest().await;
                assert!(
                    said.is_empty() || said.starts_with(b"HTTP/1.1 4"),
                    "{}",
                    String::from_utf8_lossy(&said)
                );
            } else if let Fate::Closed(code) = mallory.end().await {
                assert!(CODES.contains(&code), "{code}");
            }
        }
        bystanders.talk().await;
        server.stop().await;
    });
}
