//! Every bad token of the catalogue is refused, with the same words.

use super::*;

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
        token: None,
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
