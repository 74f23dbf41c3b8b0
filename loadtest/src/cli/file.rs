//! A scenario file: read strictly, with the line and a hint for what it does not know, then overlaid by flags.

use anyhow::{Context as _, anyhow};
use serde::de::DeserializeOwned;

use crate::cli::Options;

/// Reads a TOML text as `T`.
///
/// # Errors
/// With line and column, and the nearest key where one was not known.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    toml::from_str(text).map_err(|error| {
        let hint = hint(error.message());
        let hint = hint.map_or_else(String::new, |key| format!("did you mean `{key}`?"));
        anyhow!("{error}{hint}")
    })
}

/// Lays flags over the options of a file.
///
/// # Errors
/// When the file says what cannot be.
pub(crate) fn lay_over(file: &str, flags: &Options) -> anyhow::Result<Options> {
    // Once as it stands, for errors that name a line of it.
    let _as_it_stands: Options = read(file)?;
    let mut table: toml::Table = file.parse()?;
    let mut flags = toml::Table::try_from(flags)?;
    // The one nested table: thresholds are laid over one by one.
    let flagged = flags
        .remove("thresholds")
        .and_then(|value| value.try_into::<toml::Table>().ok())
        .unwrap_or_default();
    let thresholds = table
        .entry("thresholds")
        .or_insert_with(|| toml::Table::new().into());
    thresholds
        .as_table_mut()
        .context("`thresholds` is not a table")?
        .extend(flagged);
    table.extend(flags);
    Ok(table.try_into()?)
}

/// The expected key that is nearest to the unknown one, out of serde's own words: ``unknown field `rats`,
/// expected one of `rate`, …``.
fn hint(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown") {
        return None;
    }
    let unknown = quoted.next()?;
    quoted
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .filter(|(likeness, _)| *likeness > LIKENESS_MIN)
        .max_by(|one, two| one.0.total_cmp(&two.0))
        .map(|(_, known)| known.to_owned())
}

/// Of 1: less is no hint.
const LIKENESS_MIN: f64 = 0.7;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::{Length, Thresholds};

    fn refusal(file: &str) -> String {
        let options = lay_over(file, &Options::default());
        format!("{:#}", options.expect_err("the file is wrong"))
    }

    #[test]
    fn flags_win_over_the_file() {
        let flags = Options {
            rate: Some(7.0),
            duration: Some("2s".parse().unwrap()),
            thresholds: Thresholds {
                max_gaps: Some(3),
                ..Thresholds::default()
            },
            ..Options::default()
        };
        let file = "shape = \"idle=5\"\nrate = 1.0\nduration = \"1m\"\n[thresholds]\nmax-gaps = 1\nmax-p99-ms = 5.0\n";
        let options = lay_over(file, &flags).unwrap();
        assert_eq!(options.shape.as_deref(), Some("idle=5"));
        assert_eq!(options.rate, Some(7.0));
        assert_eq!(options.duration, Some(Length(Duration::from_secs(2))));
        assert_eq!(options.thresholds.max_gaps, Some(3));
        assert_eq!(options.thresholds.max_p99_ms, Some(5.0));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_a_hint() {
        let said = refusal("shape = \"idle=5\"\nconect-rate = 1");
        assert!(
            said.contains("line 2") && said.contains("did you mean `connect-rate`?"),
            "{said}"
        );
        let said = refusal("[thresholds]\nmax-p99 = 1");
        assert!(
            said.contains("line 2") && said.contains("`max-p99-ms`"),
            "{said}"
        );
        let said = refusal("rate = 1.0\n[[stages]]\nlength = \"1s\"\nchurns = 1.0");
        assert!(
            said.contains("line 4") && said.contains("`churn`"),
            "{said}"
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_its_line() {
        let said = refusal("\nduration = \"5 apples\"");
        assert!(said.contains("line 2"), "{said}");
    }
}
