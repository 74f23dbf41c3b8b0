//! Random bytes to a live server: it answers with codes, never dies, and never says anything malformed.

use std::collections::BTreeMap;

use parlor_protocol::Form;
use parlor_tests::{Seed, everywhere};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::bystanders::Bystanders;
use crate::case::Case;
use crate::raw::{Fate, Raw, frame, opcode};

/// Messages per case.
const MESSAGES: usize = 1_000;
/// Sockets per case that say noise below the WebSocket protocol.
const SOCKETS: usize = 150;

const COMMANDS: &str = include_str!("../../protocol/vectors/commands.json");
const REFUSED: &str = include_str!("../../protocol/vectors/refused.json");

/// Codes with which the server may end whom it does not understand.
const CODES: [u16; 7] = [1000, 1002, 1003, 1007, 1009, 4403, 4404];

/// The golden frames of a form: what noise is made of.
fn seeds(form: Form) -> Vec<Vec<u8>> {
    let files = [COMMANDS, REFUSED]
        .map(|file| serde_json::from_str::<Vec<Value>>(file).expect("a vector file"));
    let frames = files.into_iter().flatten().filter_map(|vector| match form {
        Form::Json => vector["json"].as_str().map(|text| text.as_bytes().to_vec()),
        Form::MsgPack => vector["msgpack"].as_str().map(unhex),
    });
    frames.collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

/// Random bytes, or a golden frame with a few faults.
fn noise(rng: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    if rng.random_ratio(1, 5) {
        let len = rng.random_range(0..200);
        return (0..len).map(|_| rng.random()).collect();
    }
    let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..rng.random_range(1..5) {
        damage(rng, &mut bytes, seeds);
    }
    bytes.truncate(60_000);
    bytes
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
        let seeds = seeds(at.form);
        let mut rng = seed.rng(at.shards as u64);
        let mut fates = BTreeMap::<String, usize>::new();
        let mut mallory = Raw::joined(server.address(), at.form, "mallory").await;
        for number in 0..MESSAGES {
            let bytes = noise(&mut rng, &seeds);
            let _case = Case(bytes.clone());
            mallory.say(&bytes).await;
            let fate = mallory.fate(4_000_000_000 + number as u32).await;
            *fates.entry(format!("{fate:?}")).or_default() += 1;
            match fate {
                Fate::Lives => continue,
                Fate::Closed(code) => assert!(CODES.contains(&code), "{code}"),
                Fate::Lost => panic!("it ended without a word"),
            }
            mallory = Raw::joined(server.address(), at.form, "mallory").await;
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
