//! `ping` and `pong`: how either side knows that the other lives.

use std::sync::Arc;
use std::time::Duration;

use parlor::config::Config;
use parlor_protocol::CloseCode;
use parlor_protocol::command::{Command, Connect, Direction, History};
use parlor_protocol::limits;
use parlor_tests::{Client, Frailty, blob, everywhere, in_time, publish, text};

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

/// Reads until so many more pings came, and answers them.
async fn hear_pings(client: &mut Client, count: usize) {
    let wanted = client.pings() + count;
    while client.pings() < wanted {
        client.hear_one().await;
    }
}

#[test]
fn who_answers_pings_stays_however_long_its_own_commands_take() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().with(hasty).frail(&frailty).start().await;
        let mut ann = server.join("ann").await;
        frailty.hold_readings();
        let history = History::new("disk:a", Direction::Forward);
        let asked = ann.send(Command::History(history)).await;
        frailty.until_held().await;
        // Six pings take three times as long as the server would wait in vain; it reads no answer meanwhile.
        hear_pings(&mut ann, 6).await;
        frailty.go_on();
        ann.reply(asked).await.expect("a page");

        // As many publishes as may be under way: nothing is read until one of them is answered.
        frailty.hold_appends();
        let commands = (0..limits::COMMANDS_PER_FRAME_MAX)
            .map(|word| Command::Publish(publish("memory:a", text(word))));
        let asked = ann.send_together(commands).await;
        hear_pings(&mut ann, 6).await;
        frailty.go_on();
        for id in asked {
            ann.reply(id).await.expect("published");
        }

        // From now on its silence counts again.
        ann.ignore_pings();
        ann.expect_close(CloseCode::NoPong).await;
    });
}

#[test]
fn who_takes_in_what_waits_for_it_stays_though_its_answers_come_late() {
    const EVENTS: usize = 600;
    const EVENT_BYTES: usize = 16 * 1024;
    /// Events that ann reads at each ping that another client hears: a ping of hers that waits behind most of them comes
    /// after a dozen of the other's.
    const EVENTS_PER_PING: usize = 40;
    everywhere(async |at| {
        let setup = at.setup().with(|config| {
            hasty(config);
            config.session.pong_timeout = Duration::from_millis(1_500);
            // All of it fits: she is not too slow, she only comes to the pings late.
            config.session.outbox_bytes_max = 2 * EVENTS * EVENT_BYTES;
        });
        let server = setup.start().await;
        let mut ann = Client::open_narrow(server.address(), server.form()).await;
        ann.connect(Connect::default()).await.expect("connected");
        ann.subscribe("memory:a").await;
        let mut bob = server.join("bob").await;
        let mut writer = server.join("writer").await;
        let reading = async {
            for _ in 0..EVENTS / EVENTS_PER_PING {
                hear_pings(&mut bob, 1).await;
                ann.events(EVENTS_PER_PING).await;
            }
        };
        let writing = async {
            for _ in 0..EVENTS {
                let event = publish("memory:a", blob(EVENT_BYTES));
                writer.try_publish(event).await.expect("published");
            }
        };
        tokio::join!(reading, writing);
        ann.ping().await;
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
