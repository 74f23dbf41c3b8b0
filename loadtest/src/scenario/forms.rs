//! The wire forms of a load's connections: one for all, or Parlor's two with their shares.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, ensure};

use crate::dialect::Dialect;
use crate::spread;

/// `json`, or `json:0.7,msgpack:0.3`. Never empty; several only where the server is Parlor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Forms(Vec<(Dialect, f64)>);

impl Forms {
    /// What the connection with this number speaks: forms are spread evenly, and the same in every run.
    pub(crate) fn of(&self, connection: u32) -> Dialect {
        spread::pick(&self.0, u64::from(connection))
    }

    /// The one that answers for all what they have in common: whose server it is.
    pub(crate) fn first(&self) -> Dialect {
        self.0[0].0
    }
}

impl FromStr for Forms {
    type Err = anyhow::Error;

    fn from_str(raw: &str) -> anyhow::Result<Self> {
        let parse = |part: &str| -> anyhow::Result<(Dialect, f64)> {
            let (name, share) = part.split_once(':').unwrap_or((part, "1"));
            let share: f64 = share
                .trim()
                .parse()
                .ok()
                .filter(|share| *share > 0.0 && *share < SHARE_MAX)
                .with_context(|| {
                    format!("`{part}` is not FORM or FORM:SHARE, with a share of more than 0")
                })?;
            Ok((Dialect::parse(name.trim())?, share))
        };
        let mut forms: Vec<_> = raw.split(',').map(parse).collect::<Result<_, _>>()?;
        ensure!(
            forms.len() == 1 || forms.iter().all(|(dialect, _)| dialect.acknowledges()),
            "`{raw}` mixes the languages of several servers; only json and msgpack can be mixed"
        );
        let sum: f64 = forms.iter().map(|(_, share)| share).sum();
        forms.iter_mut().for_each(|(_, share)| *share /= sum);
        Ok(Self(forms))
    }
}

impl fmt::Display for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(only, _)] = self.0.as_slice() {
            return f.write_str(only.name());
        }
        for (index, (dialect, share)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{share}", dialect.name())?;
        }
        Ok(())
    }
}

const SHARE_MAX: f64 = 1e9;

#[cfg(test)]
mod tests {
    use parlor_protocol::Form;

    use super::*;

    #[test]
    fn forms_come_in_their_shares() {
        let forms: Forms = "json:3,msgpack:1".parse().unwrap();
        let binary = (0..1000).filter(|number| forms.of(*number) == Dialect::Parlor(Form::MsgPack));
        assert!((245..=255).contains(&binary.count()));
        assert_eq!(forms.to_string(), "json:0.75,msgpack:0.25");
        assert_eq!(forms.first(), Dialect::Parlor(Form::Json));
    }

    #[test]
    fn one_form_is_everybodys() {
        let forms: Forms = "nats".parse().unwrap();
        assert!((0..100).all(|number| forms.of(number) == Dialect::Nats));
        assert_eq!(forms.to_string(), "nats");
    }

    #[test]
    fn odd_forms_are_refused() {
        for raw in [
            "",
            "xml",
            "json:0",
            "json:-1,msgpack:1",
            "json:x",
            "json,",
            "json,nats",
            "json:nan",
        ] {
            assert!(raw.parse::<Forms>().is_err(), "{raw} was accepted");
        }
    }
}
