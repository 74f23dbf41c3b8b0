//! Watchers who apply diffs over a snapshot know the truth at every step, whatever happens in between.
//!
//! Random by a seed, printed when it fails; `PARLOR_SEED` runs one seed again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parlor_protocol::push::PresenceDiff;
use parlor_protocol::reply::Member;

use super::super::PresenceConfig;
use super::world::{GRACE, TICK, World, json};

const CHANNELS: [&str; 3] = ["room", "attic", "hall"];
const SESSIONS: u64 = 12;

#[test]
fn diffs_over_a_snapshot_give_the_truth_at_every_step() {
    match std::env::var("PARLOR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    {
        Some(seed) => run(seed),
        None => (0..60).for_each(run),
    }
}

fn run(seed: u64) {
    let large = PresenceConfig {
        grace: GRACE,
        tick: TICK,
        ..PresenceConfig::default()
    };
    let config = if seed.is_multiple_of(3) {
        PresenceConfig {
            members_pushed_max: 4,
            ..large
        }
    } else {
        large
    };
    let mut play = Play {
        world: World::with(config),
        truth: Truth::default(),
        watchers: Vec::new(),
        random: Random(seed),
    };
    for step in 0..400 {
        play.step();
        play.check(&format!("seed {seed}, step {step}"));
    }
    play.send_everybody_home(&format!("seed {seed}, at the end"));
}

/// A deterministic source of choices (`splitmix64`).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// The simplest thing that is right: one line per entry, searched from end to end.
#[derive(Default)]
struct Truth {
    /// (channel, session) → the time left, if its socket is lost.
    entries: BTreeMap<(&'static str, u64), Option<Duration>>,
    /// Session → the connection that speaks for it, and whether it has its socket.
    owners: BTreeMap<u64, (u64, bool)>,
    states: BTreeMap<(&'static str, String), String>,
}

impl Truth {
    fn release(&mut self, session: u64) {
        for (_, left) in self
            .entries
            .iter_mut()
            .filter(|((_, one), _)| *one == session)
        {
            *left = Some(left.unwrap_or_default().max(GRACE));
        }
    }

    fn pass(&mut self, span: Duration) {
        self.entries
            .retain(|_, left| left.is_none_or(|left| left > span));
        self.entries
            .values_mut()
            .flatten()
            .for_each(|left| *left -= span);
        self.tidy();
    }

    fn tidy(&mut self) {
        let present: BTreeSet<_> = self
            .entries
            .keys()
            .map(|(at, session)| (*at, user_of(*session)))
            .collect();
        self.states.retain(|key, _| present.contains(key));
    }

    fn members(&self, channel: &'static str) -> BTreeMap<String, Member> {
        let mut members = BTreeMap::<String, Member>::new();
        for (_, session) in self.entries.keys().filter(|(at, _)| *at == channel) {
            let user = user_of(*session);
            let state = self
                .states
                .get(&(channel, user.clone()))
                .map(|state| json(state));
            let made = || Member {
                user: user.clone(),
                info: None,
                state,
                sessions: Vec::new(),
            };
            members
                .entry(user.clone())
                .or_insert_with(made)
                .sessions
                .push(name_of(*session));
        }
        members
    }

    fn connections(&self, channel: &'static str) -> u64 {
        self.entries.keys().filter(|(at, _)| *at == channel).count() as u64
    }
}

fn name_of(session: u64) -> String {
    format!("s{session:02}")
}

/// Two sessions each.
fn user_of(session: u64) -> String {
    format!("user{}", session / 2)
}

/// Does what the protocol asks of clients, and nothing more.
struct Watcher {
    channel: &'static str,
    version: u64,
    members: BTreeMap<String, Member>,
    counts: (u64, u64),
    cursor: Option<String>,
    is_paging: bool,
    /// Its list is out of date, since a diff carried only counts.
    is_stale: bool,
}

impl Watcher {
    fn apply(&mut self, diff: &PresenceDiff) {
        if diff.version <= self.version {
            return;
        }
        assert_eq!(
            diff.version,
            self.version + 1,
            "no version is skipped while the roster lives"
        );
        self.version = diff.version;
        self.counts = (diff.users, diff.connections);
        self.is_stale |= diff.joined.is_empty() && diff.updated.is_empty() && diff.left.is_empty();
        for member in diff.joined.iter().chain(&diff.updated) {
            self.members.insert(member.user.clone(), member.clone());
        }
        for user in &diff.left {
            self.members.remove(user);
        }
    }

    /// Reads one page. Diffs that come between two pages are applied as they come.
    fn turn_page(&mut self, world: &World) {
        let page = world.page(self.channel, 2, self.cursor.as_deref());
        if self.cursor.is_none() {
            self.version = page.version;
            self.counts = (page.users, page.connections);
        }
        self.members.extend(
            page.members
                .into_iter()
                .map(|member| (member.user.clone(), member)),
        );
        self.cursor = page.next;
        self.is_paging = self.cursor.is_some();
    }
}

struct Play {
    world: World,
    truth: Truth,
    watchers: Vec<Watcher>,
    random: Random,
}

impl Play {
    fn step(&mut self) {
        let session = self.random.below(SESSIONS);
        let channel = CHANNELS[self.random.below(3) as usize];
        let (owner, has_socket) = self
            .truth
            .owners
            .get(&session)
            .copied()
            .unwrap_or((session * 1_000, false));
        match self.random.below(14) {
            0..=3 if has_socket => self.join(channel, session, owner),
            0..=4 => self.attach(session, owner + 1),
            5 | 6 => self.leave(channel, session, owner),
            7 => self.detach(session, owner),
            8 => self.end(session, owner),
            9 => self.speak_too_late(channel, session, owner),
            10 => self.set_state(channel, session),
            11 => self.watch(channel),
            12 => self.pass(TICK / 2),
            _ => {
                let span = Duration::from_millis(self.random.below(3_000));
                self.pass(span);
            }
        }
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.is_paging) {
            watcher.turn_page(&self.world);
        }
    }

    fn join(&mut self, channel: &'static str, session: u64, owner: u64) {
        self.world
            .join(channel, &user_of(session), &name_of(session), owner);
        self.truth.entries.insert((channel, session), None);
    }

    fn attach(&mut self, session: u64, owner: u64) {
        self.world.attach(&name_of(session), owner);
        self.truth.owners.insert(session, (owner, true));
        self.truth.release(session);
    }

    fn leave(&mut self, channel: &'static str, session: u64, owner: u64) {
        self.world.leave(channel, &name_of(session), owner);
        self.truth.entries.remove(&(channel, session));
        self.truth.tidy();
    }

    fn detach(&mut self, session: u64, owner: u64) {
        self.world.detach(&name_of(session), owner);
        self.truth.owners.insert(session, (owner, false));
        self.truth.release(session);
    }

    fn end(&mut self, session: u64, owner: u64) {
        self.world.end(&name_of(session), owner);
        self.truth.owners.insert(session, (owner, false));
        self.truth.entries.retain(|(_, one), _| *one != session);
        self.truth.tidy();
    }

    /// A connection that was replaced goes on talking: nothing may come of it.
    fn speak_too_late(&self, channel: &'static str, session: u64, owner: u64) {
        if !self
            .truth
            .owners
            .get(&session)
            .is_some_and(|(_, has_socket)| *has_socket)
        {
            return;
        }
        let (name, stale) = (name_of(session), owner - 1);
        self.world.join(channel, &user_of(session), &name, stale);
        self.world.leave(channel, &name, stale);
        self.world.detach(&name, stale);
        self.world.end(&name, stale);
    }

    fn set_state(&mut self, channel: &'static str, session: u64) {
        let (user, state) = (user_of(session), self.random.below(3).to_string());
        let is_present = self.truth.members(channel).contains_key(&user);
        assert_eq!(self.world.set_state(channel, &user, &state), is_present);
        if is_present {
            self.truth.states.insert((channel, user), state);
        }
    }

    fn watch(&mut self, channel: &'static str) {
        self.watchers
            .retain(|watcher| watcher.channel != channel || !watcher.is_stale);
        let mut watcher = Watcher {
            channel,
            version: 0,
            members: BTreeMap::new(),
            counts: (0, 0),
            cursor: None,
            is_paging: true,
            is_stale: false,
        };
        watcher.turn_page(&self.world);
        self.watchers.push(watcher);
    }

    fn pass(&mut self, span: Duration) {
        let diffs = self.world.pass(span);
        self.truth.pass(span);
        for (channel, diff) in &diffs {
            self.watchers
                .iter_mut()
                .filter(|one| one.channel == channel.as_str())
                .for_each(|one| one.apply(diff));
        }
        // A roster that was dropped sends its watchers to a new snapshot.
        let world = &self.world;
        self.watchers.retain(|watcher| {
            world
                .presence
                .rosters
                .contains_key(&super::world::channel(watcher.channel))
        });
    }

    fn check(&self, place: &str) {
        for channel in CHANNELS {
            let truth = self.truth.members(channel);
            let counts = (truth.len() as u64, self.truth.connections(channel));
            assert_eq!(
                self.world.presence.counts(&super::world::channel(channel)),
                counts,
                "{place}, {channel}"
            );
            let told = self
                .world
                .presence
                .rosters
                .get(&super::world::channel(channel))
                .is_none_or(|one| !one.lock().flush_is_planned);
            for watcher in self
                .watchers
                .iter()
                .filter(|one| told && one.channel == channel)
            {
                assert_eq!(watcher.counts, counts, "{place}, {channel}");
                if !watcher.is_stale && !watcher.is_paging {
                    assert_eq!(watcher.members, truth, "{place}, {channel}");
                }
            }
        }
    }

    fn send_everybody_home(&mut self, place: &str) {
        for session in 0..SESSIONS {
            if let Some((owner, true)) = self.truth.owners.get(&session).copied() {
                self.detach(session, owner);
            }
        }
        self.pass(GRACE * 2);
        self.check(place);
        assert_eq!(self.world.kept(), 0, "{place}");
    }
}
