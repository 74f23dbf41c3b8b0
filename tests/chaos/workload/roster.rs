//! A channel's roster as a client keeps it: a snapshot in pages, and the diffs that are pushed after it (SPEC.md, 8 Presence).
//!
//! Plain state without a session: `holder` asks for the pages, and tells it what comes.

use std::collections::BTreeSet;

use parlor_protocol::Alias;
use parlor_protocol::push::PresenceDiff;
use parlor_protocol::reply::{Member, Members};

use crate::recorder::{Known, Name};

/// Empty until a first snapshot is complete.
#[derive(Debug, Default)]
pub(super) struct Roster {
    users: BTreeSet<Name>,
    count: u64,
    /// Diffs above it are news. None before the first snapshot.
    version: Option<u64>,
    /// Somebody came or left without being named: the names are out of date.
    is_stale: bool,
    wants_snapshot: bool,
    reading: Option<Reading>,
}

/// A snapshot of which pages are still to come.
#[derive(Debug, Default)]
struct Reading {
    /// That of the first page.
    version: Option<u64>,
    users: BTreeSet<Name>,
    /// Diffs that came meanwhile.
    held: Vec<PresenceDiff>,
}

impl Roster {
    /// Begins a snapshot. What was known stays until its last page.
    pub(super) fn read_anew(&mut self) {
        self.wants_snapshot = false;
        self.reading = Some(Reading::default());
    }

    /// The snapshot that was begun is not to be had.
    pub(super) fn give_up(&mut self) {
        self.wants_snapshot = true;
        self.reading = None;
    }

    pub(super) fn wants_snapshot(&self) -> bool {
        self.wants_snapshot
    }

    /// Takes a page, and gives the cursor of the next one.
    pub(super) fn add(&mut self, page: Members) -> Option<String> {
        let mut reading = self.reading.take()?;
        reading.version.get_or_insert(page.version);
        let names = page.members.into_iter();
        reading
            .users
            .extend(names.map(|member| Name::from(member.user)));
        if page.next.is_some() {
            self.reading = Some(reading);
            return page.next;
        }
        self.users = reading.users;
        self.count = page.users;
        // Diffs above the first page's version may concern users on it, whatever later pages already know.
        self.version = reading.version;
        self.is_stale = false;
        for diff in reading.held {
            self.merge(diff);
        }
        None
    }

    pub(super) fn apply(&mut self, diff: PresenceDiff) {
        match &mut self.reading {
            Some(reading) => reading.held.push(diff),
            None => self.merge(diff),
        }
    }

    fn merge(&mut self, diff: PresenceDiff) {
        let Some(version) = self.version.filter(|version| diff.version > *version) else {
            return;
        };
        let is_named = !(diff.joined.is_empty() && diff.updated.is_empty() && diff.left.is_empty());
        if is_named && diff.version > version + 1 {
            self.wants_snapshot = true;
            return;
        }
        self.version = Some(diff.version);
        self.count = diff.users;
        let there = diff.joined.into_iter().chain(diff.updated);
        self.users
            .extend(there.map(|member| Name::from(member.user)));
        for user in &diff.left {
            self.users.remove(user.as_str());
        }
        self.is_stale |= !is_named;
        // Where names come again, they are worth having again.
        self.wants_snapshot |= self.is_stale && is_named;
    }

    pub(super) fn known(&self) -> Known {
        Known {
            names: (!self.is_stale).then(|| self.users.clone()),
            count: self.count,
        }
    }
}

fn members(users: &[&str]) -> Vec<Member> {
    let member = |user: &&str| Member {
        user: (*user).to_owned(),
        info: None,
        state: None,
        sessions: Vec::new(),
    };
    users.iter().map(member).collect()
}

fn page(version: u64, users: &[&str], count: u64, next: Option<&str>) -> Members {
    Members {
        members: members(users),
        users: count,
        connections: count,
        version,
        next: next.map(str::to_owned),
    }
}

fn diff(version: u64, joined: &[&str], left: &[&str], count: u64) -> PresenceDiff {
    PresenceDiff {
        alias: Alias(1),
        version,
        joined: members(joined),
        updated: Vec::new(),
        left: left.iter().map(|user| (*user).to_owned()).collect(),
        users: count,
        connections: count,
    }
}

/// One that has read a snapshot of version 7.
fn read(users: &[&str]) -> Roster {
    let mut roster = Roster::default();
    roster.read_anew();
    let next = roster.add(page(7, users, users.len() as u64, None));
    assert_eq!(next, None);
    roster
}

#[track_caller]
fn is_known(roster: &Roster, users: &[&str]) {
    let names = users.iter().map(|user| Name::from(*user)).collect();
    let count = users.len() as u64;
    let names = Some(names);
    assert_eq!(roster.known(), Known { names, count });
}

#[test]
fn diffs_above_the_first_page_are_applied_whatever_later_pages_know() {
    let mut roster = Roster::default();
    roster.read_anew();
    let next = roster.add(page(7, &["ann", "bob"], 3, Some("Ym9i")));
    assert_eq!(next.as_deref(), Some("Ym9i"));
    roster.apply(diff(7, &["old"], &[], 4));
    roster.apply(diff(8, &["dan"], &["ann"], 3));
    assert_eq!(roster.add(page(8, &["cid", "dan"], 3, None)), None);
    is_known(&roster, &["bob", "cid", "dan"]);
    roster.apply(diff(9, &[], &["bob"], 2));
    is_known(&roster, &["cid", "dan"]);
    assert!(!roster.wants_snapshot());
}

#[test]
fn a_skipped_version_wants_a_snapshot() {
    let mut roster = read(&["ann"]);
    roster.apply(diff(9, &["cid"], &[], 3));
    assert!(roster.wants_snapshot());
    roster.read_anew();
    assert_eq!(roster.add(page(9, &["ann", "bob", "cid"], 3, None)), None);
    assert!(!roster.wants_snapshot());
    is_known(&roster, &["ann", "bob", "cid"]);
}

#[test]
fn a_diff_without_names_leaves_counts_until_names_come_again() {
    let mut roster = read(&["ann"]);
    roster.apply(diff(8, &[], &[], 250));
    let counts = Known {
        names: None,
        count: 250,
    };
    assert_eq!(roster.known(), counts);
    assert!(!roster.wants_snapshot());
    roster.apply(diff(9, &["bob"], &[], 2));
    assert!(roster.wants_snapshot());
}
