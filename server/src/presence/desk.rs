//! What this node wants to be true in one channel, and what of it has to be said to the registry.
//!
//! It keeps the wish, not the messages: however long the registry is away, a desk holds one line per session that is
//! here (or was told to the registry and is not yet taken back). Everything it says may be said twice.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use parlor_protocol::Payload;

use super::Entry;
use super::registry::{Change, Why};

/// Changes in one submission.
const CHANGES_MAX: usize = 64;

/// The wishes of one channel.
#[derive(Debug, Default)]
pub(super) struct Desk {
    sessions: HashMap<Arc<str>, Wish>,
    users: HashMap<Arc<str>, LocalUser>,
    /// What has to be said, in this order: a state after the entry that carries it. Stale items are skipped.
    queue: VecDeque<Item>,
    under_way: Option<Vec<Said>>,
    /// It stands on the list of desks that have something to say, so it stands there once.
    pub(super) is_listed: bool,
}

/// One session's entry, as wished.
#[derive(Debug)]
struct Wish {
    user: Arc<str>,
    info: Option<Payload>,
    until: Option<Instant>,
    stance: Stance,
    is_queued: bool,
    /// Means something while it is queued.
    claims: bool,
    /// The registry may hold the entry as ours.
    may_be_known: bool,
    /// A claim was submitted, and the feed has not told our put since: what it tells meanwhile may be from before.
    awaits_put: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stance {
    Held,
    /// Another node has it now. Remembered, since it comes back to us if it lapses there while we have its socket.
    Shadowed,
    /// To be taken back.
    Gone(Why),
}

/// A user with entries here, or with a state to be said.
#[derive(Debug, Default)]
struct LocalUser {
    sessions: u32,
    /// As it was set last, if it was set here: to be repeated after a loss.
    state: Option<Payload>,
    queued: Option<StateBy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StateBy {
    Client,
    Repetition,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Item {
    Session(Arc<str>),
    User(Arc<str>),
    /// Everything before it was wished before a certain moment.
    Mark,
}

#[derive(Debug)]
enum Said {
    Session(Arc<str>, bool),
    User(Arc<str>, StateBy),
    Mark,
}

/// What somebody else's removal means for a session here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aftermath {
    Nothing,
    /// The client left, where it was last: it is not here either.
    Ended,
    /// The entry is gone although it may live here.
    Orphaned,
    /// Somebody cleared away an entry of ours: we are thought to be dead.
    Denied,
}

impl Desk {
    /// A client is here; with `until`, the entry outlives its socket and its node until then. True if there is
    /// something new to say.
    pub(super) fn want(&mut self, entry: &Entry, until: Option<Instant>) -> bool {
        let user = self.users.entry(Arc::clone(&entry.user)).or_default();
        let wish = match self.sessions.get_mut(&entry.session) {
            Some(wish) if wish.user == entry.user => wish,
            _ => {
                self.replace(entry, until);
                return true;
            }
        };
        let is_prolonged = until > wish.until;
        if wish.stance == Stance::Held && wish.info == entry.info && !is_prolonged {
            return false;
        }
        if matches!(wish.stance, Stance::Gone(_)) {
            user.sessions += 1;
            wish.until = None;
        }
        wish.until = wish.until.max(until);
        wish.info.clone_from(&entry.info);
        wish.stance = Stance::Held;
        self.say(&entry.session, true);
        true
    }

    /// A session that is new here (or, against the rules of session ids, another user's now).
    fn replace(&mut self, entry: &Entry, until: Option<Instant>) {
        let before = self.sessions.insert(
            Arc::clone(&entry.session),
            Wish {
                user: Arc::clone(&entry.user),
                info: entry.info.clone(),
                until,
                stance: Stance::Held,
                is_queued: false,
                claims: false,
                may_be_known: false,
                awaits_put: false,
            },
        );
        if let Some(before) = before
            && !matches!(before.stance, Stance::Gone(_))
        {
            self.count_out(&before.user);
        }
        self.users
            .entry(Arc::clone(&entry.user))
            .or_default()
            .sessions += 1;
        self.say(&entry.session, true);
    }

    /// The session is no longer here. True if there is something new to say.
    pub(super) fn unwant(&mut self, session: &Arc<str>, why: Why) -> bool {
        let Some(wish) = self.sessions.get_mut(session) else {
            return false;
        };
        let user = Arc::clone(&wish.user);
        match wish.stance {
            Stance::Gone(_) => false,
            Stance::Held if wish.may_be_known => {
                wish.stance = Stance::Gone(why);
                self.count_out(&user);
                self.say(session, false);
                true
            }
            Stance::Held | Stance::Shadowed => {
                self.sessions.remove(session);
                self.count_out(&user);
                false
            }
        }
    }

    /// The registry holds an entry as ours that is not here: take it back. True if there is something new to say.
    pub(super) fn disown(&mut self, session: &Arc<str>, user: &Arc<str>) -> bool {
        if self.sessions.contains_key(session) {
            return false;
        }
        let wish = Wish {
            user: Arc::clone(user),
            info: None,
            until: None,
            stance: Stance::Gone(Why::Lapsed),
            is_queued: false,
            claims: false,
            may_be_known: true,
            awaits_put: false,
        };
        self.sessions.insert(Arc::clone(session), wish);
        self.say(session, false);
        true
    }

    pub(super) fn has_user(&self, user: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.sessions > 0)
    }

    pub(super) fn set_state(&mut self, user: &Arc<str>, state: Option<Payload>) {
        let found = self.users.entry(Arc::clone(user)).or_default();
        found.state = state;
        if found.queued.replace(StateBy::Client).is_none() {
            self.queue.push_back(Item::User(Arc::clone(user)));
        }
    }

    /// Everything is said once more. `mark` is given back by [`answered`](Self::answered) when all of it was.
    pub(super) fn repeat(&mut self, mark: bool) {
        let held: Vec<_> = self
            .sessions
            .iter_mut()
            .filter(|(_, wish)| !matches!(wish.stance, Stance::Gone(_)))
            .map(|(session, wish)| {
                wish.stance = Stance::Held;
                wish.awaits_put = false;
                Arc::clone(session)
            })
            .collect();
        let gone = self
            .sessions
            .iter()
            .filter(|(_, wish)| matches!(wish.stance, Stance::Gone(_)))
            .map(|(session, _)| Arc::clone(session));
        let all: Vec<_> = gone.chain(held).collect();
        for session in all {
            self.say(&session, false);
        }
        for (id, user) in &mut self.users {
            if user.state.is_some() && user.queued.is_none() {
                user.queued = Some(StateBy::Repetition);
                self.queue.push_back(Item::User(Arc::clone(id)));
            }
        }
        if mark {
            self.queue.retain(|item| *item != Item::Mark);
            self.queue.push_back(Item::Mark);
        }
    }

    /// It lives here after all: said again, without a claim.
    pub(super) fn reclaim(&mut self, session: &Arc<str>) -> bool {
        let Some(wish) = self.sessions.get_mut(session) else {
            return false;
        };
        if matches!(wish.stance, Stance::Gone(_)) {
            return false;
        }
        wish.stance = Stance::Held;
        self.say(session, false);
        true
    }

    /// The feed told that somebody put the entry. True if there is something new to say.
    pub(super) fn heard_put(&mut self, session: &Arc<str>, user: &Arc<str>, is_ours: bool) -> bool {
        let Some(wish) = self.sessions.get_mut(session) else {
            // It came too late: who asked for it has left.
            return is_ours && self.disown(session, user);
        };
        match wish.stance {
            Stance::Held | Stance::Shadowed if is_ours => {
                wish.stance = Stance::Held;
                wish.may_be_known = true;
                wish.awaits_put = false;
            }
            // What a client asked here later follows, and takes it back.
            Stance::Held if wish.is_queued && wish.claims => {}
            Stance::Held | Stance::Shadowed => {
                wish.stance = Stance::Shadowed;
                wish.is_queued = false;
                wish.may_be_known = false;
            }
            Stance::Gone(_) if is_ours => {}
            // Nothing of ours is left to take back.
            Stance::Gone(_) => {
                self.sessions.remove(session);
            }
        }
        false
    }

    /// The feed told that the entry is gone.
    pub(super) fn heard_removed(&self, session: &Arc<str>, is_ours: bool, why: Why) -> Aftermath {
        let Some(wish) = self.sessions.get(session) else {
            return Aftermath::Nothing;
        };
        match (wish.stance, why) {
            (Stance::Gone(_), _) => Aftermath::Nothing,
            (_, Why::Reaped) if is_ours => Aftermath::Denied,
            _ if is_ours => Aftermath::Nothing,
            // It left there before it came here: our put is still to be told.
            (Stance::Shadowed, Why::Left) if wish.awaits_put => Aftermath::Nothing,
            (Stance::Shadowed, Why::Left) => Aftermath::Ended,
            // Also when we believe to hold it: a repetition of ours may have yielded to the entry that is now gone.
            (Stance::Held | Stance::Shadowed, _) => Aftermath::Orphaned,
        }
    }

    /// The feed told a user's state: what is repeated after a loss is the newest.
    pub(super) fn heard_state(&mut self, user: &str, state: Option<&Payload>) {
        if let Some(user) = self.users.get_mut(user)
            && user.queued != Some(StateBy::Client)
        {
            user.state = state.cloned();
        }
    }

    /// What to submit next, and whether there is nothing but a mark to answer. None while something is under way, or
    /// when there is nothing to say.
    pub(super) fn take(&mut self, now: Instant) -> Option<Vec<Change>> {
        if self.under_way.is_some() {
            return None;
        }
        let (mut said, mut changes) = (Vec::new(), Vec::new());
        while changes.len() < CHANGES_MAX
            && let Some(item) = self.queue.pop_front()
        {
            match item {
                Item::Mark => said.push(Said::Mark),
                Item::Session(session) => {
                    if let Some((claims, change)) = self.change_of(&session, now) {
                        said.push(Said::Session(session, claims));
                        changes.push(change);
                    }
                }
                Item::User(user) => {
                    if let Some((by, change)) = self.state_of(&user) {
                        said.push(Said::User(user, by));
                        changes.push(change);
                    }
                }
            }
        }
        if said.is_empty() {
            return None;
        }
        self.under_way = Some(said);
        Some(changes)
    }

    fn change_of(&mut self, session: &Arc<str>, now: Instant) -> Option<(bool, Change)> {
        let wish = self.sessions.get_mut(session)?;
        if !std::mem::take(&mut wish.is_queued) {
            return None;
        }
        let claims = std::mem::take(&mut wish.claims);
        let change = match wish.stance {
            Stance::Shadowed => return None,
            Stance::Gone(why) => Change::Remove {
                session: Arc::clone(session),
                why,
            },
            Stance::Held => {
                wish.may_be_known = true;
                wish.awaits_put |= claims;
                Change::Put {
                    session: Arc::clone(session),
                    user: Arc::clone(&wish.user),
                    info: wish.info.clone(),
                    lasts: wish.until.map(|until| until.saturating_duration_since(now)),
                    claims,
                }
            }
        };
        Some((claims, change))
    }

    fn state_of(&mut self, id: &Arc<str>) -> Option<(StateBy, Change)> {
        let user = self.users.get_mut(id)?;
        let by = user.queued.take()?;
        let change = Change::State {
            user: Arc::clone(id),
            state: user.state.clone(),
            if_absent: by == StateBy::Repetition,
        };
        Some((by, change))
    }

    /// What was under way is done, or has to be said again. True if a mark was reached.
    pub(super) fn answered(&mut self, is_done: bool) -> bool {
        let said = self.under_way.take().unwrap_or_default();
        if !is_done {
            said.into_iter().rev().for_each(|said| self.put_back(said));
            return false;
        }
        let mut has_mark = false;
        for said in said {
            match said {
                // A later mark waits still: only that one counts.
                Said::Mark => has_mark = !self.queue.contains(&Item::Mark),
                Said::Session(session, _) => {
                    let is_settled =
                        |wish: &Wish| matches!(wish.stance, Stance::Gone(_)) && !wish.is_queued;
                    if self.sessions.get(&session).is_some_and(is_settled) {
                        self.sessions.remove(&session);
                    }
                }
                Said::User(user, _) => self.forget_if_idle(&user),
            }
        }
        has_mark
    }

    fn put_back(&mut self, said: Said) {
        match said {
            Said::Mark => self.queue.push_front(Item::Mark),
            Said::Session(session, claims) => {
                let Some(wish) = self.sessions.get_mut(&session) else {
                    return;
                };
                if wish.stance == Stance::Shadowed {
                    if !claims {
                        return;
                    }
                    wish.stance = Stance::Held;
                }
                wish.claims = claims || (wish.is_queued && wish.claims);
                wish.is_queued = true;
                self.queue.push_front(Item::Session(session));
            }
            Said::User(id, by) => {
                let Some(user) = self.users.get_mut(&id) else {
                    return;
                };
                user.queued = user.queued.filter(|by| *by == StateBy::Client).or(Some(by));
                self.queue.push_front(Item::User(id));
            }
        }
    }

    /// Whether something waits to be said.
    pub(super) fn has_news(&self) -> bool {
        !self.queue.is_empty() && self.under_way.is_none()
    }

    /// Whether nothing is left to remember.
    pub(super) fn is_over(&self) -> bool {
        self.sessions.is_empty()
            && self.users.is_empty()
            && self.queue.is_empty()
            && self.under_way.is_none()
    }

    fn say(&mut self, session: &Arc<str>, claims: bool) {
        if let Some(wish) = self.sessions.get_mut(session) {
            wish.claims = claims || (wish.is_queued && wish.claims);
            if !std::mem::replace(&mut wish.is_queued, true) {
                self.queue.push_back(Item::Session(Arc::clone(session)));
            }
        }
        self.compact();
    }

    fn count_out(&mut self, id: &Arc<str>) {
        if let Some(user) = self.users.get_mut(id) {
            user.sessions = user.sessions.saturating_sub(1);
            if user.sessions == 0 {
                // Its record in the registry goes with its last entry, or belongs to the entries elsewhere.
                self.users.remove(id);
            }
        }
    }

    fn forget_if_idle(&mut self, id: &Arc<str>) {
        let is_idle = |user: &LocalUser| user.sessions == 0 && user.queued.is_none();
        if self.users.get(id).is_some_and(is_idle) {
            self.users.remove(id);
        }
    }

    /// Sessions that come and go while the registry is away leave stale items behind: not without end.
    fn compact(&mut self) {
        if self.queue.len() < 64 + 2 * (self.sessions.len() + self.users.len()) {
            return;
        }
        let mut kept = HashSet::new();
        let (sessions, users) = (&self.sessions, &self.users);
        self.queue.retain(|item| {
            let is_live = match item {
                Item::Session(id) => sessions.get(id).is_some_and(|wish| wish.is_queued),
                Item::User(id) => users.get(id).is_some_and(|user| user.queued.is_some()),
                Item::Mark => true,
            };
            is_live && kept.insert(item.clone())
        });
    }
}

#[cfg(test)]
impl Desk {
    pub(super) fn items_len(&self) -> usize {
        self.queue.len()
    }
}
