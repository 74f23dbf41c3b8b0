//! Forged, stale and foreign tokens over a socket: one text for all of them, so that it teaches a forger nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm as Signing, EncodingKey};
use parlor::auth::{Algorithm, KeyMaterial, TokenKey};
use parlor_protocol::command::{Connect, Refresh, Subscribe};
use parlor_protocol::{CloseCode, ErrorCode, WireError};
use parlor_tests::{At, Server, everywhere, in_both_forms};
use serde_json::{Value, json};

use crate::bystanders::Bystanders;
use crate::case::Case;

const PUBLIC: &str = include_str!("../../server/src/auth/tests/keys/rsa.pub.pem");
const PRIVATE: &str = include_str!("../../server/src/auth/tests/keys/rsa.pem");
const ED_PRIVATE: &str = include_str!("../../server/src/auth/tests/keys/ed.pem");

/// A server that takes tokens of one RSA key, one issuer and one audience.
async fn start(at: At) -> Server {
    let setup = at.setup().with(|config| {
        config.auth.dev = false;
        config.auth.leeway = Duration::from_secs(1);
        config.auth.issuers = vec!["issuer".to_owned()];
        config.auth.audiences = vec!["parlor".to_owned()];
        config.auth.token_keys = vec![TokenKey {
            kid: None,
            algorithm: Algorithm::Rs256,
            material: KeyMaterial::Pem(PUBLIC.to_owned()),
            private_pem: None,
        }];
    });
    setup.start().await
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}

/// Claims that are good.
fn claims() -> Value {
    json!({
        "sub": "ann", "exp": now() + 600, "iat": now() - 1, "iss": "issuer", "aud": "parlor",
        "caps": [{"channels": "memory:*", "allow": ["subscribe", "publish", "history"]}],
    })
}

/// The same with one claim changed; null: taken away.
fn with(claim: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().expect("an object").remove(claim)),
        value => claims[claim] = value,
    }
    claims
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn sign(header: &Value, claims: &Value, key: &EncodingKey, algorithm: Signing) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).expect("it signs");
    format!("{message}.{signature}")
}

/// By the right key.
fn signed(header: &Value, claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(PRIVATE.as_bytes()).expect("a key");
    sign(header, claims, &key, Signing::RS256)
}

fn rs256() -> Value {
    json!({"alg": "RS256", "typ": "JWT"})
}

fn good() -> String {
    signed(&rs256(), &claims())
}

/// The public key, taken for an HMAC secret.
fn confused(name: &str, algorithm: Signing, secret: &[u8]) -> String {
    sign(
        &json!({"alg": name, "typ": "JWT"}),
        &claims(),
        &EncodingKey::from_secret(secret),
        algorithm,
    )
}

fn forged() -> Vec<(&'static str, String)> {
    let parts: Vec<String> = good().split('.').map(str::to_owned).collect();
    let (header, body, signature) = (&parts[0], &parts[1], &parts[2]);
    let none = |alg: &str, signature: &str| {
        format!(
            "{}.{body}.{signature}",
            part(&json!({"alg": alg, "typ": "JWT"}))
        )
    };
    let base64: String = PUBLIC
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let der = STANDARD.decode(base64).expect("a PEM file");
    let attacker = EncodingKey::from_secret(b"a secret that the attacker made up, long enough");
    let by_attacker = |more: Value| {
        let mut header = json!({"alg": "HS256", "typ": "JWT"});
        header
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        sign(&header, &claims(), &attacker, Signing::HS256)
    };
    let edward = EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).expect("a key");
    let other = part(&with("sub", json!("root")));
    let mut flipped = signature.clone().into_bytes();
    flipped[10] = if flipped[10] == b'A' { b'B' } else { b'A' };
    vec![
        ("alg none, no signature", none("none", "")),
        ("alg None", none("None", "")),
        ("alg nOnE", none("nOnE", "")),
        ("alg NONE, a signature", none("NONE", signature)),
        ("an empty alg", none("", signature)),
        (
            "no alg",
            format!("{}.{body}.{signature}", part(&json!({"typ": "JWT"}))),
        ),
        (
            "HS256 by the public key",
            confused("HS256", Signing::HS256, PUBLIC.as_bytes()),
        ),
        (
            "HS256 by the public key, trimmed",
            confused("HS256", Signing::HS256, PUBLIC.trim().as_bytes()),
        ),
        (
            "HS256 by the public key's bytes",
            confused("HS256", Signing::HS256, &der),
        ),
        (
            "HS384 by the public key",
            confused("HS384", Signing::HS384, PUBLIC.as_bytes()),
        ),
        (
            "HS512 by the public key",
            confused("HS512", Signing::HS512, PUBLIC.as_bytes()),
        ),
        (
            "RS256 it says, HS256 it is",
            sign(
                &rs256(),
                &claims(),
                &EncodingKey::from_secret(PUBLIC.as_bytes()),
                Signing::HS256,
            ),
        ),
        ("RS512 it says", signed(&json!({"alg": "RS512"}), &claims())),
        (
            "another algorithm's key",
            sign(&json!({"alg": "EdDSA"}), &claims(), &edward, Signing::EdDSA),
        ),
        ("another body", format!("{header}.{other}.{signature}")),
        (
            "a flipped bit",
            format!(
                "{header}.{body}.{}",
                String::from_utf8(flipped).expect("text")
            ),
        ),
        ("no signature", format!("{header}.{body}.")),
        (
            "half a signature",
            format!("{header}.{body}.{}", &signature[..signature.len() / 2]),
        ),
        ("two parts", format!("{header}.{body}")),
        ("four parts", format!("{header}.{body}.{signature}.")),
        (
            "five parts",
            format!("{header}.{body}.{signature}.{body}.{signature}"),
        ),
        ("dots", "..".to_owned()),
        ("a dot", ".".to_owned()),
        ("padding", format!("{header}.{body}.{signature}==")),
        ("a blank behind", format!("{header}.{body}.{signature} ")),
        (
            "a line end behind",
            format!("{header}.{body}.{signature}\n"),
        ),
        ("no base64", "ä.ö.ü".to_owned()),
        ("no JSON", "AAAA.AAAA.AAAA".to_owned()),
        (
            "its own key in the header",
            by_attacker(json!({"jwk": {"kty": "oct", "k": "AAAA"}})),
        ),
        (
            "a key elsewhere",
            by_attacker(
                json!({"jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/keys"}),
            ),
        ),
        (
            "a path as kid",
            by_attacker(json!({"kid": "../../../../dev/null"})),
        ),
        (
            "a query as kid",
            by_attacker(json!({"kid": "' UNION SELECT 'key"})),
        ),
        ("a huge kid", by_attacker(json!({"kid": "k".repeat(5_000)}))),
        (
            "an unknown crit",
            signed(&json!({"alg": "RS256", "crit": ["x"], "x": 1}), &claims()),
        ),
        (
            "b64 false",
            signed(
                &json!({"alg": "RS256", "crit": ["b64"], "b64": false}),
                &claims(),
            ),
        ),
        (
            "compressed",
            signed(&json!({"alg": "RS256", "zip": "DEF"}), &claims()),
        ),
    ]
}

/// Well signed, and not for us or not now.
fn misplaced() -> Vec<(&'static str, Value)> {
    vec![
        ("another issuer", with("iss", json!("https://evil.example"))),
        ("no issuer", with("iss", json!(null))),
        ("a list of issuers", with("iss", json!(["issuer"]))),
        ("another audience", with("aud", json!("other"))),
        ("no audience", with("aud", json!(null))),
        ("other audiences", with("aud", json!(["a", "b"]))),
        ("not yet", with("nbf", json!(now() + 60))),
        ("issued tomorrow", with("iat", json!(now() + 86_400))),
        ("without an end", with("exp", json!(null))),
        (
            "an end that is a text",
            with("exp", json!((now() + 60).to_string())),
        ),
        (
            "an end with a fraction",
            with("exp", json!(now() as f64 + 60.5)),
        ),
        ("an end before 1970", with("exp", json!(-1))),
        ("an end of 2^63", with("exp", json!(1_u64 << 63))),
        ("a user that is a number", with("sub", json!(7))),
        ("an empty user", with("sub", json!(""))),
        ("a user with a line end", with("sub", json!("a\nb"))),
        ("a subscription token", with("channel", json!("memory:a"))),
    ]
}

fn bearer(token: &str) -> Connect {
    Connect {
        token: Some(token.to_owned()),
        user: Some("root".to_owned()),
        ..Connect::default()
    }
}

async fn check_refused(server: &Server, token: &str, error: ErrorCode, close: CloseCode) {
    let (mut mallory, refused) = server.try_join(bearer(token)).await;
    assert_eq!(refused.expect_err("refused"), WireError::from(error));
    mallory.expect_close(close).await;
}

#[test]
fn every_bad_token_is_refused_with_the_same_words() {
    everywhere(async |at| {
        let server = start(at).await;
        let (mut ann, connected) = server.join_with(bearer(&good())).await;
        assert_eq!(
            connected.user.as_deref(),
            Some("ann"),
            "the control; and the claim counts, not the wish"
        );
        let stated = misplaced()
            .into_iter()
            .map(|(what, claims)| (what, signed(&rs256(), &claims)));
        let rows: Vec<_> = forged().into_iter().chain(stated).collect();
        for (what, token) in &rows {
            let _case = Case(what);
            check_refused(&server, token, ErrorCode::BadToken, CloseCode::BadToken).await;
        }
        for (what, connect) in [
            ("nothing", Connect::default()),
            (
                "a user",
                Connect {
                    user: Some("ann".to_owned()),
                    ..Connect::default()
                },
            ),
        ] {
            let _case = Case(what);
            let (mut mallory, refused) = server.try_join(connect).await;
            assert_eq!(
                refused.expect_err("refused"),
                WireError::from(ErrorCode::BadToken)
            );
            mallory.expect_close(CloseCode::BadToken).await;
        }
        ann.subscribe("memory:a").await;
        ann.publish("memory:a", "still here").await;
        eprintln!(
            "{} bad tokens were refused in {:?} with {} shard(s)",
            rows.len() + 2,
            at.form,
            at.shards
        );
    });
}

#[test]
fn a_token_that_ended_is_told_so_only_if_it_was_good() {
    everywhere(async |at| {
        let server = start(at).await;
        let ended = with("exp", json!(now() - 2));
        check_refused(
            &server,
            &signed(&rs256(), &ended),
            ErrorCode::TokenExpired,
            CloseCode::TokenExpired,
        )
        .await;
        let attacker = EncodingKey::from_secret(PUBLIC.as_bytes());
        let forged = sign(&json!({"alg": "HS256"}), &ended, &attacker, Signing::HS256);
        check_refused(&server, &forged, ErrorCode::BadToken, CloseCode::BadToken).await;
        let mut elsewhere = ended;
        elsewhere["aud"] = json!("other");
        check_refused(
            &server,
            &signed(&rs256(), &elsewhere),
            ErrorCode::BadToken,
            CloseCode::BadToken,
        )
        .await;
    });
}

#[test]
fn a_token_of_9_kib_is_not_even_looked_at() {
    everywhere(async |at| {
        let server = start(at).await;
        for token in [
            "x".repeat(9 * 1024),
            format!(
                "{}.{}.{}",
                "a".repeat(3_000),
                "b".repeat(3_000),
                "c".repeat(3_000)
            ),
        ] {
            let (mut mallory, refused) = server.try_join(bearer(&token)).await;
            assert_eq!(
                refused.expect_err("too large").kind(),
                Some(ErrorCode::TooLarge)
            );
            // Not understood is not refused: whoever cannot say who he is in time has to leave.
            let error = mallory
                .try_ping(parlor_protocol::command::Ping {})
                .await
                .expect_err("who are you?");
            assert_eq!(error.kind(), Some(ErrorCode::NotConnected));
            mallory.expect_close(CloseCode::ConnectRefused).await;
        }
    });
}

#[test]
fn what_is_no_token_at_all_is_tried_as_a_key() {
    in_both_forms(async |at| {
        let server = start(at).await;
        for key in ["", "garbage", "\u{0}", "parlor-test-key-0123456789abcdef"] {
            let _case = Case(key);
            check_refused(&server, key, ErrorCode::BadKey, CloseCode::ConnectRefused).await;
        }
    });
}

#[test]
fn a_bad_token_in_a_living_connection_changes_nothing() {
    everywhere(async |at| {
        let server = start(at).await;
        let (mut ann, _) = server.join_with(bearer(&good())).await;
        ann.subscribe("memory:a").await;
        for (what, token) in forged() {
            let _case = Case(what);
            let error = ann
                .try_refresh(Refresh {
                    token: token.clone(),
                })
                .await
                .expect_err("refused");
            assert_eq!(error, WireError::from(ErrorCode::BadToken));
            let subscribe = Subscribe {
                token: Some(token),
                ..Subscribe::new("disk:a")
            };
            let error = ann.try_subscribe(subscribe).await.expect_err("refused");
            assert_eq!(error, WireError::from(ErrorCode::BadToken));
        }
        let another = signed(&rs256(), &with("sub", json!("bob")));
        let error = ann
            .try_refresh(Refresh { token: another })
            .await
            .expect_err("refused");
        assert_eq!(error.kind(), Some(ErrorCode::NotPermitted));
        let error = ann
            .try_subscribe(Subscribe::new("disk:a"))
            .await
            .expect_err("no claim for it");
        assert_eq!(error.kind(), Some(ErrorCode::NotPermitted));
        ann.publish("memory:a", "still ann").await;
        assert_eq!(ann.event().await.user.as_deref(), Some("ann"));
    });
}

#[test]
fn development_mode_believes_a_name_but_no_bad_token() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        for (what, token) in forged() {
            let _case = Case(what);
            check_refused(&server, &token, ErrorCode::BadToken, CloseCode::BadToken).await;
        }
        bystanders.talk().await;
    });
}
