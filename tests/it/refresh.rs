//! `refresh`: a token in the old one's place, and what happens without one.

use parlor_protocol::command::{Direction, History, Refresh, Subscribe};
use parlor_protocol::{CloseCode, ErrorCode, Push};
use parlor_tests::{API_KEY, Token, everywhere, in_both_forms, in_time, said};
use serde_json::json;

#[test]
fn a_connection_ends_with_its_token() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let mut clients = Vec::new();
        for token in [Token::of("ann"), Token::anonymous()] {
            clients.push(server.join_by_token(&token.ends_in(3).sign()).await);
        }
        for client in &mut clients {
            let left = client.hello().expires_in_ms.expect("the token ends");
            assert!(left <= 3_000, "{left}");
            // It ends soon, so it is announced at once.
            let Push::TokenExpiring(expiring) = client.push().await else {
                panic!("not announced")
            };
            assert!(expiring.expires_in_ms <= 3_000);
            client.expect_close(CloseCode::TokenExpired).await;
        }
    });
}

#[test]
fn a_refreshed_connection_lives_on_and_may_what_the_new_token_says() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let mut ann = server
            .join_by_token(&Token::of("ann").ends_in(3).sign())
            .await;
        let mut short = server
            .join_by_token(&Token::of("ann").ends_in(3).sign())
            .await;
        let token = Token::of("ann").may(&["subscribe"], "disk:*").sign();
        let refreshed = ann.try_refresh(Refresh { token }).await.expect("refreshed");
        assert!(refreshed.expires_in_ms.is_some_and(|left| left > 3_000_000));
        // The other connection's end shows that the old token's time is over.
        short.expect_close(CloseCode::TokenExpired).await;
        ann.ping().await;
        ann.try_subscribe(Subscribe::new("disk:a"))
            .await
            .expect("the new token allows it");
    });
}

#[test]
fn a_refresh_with_fewer_rights_takes_commands_away_and_no_subscriptions() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let token = Token::of("ann").may(&["subscribe", "history"], "disk:*");
        let mut ann = server.join_by_token(&token.sign()).await;
        ann.subscribe("disk:a").await;
        let token = Token::of("ann").sign();
        ann.try_refresh(Refresh { token }).await.expect("refreshed");
        let history = History::new("disk:a", Direction::Forward);
        let refused = ann.try_history(history).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::NotPermitted));
        let refused = ann
            .try_subscribe(Subscribe::new("disk:b"))
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::NotPermitted));
        let backend = server.backend().with_key(API_KEY);
        let body = json!({ "channel": "disk:a", "data": "still here" });
        assert_eq!(backend.post("/v1/publish", body).await.0, 200);
        assert_eq!(said(&ann.event().await), "still here");
    });
}

#[test]
fn a_shorter_token_ends_the_connection_sooner() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let mut ann = server.join_by_token(&Token::of("ann").sign()).await;
        let token = Token::of("ann").ends_in(3).sign();
        ann.try_refresh(Refresh { token }).await.expect("refreshed");
        ann.expect_close(CloseCode::TokenExpired).await;
    });
}

#[test]
fn a_bad_refresh_changes_nothing() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let mut ann = server.join_by_token(&Token::of("ann").sign()).await;
        let bad = [
            (Token::of("eve").sign(), ErrorCode::NotPermitted),
            (Token::anonymous().sign(), ErrorCode::NotPermitted),
            (Token::of("ann").ends_in(-1).sign(), ErrorCode::TokenExpired),
            (
                Token::of("ann").sign_with("another secret, also longer than 32 bytes"),
                ErrorCode::BadToken,
            ),
            (
                Token::for_channel("ann", "disk:a").sign(),
                ErrorCode::BadToken,
            ),
            ("a.b.c".to_owned(), ErrorCode::BadToken),
        ];
        for (token, expected) in bad {
            let refused = ann.try_refresh(Refresh { token }).await.unwrap_err();
            assert_eq!(refused.kind(), Some(expected));
        }
        ann.ping().await;
    });
}

#[test]
fn an_ended_token_does_not_connect() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let connect = parlor_protocol::command::Connect {
            token: Some(Token::of("ann").ends_in(-1).sign()),
            ..Default::default()
        };
        let (mut client, refused) = server.try_join(connect).await;
        assert_eq!(refused.unwrap_err().kind(), Some(ErrorCode::TokenExpired));
        client.expect_close(CloseCode::TokenExpired).await;
    });
}

#[test]
fn the_end_is_announced_once_per_token() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let mut ann = server
            .join_by_token(&Token::of("ann").ends_in(3).sign())
            .await;
        let Push::TokenExpiring(_) = ann.push().await else {
            panic!("not announced")
        };
        in_time("the end", ann.expect_close(CloseCode::TokenExpired)).await;
        assert_eq!(ann.take_waiting(), [], "no second announcement");
    });
}
