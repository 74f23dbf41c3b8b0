//! Every command, reply and push survives both wire forms. The values are random; the seed is printed on
//! failure and taken from `PARLOR_SEED`.

#[path = "round_trips/random.rs"]
mod random;

use parlor_protocol::Form;
use parlor_protocol::codec::{
    ServerMessage, decode_commands, decode_server, encode_command, encode_commands, encode_push,
    encode_reply,
};
use random::Random;

const ROUNDS: usize = 400;

#[test]
fn commands_survive_both_forms() {
    let mut random = Random::from_env();
    for _ in 0..ROUNDS {
        let envelope = random.envelope();
        for form in Form::ALL {
            let frame = encode_command(form, &envelope);
            let read = decode_commands(form, &frame).expect("one object");
            assert_eq!(
                read,
                vec![Ok(envelope.clone())],
                "{} {}",
                random.seed,
                show(form, &frame)
            );
        }
    }
}

#[test]
fn arrays_of_commands_survive_both_forms() {
    let mut random = Random::from_env();
    for _ in 0..20 {
        let envelopes: Vec<_> = (0..random.below(8) + 1)
            .map(|_| random.envelope())
            .collect();
        for form in Form::ALL {
            let frame = encode_commands(form, &envelopes);
            let read: Vec<_> = decode_commands(form, &frame)
                .expect("an array")
                .into_iter()
                .map(Result::unwrap)
                .collect();
            assert_eq!(read, envelopes, "{}", random.seed);
        }
    }
}

#[test]
fn replies_survive_both_forms() {
    let mut random = Random::from_env();
    for _ in 0..ROUNDS {
        let (id, result) = (random.u32(), random.answer());
        for form in Form::ALL {
            let frame = encode_reply(form, id, &result);
            let read = decode_server(form, &frame).expect("one object");
            let expected = vec![ServerMessage::Reply {
                id,
                result: result.clone(),
            }];
            assert_eq!(read, expected, "{} {}", random.seed, show(form, &frame));
        }
    }
}

#[test]
fn pushes_survive_both_forms() {
    let mut random = Random::from_env();
    for _ in 0..ROUNDS {
        let push = random.push();
        for form in Form::ALL {
            let frame = encode_push(form, &push);
            let read = decode_server(form, &frame).expect("one object");
            assert_eq!(
                read,
                vec![ServerMessage::Push(push.clone())],
                "{} {}",
                random.seed,
                show(form, &frame)
            );
        }
    }
}

fn show(form: Form, frame: &[u8]) -> String {
    match form {
        Form::Json => String::from_utf8_lossy(frame).into_owned(),
        Form::MsgPack => format!("{frame:02x?}"),
    }
}
