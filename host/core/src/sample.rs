//! What enters: batches of samples, and what became of them.

use crate::distribution::Distribution;
use crate::ids::ApiId;
use crate::time::{Step, Timestamp};
use crate::units::Signal;

/// A signal of an api: the key of a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The api.
    pub api: ApiId,
    /// The signal.
    pub signal: Signal,
}

/// Values of a series, one per time.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Counts over the step for `requests` and `errors`, else the signal's unit.
    Numbers(Vec<f64>),
    /// For `latency`.
    Distributions(Vec<Distribution>),
}

impl Values {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Values::Numbers(v) => v.len(),
            Values::Distributions(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Samples of one series: `times[i]` is the start of the step of value `i`, a multiple of `step`,
/// in any order.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSamples {
    /// Whose.
    pub key: SeriesKey,
    /// Length of the step that each sample covers.
    pub step: Step,
    /// Starts of steps.
    pub times: Vec<Timestamp>,
    /// As many as `times`.
    pub values: Values,
}

/// One request's worth, already authorised and checked by the ingest room.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SampleBatch {
    /// The series.
    pub series: Vec<SeriesSamples>,
}

impl SampleBatch {
    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.iter().map(|s| s.times.len()).sum()
    }

    /// Whether it holds no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What became of a batch. Everything counted in `stored` is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// Samples written by this batch.
    pub stored: u64,
    /// Samples that were already there: a retry is harmless, the first value stands.
    pub duplicates: u64,
    /// Samples refused because they are older than the store's out-of-order window allows: the
    /// sender must not retry them.
    pub late: u64,
    /// Arrival sequence of the batch: rises by one, never reused.
    pub sequence: u64,
}

/// A sample or series that was not admitted, in the sender's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Path of the field, for example `series[3].values[17]`.
    pub field: String,
    /// How many samples this refusal concerns.
    pub samples: u64,
    /// What is wrong and what to do.
    pub reason: String,
    /// After how many milliseconds the same may pass; `None` where it never does by itself.
    pub retry_ms: Option<u64>,
}
