//! The least that a point forecast may be: a load that was hardly ever below a value is not
//! expected there.
//!
//! Members subtract and multiply seasons, and a wrong level under a right profile ends near zero,
//! or, cut, at it. Relative errors do not forgive that: of a load that never slept, a forecast of
//! nothing errs by all there is, and an allocation made of it starves the api. So each member's
//! centre is lifted to nine tenths of the lowest decile of the history before it is combined. Quantiles move with the
//! centre and keep their distances, so that an interval may still reach below what was ever seen.
//!
//! A load that has left its history behind takes the floor along: what came in the last steps is
//! never below it. Rows of a declared event are left alone, since an event may be an outage.
//!
//! Rejected: the smallest value ever seen, which one bad sample decides and which is worth half as
//! much; and a ceiling of the largest, which gains as much on a saturated processor as it takes from
//! an api that grows.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{quantile_of_sorted, sort_floats};

/// The share of the history that lies below the low quantile, and the part of it that is the floor:
/// the margin leaves the trough of a regular season to the members, who know it better.
const RARE: f64 = 0.1;
const PART: f64 = 0.9;
/// How fast a low value is forgotten, a step: it counts for some four steps.
const FORGET: f64 = 0.25;

/// What is known of the lowest values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Floor {
    /// What the history that was fitted to was hardly ever below.
    usual: f64,
    /// The lowest of the newest values.
    newest: f64,
}

impl Floor {
    /// Of a history; NaN is a missing value. Of nothing, it is zero.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut seen: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
        let first = seen.first().copied().unwrap_or(0.0);
        let mut floor = Self {
            usual: 0.0,
            newest: first,
        };
        floor.follow(&seen);
        sort_floats(&mut seen);
        floor.usual = PART * quantile_of_sorted(&seen, RARE);
        floor
    }

    /// Takes the values of the next steps.
    pub(crate) fn follow(&mut self, values: &[f64]) {
        for v in values.iter().filter(|v| v.is_finite()) {
            let faded = self.newest + FORGET * (v - self.newest);
            self.newest = v.min(faded);
        }
    }

    /// The least point forecast of an ordinary step.
    pub(crate) fn least(&self) -> f64 {
        self.usual.min(self.newest)
    }

    /// Whether a decoded floor can be used.
    pub(crate) fn is_sound(&self) -> bool {
        self.usual.is_finite() && self.newest.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_outage_does_not_lower_the_floor_and_a_quiet_load_keeps_none() {
        let mut steady = vec![100.0; 200];
        steady[50] = 0.0;
        assert!((Floor::of(&steady).least() - 90.0).abs() < 1e-9);
        let idle: Vec<f64> = (0..200).map(|t| f64::from(t % 4)).collect();
        assert!(Floor::of(&idle).least().abs() < 1e-9);
    }

    #[test]
    fn a_load_that_falls_takes_the_floor_along_and_one_that_returns_lifts_it() {
        let mut floor = Floor::of(&[100.0; 200]);
        floor.follow(&[20.0, f64::NAN]);
        assert!((floor.least() - 20.0).abs() < 1e-9);
        floor.follow(&[100.0; 30]);
        assert!((floor.least() - 90.0).abs() < 1e-9, "{floor:?}");
    }
}
