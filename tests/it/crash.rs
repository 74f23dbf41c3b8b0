//! `kill -9`: a real process, many publishes under way, and what is there when it comes back.
//!
//! `SEED=n` brings one run back; `SEEDS=50` makes so many.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::join_all;
use parlor_protocol::codec::ServerMessage;
use parlor_protocol::command::{Command, Connect, Publish, Recover};
use parlor_protocol::{Event, Form, Position, Push, Reply};
use parlor_tests::{Client, Process, Seed, publish, said, text};
use rand::Rng as _;

const CHANNEL: &str = "room:crash";
/// Lives of the server in one run.
const LIVES: usize = 3;
const WRITERS: usize = 4;
/// Publishes sent by each of the writers in one life, within a connection's rate.
const PUBLISHES: usize = 90;
/// At least so many have no answer when the process dies.
const UNANSWERED_MIN: usize = 20;

#[test]
fn acknowledged_means_kept_across_kill() {
    let seeds = std::env::var("SEEDS").map_or(3, |seeds| seeds.parse().expect("SEEDS is a number"));
    let only = Seed::from_environment();
    let base = only.unwrap_or_else(Seed::chosen);
    for number in 0..if only.is_some() { 1 } else { seeds } {
        let seed = Seed(base.0.wrapping_add(number));
        let _witness = seed.witness();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(live_and_die(seed));
    }
}

/// What is known of the log from all lives.
#[derive(Default)]
struct Known {
    /// What each place was seen to hold.
    places: HashMap<(u64, u64), String>,
    /// Answered publishes.
    acknowledged: BTreeMap<String, Position>,
    /// Sent under an id and never answered.
    open: Vec<Publish>,
}

impl Known {
    fn place(&mut self, position: Position, words: &str) {
        let known = self
            .places
            .entry((position.epoch.0, position.offset))
            .or_insert_with(|| words.to_owned());
        assert_eq!(known, words, "{position:?} named two events");
    }

    fn saw(&mut self, event: &Event) {
        let position = event.position.as_deref().expect("a logged event");
        self.place(position.parse().expect("a position"), said(event));
    }

    fn acknowledged(&mut self, words: &str, position: &str) {
        let position: Position = position.parse().expect("a position");
        self.place(position, words);
        let before = self.acknowledged.insert(words.to_owned(), position);
        assert!(
            before.is_none_or(|before| before == position),
            "{words} was acknowledged at two places"
        );
    }
}

async fn live_and_die(seed: Seed) {
    let mut rng = seed.rng(0);
    let directory = tempfile::TempDir::new().expect("a directory");
    let mut known = Known::default();
    let mut cursor = None;
    for life in 0..LIVES {
        let form = Form::ALL[rng.random_range(0..2)];
        let process = Process::start(directory.path(), rng.random_range(1..4));
        let mut reader = join(&process, form, "reader").await;
        catch_up(&mut reader, &mut cursor, &mut known).await;
        check(&mut reader, &mut known).await;
        repeat_open(&process, form, &mut known).await;
        let mut writers = join_writers(&process, form).await;
        let waited_for = rng.random_range(0..PUBLISHES / 10);
        let writing = writers
            .iter_mut()
            .enumerate()
            .map(|(writer, client)| write(client, writer, life));
        let sent = join_all(writing).await;
        while writers[0].waiting() < waited_for {
            writers[0].hear_one().await;
        }
        process.kill();
        let mut unanswered = 0;
        for (writer, sent) in writers.iter_mut().zip(sent) {
            unanswered += take_answers(writer, sent, &mut known).await;
        }
        eprintln!(
            "Seed {}, life {life}: {unanswered} publishes unanswered.",
            seed.0
        );
        assert!(
            unanswered >= UNANSWERED_MIN,
            "only {unanswered} publishes were under way"
        );
        hear_the_rest(&mut reader, &mut cursor, &mut known).await;
    }
    let process = Process::start(directory.path(), 1);
    let mut reader = join(&process, Form::Json, "reader").await;
    catch_up(&mut reader, &mut cursor, &mut known).await;
    reader.unsubscribe(CHANNEL).await;
    repeat_open(&process, Form::Json, &mut known).await;
    assert_eq!(
        check(&mut reader, &mut known).await,
        WRITERS * LIVES * PUBLISHES,
        "each publish is there once"
    );
}

async fn join(process: &Process, form: Form, user: &str) -> Client {
    let mut client = Client::open(process.address(), form).await;
    let connect = Connect {
        user: Some(user.to_owned()),
        ..Connect::default()
    };
    client.connect(connect).await.expect("connected");
    client
}

/// Subscribes, after the first life from where it was: everything that was missed comes.
async fn catch_up(reader: &mut Client, cursor: &mut Option<String>, known: &mut Known) {
    let Some(position) = cursor.clone() else {
        *cursor = Some(reader.subscribe(CHANNEL).await.position);
        return;
    };
    let subscribed = reader.resume(CHANNEL, Recover::From(position)).await;
    assert_eq!(subscribed.recovered, Some(true), "{subscribed:?}");
    if let (Some(from), Some(to)) = (subscribed.from, subscribed.to) {
        for offset in from..=to {
            let event = reader.event().await;
            assert_eq!(event.offset, Some(offset));
            known.saw(&event);
            *cursor = event.position;
        }
    }
}

/// Holds the history against what is known. Returns how many messages it has.
async fn check(reader: &mut Client, known: &mut Known) -> usize {
    let history = reader.whole_history(CHANNEL).await;
    assert!(
        history
            .iter()
            .filter_map(|event| event.offset)
            .eq(1..=history.len() as u64),
        "dense"
    );
    let mut by_words = HashMap::new();
    for event in &history {
        known.saw(event);
        assert!(
            by_words.insert(said(event), event).is_none(),
            "{} is there twice",
            said(event)
        );
    }
    for (words, position) in &known.acknowledged {
        let event = by_words
            .get(words.as_str())
            .unwrap_or_else(|| panic!("acknowledged and lost: {words}"));
        assert_eq!(
            event.position.as_deref(),
            Some(position.to_string().as_str())
        );
    }
    history.len()
}

async fn join_writers(process: &Process, form: Form) -> Vec<Client> {
    join_all(
        (0..WRITERS).map(async |writer| join(process, form, &format!("writer-{writer}")).await),
    )
    .await
}

/// Sends everything whose outcome is open again, each by its own writer.
async fn repeat_open(process: &Process, form: Form, known: &mut Known) {
    let mut writers = join_writers(process, form).await;
    for command in std::mem::take(&mut known.open) {
        let words = said_by(&command).to_owned();
        let writer = words
            .split('-')
            .next()
            .and_then(|writer| writer.parse::<usize>().ok());
        let client = &mut writers[writer.expect("its writer's number")];
        let published = client.try_publish(command).await.expect("answered at last");
        known.acknowledged(&words, &published.position);
    }
}

/// Sends all publishes without waiting for an answer. Returns them by wire id.
async fn write(client: &mut Client, writer: usize, life: usize) -> BTreeMap<u32, Publish> {
    let mut sent = BTreeMap::new();
    for number in 0..PUBLISHES {
        let name = format!("{writer}-{life}-{number}");
        let words = format!("{name} {}", "x".repeat(16_000));
        let command = Publish {
            id: Some(name),
            ..publish(CHANNEL, text(words))
        };
        let wire_id = client.send(Command::Publish(command.clone())).await;
        sent.insert(wire_id, command);
    }
    sent
}

/// Reads what the process said before it died. Returns how many publishes have no answer.
async fn take_answers(
    writer: &mut Client,
    mut sent: BTreeMap<u32, Publish>,
    known: &mut Known,
) -> usize {
    writer.goodbye().await;
    for message in writer.take_waiting() {
        if let ServerMessage::Reply {
            id,
            result: Ok(Reply::Publish(published)),
        } = message
        {
            let command = sent.remove(&id).expect("it was sent");
            known.acknowledged(said_by(&command), &published.position);
        }
    }
    let unanswered = sent.len();
    known.open.extend(sent.into_values());
    unanswered
}

/// What the reader was told before the end moves its cursor on.
async fn hear_the_rest(reader: &mut Client, cursor: &mut Option<String>, known: &mut Known) {
    reader.goodbye().await;
    for message in reader.take_waiting() {
        if let ServerMessage::Push(Push::Event { event, .. }) = message {
            known.saw(&event);
            *cursor = event.position;
        }
    }
}

fn said_by(command: &Publish) -> &str {
    let text = str::from_utf8(&command.payload.bytes).expect("a text");
    text.trim_matches('"')
}
