//! How a forger makes tokens, and how others misplace theirs. The good one is made here, too.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm as Signing, EncodingKey};
use parlor_tests::now_s;
use serde_json::{Value, json};

/// The key that the server knows.
pub(super) const PUBLIC: &str = include_str!("../../../server/src/auth/tests/keys/rsa.pub.pem");
const PRIVATE: &str = include_str!("../../../server/src/auth/tests/keys/rsa.pem");
const ED_PRIVATE: &str = include_str!("../../../server/src/auth/tests/keys/ed.pem");

pub(super) fn now() -> i64 {
    i64::try_from(now_s()).expect("before the end of time")
}

/// Claims that are good.
fn claims() -> Value {
    json!({
        "sub": "ann", "exp": now() + 600, "iat": now() - 1, "iss": "issuer", "aud": "parlor",
        "caps": [{"channels": "memory:*", "allow": ["subscribe", "publish", "history"]}],
    })
}

/// The same with one claim changed; null: taken away.
pub(super) fn with(claim: &str, value: Value) -> Value {
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

pub(super) fn sign(
    header: &Value,
    claims: &Value,
    key: &EncodingKey,
    algorithm: Signing,
) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).expect("it signs");
    format!("{message}.{signature}")
}

/// By the right key.
pub(super) fn signed(header: &Value, claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(PRIVATE.as_bytes()).expect("a key");
    sign(header, claims, &key, Signing::RS256)
}

pub(super) fn rs256() -> Value {
    json!({"alg": "RS256", "typ": "JWT"})
}

pub(super) fn good() -> String {
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

pub(super) fn forged() -> Vec<(&'static str, String)> {
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
pub(super) fn misplaced() -> Vec<(&'static str, Value)> {
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
