//! Every good token, key and name is understood, and means no more than it says.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlor_protocol::{ChannelName, ErrorCode, Time, WireError};
use sha2::{Digest, Sha256};

use super::jwt::sign_raw;
use super::*;

mod forged;

const SECRET: &str = "a secret of at least 32 bytes, for tests";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn hmac(secret: &str) -> TokenKey {
    TokenKey {
        kid: None,
        algorithm: Algorithm::Hs256,
        material: KeyMaterial::Secret(Secret::new(secret)),
        private_pem: None,
    }
}

fn asymmetric(algorithm: Algorithm) -> TokenKey {
    let (public, private) = match algorithm {
        Algorithm::Rs256 => (
            include_str!("tests/keys/rsa.pub.pem"),
            include_str!("tests/keys/rsa.pem"),
        ),
        Algorithm::Es256 => (
            include_str!("tests/keys/ec.pub.pem"),
            include_str!("tests/keys/ec.pem"),
        ),
        _ => (
            include_str!("tests/keys/ed.pub.pem"),
            include_str!("tests/keys/ed.pem"),
        ),
    };
    let private_pem = Some(Secret::new(private));
    TokenKey {
        kid: None,
        algorithm,
        material: KeyMaterial::Pem(public.to_owned()),
        private_pem,
    }
}

fn config(token_keys: Vec<TokenKey>) -> AuthConfig {
    AuthConfig {
        token_keys,
        leeway: Duration::from_secs(10),
        ..AuthConfig::default()
    }
}

fn auth(token_keys: Vec<TokenKey>) -> Auth {
    Auth::new(config(token_keys)).expect("a good config")
}

/// An `Auth` that wants an issuer and an audience.
fn strict() -> Auth {
    let config = AuthConfig {
        issuers: vec!["me".into()],
        audiences: vec!["parlor".into()],
        ..config(vec![hmac(SECRET)])
    };
    Auth::new(config).expect("a good config")
}

fn now() -> u64 {
    clock::now().as_unix_ms() / 1000
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("a channel name")
}

/// Signed by the right key, with these further claims.
fn signed(claims: &str) -> String {
    let exp = now() + 60;
    sign_raw(
        &hmac(SECRET),
        HEADER,
        &format!(r#"{{"sub":"ann","exp":{exp}{claims}}}"#),
    )
}

/// Signed by the right key, with this header.
fn headed(header: &str) -> String {
    sign_raw(
        &hmac(SECRET),
        header,
        &format!(r#"{{"sub":"ann","exp":{}}}"#, now() + 60),
    )
}

fn body(claims: &str) -> String {
    sign_raw(&hmac(SECRET), HEADER, claims)
}

#[track_caller]
fn check_refused(auth: &Auth, what: &str, token: &str) {
    let error = auth.verify(token).expect_err(what);
    assert_eq!(error, WireError::from(ErrorCode::BadToken), "{what}");
}

#[test]
fn a_good_token_is_its_user() {
    let token = signed(
        r#","info":{"name":"Ann"},"caps":[{"channels":"room:*","allow":["subscribe","publish"]},{"channels":["inbox:{user}","news"],"allow":["history"]}]"#,
    );
    let auth = auth(vec![hmac(SECRET)]);
    let identity = auth.verify(&token).expect("a good token");
    assert_eq!(identity.user().map(|user| &**user), Some("ann"));
    assert_eq!(
        identity.info.as_ref().map(|info| &*info.bytes),
        Some(&br#"{"name":"Ann"}"#[..])
    );
    assert!(
        identity.is_granted(Verb::Publish, "room:1")
            && !identity.is_granted(Verb::History, "room:1")
    );
    assert!(
        identity.is_granted(Verb::History, "inbox:ann")
            && !identity.is_granted(Verb::History, "inbox:bob")
    );
    assert!(identity.is_granted(Verb::History, "news"));
    let end = identity.expires_at.expect("tokens end").as_unix_ms() / 1000;
    assert!((now() + 69..=now() + 71).contains(&end));
    assert!(
        Arc::ptr_eq(&identity, &auth.verify(&token).expect("still good")),
        "the second time from the cache"
    );
}

#[test]
fn every_algorithm_verifies_what_it_signed() {
    for algorithm in Algorithm::ALL {
        let key = match algorithm {
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => asymmetric(algorithm),
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => TokenKey {
                algorithm,
                ..hmac(SECRET)
            },
        };
        let auth = auth(vec![key]);
        let new = NewToken {
            user: Some("ann".into()),
            expires_in: Duration::from_secs(60),
            ..NewToken::default()
        };
        let token = auth.issue(&new).expect("a key that signs");
        let identity = auth
            .verify(&token)
            .unwrap_or_else(|error| panic!("{algorithm:?}: {error}"));
        assert_eq!(identity.user().map(|user| &**user), Some("ann"));
    }
}

#[test]
fn no_token_is_issued_that_is_revoked_already() {
    let auth = auth(vec![hmac(SECRET)]);
    let new = NewToken {
        user: Some("ann".into()),
        expires_in: Duration::from_secs(60),
        ..NewToken::default()
    };
    let revoke = |issued_before| {
        let user = "ann".into();
        let revocation = Revocation::User {
            user,
            issued_before,
        };
        auth.revocations().insert(&revocation, now(), now());
    };
    revoke(now() + 1);
    let token = auth.issue(&new).expect("one of the next second");
    auth.verify(&token).expect("good at once");
    revoke(now() + 60);
    let refused = auth.issue(&new).expect_err("a minute too early");
    assert!(
        matches!(refused, IssueError::TooEarly { wait_s: 58..=59 }),
        "{refused}"
    );
}

#[test]
fn a_star_as_user_gets_no_one_elses_channels() {
    let caps = r#""caps":[{"channels":"inbox:{user}","allow":["history"]}]"#;
    let auth = auth(vec![hmac(SECRET)]);
    let star = auth
        .verify(&body(&format!(
            r#"{{"sub":"*","exp":{},{caps}}}"#,
            now() + 60
        )))
        .expect("a user");
    assert!(!star.is_granted(Verb::History, "inbox:bob"));
    let nobody = auth
        .verify(&body(&format!(r#"{{"exp":{},{caps}}}"#, now() + 60)))
        .expect("anonymous");
    assert!(nobody.user().is_none() && nobody.grants.is_empty());
}

#[test]
fn keys_are_chosen_by_their_id() {
    let other = "another secret of at least 32 bytes, too";
    let one = TokenKey {
        kid: Some("one".into()),
        ..hmac(SECRET)
    };
    let two = TokenKey {
        kid: Some("two".into()),
        ..hmac(other)
    };
    let auth = auth(vec![one, two]);
    let claims = format!(r#"{{"exp":{}}}"#, now() + 60);
    let token = |secret: &str, header: &str| sign_raw(&hmac(secret), header, &claims);
    auth.verify(&token(other, r#"{"alg":"HS256","kid":"two"}"#))
        .expect("the second key's");
    check_refused(
        &auth,
        "the other's kid",
        &token(SECRET, r#"{"alg":"HS256","kid":"two"}"#),
    );
    check_refused(&auth, "no kid", &token(SECRET, r#"{"alg":"HS256"}"#));
}

#[test]
fn a_subscription_token_is_for_one_user_and_one_channel() {
    let auth = auth(vec![hmac(SECRET)]);
    let ann = auth.verify(&signed("")).expect("ann");
    let token = signed(r#","channel":"room:1","allow":["subscribe","publish"]"#);
    let hers = auth
        .verify_subscription(&token, &ann, &channel("room:1"))
        .expect("hers");
    assert_eq!(
        hers.grants,
        [Grant {
            channels: Pattern::new("room:1"),
            verbs: vec![Verb::Subscribe, Verb::Publish]
        }]
    );
    let bob = auth
        .verify(&body(&format!(r#"{{"sub":"bob","exp":{}}}"#, now() + 60)))
        .expect("bob");
    assert!(
        auth.verify_subscription(&token, &ann, &channel("room:2"))
            .is_err(),
        "another channel"
    );
    assert!(
        auth.verify_subscription(&token, &bob, &channel("room:1"))
            .is_err(),
        "another user"
    );
    assert!(
        auth.verify_subscription(&signed(""), &ann, &channel("room:1"))
            .is_err(),
        "not a subscription token"
    );
    check_refused(&auth, "not to connect with", &token);
}

#[track_caller]
fn check_bad_config(token_keys: Vec<TokenKey>, expected: &str) {
    let error = Auth::new(config(token_keys))
        .expect_err(expected)
        .to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn weak_and_ambiguous_keys_are_refused_at_start() {
    let public = |algorithm, pem: &str| TokenKey {
        material: KeyMaterial::Pem(pem.into()),
        algorithm,
        ..hmac("")
    };
    let named = |kid: &str| TokenKey {
        kid: Some(kid.into()),
        ..hmac(SECRET)
    };
    let jwk = |text: &str| TokenKey {
        material: KeyMaterial::Jwk(Secret::new(text)),
        ..hmac("")
    };
    check_bad_config(vec![hmac("short")], "at least 32 bytes");
    check_bad_config(
        vec![jwk(r#"{"kty":"oct","k":"c2hvcnQ"}"#)],
        "at least 32 bytes",
    );
    check_bad_config(
        vec![public(
            Algorithm::Rs256,
            include_str!("tests/keys/rsa1024.pub.pem"),
        )],
        "2048 bits",
    );
    check_bad_config(
        vec![public(
            Algorithm::Es256,
            include_str!("tests/keys/ec384.pub.pem"),
        )],
        "P-256",
    );
    check_bad_config(
        vec![public(
            Algorithm::Rs256,
            include_str!("tests/keys/ec.pub.pem"),
        )],
        "RS256",
    );
    check_bad_config(
        vec![public(
            Algorithm::Hs256,
            include_str!("tests/keys/rsa.pub.pem"),
        )],
        "PEM",
    );
    check_bad_config(vec![public(Algorithm::Rs256, "nonsense")], "RS256");
    check_bad_config(
        vec![TokenKey {
            algorithm: Algorithm::Rs256,
            ..hmac(SECRET)
        }],
        "HS256",
    );
    check_bad_config(
        vec![TokenKey {
            algorithm: Algorithm::Es256,
            ..jwk(r#"{"kty":"oct","k":"AAAA"}"#)
        }],
        "ES256",
    );
    check_bad_config(vec![hmac(SECRET), hmac(SECRET)], "kid");
    check_bad_config(vec![named("a"), named("a")], "two keys");
    let late = AuthConfig {
        leeway: Duration::from_secs(31),
        ..AuthConfig::default()
    };
    assert!(matches!(Auth::new(late), Err(Error::Leeway)));
}

fn api_key(name: &str, secret: &str) -> ApiKey {
    use std::fmt::Write as _;
    let hash = Sha256::digest(secret)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes it");
            hex
        });
    ApiKey {
        name: name.into(),
        hash,
        grants: all_grants(),
    }
}

#[test]
fn an_api_key_is_its_backend() {
    let api_keys = vec![api_key("shop", "secret-1"), api_key("blog", "secret-2")];
    let auth = Auth::new(AuthConfig {
        api_keys,
        ..AuthConfig::default()
    })
    .expect("a good config");
    for (secret, name) in [("secret-1", "shop"), ("secret-2", "blog")] {
        let identity = auth.verify_bearer(secret).expect(name);
        assert_eq!(identity.sender().as_deref(), Some(&*format!("k:{name}")));
    }
    for secret in ["", "secret-", "secret-12", "Secret-1", "secret-3"] {
        assert_eq!(
            auth.verify_key(secret).expect_err(secret),
            WireError::from(ErrorCode::BadKey)
        );
    }
    assert_eq!(
        auth.verify_connect(None, Some("ann"))
            .expect_err("no dev mode")
            .code,
        ErrorCode::BadToken.number()
    );
    let bad = ApiKey {
        hash: "zz".repeat(32),
        ..api_key("a", "b")
    };
    assert!(matches!(ApiKeys::new(vec![bad]), Err(Error::BadHash(_))));
    assert!(matches!(
        ApiKeys::new(vec![api_key("a", "1"), api_key("a", "2")]),
        Err(Error::DuplicateName(_))
    ));
}

#[test]
fn development_mode_believes_everybody() {
    let auth = Auth::new(AuthConfig {
        dev: true,
        ..AuthConfig::default()
    })
    .expect("a good config");
    let ann = auth.verify_connect(None, Some("ann")).expect("believed");
    assert!(
        ann.user().is_some()
            && ann.is_granted(Verb::Manage, "room:1")
            && ann.may_everywhere(Verb::Manage)
    );
    assert_eq!(
        auth.verify_connect(None, None).expect("believed").who,
        Who::Anonymous
    );
    assert!(auth.verify_connect(None, Some("a\nb")).is_err());
    assert!(
        auth.verify_connect(Some("a.b.c"), Some("ann")).is_err(),
        "a bad token stays bad"
    );
    assert!(auth.dev_backend().is_some());
}

#[test]
fn secrets_do_not_show() {
    let shown = format!("{:?} {:?}", hmac(SECRET), auth(vec![hmac(SECRET)]));
    assert!(!shown.contains("at least 32 bytes"), "{shown}");
}
