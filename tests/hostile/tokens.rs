//! Forged, stale and foreign tokens over a socket: one text for all of them, so that it teaches a forger nothing.

use std::time::Duration;

use jsonwebtoken::{Algorithm as Signing, EncodingKey};
use parlor::auth::{Algorithm, KeyMaterial, TokenKey};
use parlor_protocol::command::{Connect, Refresh, Subscribe};
use parlor_protocol::{CloseCode, ErrorCode, WireError};
use parlor_tests::{At, Server, everywhere, in_both_forms};
use serde_json::json;

mod forged;

use crate::bystanders::Bystanders;
use crate::case::Case;
use forged::{PUBLIC, forged, good, misplaced, now, rs256, sign, signed, with};

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
