//! One series on an even grid, and what to do about the steps that nobody measured.
//!
//! Peers cannot bear a gap, so the published procedure fills them: the value one day before, which
//! keeps the shape of the day, else a line between the neighbours. The daemon does not fill; to see
//! a module as it will be, keep the gaps ([`Gaps::Keep`]), and they reach it as missing rows.

use tidegate_core::time::{Step, Timestamp};

/// A series on a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Its name in tables and files of forecasts.
    pub name: String,
    /// Start of the first step.
    pub start: Timestamp,
    /// Length of a step.
    pub step: Step,
    /// One per step; NaN where nothing was measured and gaps are kept.
    pub values: Vec<f64>,
    /// Steps that had no value, filled or not.
    pub missing: usize,
}

impl Trace {
    /// Start of step `at`.
    #[must_use]
    pub fn at(&self, at: usize) -> Timestamp {
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        self.start.plus_steps(self.step, at)
    }
}

/// What becomes of steps without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gaps {
    /// The value one day before, else a line between the neighbours.
    #[default]
    Fill,
    /// They stay missing.
    Keep,
}

/// Fills what is NaN, from the past to the present, so that a filled value may be the source of the
/// next day's. `day` is the number of steps in a day. Leading gaps take the first value.
pub fn fill(values: &mut [f64], day: usize) {
    let Some(first) = values.iter().position(|v| !v.is_nan()) else {
        return;
    };
    let lead = values[first];
    values[..first].fill(lead);
    for t in first..values.len() {
        if !values[t].is_nan() {
            continue;
        }
        if day > 0 && t >= day {
            values[t] = values[t - day];
            continue;
        }
        let before = values[t - 1];
        let next = values[t..].iter().position(|v| !v.is_nan());
        values[t] = match next {
            Some(ahead) => before + (values[t + ahead] - before) / (ahead + 1) as f64,
            None => before,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: f64 = f64::NAN;

    #[track_caller]
    fn check(values: &[f64], day: usize, filled: &[f64]) {
        let mut values = values.to_vec();
        fill(&mut values, day);
        assert_eq!(values, filled);
    }

    #[test]
    fn a_gap_takes_the_value_of_the_day_before_and_a_day_later_again() {
        check(
            &[1.0, 2.0, 3.0, GAP, 5.0, 6.0, GAP],
            3,
            &[1.0, 2.0, 3.0, 1.0, 5.0, 6.0, 1.0],
        );
    }

    #[test]
    fn on_the_first_day_a_gap_is_bridged_by_a_line() {
        check(&[1.0, GAP, GAP, 4.0], 24, &[1.0, 2.0, 3.0, 4.0]);
        check(&[GAP, 2.0, GAP], 24, &[2.0, 2.0, 2.0]);
    }
}
