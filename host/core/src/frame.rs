//! Frames: step-aligned columns with their gaps explicit.

use crate::time::{Grid, Step, Timestamp};
use crate::units::Signal;

/// One signal of one api on a grid, in the signal's unit. A missing step is NaN: it is not zero,
/// and nothing fills it in silence.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Which signal.
    pub signal: Signal,
    /// Start of the first step.
    pub start: Timestamp,
    /// Length of each step.
    pub step: Step,
    /// One value per step; NaN where nothing was measured.
    pub values: Vec<f64>,
}

impl Column {
    /// The grid on which it lies.
    #[must_use]
    pub fn grid(&self) -> Grid {
        Grid {
            start: self.start,
            step: self.step,
            count: self.values.len(),
        }
    }

    /// Measured steps.
    #[must_use]
    pub fn present(&self) -> usize {
        self.values.iter().filter(|v| v.is_finite()).count()
    }

    /// The newest measured value.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        self.values.iter().rev().copied().find(|v| v.is_finite())
    }

    /// Drops unmeasured steps before the first measured one.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        let first = self
            .values
            .iter()
            .position(|v| v.is_finite())
            .unwrap_or(self.values.len());
        self.values.drain(..first);
        self.start = self.start.plus_steps(self.step, first as i64);
        self
    }

    /// Median of the measured values, `None` without any.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let mut values: Vec<f64> = self
            .values
            .iter()
            .copied()
            .filter(|v| v.is_finite())
            .collect();
        if values.is_empty() {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let mid = values.len() / 2;
        Some(if values.len() % 2 == 1 {
            values[mid]
        } else {
            f64::midpoint(values[mid - 1], values[mid])
        })
    }
}

/// Columns of several signals of one api on one grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The grid of every column.
    pub grid: Grid,
    /// The columns, in the order in which they were asked for.
    pub columns: Vec<Column>,
}

impl Frame {
    /// The column of a signal.
    #[must_use]
    pub fn column(&self, signal: Signal) -> Option<&Column> {
        self.columns.iter().find(|c| c.signal == signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[f64]) -> Column {
        Column {
            signal: Signal::Requests,
            start: Timestamp(0),
            step: Step::MINUTE,
            values: values.to_vec(),
        }
    }

    #[test]
    fn the_median_ignores_what_was_not_measured() {
        assert_eq!(column(&[f64::NAN, 3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(column(&[f64::NAN]).median(), None);
    }

    #[test]
    fn trimming_moves_the_start_with_the_values() {
        let c = column(&[f64::NAN, f64::NAN, 1.0]).trimmed();
        assert_eq!((c.start, c.values.len()), (Timestamp(120_000), 1));
    }
}
