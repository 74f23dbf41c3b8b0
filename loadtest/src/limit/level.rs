//! Which service level broke, in the words of users: late, refused, or lost.

use serde::{Deserialize, Serialize};

use crate::verdict::{Checked, Verdict};

/// A threshold that was not kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Broken {
    pub(crate) level: Level,
    #[serde(flatten)]
    pub(crate) checked: Checked,
}

/// What users notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// It came late.
    Latency,
    /// Publishes refused, connections refused or lost.
    Errors,
    /// It never came, came twice, in another order or to somebody who had not asked for it.
    Loss,
    /// What it cost, or how much came through.
    Cost,
}

/// All that a verdict says is broken.
pub(super) fn broken(verdict: &Verdict) -> Vec<Broken> {
    let broken = verdict.thresholds.iter().filter(|checked| !checked.kept);
    broken
        .map(|checked| Broken {
            level: Level::of(&checked.name),
            checked: checked.clone(),
        })
        .collect()
}

impl Level {
    fn of(threshold: &str) -> Self {
        match threshold {
            "max-p99-ms" | "max-p99-9-ms" => Self::Latency,
            "max-refused" | "max-closed" => Self::Errors,
            "max-gaps" | "max-duplicates" | "max-reordered" | "max-foreign" => Self::Loss,
            _ => Self::Cost,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Errors => "errors",
            Self::Loss => "loss",
            Self::Cost => "cost",
        }
    }
}

impl Broken {
    pub(super) fn line(&self) -> String {
        let Checked {
            name, limit, value, ..
        } = &self.checked;
        let value = value.map_or_else(|| "not measured".to_owned(), |value| format!("{value:.1}"));
        format!(
            "{} broke: {name} is {value}, but the limit is {limit}",
            self.level.name()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Outcome;

    fn check(threshold: &str, expected: &str) {
        let checked = |name: &str, kept| Checked {
            name: name.to_owned(),
            limit: 0.0,
            value: Some(3.0),
            kept,
        };
        let verdict = Verdict {
            outcome: Outcome::Broken,
            invalid: Vec::new(),
            thresholds: vec![checked("max-kept", true), checked(threshold, false)],
        };
        let lines: Vec<_> = broken(&verdict).iter().map(Broken::line).collect();
        assert_eq!(
            lines,
            [format!(
                "{expected} broke: {threshold} is 3.0, but the limit is 0"
            )]
        );
    }

    #[test]
    fn each_threshold_is_a_level() {
        check("max-p99-ms", "latency");
        check("max-refused", "errors");
        check("max-closed", "errors");
        check("max-gaps", "loss");
        check("max-duplicates", "loss");
        check("max-foreign", "loss");
        check("max-bytes-per-connection", "cost");
    }
}
