//! One subscriber's proof: offsets come densely, once and in order.
//!
//! Sees offsets only. Kept small, since there is one for each connection.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What one subscriber has received of its channel.
#[derive(Clone, Debug)]
pub(crate) struct Checker {
    /// The highest offset seen or passed over.
    last: u64,
    /// Ranges (first, last) below `last` that have not come; boxed by `Vec`, so it costs nothing while empty.
    missing: Vec<(u64, u64)>,
    /// Since it came back, as long as nothing new has come: how far that has come which it had already and is given once more. A
    /// hole right behind `last` was lost by the resume then.
    replayed: Option<u64>,
}

/// Faults, in numbers of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Faults {
    /// Offsets that never came.
    pub(crate) gaps: u64,
    /// Offsets that came again.
    pub(crate) duplicates: u64,
    /// Offsets that came after a higher one.
    pub(crate) reordered: u64,
    /// Offsets that the server said it passed over (`advance`).
    pub(crate) skipped: u64,
    /// Of the gaps, those that begin where a resumed subscriber had left off.
    pub(crate) lost_after_resume: u64,
    /// Subscribers that came back and were given what they had missed. No fault.
    pub(crate) resumes: u64,
    /// Subscribers that came back and were told that what they had missed is not to be had.
    pub(crate) not_recovered: u64,
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.gaps += other.gaps;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.skipped += other.skipped;
        self.lost_after_resume += other.lost_after_resume;
        self.resumes += other.resumes;
        self.not_recovered += other.not_recovered;
    }
}

impl Checker {
    /// A subscriber whose live events begin behind `offset`.
    pub(crate) fn behind(offset: u64) -> Self {
        Self {
            last: offset,
            missing: Vec::new(),
            replayed: None,
        }
    }

    /// The highest offset seen or passed over.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The subscriber comes back and asks for everything behind this offset. It may be an earlier one than the last
    /// event's, so what it has already may come once more.
    pub(crate) fn ask_behind(&mut self, offset: u64) {
        self.replayed = Some(offset);
    }

    /// The server has promised what was asked for.
    pub(crate) fn resume(&mut self, faults: &mut Faults) {
        faults.resumes += 1;
        self.replayed = self.replayed.or(Some(self.last));
    }

    /// The server has said that what was asked for is not to be had, and goes on behind this offset.
    pub(crate) fn begin_anew(&mut self, offset: u64, faults: &mut Faults) {
        faults.not_recovered += 1;
        self.replayed = None;
        self.pass(offset, faults);
    }

    /// Takes an event; counts what is wrong with it. Whether it was the next one.
    pub(crate) fn see(&mut self, offset: u64, faults: &mut Faults) -> bool {
        if offset == self.last + 1 {
            self.last = offset;
            self.replayed = None;
            return true;
        }
        if offset > self.last {
            if self.replayed.take().is_some() {
                faults.lost_after_resume += offset - 1 - self.last;
            }
            self.miss(self.last + 1, offset - 1);
            self.last = offset;
        } else if self.replayed.is_some_and(|replayed| offset > replayed) {
            // This lies between position and last event, and each of them comes but once and in order.
            self.replayed = Some(offset);
            return true;
        } else if self.fill(offset) {
            faults.reordered += 1;
        } else {
            faults.duplicates += 1;
        }
        false
    }

    /// The server says that everything up to `offset` is passed over.
    pub(crate) fn pass(&mut self, offset: u64, faults: &mut Faults) {
        if offset > self.last {
            faults.skipped += offset - self.last;
            self.last = offset;
            self.replayed = None;
        }
    }

    /// At the end, with the channel's highest acknowledged offset: what never came.
    pub(crate) fn finish(&self, top: u64, faults: &mut Faults) {
        let holes: u64 = self
            .missing
            .iter()
            .map(|(first, last)| last - first + 1)
            .sum();
        faults.gaps += holes + top.saturating_sub(self.last);
    }

    fn miss(&mut self, first: u64, last: u64) {
        let full = self.missing.len() == MISSING_RANGES_MAX;
        match self.missing.last_mut() {
            // Beyond the bound, ranges melt together: the count stays at least as high as the truth.
            Some(range) if full => range.1 = last,
            _ => self.missing.push((first, last)),
        }
    }

    /// Takes `offset` out of the missing ones, if it is among them.
    fn fill(&mut self, offset: u64) -> bool {
        let Some(index) = self
            .missing
            .iter()
            .position(|(first, last)| (*first..=*last).contains(&offset))
        else {
            return false;
        };
        let (first, last) = self.missing.remove(index);
        if offset < last {
            self.missing.insert(index, (offset + 1, last));
        }
        if first < offset {
            self.missing.insert(index, (first, offset - 1));
        }
        true
    }
}

/// Holes remembered for each subscriber. One is a fault already; more only sharpen the count.
const MISSING_RANGES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(start: u64, seen: &[u64], top: u64, expected: Faults) {
        let (mut checker, mut faults) = (Checker::behind(start), Faults::default());
        for offset in seen {
            checker.see(*offset, &mut faults);
        }
        checker.finish(top, &mut faults);
        assert_eq!(faults, expected);
    }

    #[test]
    fn dense_offsets_are_without_fault() {
        check(0, &[1, 2, 3], 3, Faults::default());
        check(41, &[42, 43], 43, Faults::default());
    }

    #[test]
    fn a_gap_is_caught() {
        check(
            0,
            &[1, 2, 5, 6],
            6,
            Faults {
                gaps: 2,
                ..Faults::default()
            },
        );
    }

    #[test]
    fn a_gap_at_the_very_start_is_caught() {
        check(
            10,
            &[12],
            12,
            Faults {
                gaps: 1,
                ..Faults::default()
            },
        );
    }

    #[test]
    fn what_is_acknowledged_but_never_comes_is_a_gap() {
        check(
            0,
            &[1, 2],
            4,
            Faults {
                gaps: 2,
                ..Faults::default()
            },
        );
    }

    #[test]
    fn a_duplicate_is_caught() {
        check(
            0,
            &[1, 2, 2, 1, 3],
            3,
            Faults {
                duplicates: 2,
                ..Faults::default()
            },
        );
    }

    #[test]
    fn a_reorder_is_caught_and_is_no_gap() {
        check(
            0,
            &[1, 3, 2, 4],
            4,
            Faults {
                reordered: 1,
                ..Faults::default()
            },
        );
        check(
            0,
            &[5, 3, 3],
            5,
            Faults {
                gaps: 3,
                reordered: 1,
                duplicates: 1,
                ..Faults::default()
            },
        );
    }

    #[test]
    fn what_the_server_passes_over_aloud_is_no_gap() {
        let (mut checker, mut faults) = (Checker::behind(0), Faults::default());
        checker.see(1, &mut faults);
        checker.pass(5, &mut faults);
        checker.see(6, &mut faults);
        checker.finish(6, &mut faults);
        assert_eq!(
            faults,
            Faults {
                skipped: 4,
                ..Faults::default()
            }
        );
    }

    #[test]
    fn a_resume_goes_on_where_it_left_off() {
        let (mut checker, mut faults) = (Checker::behind(0), Faults::default());
        checker.see(1, &mut faults);
        checker.see(2, &mut faults);
        checker.ask_behind(1);
        checker.resume(&mut faults);
        // 2 comes again, and is no duplicate.
        for offset in [2, 3, 4] {
            checker.see(offset, &mut faults);
        }
        checker.see(2, &mut faults);
        checker.finish(4, &mut faults);
        let expected = Faults {
            resumes: 1,
            duplicates: 1,
            ..Faults::default()
        };
        assert_eq!(faults, expected);
    }

    /// Of a subscriber that has five events and comes back with the position of the third.
    fn check_resumed(seen: &[u64], expected: Faults) {
        let (mut checker, mut faults) = (Checker::behind(0), Faults::default());
        for offset in 1..=5 {
            checker.see(offset, &mut faults);
        }
        checker.ask_behind(3);
        checker.resume(&mut faults);
        for offset in seen {
            checker.see(*offset, &mut faults);
        }
        checker.finish(6, &mut faults);
        let expected = Faults {
            resumes: 1,
            ..expected
        };
        assert_eq!(faults, expected, "{seen:?}");
    }

    #[test]
    fn what_comes_again_after_a_resume_comes_once_and_in_order_and_from_the_position_on() {
        let duplicates = |duplicates| Faults {
            duplicates,
            ..Faults::default()
        };
        check_resumed(&[4, 5, 6], duplicates(0));
        check_resumed(&[6], duplicates(0));
        check_resumed(&[4, 5, 5, 4, 6], duplicates(2));
        check_resumed(&[5, 4, 6], duplicates(1));
        check_resumed(&[1, 2, 3, 4, 5, 6], duplicates(3));
        check_resumed(&[4, 6, 5], duplicates(1));
    }

    #[test]
    fn what_is_passed_over_after_a_resume_ends_what_may_come_again_only_where_it_is_new() {
        let (mut checker, mut faults) = (Checker::behind(9), Faults::default());
        checker.ask_behind(5);
        checker.resume(&mut faults);
        checker.pass(6, &mut faults);
        checker.see(7, &mut faults);
        assert_eq!((faults.duplicates, faults.skipped), (0, 0));
        checker.pass(11, &mut faults);
        checker.see(9, &mut faults);
        assert_eq!((faults.duplicates, faults.skipped), (1, 2));
    }

    #[test]
    fn who_is_told_that_nothing_is_to_be_had_gets_nothing_again() {
        let (mut checker, mut faults) = (Checker::behind(9), Faults::default());
        checker.ask_behind(5);
        checker.begin_anew(9, &mut faults);
        checker.see(7, &mut faults);
        assert_eq!((faults.duplicates, faults.not_recovered), (1, 1));
    }

    #[test]
    fn what_a_resume_loses_is_told_apart() {
        let (mut checker, mut faults) = (Checker::behind(0), Faults::default());
        checker.see(1, &mut faults);
        checker.resume(&mut faults);
        checker.see(4, &mut faults);
        checker.see(6, &mut faults);
        checker.finish(6, &mut faults);
        assert_eq!((faults.lost_after_resume, faults.gaps), (2, 3));
    }

    #[test]
    fn more_holes_than_are_remembered_are_still_counted() {
        let seen: Vec<u64> = (1..=200).map(|n| n * 2).collect();
        let (mut checker, mut faults) = (Checker::behind(0), Faults::default());
        for offset in seen {
            checker.see(offset, &mut faults);
        }
        checker.finish(400, &mut faults);
        assert!(faults.gaps >= 200, "{faults:?}");
    }
}
