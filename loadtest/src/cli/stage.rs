//! A stage as a scenario file describes it. What it leaves out stays as it was in the stage before.

use serde::{Deserialize, Serialize};

use crate::cli::Length;

/// One `[[stages]]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StageOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) length: Length,
    /// Whether it counts in the report (default true).
    #[serde(default = "yes")]
    pub(crate) measured: bool,
    /// Rates and connections change evenly from the stage before; otherwise they jump at the start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ramp: bool,
    /// Publishes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    /// Publishes per second in the bystanders' room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) room_rate: Option<f64>,
    /// Subscribers that are online, of all that the shape makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<u32>,
    /// Signals per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signals: Option<f64>,
    /// Pages of history read per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) history: Option<f64>,
    /// Pages of presence read per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) presence: Option<f64>,
    /// Channels joined, and left again, per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) joins: Option<f64>,
    /// Subscribers per second that are cut and come back from where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) churn: Option<f64>,
    /// Share (0 to 1) of all subscribers that are cut at once when the stage begins, and come back. Not inherited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storm: Option<f64>,
}

fn yes() -> bool {
    true
}
