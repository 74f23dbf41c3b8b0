//! The scripts against the model that the other tests rest on, on a real Redis.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use parlor_protocol::ChannelName;
use tempfile::TempDir;

use super::codec;
use crate::broker::Redis;
use crate::broker::redis::{Authorities, MembersLink, MembersWatcher, RedisConfig};
use crate::hub::Hub;
use crate::presence::registry::{Applied, Change, Load, NodeId, Reaped, Row, Submission, Why};
use crate::presence::tests::{Random, Registry, Told, channel, json};

/// A Redis of the test's own.
struct Server {
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl Server {
    fn start() -> Self {
        let directory = TempDir::new().expect("a directory");
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("an address").port();
        drop(socket);
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be installed");
        Self {
            process,
            port,
            _directory: directory,
        }
    }

    fn open(&self) -> Redis {
        let config = || RedisConfig {
            url: format!("redis://127.0.0.1:{}", self.port)
                .parse()
                .expect("a URL"),
            user: None,
            password: None,
            authorities: Authorities::default(),
            prefix: "test".to_owned(),
            confirmations: 0,
            dedup_window: Duration::from_secs(300),
            replicates: false,
        };
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            match Redis::open(config(), Arc::new(Hub::new(1))) {
                Ok(redis) => return redis,
                Err(error) => assert!(Instant::now() < give_up, "{error}"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// What the streams told.
#[derive(Debug, Default)]
struct Heard {
    all: Mutex<Vec<(ChannelName, Vec<Applied>)>>,
    versions: Mutex<Vec<u64>>,
    news: tokio::sync::Notify,
}

impl MembersWatcher for Heard {
    fn changed(&self, version: u64, channel: &ChannelName, body: &[u8]) {
        let applied = codec::applied(body).expect("the script's own words");
        self.all.lock().push((channel.clone(), applied));
        self.versions.lock().push(version);
        self.news.notify_one();
    }

    fn lives(&self, _node: &str) {}

    fn missed(&self, _which: &dyn Fn(&ChannelName) -> bool) {}

    fn lost(&self) {}
}

impl Heard {
    async fn wait_for(&self, count: usize) -> Vec<(ChannelName, Vec<Applied>)> {
        let wait = async {
            while self.all.lock().len() < count {
                self.news.notified().await;
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(came.is_ok(), "{} of {count} came", self.all.lock().len());
        std::mem::take(&mut self.all.lock())
    }
}

fn node(number: u64) -> NodeId {
    let names = ["aa.1", "aa.2", "bb.1", "cc.1"];
    NodeId::parse(names[number as usize % names.len()]).expect("a node")
}

fn some_change(random: &mut Random) -> Change {
    let number = random.below(6);
    let session: Arc<str> = format!("s{number}").into();
    // Two sessions each; now and then a session is another user's, against the rules.
    let stray = u64::from(random.below(20) == 0);
    let user: Arc<str> = format!("user {}", number / 2 + stray).into();
    let some =
        |random: &mut Random| (random.below(2) == 0).then(|| json(&random.below(3).to_string()));
    match random.below(10) {
        0..=4 => Change::Put {
            session,
            user,
            info: some(random),
            lasts: (random.below(6) == 0).then_some(Duration::from_secs(600)),
            claims: random.below(3) > 0,
        },
        5..=7 => Change::Remove {
            session,
            why: if random.below(2) == 0 {
                Why::Left
            } else {
                Why::Lapsed
            },
        },
        _ => Change::State {
            user,
            state: some(random),
            if_absent: random.below(2) == 0,
        },
    }
}

async fn submit(link: &MembersLink, submission: &Submission) {
    super::submit(link, submission)
        .await
        .expect("Redis is there");
}

async fn rows(link: &MembersLink, at: &ChannelName) -> Vec<Row> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = link.page(at, cursor.as_deref()).await.expect("a page");
        rows.extend(page.rows.iter().map(|row| codec::row(row).expect("a row")));
        cursor = page.next;
        if cursor.is_none() {
            rows.sort_by(|one, other| one.session.cmp(&other.session));
            return rows;
        }
    }
}

fn rows_of(model: &Registry, at: &ChannelName) -> Vec<Row> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = model.page(&Load {
            channel: at.clone(),
            cursor,
            run: 0,
        });
        rows.extend(page.rows);
        cursor = page.next;
        if cursor.is_none() {
            return rows;
        }
    }
}

#[tokio::test]
async fn redis_does_what_the_model_does() {
    let server = Server::start();
    let redis = server.open();
    let link = redis.members();
    let heard = Arc::new(Heard::default());
    link.watch(Arc::clone(&heard) as Arc<dyn MembersWatcher>);
    let (mut model, mut random, now) = (Registry::default(), Random(7), Instant::now());
    let rooms = [channel("room"), channel("attic")];
    for room in &rooms {
        link.follow(room).await.expect("Redis is there");
    }
    let mut expected = Vec::new();
    for _ in 0..600 {
        let changes = (0..=random.below(3)).map(|_| some_change(&mut random));
        let submission = Submission {
            changes: changes.collect(),
            channel: rooms[random.below(2) as usize].clone(),
            owner: node(random.below(4)),
        };
        if let Some(Told::Applied {
            channel, applied, ..
        }) = model.submit(&submission, now)
        {
            expected.push((channel, applied));
        }
        submit(&link, &submission).await;
    }
    let told = heard.wait_for(expected.len()).await;
    // Two channels may lie in two partitions: each has its own order.
    for room in &rooms {
        let of = |all: &[(ChannelName, Vec<Applied>)]| -> Vec<_> {
            let own = all.iter().filter(|(channel, _)| channel == room);
            own.map(|(_, applied)| applied.clone()).collect()
        };
        assert_eq!(of(&told), of(&expected));
        assert_eq!(rows(&link, room).await, rows_of(&model, room));
    }
    let names: Vec<_> = model
        .names()
        .iter()
        .map(|node| node.as_str().to_owned())
        .collect();
    assert_eq!(link.nodes().await.expect("Redis is there"), names);
    reap_all(&link, &mut model, &rooms, now).await;
}

async fn reap_all(link: &MembersLink, model: &mut Registry, rooms: &[ChannelName], now: Instant) {
    for number in 0..4 {
        let dead = node(number);
        let left = link.reap(dead.as_str()).await.expect("Redis is there");
        let outcome = loop {
            match model.reap(&dead, now).0 {
                Reaped::Partly => {}
                other => break other,
            }
        };
        assert_eq!(left.is_none(), outcome == Reaped::Wholly, "{dead:?}");
        for room in rooms {
            assert_eq!(rows(link, room).await, rows_of(model, room), "{dead:?}");
        }
    }
}

#[tokio::test]
async fn a_large_channel_is_read_in_pages_and_cleared_away_in_steps() {
    const CROWD: usize = 3_000;
    let server = Server::start();
    let redis = server.open();
    let link = redis.members();
    let room = channel("stadium");
    let sessions: Vec<Arc<str>> = (0..CROWD).map(|n| format!("session-{n}").into()).collect();
    for chunk in sessions.chunks(250) {
        let put = |session: &Arc<str>| Change::Put {
            session: Arc::clone(session),
            user: Arc::clone(session),
            info: Some(json(r#"{"name":"somebody"}"#)),
            lasts: None,
            claims: true,
        };
        let submission = Submission {
            channel: room.clone(),
            owner: node(0),
            changes: chunk.iter().map(put).collect(),
        };
        submit(&link, &submission).await;
    }
    let first = link.page(&room, None).await.expect("a page");
    assert!(first.next.is_some() && first.rows.len() < CROWD);
    let mut found = rows(&link, &room).await;
    found.dedup_by(|one, other| one.session == other.session);
    assert_eq!(found.len(), CROWD);
    assert_eq!(link.reap("nobody.1").await, Ok(None));
    assert_eq!(link.reap(node(0).as_str()).await, Ok(None));
    assert_eq!(rows(&link, &room).await, []);
    assert_eq!(link.nodes().await, Ok(Vec::new()));
}
