//! One series cut out of a batch: values with NaN where nothing was measured, and what is known
//! beside them.
//!
//! Authors never see offsets or bitmaps: a batch is cut here, once, and checked on the way, so that
//! no policy can mix up its neighbours or index past the end.

use std::ops::Range;

use tidegate_model_kit::{self as kit, Series};

use crate::policy::invalid;
use crate::state::ranges;
pub use crate::wit::types::Signal;
use crate::wit::types::{self, Frames, PolicyError};

/// A window of one series.
#[derive(Debug, Clone, Copy)]
pub struct SeriesView<'a> {
    /// One per step, in the signal's unit; NaN where nothing was measured, else finite.
    pub values: &'a [f64],
    /// Start of the first step, milliseconds since the Unix epoch.
    pub start: i64,
    /// Length of a step in seconds, at least 1.
    pub step: u32,
    /// What is measured.
    pub signal: Signal,
    /// On the same rows.
    pub covariates: Covariates<'a>,
    /// The only source of chance: the same for the same series and step.
    pub seed: u64,
}

impl<'a> SeriesView<'a> {
    /// As the pure models take it, with the usual seasons (a day and a week).
    #[must_use]
    pub fn series(&self) -> Series<'a> {
        Series {
            values: self.values,
            start_ms: self.start,
            step_s: self.step,
            periods: &[],
        }
    }

    /// Start of the step after the last one, milliseconds since the Unix epoch.
    #[must_use]
    pub fn end(&self) -> i64 {
        end(self.start, self.step, self.values.len())
    }
}

/// `rows` steps after `start`.
pub(crate) fn end(start: i64, step: u32, rows: usize) -> i64 {
    let span = i64::from(step).saturating_mul(1000);
    start.saturating_add(span.saturating_mul(i64::try_from(rows).unwrap_or(i64::MAX)))
}

/// Values that are known beside a series, on its rows: calendar (`minute-of-day`, `day-of-week`),
/// declared events (`event:KIND`) and others.
#[derive(Debug, Clone, Copy)]
pub struct Covariates<'a> {
    names: &'a [String],
    /// `[name][row of the batch]`.
    values: &'a [f64],
    total: usize,
    from: usize,
    to: usize,
}

impl<'a> Covariates<'a> {
    /// Nothing is known beside the values: for an author's own tests.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            names: &[],
            values: &[],
            total: 0,
            from: 0,
            to: 0,
        }
    }

    /// The values of that name, one per row, or `None` where the host does not know it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [f64]> {
        self.names
            .iter()
            .position(|n| n == name)
            .and_then(|at| self.column(at))
    }

    /// All names with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [f64])> + '_ {
        let named = self.names.iter().enumerate();
        named.filter_map(|(at, name)| Some((name.as_str(), self.column(at)?)))
    }

    /// As the pure models take them.
    #[must_use]
    pub fn known(&self) -> kit::Covariates<'a> {
        kit::Covariates::new(self.iter().collect())
    }

    fn column(&self, at: usize) -> Option<&'a [f64]> {
        self.values
            .get(at * self.total + self.from..at * self.total + self.to)
    }
}

/// Rows of a batch, checked.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    covariates: &'a types::Covariates,
    total: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(
        covariates: &'a types::Covariates,
        total: usize,
    ) -> Result<Self, PolicyError> {
        let (names, have) = (covariates.names.len(), covariates.values.len());
        if names.checked_mul(total) != Some(have) {
            return Err(invalid(format!(
                "covariates.values has {have} entries for {names} names of {total} rows"
            )));
        }
        Ok(Self { covariates, total })
    }

    pub(crate) fn of(&self, rows: Range<usize>) -> Covariates<'a> {
        Covariates {
            names: &self.covariates.names,
            values: &self.covariates.values,
            total: self.total,
            from: rows.start,
            to: rows.end,
        }
    }
}

/// A batch, checked and with its gaps filled in.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    frames: &'a Frames,
    ranges: Vec<Range<usize>>,
    values: Vec<f64>,
    rows: Rows<'a>,
}

impl<'a> Batch<'a> {
    /// # Errors
    /// Where the columns do not fit each other; the text names the column.
    pub(crate) fn new(frames: &'a Frames) -> Result<Self, PolicyError> {
        let (n, rows) = (frames.signals.len(), frames.values.len());
        if frames.step == 0 {
            return Err(invalid("frames.step is 0: give the step in seconds"));
        }
        length("frames.starts", frames.starts.len(), n)?;
        length("frames.seeds", frames.seeds.len(), n)?;
        length("frames.offsets", frames.offsets.len(), n + 1)?;
        let ranges = ranges("frames.offsets", &frames.offsets, rows)?;
        if !frames.missing.is_empty() {
            length("frames.missing", frames.missing.len(), rows.div_ceil(8))?;
        }
        let gap = |row: usize| {
            frames
                .missing
                .get(row / 8)
                .is_some_and(|b| b >> (row % 8) & 1 == 1)
        };
        let values = frames.values.iter().enumerate();
        Ok(Self {
            values: values
                .map(|(row, &v)| if gap(row) { f64::NAN } else { v })
                .collect(),
            rows: Rows::new(&frames.covariates, rows)?,
            ranges,
            frames,
        })
    }

    /// Number of series.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Series `i`.
    ///
    /// # Errors
    /// Where a value that is not missing is not finite.
    pub(crate) fn series(&self, i: usize) -> Result<SeriesView<'_>, PolicyError> {
        let range = self.ranges[i].clone();
        let raw = &self.frames.values[range.clone()];
        let values = &self.values[range.clone()];
        // A gap may hold anything; its value was replaced.
        if let Some(row) =
            (0..raw.len()).find(|&r| !raw[r].is_finite() && !self.is_gap(range.start + r))
        {
            return Err(invalid(format!(
                "row {row} of the series is {}: mark it as missing instead",
                raw[row]
            )));
        }
        Ok(SeriesView {
            values,
            start: self.frames.starts[i],
            step: self.frames.step,
            signal: self.frames.signals[i],
            covariates: self.rows.of(range),
            seed: self.frames.seeds[i],
        })
    }

    fn is_gap(&self, row: usize) -> bool {
        self.frames
            .missing
            .get(row / 8)
            .is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }
}

/// Refuses a column of the wrong length.
pub(crate) fn length(name: &str, have: usize, want: usize) -> Result<(), PolicyError> {
    if have == want {
        return Ok(());
    }
    Err(invalid(format!(
        "{name} has {have} entries, {want} belong there"
    )))
}
