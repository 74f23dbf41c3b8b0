//! A few seconds of mutated frames for each decoder. The seed is printed; `PARLOR_SEED` gives one back and
//! `PARLOR_FUZZ_SECONDS` more time. `fuzz/` runs the same checks under cargo-fuzz.

#[path = "fuzz/check.rs"]
mod check;
#[path = "vectors/file.rs"]
#[expect(dead_code, reason = "shared with the vector tests")]
mod file;

use std::time::{Duration, Instant};

use file::{Compat, Refused, Vector, load, unhex};
use parlor_protocol::Form;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

#[test]
fn any_json_frame_of_a_client_is_survived() {
    fuzz(Form::Json, |frame, _| {
        check::check_commands(Form::Json, frame)
    });
}

#[test]
fn any_messagepack_frame_of_a_client_is_survived() {
    fuzz(Form::MsgPack, |frame, _| {
        check::check_commands(Form::MsgPack, frame)
    });
}

#[test]
fn any_json_frame_of_a_server_is_survived() {
    fuzz(Form::Json, |frame, _| {
        check::check_server(Form::Json, frame)
    });
}

#[test]
fn any_messagepack_frame_of_a_server_is_survived() {
    fuzz(Form::MsgPack, |frame, _| {
        check::check_server(Form::MsgPack, frame)
    });
}

#[test]
fn any_frames_in_any_order_are_survived_by_a_session() {
    for form in Form::ALL {
        let welcome = load::<Vector>("replies.json")
            .into_iter()
            .find(|vector| vector.name == "connect with everything");
        let welcome = welcome
            .and_then(|vector| pick(form, Some(vector.json), Some(vector.msgpack)))
            .expect("a vector");
        fuzz(form, |frame, mutator| {
            // The first frame comes before the socket is open.
            let mut frames = vec![Vec::new(), welcome.clone(), frame.to_vec()];
            frames.extend((0..6).map(|_| mutator.frame()));
            let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            check::check_session(form, &frames);
        });
    }
}

/// Runs `check` on mutated vectors until the time is over. The input of a failure is shown in hex.
fn fuzz(form: Form, check: impl Fn(&[u8], &mut Mutator)) {
    let mut mutator = Mutator::from_env(form);
    let seconds = std::env::var("PARLOR_FUZZ_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(2);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut runs = 0_u64;
    while Instant::now() < end {
        let shown = ShownOnPanic(mutator.frame());
        check(&shown.0, &mut mutator);
        runs += 1;
    }
    assert!(runs > 1_000, "only {runs} runs");
}

struct ShownOnPanic(Vec<u8>);

impl Drop for ShownOnPanic {
    #[expect(clippy::print_stderr, reason = "the input is what the person needs")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "input: {}\n{}",
                file::hex(&self.0),
                String::from_utf8_lossy(&self.0)
            );
        }
    }
}

struct Mutator {
    corpus: Vec<Vec<u8>>,
    rng: SmallRng,
}

impl Mutator {
    #[expect(
        clippy::print_stdout,
        reason = "the test harness shows it when the test fails"
    )]
    fn from_env(form: Form) -> Self {
        let seed = std::env::var("PARLOR_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| rand::rng().random());
        println!("PARLOR_SEED={seed}");
        Self {
            corpus: corpus(form),
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    fn seed_frame(&mut self) -> &[u8] {
        let at = self.rng.random_range(0..self.corpus.len());
        &self.corpus[at]
    }

    fn frame(&mut self) -> Vec<u8> {
        let mut frame = self.seed_frame().to_vec();
        for _ in 0..self.rng.random_range(0..5) {
            self.mutate(&mut frame);
        }
        frame
    }

    fn mutate(&mut self, frame: &mut Vec<u8>) {
        const TELLING: &[u8] =
            b"\x00\x7f\x80\xc0\xc1\xc4\xc6\xd9\xdb\xdc\xdd\xde\xdf\xff{}[]\",:\\0-e ";
        const NUMBERS: &[&[u8]] = &[
            b"18446744073709551615",
            b"4294967295",
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xce\xff\xff\xff\xff",
        ];
        let at = self.rng.random_range(0..=frame.len());
        let end = self.rng.random_range(at..=frame.len());
        match self.rng.random_range(0..9) {
            0 => frame.truncate(at),
            1 => drop(frame.drain(at..end.min(at + 8))),
            2 if at < frame.len() => frame[at] ^= 1 << self.rng.random_range(0..8),
            3 if at < frame.len() => frame[at] = self.rng.random(),
            4 => frame.insert(at, TELLING[self.rng.random_range(0..TELLING.len())]),
            5 if at < frame.len() => frame[at] = TELLING[self.rng.random_range(0..TELLING.len())],
            6 => {
                // Where a number stands in the vectors, it mostly is a short one.
                let digits = frame
                    .iter()
                    .skip(at)
                    .position(|byte| byte.is_ascii_digit() || *byte < 0x80);
                let at = at + digits.unwrap_or(0);
                let number = NUMBERS[self.rng.random_range(0..NUMBERS.len())];
                drop(frame.splice(at..frame.len().min(at + 1), number.iter().copied()));
            }
            7 => {
                let copy = frame[at..end.min(at + 64)].to_vec();
                drop(frame.splice(at..at, copy));
            }
            _ => {
                let other = self.seed_frame().to_vec();
                let start = self.rng.random_range(0..=other.len());
                let stop = self.rng.random_range(start..=other.len());
                drop(frame.splice(at..end, other[start..stop].iter().copied()));
            }
        }
    }
}

fn corpus(form: Form) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let vectors = ["commands.json", "replies.json", "pushes.json"]
        .into_iter()
        .flat_map(load::<Vector>);
    frames.extend(vectors.map(|vector| pick(form, Some(vector.json), Some(vector.msgpack))));
    let compat = load::<Compat>("compat.json").into_iter();
    frames.extend(compat.map(|vector| pick(form, vector.json, vector.msgpack)));
    let refused = load::<Refused>("refused.json")
        .into_iter()
        .filter(|vector| vector.form() == form);
    frames.extend(refused.map(|vector| Some(vector.frame())));
    // Mutations of long frames mostly hit the middle of a long string.
    frames
        .into_iter()
        .flatten()
        .filter(|frame| frame.len() < 2_000)
        .collect()
}

fn pick(form: Form, json: Option<String>, msgpack: Option<String>) -> Option<Vec<u8>> {
    match form {
        Form::Json => json.map(String::into_bytes),
        Form::MsgPack => msgpack.as_deref().map(unhex),
    }
}
