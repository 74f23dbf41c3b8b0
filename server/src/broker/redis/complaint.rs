//! Why batches fail, told without a flood: each reason once, and once when that is over.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Reasons that are told while batches fail. Some contain addresses or numbers: beyond so many nothing new is learnt.
const REASONS_MAX: usize = 8;

/// It is over when something was appended and nothing has failed for so long.
const CALM: Duration = Duration::from_secs(5);

/// What was told of failing batches, in all partitions.
#[derive(Debug, Default)]
pub(super) struct Complaint(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Vec<String>,
    failed: Option<Instant>,
}

impl Complaint {
    /// A batch failed. Whether that is to be told.
    pub(super) fn is_news(&self, reason: &str, now: Instant) -> bool {
        let mut state = self.0.lock();
        state.failed = Some(now);
        let is_news =
            state.told.len() < REASONS_MAX && state.told.iter().all(|told| told != reason);
        if is_news {
            state.told.push(reason.to_owned());
        }
        is_news
    }

    /// A batch was appended. Whether that ends the complaint, which is to be told too.
    pub(super) fn ends(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        let ends = state
            .failed
            .is_some_and(|failed| now.duration_since(failed) >= CALM);
        if ends {
            *state = State::default();
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_until_all_is_well() {
        let complaint = Complaint::default();
        let now = Instant::now();
        assert!(!complaint.ends(now + CALM), "nothing was told");
        assert!(complaint.is_news("OOM", now));
        assert!(!complaint.is_news("OOM", now));
        assert!(complaint.is_news("NOREPLICAS", now));
        assert!(!complaint.is_news("OOM", now + CALM), "they alternate");
        assert!(!complaint.ends(now + CALM), "one has just failed");
        assert!(complaint.ends(now + CALM * 2));
        assert!(!complaint.ends(now + CALM * 2), "that is told once");
        assert!(complaint.is_news("OOM", now + CALM * 2));
    }

    #[test]
    fn reasons_that_are_always_others_are_no_flood() {
        let complaint = Complaint::default();
        let now = Instant::now();
        let told = (0..100).filter(|number| complaint.is_news(&format!("to {number}"), now));
        assert_eq!(told.count(), REASONS_MAX);
    }
}
