//! Questions that wait for a reader. Equal ones that wait at the same time are read once: after a restart
//! ten thousand clients ask for the same page.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use parlor_protocol::ChannelName;
use tokio::sync::oneshot;

use crate::broker::{Error, LogPage, Range, Read};
use crate::kind::ChannelKind;

/// What makes two reads the same. The kind follows from the channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) channel: ChannelName,
    pub(super) range: Range,
    pub(super) limit: usize,
}

/// Where one asker waits.
pub(super) type Answer = oneshot::Sender<Result<LogPage, Error>>;

/// A bounded queue of questions with their askers.
#[derive(Debug)]
pub(super) struct Desk {
    open: Mutex<Open>,
    filled: Condvar,
    questions_max: usize,
    askers_max: usize,
}

#[derive(Debug, Default)]
struct Open {
    order: VecDeque<Question>,
    asked: HashMap<Question, Asked>,
    askers: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct Asked {
    kind: Arc<ChannelKind>,
    answers: Vec<Answer>,
}

/// A question that a reader took, with everybody who waits for it.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) question: Question,
    pub(super) kind: Arc<ChannelKind>,
    pub(super) answers: Vec<Answer>,
}

/// Why the desk did not take a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

impl Desk {
    pub(super) fn new(questions_max: usize) -> Self {
        Self {
            open: Mutex::default(),
            filled: Condvar::new(),
            questions_max,
            askers_max: questions_max.saturating_mul(ASKERS_PER_QUESTION),
        }
    }

    /// Queues a question, or joins an equal one that no reader took yet: what it reads is not older than this call.
    pub(super) fn ask(
        &self,
        read: Read,
    ) -> Result<oneshot::Receiver<Result<LogPage, Error>>, Refused> {
        let question = Question {
            channel: read.channel,
            range: read.range,
            limit: read.limit,
        };
        let (answer, waiting) = oneshot::channel();
        let mut open = self.open.lock();
        if open.is_closed {
            return Err(Refused::Closed);
        }
        if open.askers >= self.askers_max {
            return Err(Refused::Full);
        }
        if let Some(asked) = open.asked.get_mut(&question) {
            asked.answers.push(answer);
        } else {
            if open.order.len() >= self.questions_max {
                return Err(Refused::Full);
            }
            open.order.push_back(question.clone());
            open.asked.insert(
                question,
                Asked {
                    kind: read.kind,
                    answers: vec![answer],
                },
            );
            self.filled.notify_one();
        }
        open.askers += 1;
        Ok(waiting)
    }

    /// Waits for the next question. `None` once the desk is closed and empty.
    pub(super) fn take(&self) -> Option<Taken> {
        let mut open = self.open.lock();
        loop {
            if let Some(question) = open.order.pop_front() {
                let Asked { kind, answers } = open.asked.remove(&question)?;
                open.askers -= answers.len();
                return Some(Taken {
                    question,
                    kind,
                    answers,
                });
            }
            if open.is_closed {
                return None;
            }
            self.filled.wait(&mut open);
        }
    }

    /// Takes no more questions. Those that wait are still answered.
    pub(super) fn close(&self) {
        self.open.lock().is_closed = true;
        self.filled.notify_all();
    }

    /// Closes, and drops what waits: its askers see that nobody will answer.
    pub(super) fn abandon(&self) {
        let mut open = self.open.lock();
        *open = Open {
            is_closed: true,
            ..Open::default()
        };
        self.filled.notify_all();
    }
}

/// How many may wait for one question on average before the desk counts as full.
const ASKERS_PER_QUESTION: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kind::{Durability, SlowPolicy};
    use crate::pattern::Pattern;

    fn read(after: u64) -> Read {
        let kind = ChannelKind {
            name: "any".to_owned(),
            pattern: Pattern::new("*"),
            durability: Durability::Disk,
            history_len_max: 10,
            history_age_max: Duration::from_secs(60),
            presence: false,
            slow: SlowPolicy::Close,
            allowed: Vec::new(),
            publish_rate_max: 10,
        };
        let channel = ChannelName::parse("room").unwrap();
        Read {
            channel,
            kind: Arc::new(kind),
            range: Range::AfterOffset(after),
            limit: 10,
        }
    }

    #[test]
    fn equal_questions_are_taken_once_with_all_their_askers() {
        let desk = Desk::new(10);
        let _waiting: Vec<_> = [1, 2, 1, 1]
            .map(|after| desk.ask(read(after)).unwrap())
            .into();
        let taken = [desk.take().unwrap(), desk.take().unwrap()];
        assert_eq!(taken.each_ref().map(|taken| taken.answers.len()), [3, 1]);
    }

    #[test]
    fn a_question_already_taken_is_not_joined() {
        let desk = Desk::new(10);
        let _first = desk.ask(read(1)).unwrap();
        let taken = desk.take().unwrap();
        let _second = desk.ask(read(1)).unwrap();
        assert_eq!(taken.answers.len(), 1);
        assert_eq!(desk.take().unwrap().answers.len(), 1);
    }

    #[test]
    fn a_full_desk_refuses_and_takes_again_once_one_was_taken() {
        let desk = Desk::new(2);
        let _waiting = [desk.ask(read(1)).unwrap(), desk.ask(read(2)).unwrap()];
        assert_eq!(desk.ask(read(3)).unwrap_err(), Refused::Full);
        drop(desk.take());
        desk.ask(read(3)).unwrap();
    }

    #[test]
    fn askers_of_one_question_are_bounded_too() {
        let desk = Desk::new(1);
        let _waiting: Vec<_> = (0..ASKERS_PER_QUESTION)
            .map(|_| desk.ask(read(1)).unwrap())
            .collect();
        assert_eq!(desk.ask(read(1)).unwrap_err(), Refused::Full);
    }

    #[test]
    fn a_closed_desk_hands_out_what_waits_and_then_ends() {
        let desk = Desk::new(10);
        let _waiting = desk.ask(read(1)).unwrap();
        desk.close();
        assert_eq!(desk.ask(read(2)).unwrap_err(), Refused::Closed);
        assert!(desk.take().is_some());
        assert!(desk.take().is_none());
    }

    #[test]
    fn an_abandoned_desk_tells_its_askers() {
        let desk = Desk::new(10);
        let mut waiting = desk.ask(read(1)).unwrap();
        desk.abandon();
        assert_eq!(
            waiting.try_recv().unwrap_err(),
            oneshot::error::TryRecvError::Closed
        );
        assert!(desk.take().is_none());
    }
}
