//! Optional fields without an `Option` of their own: `null` says what their absence says.

use serde::de::{Deserialize, Deserializer};

pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
