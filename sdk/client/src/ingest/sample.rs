//! What is fed, and how much memory it takes.

use tidegate_proto::v1;

/// What a series is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    /// TENANT/NAME.
    pub api: String,
    /// What is measured.
    pub signal: v1::Signal,
    /// Length of a step, in seconds.
    pub step_s: u32,
}

/// One observation of one step.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A count (`requests`, `errors`) or a mean in the signal's unit.
    Number(f64),
    /// Latencies.
    Distribution(v1::Distribution),
}

/// A value and the step that it covers.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Start of the step, in milliseconds since the epoch.
    pub start_ms: i64,
    /// What was observed.
    pub value: Value,
}

impl Sample {
    /// Bytes, as the server's terms count them.
    pub(super) fn bytes(&self) -> usize {
        match &self.value {
            Value::Number(_) => 16,
            Value::Distribution(d) => weight(d),
        }
    }
}

/// Bytes of columns, as the server's terms count them.
pub(super) fn bytes(columns: &v1::Columns) -> usize {
    16 * columns.values.len() + columns.distributions.iter().map(weight).sum::<usize>()
}

fn weight(d: &v1::Distribution) -> usize {
    104 + 8 * d.buckets.len() + 16 * d.above.len()
}

/// Samples of columns.
pub(super) fn count(columns: &v1::Columns) -> u64 {
    (columns.values.len() + columns.distributions.len()) as u64
}
