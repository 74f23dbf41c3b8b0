//! The last values of a figure as a row of small columns, for a terminal.

use std::collections::VecDeque;

/// The newest values; the oldest goes when there are too many.
#[derive(Clone, Debug, Default)]
pub(super) struct Spark(VecDeque<Option<f64>>);

impl Spark {
    /// `None`: there was no value.
    pub(super) fn push(&mut self, value: Option<f64>) {
        self.0.push_back(value);
        if self.0.len() > VALUES_MAX {
            self.0.pop_front();
        }
    }

    /// Scaled so that the highest is a whole column.
    pub(super) fn draw(&self) -> String {
        let highest = self.0.iter().flatten().copied().fold(0.0, f64::max);
        let column = |value: &Option<f64>| {
            let Some(value) = value.filter(|_| highest > 0.0) else {
                return ' ';
            };
            let step = (value / highest * COLUMNS.len() as f64).ceil() as usize;
            COLUMNS[step.clamp(1, COLUMNS.len()) - 1]
        };
        self.0.iter().map(column).collect()
    }
}

const COLUMNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const VALUES_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_columns_and_holes_stay_empty() {
        let mut spark = Spark::default();
        assert_eq!(spark.draw(), "");
        for value in [Some(1.0), None, Some(4.0), Some(8.0)] {
            spark.push(value);
        }
        assert_eq!(spark.draw(), "▁ ▄█");
        (0..100).for_each(|_| spark.push(Some(2.0)));
        assert_eq!(spark.draw(), "█".repeat(VALUES_MAX));
    }
}
