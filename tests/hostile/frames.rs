//! Frames that break RFC 6455, or a limit: each ends its connection with the code for it, before anything is spent.

use parlor_protocol::command::{Command, Ping};
use parlor_protocol::{CloseCode, Form, limits};
use parlor_tests::{At, Client, Server, everywhere, publish, text};

use crate::bystanders::Bystanders;
use crate::case::Case;
use crate::raw::{
    BINARY, CLOSE, CONTINUATION, FIN, Fate, Heard, PING, Raw, TEXT, command, declaring, frame,
    in_16_bits, opcode,
};

/// Each row to a stranger's and to a user's connection, which ends with this code.
async fn check(at: At, rows: Vec<(&'static str, Vec<u8>)>, code: CloseCode) {
    let server = at.start().await;
    let mut bystanders = Bystanders::of(&server).await;
    for (what, bytes) in rows {
        let _case = Case(what);
        for mut mallory in [server.open().await, server.join("mallory").await] {
            mallory.send_raw(&bytes).await;
            mallory.expect_close(code).await;
        }
    }
    bystanders.talk().await;
}

#[test]
fn what_breaks_the_websocket_protocol_is_closed_as_that() {
    everywhere(async |at| {
        let data = FIN | opcode(at.form);
        let mut rows = vec![
            ("unmasked", vec![data, 2, b'{', b'}']),
            ("compressed", frame(data | 0x40, b"{}")),
            ("the second reserved bit", frame(data | 0x20, b"{}")),
            ("the third reserved bit", frame(data | 0x10, b"{}")),
            ("a reserved bit in a ping", frame(FIN | PING | 0x40, b"")),
            ("a ping of 126 bytes", frame(FIN | PING, &[0; 126])),
            ("a close of 126 bytes", frame(FIN | CLOSE, &[3; 126])),
            ("half a ping", frame(PING, b"")),
            ("half a close", frame(CLOSE, &[])),
            ("the end of nothing", frame(FIN | CONTINUATION, b"{}")),
            ("the middle of nothing", frame(CONTINUATION, b"{}")),
            (
                "a message inside a message",
                [frame(opcode(at.form), b"{"), frame(data, b"}")].concat(),
            ),
            ("a close with half a code", frame(FIN | CLOSE, &[3])),
            (
                "a second request",
                b"GET /v1/history HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            ),
        ];
        rows.extend(
            (3..8)
                .chain(11..16)
                .map(|reserved| ("a reserved opcode", frame(FIN | reserved, b""))),
        );
        check(at, rows, CloseCode::ProtocolError).await;
    });
}

#[test]
fn a_declared_length_costs_nothing_and_ends_at_the_limit() {
    everywhere(async |at| {
        let data = FIN | opcode(at.form);
        let above = limits::FRAME_BYTES_MAX as u64 + 1;
        let rows = vec![
            ("2^63 bytes", declaring(data, 1 << 63, b"")),
            ("2^64-1 bytes", declaring(data, u64::MAX, b"")),
            ("2^63 bytes of ping", declaring(FIN | PING, 1 << 63, b"")),
            ("4 GiB", declaring(data, 1 << 32, b"{}")),
            (
                "one above the limit, and not one of them there",
                declaring(data, above, b""),
            ),
            (
                "one above the limit, in the first part",
                declaring(opcode(at.form), above, b""),
            ),
        ];
        check(at, rows, CloseCode::FrameTooLarge).await;
    });
}

/// A ping command of exactly this size.
fn padded_ping(form: Form, bytes: usize) -> Vec<u8> {
    match form {
        Form::Json => {
            let mut payload = br#"{"id":77,"ping":{}}"#.to_vec();
            payload.resize(bytes, b' ');
            payload
        }
        Form::MsgPack => {
            // {"id": 77, "ping": {"x": bin32}}
            let head = b"\x82\xa2id\x4d\xa4ping\x81\xa1x\xc6";
            let len = u32::try_from(bytes - head.len() - 4).expect("a short one");
            [&head[..], &len.to_be_bytes(), &vec![0; len as usize]].concat()
        }
    }
}

/// A message in so many parts.
fn in_parts(form: Form, payload: &[u8], parts: usize) -> Vec<u8> {
    let size = payload.len().div_ceil(parts);
    let mut bytes = Vec::new();
    for (number, part) in payload.chunks(size).enumerate() {
        let first = if number == 0 {
            opcode(form)
        } else {
            CONTINUATION
        };
        let last = (number + 1) * size >= payload.len();
        bytes.extend(frame(first | if last { FIN } else { 0 }, part));
    }
    bytes
}

#[test]
fn a_message_may_be_as_large_as_the_limit_and_no_larger() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let (limit, above) = (limits::FRAME_BYTES_MAX, limits::FRAME_BYTES_MAX + 1);
        for parts in [1, 2, 5, 64] {
            let _case = Case(parts);
            let mut mallory = server.join("mallory").await;
            mallory
                .send_raw(&in_parts(at.form, &padded_ping(at.form, limit), parts))
                .await;
            mallory.reply(77).await.expect("at the limit");
            mallory
                .send_raw(&in_parts(at.form, &padded_ping(at.form, above), parts))
                .await;
            mallory.expect_close(CloseCode::FrameTooLarge).await;
        }
        // The byte that is too many is enough: the rest is not waited for.
        let mut mallory = server.join("mallory").await;
        mallory
            .send_raw(&frame(opcode(at.form), &padded_ping(at.form, limit)))
            .await;
        mallory.send_raw(&frame(CONTINUATION, b" ")).await;
        mallory.expect_close(CloseCode::FrameTooLarge).await;
        bystanders.talk().await;
    });
}

#[test]
fn parts_of_a_message_cost_nothing() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        let ping = padded_ping(at.form, 200);
        mallory.send_raw(&in_parts(at.form, &ping, 200)).await;
        mallory.reply(77).await.expect("200 parts of a byte");
        mallory.send_raw(&frame(opcode(at.form), &ping)).await;
        mallory
            .send_raw(&frame(CONTINUATION, b"").repeat(100_000))
            .await;
        mallory.send_raw(&frame(FIN | CONTINUATION, b"")).await;
        mallory.reply(77).await.expect("100,000 empty parts");
    });
}

#[test]
fn a_length_in_more_bytes_than_it_needs_is_taken_for_what_it_says() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        let (data, ping) = (FIN | opcode(at.form), padded_ping(at.form, 40));
        for bytes in [in_16_bits(data, &ping), declaring(data, 40, &ping)] {
            mallory.send_raw(&bytes).await;
            mallory.reply(77).await.expect("a command");
        }
    });
}

#[test]
fn text_that_is_not_utf8_is_closed_as_that() {
    everywhere(async |at| {
        let split = [
            frame(TEXT, b"{\"a\":\"\xc3"),
            frame(FIN | CONTINUATION, b"(\"}"),
        ]
        .concat();
        let rows = vec![
            ("overlong", frame(FIN | TEXT, b"\"\xc0\xaf\"")),
            ("a surrogate", frame(FIN | TEXT, b"\"\xed\xa0\x80\"")),
            (
                "above the last character",
                frame(FIN | TEXT, b"\"\xf4\x90\x80\x80\""),
            ),
            ("cut off", frame(FIN | TEXT, b"\"\xe2\x82")),
            (
                "a byte that never occurs",
                frame(FIN | TEXT, b"{\"ping\":{\"\xff\":1}}"),
            ),
            ("wrong across two parts", split),
            ("wrong in a part, and no end", frame(TEXT, b"\xff")),
            ("in a close reason", frame(FIN | CLOSE, b"\x03\xe8\xff")),
        ];
        check(at, rows, CloseCode::BadUtf8).await;
    });
}

#[test]
fn the_subprotocol_fixes_the_type_of_frames() {
    everywhere(async |at| {
        let ping = padded_ping(at.form, 40);
        let other = match at.form {
            Form::Json => frame(FIN | BINARY, &ping),
            Form::MsgPack => frame(FIN | TEXT, br#"{"id":1,"ping":{}}"#),
        };
        check(
            at,
            vec![("the other type", other)],
            CloseCode::WrongFrameType,
        )
        .await;
    });
}

#[test]
fn any_close_ends_the_connection_and_nothing_behind_it_counts() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let late = command(
            at.form,
            5,
            Command::Publish(publish("memory:late", text("late"))),
        );
        let late = frame(FIN | opcode(at.form), &late);
        for code in [
            0,
            999,
            1000,
            1001,
            1004,
            1005,
            1006,
            1012,
            1015,
            1016,
            2999,
            3000,
            4999,
            5000,
            u16::MAX,
        ] {
            let _case = Case(code);
            let mut mallory = Raw::joined(server.address(), at.form, "mallory").await;
            let close = frame(FIN | CLOSE, &code.to_be_bytes());
            mallory
                .send(&[close, late.clone(), late.clone()].concat())
                .await;
            assert!(
                matches!(mallory.end().await, Fate::Closed(_)),
                "a close is answered by a close"
            );
        }
        let mut mallory = Raw::joined(server.address(), at.form, "mallory").await;
        mallory.send(&frame(FIN | CLOSE, b"")).await;
        assert!(matches!(mallory.end().await, Fate::Closed(_)));
        bystanders.talk().await;
        let mut ann = server.join("ann").await;
        assert!(ann.whole_history("memory:late").await.is_empty());
    });
}

#[test]
fn pings_between_the_parts_of_a_message_are_answered() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = Raw::joined(server.address(), at.form, "mallory").await;
        let ping = padded_ping(at.form, 40);
        mallory.send(&frame(opcode(at.form), &ping[..20])).await;
        mallory.send(&frame(FIN | PING, &[7; 125])).await;
        assert_eq!(mallory.hear().await, Heard::Pong(vec![7; 125]));
        mallory.send(&frame(FIN | CONTINUATION, &ping[20..])).await;
        assert!(matches!(mallory.hear().await, Heard::Data(_)));
    });
}

#[test]
fn a_frame_that_never_ends_ends_with_the_patience_for_a_pong() {
    everywhere(async |at| {
        let hasty = |config: &mut parlor::config::Config| {
            config.session.ping_interval = std::time::Duration::from_millis(300);
            config.session.ping_interval_min = std::time::Duration::from_millis(300);
            config.session.pong_timeout = std::time::Duration::from_millis(600);
        };
        let server: Server = at.setup().with(hasty).start().await;
        let mut mallory: Client = server.join("mallory").await;
        let ping = command(at.form, 9, Command::Ping(Ping {}));
        let whole = frame(FIN | opcode(at.form), &ping);
        mallory.ignore_pings();
        mallory.send_raw(&whole[..whole.len() - 1]).await;
        mallory.expect_close(CloseCode::NoPong).await;
    });
}
