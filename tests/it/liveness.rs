//! `ping` and `pong`: how either side knows that the other lives.

use std::time::Duration;

use parlor::config::Config;
use parlor_protocol::CloseCode;
use parlor_protocol::command::Connect;
use parlor_protocol::limits;
use parlor_tests::{everywhere, in_time};

fn hasty(config: &mut Config) {
    config.session.ping_interval = Duration::from_millis(300);
    config.session.ping_interval_min = Duration::from_millis(300);
    config.session.pong_timeout = Duration::from_millis(600);
}

#[test]
fn a_ping_is_answered_with_the_servers_time() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let (first, second) = (ann.ping().await, ann.ping().await);
        assert!(first.time >= ann.hello().time && second.time >= first.time);
    });
}

#[test]
fn who_answers_pings_stays() {
    everywhere(async |at| {
        let server = at.setup().with(hasty).start().await;
        let mut ann = server.join("ann").await;
        ann.subscribe("disk:a").await;
        // Reading is what answers: six pings take three times as long as the server would wait in vain.
        let mut bob = server.join("bob").await;
        in_time("six pings", async {
            while ann.pings() < 6 {
                bob.signal("disk:a", parlor_tests::json("1")).await;
                ann.event().await;
            }
        })
        .await;
        ann.ping().await;
    });
}

#[test]
fn who_answers_no_ping_is_closed() {
    everywhere(async |at| {
        let server = at.setup().with(hasty).start().await;
        for mut ann in server.join_every_shard("ann").await {
            ann.ignore_pings();
            ann.expect_close(CloseCode::NoPong).await;
            assert!(ann.pings() >= 1);
        }
    });
}

#[test]
fn any_frame_is_as_good_as_a_pong() {
    everywhere(async |at| {
        let server = at.setup().with(hasty).start().await;
        let mut ann = server.join("ann").await;
        ann.ignore_pings();
        in_time("six pings", async {
            while ann.pings() < 6 {
                ann.ping().await;
            }
        })
        .await;
    });
}

#[test]
fn who_never_says_connect_is_closed() {
    everywhere(async |at| {
        let setup = at
            .setup()
            .with(|config| config.session.connect_timeout = Duration::from_millis(300));
        let server = setup.start().await;
        server
            .open()
            .await
            .expect_close(CloseCode::ConnectTimeout)
            .await;
        // Who said it in time is left alone.
        let mut ann = server.join("ann").await;
        server
            .open()
            .await
            .expect_close(CloseCode::ConnectTimeout)
            .await;
        ann.ping().await;
    });
}

#[test]
fn the_documented_times_are_the_configured_ones() {
    let config = Config::defaults().expect("the defaults");
    let ms = |ms: u32| Duration::from_millis(ms.into());
    assert_eq!(config.session.pong_timeout, ms(limits::PONG_TIMEOUT_MS));
    assert_eq!(
        config.session.ping_interval,
        ms(limits::PING_INTERVAL_DEFAULT_MS)
    );
    assert_eq!(
        config.session.ping_interval_min,
        ms(limits::PING_INTERVAL_MIN_MS)
    );
    assert_eq!(
        config.session.ping_interval_max,
        ms(limits::PING_INTERVAL_MAX_MS)
    );
    assert_eq!(
        config.session.connect_timeout,
        Duration::from_secs(10),
        "as SPEC.md says"
    );
}

#[test]
fn a_ping_interval_of_ones_own_is_kept() {
    everywhere(async |at| {
        let setup = at.setup().with(|config| {
            config.session.ping_interval_min = Duration::from_millis(300);
            config.session.pong_timeout = Duration::from_millis(300);
        });
        let server = setup.start().await;
        let connect = Connect {
            ping_interval_ms: Some(300),
            ..Connect::default()
        };
        let (mut ann, hello) = server.join_with(connect).await;
        assert_eq!(hello.ping_interval_ms, 300);
        ann.ignore_pings();
        ann.expect_close(CloseCode::NoPong).await;
    });
}
