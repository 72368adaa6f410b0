//! The forecaster: fit, update and predict over batches of series.

use super::{CallError, PolicyError};
use crate::time::{Step, Timestamp};
use crate::units::{Level, Signal};

/// One blob per series, concatenated: series `i` owns `bytes[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blobs {
    /// The module's number for the layout of the bytes.
    pub format: u32,
    /// Number of series + 1 entries, the first 0, never falling.
    pub offsets: Vec<u32>,
    /// All blobs.
    pub bytes: Vec<u8>,
}

impl Blobs {
    /// Concatenates blobs of one format.
    #[must_use]
    pub fn join<'a>(format: u32, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut blobs = Self {
            format,
            offsets: vec![0],
            bytes: vec![],
        };
        for part in parts {
            blobs.bytes.extend_from_slice(part);
            blobs
                .offsets
                .push(u32::try_from(blobs.bytes.len()).unwrap_or(u32::MAX));
        }
        blobs
    }

    /// The blob of series `i`; empty when absent or malformed.
    #[must_use]
    pub fn get(&self, i: usize) -> &[u8] {
        let bound = |i: usize| self.offsets.get(i).map(|&o| o as usize);
        match (bound(i), bound(i + 1)) {
            (Some(from), Some(to)) => self.bytes.get(from..to).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Known values beside the target, on the same rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Covariates {
    /// Names: `minute-of-day` (0 to below 1440) and `day-of-week` (0 Monday to 6 Sunday) at the
    /// start of the step in the api's local time; `event:KIND`, the part of the step during which an
    /// event of the kind runs, 0 to 1.
    pub names: Vec<String>,
    /// `[name][row]`.
    pub values: Vec<f64>,
}

/// Step-aligned windows of many series, concatenated.
#[derive(Debug, Clone, PartialEq)]
pub struct Frames {
    /// The step of every series.
    pub step: Step,
    /// One per series.
    pub signals: Vec<Signal>,
    /// Start of each series' first row.
    pub starts: Vec<Timestamp>,
    /// Number of series + 1 entries: rows of series `i` are `offsets[i]..offsets[i + 1]`.
    pub offsets: Vec<u32>,
    /// In the signal's unit; a missing row holds 0.
    pub values: Vec<f64>,
    /// A bit per row, least significant first: 1 means missing. Empty: none is missing.
    pub missing: Vec<u8>,
    /// On the same rows.
    pub covariates: Covariates,
    /// One per series.
    pub seeds: Vec<u64>,
}

impl Frames {
    /// No series yet.
    #[must_use]
    pub fn new(step: Step) -> Self {
        Self {
            step,
            signals: vec![],
            starts: vec![],
            offsets: vec![0],
            values: vec![],
            missing: vec![],
            covariates: Covariates::default(),
            seeds: vec![],
        }
    }

    /// Adds a series; NaN becomes a missing row. Covariates are set afterwards, over all rows.
    pub fn push(&mut self, signal: Signal, start: Timestamp, values: &[f64], seed: u64) {
        for &value in values {
            let row = self.values.len();
            let gap = !value.is_finite();
            if gap {
                self.missing.resize(row / 8 + 1, 0);
                self.missing[row / 8] |= 1 << (row % 8);
            }
            self.values.push(if gap { 0.0 } else { value });
        }
        if !self.missing.is_empty() {
            self.missing.resize(self.values.len().div_ceil(8), 0);
        }
        self.signals.push(signal);
        self.starts.push(start);
        self.offsets
            .push(u32::try_from(self.values.len()).unwrap_or(u32::MAX));
        self.seeds.push(seed);
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.signals.len()
    }

    /// Whether there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.signals.is_empty()
    }

    /// Values of series `i`, NaN where missing.
    #[must_use]
    pub fn series(&self, i: usize) -> Vec<f64> {
        let bound = |i: usize| self.offsets.get(i).map_or(0, |&o| o as usize);
        (bound(i)..bound(i + 1).min(self.values.len()))
            .map(|row| {
                if self.is_missing(row) {
                    f64::NAN
                } else {
                    self.values[row]
                }
            })
            .collect()
    }

    fn is_missing(&self, row: usize) -> bool {
        self.missing
            .get(row / 8)
            .is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }
}

/// How one series fared in a batch.
pub type SeriesStatus = Result<(), PolicyError>;

/// What `fit`, `update` and `migrate` give.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// Immutable, shared by all series of the call; may be empty.
    pub model: Vec<u8>,
    /// One state per series, empty where it failed.
    pub states: Blobs,
    /// One per series.
    pub status: Vec<SeriesStatus>,
}

/// What to predict from each state onwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Horizon {
    /// As fitted.
    pub step: Step,
    /// Number of steps, at least 1.
    pub steps: u32,
    /// Rising, no duplicates.
    pub levels: Vec<Level>,
    /// Start of step 0, one per series.
    pub starts: Vec<Timestamp>,
    /// Rows are `[series][step]`.
    pub future: Covariates,
    /// One per series.
    pub seeds: Vec<u64>,
}

/// What will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecasts {
    /// `[series][step]`.
    pub mean: Vec<f64>,
    /// `[series][step][level]`.
    pub quantiles: Vec<f64>,
    /// One per series.
    pub status: Vec<SeriesStatus>,
}

/// Learns signals and says what they will be, in quantiles.
pub trait Forecaster: Send + Sync + std::fmt::Debug {
    /// Learns from history; from `base` on, where that is not empty: the model that the same module
    /// and config gave for these series before. Modules may pass it over.
    ///
    /// # Errors
    /// When the whole batch cannot be served; single series fail in their status.
    fn fit_from(&self, config: &str, base: &[u8], frames: &Frames) -> Result<Fitted, CallError>;

    /// Learns from history alone.
    ///
    /// # Errors
    /// As [`Forecaster::fit_from`].
    fn fit(&self, config: &str, frames: &Frames) -> Result<Fitted, CallError> {
        self.fit_from(config, &[], frames)
    }

    /// Moves states on by new rows.
    ///
    /// # Errors
    /// As [`Forecaster::fit`].
    fn update(&self, model: &[u8], states: &Blobs, frames: &Frames) -> Result<Fitted, CallError>;

    /// Predicts from states.
    ///
    /// # Errors
    /// As [`Forecaster::fit`].
    fn predict(
        &self,
        model: &[u8],
        states: &Blobs,
        horizon: &Horizon,
    ) -> Result<Forecasts, CallError>;

    /// Translates what an earlier version wrote.
    ///
    /// # Errors
    /// `unsupported` when it cannot: fit anew.
    fn migrate(&self, model: &[u8], states: &Blobs) -> Result<Fitted, CallError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_gaps_apart_from_zeros() {
        let mut frames = Frames::new(Step::MINUTE);
        let a = [1.0, f64::NAN, 0.0];
        frames.push(Signal::Cpu, Timestamp(0), &a, 1);
        frames.push(Signal::Cpu, Timestamp(0), &[2.0; 9], 2);
        let back = frames.series(0);
        assert!(back[1].is_nan() && back[2].to_bits() == 0.0_f64.to_bits());
        assert_eq!(frames.series(1), [2.0; 9]);
        assert_eq!(frames.missing.len(), 2);
    }

    #[test]
    fn malformed_blobs_read_as_empty() {
        let blobs = Blobs {
            format: 1,
            offsets: vec![0, 9],
            bytes: vec![1],
        };
        assert!(blobs.get(0).is_empty() && blobs.get(7).is_empty());
        let joined = Blobs::join(1, [&b"ab"[..], b"", b"c"]);
        assert_eq!(
            (joined.get(0), joined.get(1), joined.get(2)),
            (&b"ab"[..], &b""[..], &b"c"[..])
        );
    }
}
