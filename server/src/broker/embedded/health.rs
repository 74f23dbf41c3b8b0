//! Whether the disk store can take appends. Shared by its writer and readers; a failure stays for good.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use parking_lot::Mutex;

use crate::broker::Error;

/// How long a client waits before it tries a full disk again.
pub(super) const RETRY_AFTER_FULL: Duration = Duration::from_secs(2);
/// How long a client waits before it asks a store that needs an operator.
pub(super) const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Fine,
    /// Appends failed for want of space; they work again once there is some.
    Full(String),
    /// The disk lied or the file is damaged: nothing is acknowledged any more. An acknowledgement after a
    /// failed fsync could be about pages that the kernel already dropped.
    Failed(String),
}

impl Health {
    /// Ends the store's service for good. The first reason stays.
    pub(super) fn fail(&self, reason: String) {
        let mut state = self.0.lock();
        if !matches!(*state, State::Failed(_)) {
            tracing::error!(reason, "The log is out of service.");
            *state = State::Failed(reason);
        }
    }

    pub(super) fn full(&self, reason: String) {
        let mut state = self.0.lock();
        if matches!(*state, State::Fine) {
            tracing::error!(reason, "The log cannot grow.");
            *state = State::Full(reason);
        }
    }

    /// Runs a thread's whole work. A panic ends the store's service: what the thread held is half done.
    /// Returns what the work returned, `None` after a panic.
    pub(super) fn watch<T>(&self, thread: &str, work: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(work));
        if done.is_err() {
            self.fail(format!("the thread {thread} panicked"));
        }
        done.ok()
    }

    /// An append went through.
    pub(super) fn works(&self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Full(_)) {
            tracing::info!("The log can grow again.");
            *state = State::Fine;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(*self.0.lock(), State::Full(_))
    }

    /// Refuses when the store has failed. A full store may be asked.
    pub(super) fn check(&self) -> Result<(), Error> {
        match &*self.0.lock() {
            State::Failed(reason) => Err(failed(reason)),
            State::Fine | State::Full(_) => Ok(()),
        }
    }

    /// The error for a question that a thread of the store took with it when it ended.
    pub(super) fn lost(&self) -> Error {
        self.check()
            .err()
            .unwrap_or_else(|| failed("a thread of the log ended before it could answer"))
    }

    pub(super) fn report(&self) -> Result<(), String> {
        match &*self.0.lock() {
            State::Fine => Ok(()),
            State::Full(reason) | State::Failed(reason) => Err(reason.clone()),
        }
    }
}

fn failed(reason: &str) -> Error {
    Error::Unavailable {
        reason: reason.to_owned(),
        retry_after: RETRY_AFTER_FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_may_be_asked_again_and_recovers() {
        let health = Health::default();
        health.full("disk full".to_owned());
        assert_eq!(health.report(), Err("disk full".to_owned()));
        assert_eq!(health.check(), Ok(()));
        health.works();
        assert_eq!(health.report(), Ok(()));
    }

    #[test]
    fn a_failed_store_stays_failed_with_its_first_reason() {
        let health = Health::default();
        health.fail("fsync".to_owned());
        health.works();
        health.full("later".to_owned());
        health.fail("second".to_owned());
        assert_eq!(health.report(), Err("fsync".to_owned()));
        assert_eq!(health.check(), Err(failed("fsync")));
        assert_eq!(health.lost(), failed("fsync"));
    }

    #[test]
    fn a_panic_ends_the_service() {
        let health = Health::default();
        assert_eq!(health.watch("calm", || 7), Some(7));
        assert_eq!(health.report(), Ok(()));
        assert_eq!(health.watch("write", || panic!("on purpose")), None::<()>);
        assert_eq!(health.report(), Err("the thread write panicked".to_owned()));
    }

    #[test]
    fn a_question_lost_in_a_panic_is_not_taken_for_an_orderly_stop() {
        assert!(matches!(
            Health::default().lost(),
            Error::Unavailable { .. }
        ));
    }
}
