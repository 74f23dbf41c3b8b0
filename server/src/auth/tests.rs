//! Every bad token of the catalogue is refused with the same words; every good one is understood.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlor_protocol::{ChannelName, ErrorCode, Time, WireError};
use sha2::{Digest, Sha256};

use super::jwt::sign_raw;
use super::*;

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
fn forms_that_are_not_three_parts_are_refused() {
    let auth = auth(vec![hmac(SECRET)]);
    let good = signed("");
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("three parts")
    };
    for (what, token) in [
        ("empty", String::new()),
        ("two parts", format!("{header}.{claims}")),
        (
            "five parts",
            format!("{header}.{claims}.{signature}.{header}.{claims}"),
        ),
        ("empty signature", format!("{header}.{claims}.")),
        ("empty header", format!(".{claims}.{signature}")),
        ("padding", format!("{header}.{claims}.{signature}=")),
        ("whitespace", format!("{header}.{claims}.{signature} ")),
        (
            "a line break inside",
            format!("{header}.{claims}\n.{signature}"),
        ),
        ("trailing garbage", format!("{good}x")),
        (
            "100 KB",
            format!("{header}.{claims}.{}", "A".repeat(100_000)),
        ),
        ("claims of another token", {
            let other = signed(r#","jti":"2""#);
            format!(
                "{header}.{}.{signature}",
                other.split('.').nth(1).expect("claims")
            )
        }),
    ] {
        check_refused(&auth, what, &token);
    }
}

#[test]
fn the_header_cannot_choose_how_it_is_judged() {
    let auth = auth(vec![TokenKey {
        kid: Some("k1".into()),
        ..hmac(SECRET)
    }]);
    auth.verify(&headed(r#"{"alg":"HS256","typ":"JWT","kid":"k1"}"#))
        .expect("the control is good");
    for (what, header) in [
        ("alg none", r#"{"alg":"none"}"#),
        ("alg None", r#"{"alg":"None"}"#),
        ("alg NONE", r#"{"alg":"NONE"}"#),
        ("another HMAC", r#"{"alg":"HS512"}"#),
        ("no alg", r#"{"typ":"JWT"}"#),
        ("alg twice", r#"{"alg":"HS256","alg":"none"}"#),
        ("b64", r#"{"alg":"HS256","b64":false}"#),
        (
            "b64 and crit",
            r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        ),
        ("unknown crit", r#"{"alg":"HS256","crit":["exp"]}"#),
        ("JWE", r#"{"alg":"HS256","enc":"A256GCM"}"#),
        ("zip", r#"{"alg":"HS256","zip":"DEF"}"#),
        ("typ at+jwt", r#"{"alg":"HS256","typ":"at+jwt"}"#),
        ("kid of a path", r#"{"alg":"HS256","kid":"../../dev/null"}"#),
        ("kid of SQL", r#"{"alg":"HS256","kid":"' OR 1=1 --"}"#),
        (
            "kid of a URL",
            r#"{"alg":"HS256","kid":"https://evil.example/k"}"#,
        ),
        ("kid of a number", r#"{"alg":"HS256","kid":1}"#),
    ] {
        check_refused(&auth, what, &headed(header));
    }
}

#[test]
fn keys_in_the_header_are_not_used() {
    let auth = auth(vec![hmac(SECRET)]);
    let theirs = "another secret of at least 32 bytes, too";
    let jwk = format!(
        r#"{{"kty":"oct","k":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(theirs)
    );
    for (what, header) in [
        ("jwk", format!(r#"{{"alg":"HS256","jwk":{jwk}}}"#)),
        (
            "jku",
            r#"{"alg":"HS256","jku":"https://evil.example/jwks"}"#.to_owned(),
        ),
        (
            "x5u",
            r#"{"alg":"HS256","x5u":"https://evil.example/cert"}"#.to_owned(),
        ),
        ("x5c", r#"{"alg":"HS256","x5c":["MIIB"]}"#.to_owned()),
    ] {
        let forged = sign_raw(
            &hmac(theirs),
            &header,
            &format!(r#"{{"exp":{}}}"#, now() + 60),
        );
        check_refused(&auth, what, &forged);
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let key = asymmetric(algorithm);
        let KeyMaterial::Pem(public) = &key.material else {
            panic!("a PEM")
        };
        let forged = sign_raw(
            &hmac(public),
            HEADER,
            &format!(r#"{{"exp":{}}}"#, now() + 60),
        );
        check_refused(&auth(vec![key]), algorithm.as_str(), &forged);
    }
}

#[test]
fn signatures_of_zeros_are_refused() {
    for (algorithm, bytes) in [
        (Algorithm::Es256, 64),
        (Algorithm::EdDsa, 64),
        (Algorithm::Rs256, 256),
    ] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{}"}}"#, algorithm.as_str()));
        let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{}}}"#, now() + 60));
        let forged = format!(
            "{header}.{claims}.{}",
            URL_SAFE_NO_PAD.encode(vec![0; bytes])
        );
        check_refused(
            &auth(vec![asymmetric(algorithm)]),
            algorithm.as_str(),
            &forged,
        );
    }
}

#[test]
fn times_are_whole_seconds_in_range() {
    let auth = auth(vec![hmac(SECRET)]);
    let later = now() + 60;
    for (what, claims) in [
        ("no exp", r#"{"sub":"ann"}"#.to_owned()),
        ("exp null", r#"{"exp":null}"#.to_owned()),
        ("exp string", format!(r#"{{"exp":"{later}"}}"#)),
        ("exp float", format!(r#"{{"exp":{later}.5}}"#)),
        ("exp negative", r#"{"exp":-1}"#.to_owned()),
        ("exp 2^63", r#"{"exp":9223372036854775808}"#.to_owned()),
        ("exp 1e400", r#"{"exp":1e400}"#.to_owned()),
        ("exp twice", format!(r#"{{"exp":1,"exp":{later}}}"#)),
        ("nbf string", format!(r#"{{"exp":{later},"nbf":"1"}}"#)),
        ("nbf float", format!(r#"{{"exp":{later},"nbf":1.5}}"#)),
        (
            "nbf in the future",
            format!(r#"{{"exp":{later},"nbf":{}}}"#, now() + 15),
        ),
        ("iat negative", format!(r#"{{"exp":{later},"iat":-5}}"#)),
        (
            "iat 2^63",
            format!(r#"{{"exp":{later},"iat":9223372036854775808}}"#),
        ),
        (
            "iat in the future",
            format!(r#"{{"exp":{later},"iat":{}}}"#, now() + 15),
        ),
    ] {
        check_refused(&auth, what, &body(&claims));
    }
    auth.verify(&body(&format!(
        r#"{{"exp":{later},"nbf":{},"iat":{}}}"#,
        now() + 5,
        now() + 5
    )))
    .expect("in the leeway");
}

#[test]
fn a_token_ends_when_its_leeway_ends() {
    let auth = auth(vec![hmac(SECRET)]);
    auth.verify(&body(&format!(r#"{{"exp":{}}}"#, now() - 5)))
        .expect("in the leeway");
    let error = auth
        .verify(&body(&format!(r#"{{"exp":{}}}"#, now() - 11)))
        .expect_err("expired");
    assert_eq!(error, WireError::from(ErrorCode::TokenExpired));
}

#[test]
fn a_remembered_token_expires_too() {
    let auth = auth(vec![hmac(SECRET)]);
    let token = signed("");
    let identity = Identity {
        who: Who::Anonymous,
        info: None,
        grants: Vec::new(),
        expires_at: Some(Time(1)),
    };
    auth.cache.insert(
        cache::hash(&token),
        Arc::new(Verified {
            identity: Arc::new(identity),
            channel: None,
        }),
    );
    assert_eq!(
        auth.verify(&token).expect_err("expired"),
        WireError::from(ErrorCode::TokenExpired)
    );
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let strict = strict();
    strict
        .verify(&signed(r#","iss":"me","aud":"parlor""#))
        .expect("the control is good");
    strict
        .verify(&signed(r#","iss":"me","aud":["other","parlor"]"#))
        .expect("one of several audiences");
    for (what, claims) in [
        ("no aud", r#","iss":"me""#),
        ("another aud", r#","iss":"me","aud":"other""#),
        ("other auds", r#","iss":"me","aud":["a","b"]"#),
        ("aud of no type", r#","iss":"me","aud":{"a":1}"#),
        ("no iss", r#","aud":"parlor""#),
        (
            "another iss",
            r#","iss":"https://evil.example","aud":"parlor""#,
        ),
        ("a list of iss", r#","iss":["me"],"aud":"parlor""#),
    ] {
        check_refused(&strict, what, &signed(claims));
    }
    // Without a configured audience, a token with one was made for another service.
    check_refused(
        &auth(vec![hmac(SECRET)]),
        "aud where none is known",
        &signed(r#","aud":"other""#),
    );
}

#[test]
fn claims_have_their_types_and_stand_once() {
    let auth = auth(vec![hmac(SECRET)]);
    let long = "x".repeat(129);
    for (what, claims) in [
        ("sub twice", r#","sub":"bob""#.to_owned()),
        ("caps of no list", r#","caps":"all""#.to_owned()),
        (
            "an unknown verb",
            r#","caps":[{"channels":"*","allow":["everything"]}]"#.to_owned(),
        ),
        ("info of no object", r#","info":[1]"#.to_owned()),
        (
            "info too deep",
            format!(r#","info":{{"a":{}{}}}"#, "[".repeat(40), "]".repeat(40)),
        ),
        (
            "10,000 channels",
            format!(
                r#","caps":[{{"channels":["{}"],"allow":[]}}]"#,
                vec!["c"; 10_000].join("\",\"")
            ),
        ),
        ("channel that is none", r#","channel":"a b""#.to_owned()),
    ] {
        check_refused(&auth, what, &signed(&claims));
    }
    for (what, sub) in [
        ("empty", ""),
        ("too long", long.as_str()),
        ("a control character", "a\\u0007b"),
    ] {
        check_refused(
            &auth,
            what,
            &body(&format!(r#"{{"sub":"{sub}","exp":{}}}"#, now() + 60)),
        );
    }
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
    let grants = auth
        .verify_subscription(&token, &ann, &channel("room:1"))
        .expect("hers");
    assert_eq!(
        grants,
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
