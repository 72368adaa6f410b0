//! One series as the models see it: equal steps, missing values as NaN, seasons in steps.
//!
//! Seasons are lengths, not calendars: daylight saving and holidays come to a model as covariates
//! from the host, so that no model carries a time zone.

use crate::{ModelError, median};

/// Seconds in a day.
pub const DAY_S: u32 = 86_400;
/// Seconds in a week.
pub const WEEK_S: u32 = 604_800;
/// The longest series that a model accepts: four years of 1-minute steps fit, a mistaken unit
/// does not.
pub const MAX_POINTS: usize = 2_200_000;

/// A series of one signal on a regular grid.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// One value per step in the signal's unit; NaN where nothing was observed.
    pub values: &'a [f64],
    /// The start of the first step, milliseconds since 1970-01-01 UTC.
    pub start_ms: i64,
    /// The length of a step in seconds.
    pub step_s: u32,
    /// Season lengths in steps, in any order; empty: a day and a week where the step divides them.
    pub periods: &'a [u32],
}

impl Series<'_> {
    /// Refuses what no model can use: a step of zero, an infinite value, an absurd length, or
    /// fewer than `need` observed points.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] names the first offending position;
    /// [`ModelError::InsufficientData`] counts the observed points.
    pub fn validate(&self, need: usize) -> Result<(), ModelError> {
        if self.step_s == 0 {
            return Err(ModelError::invalid("step_s is 0: give the step in seconds"));
        }
        if self.values.len() > MAX_POINTS {
            return Err(ModelError::invalid(format!(
                "{} values exceed the limit of {MAX_POINTS}: send a shorter or coarser history",
                self.values.len()
            )));
        }
        if let Some(at) = self.values.iter().position(|v| v.is_infinite()) {
            return Err(ModelError::invalid(format!(
                "values[{at}] is infinite: send NaN for a missing value"
            )));
        }
        let have = self.observed();
        if have < need {
            return Err(ModelError::InsufficientData { have, need });
        }
        Ok(())
    }

    /// How many values are not missing.
    #[must_use]
    pub fn observed(&self) -> usize {
        self.values.iter().filter(|v| !v.is_nan()).count()
    }

    /// Season lengths in steps, ascending, unique, each at least 2.
    #[must_use]
    pub fn seasons(&self) -> Vec<usize> {
        let mut seasons: Vec<usize> = if self.periods.is_empty() {
            [DAY_S, WEEK_S]
                .into_iter()
                .filter(|s| self.step_s > 0 && s % self.step_s == 0)
                .map(|s| (s / self.step_s) as usize)
                .collect()
        } else {
            self.periods.iter().map(|p| *p as usize).collect()
        };
        seasons.retain(|p| *p >= 2);
        seasons.sort_unstable();
        seasons.dedup();
        seasons
    }

    /// A power of two near the typical size of the values that are not zero; 1 if there are none.
    ///
    /// Dividing by it costs no bit (short of subnormals), keeps `f32` tables exact enough at any
    /// magnitude, and makes the fit of `2^k` times the data the same fit.
    #[must_use]
    pub fn scale(&self) -> f64 {
        let mut sizes: Vec<f64> = self
            .values
            .iter()
            .map(|v| v.abs())
            .filter(|v| v.is_finite() && *v > 0.0)
            .collect();
        let typical = median(&mut sizes);
        if typical >= f64::MIN_POSITIVE {
            libm::exp2(libm::floor(libm::log2(typical)))
        } else {
            1.0
        }
    }

    /// The values over `scale`, as [`scaled`] gives them.
    #[must_use]
    pub fn scaled(&self, scale: f64) -> Vec<f64> {
        self.values.iter().map(|v| scaled(*v, scale)).collect()
    }

    /// The number of the first step on the absolute grid (see [`clock_of`]).
    #[must_use]
    pub fn clock(&self) -> u64 {
        clock_of(self.start_ms, self.step_s)
    }
}

/// A value over a series' scale, cut at a million million times the typical size, so that no
/// arithmetic on it leaves the range of `f32`. NaN stays NaN.
#[must_use]
pub fn scaled(value: f64, scale: f64) -> f64 {
    (value / scale).clamp(-1e12, 1e12)
}

/// The number of the step that begins at `start_ms`, counted in steps of `step_s` seconds from
/// an origin far before 1970, so that it is never negative and a phase is a plain remainder.
///
/// Phases are only compared within one series; the origin is a whole number of weeks before the
/// epoch, so that phase 0 of a day is midnight UTC.
#[must_use]
pub fn clock_of(start_ms: i64, step_s: u32) -> u64 {
    let step_ms = i128::from(step_s.max(1)) * 1000;
    // 2^20 weeks before the epoch: about twenty thousand years, and divisible by every season
    // that divides a week.
    let origin_ms = -i128::from(WEEK_S) * 1000 * (1 << 20);
    let steps = (i128::from(start_ms) - origin_ms).div_euclid(step_ms);
    u64::try_from(steps).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hourly(values: &[f64]) -> Series<'_> {
        Series {
            values,
            start_ms: 0,
            step_s: 3600,
            periods: &[],
        }
    }

    #[test]
    fn an_hourly_series_has_a_day_and_a_week() {
        assert_eq!(hourly(&[1.0]).seasons(), vec![24, 168]);
    }

    #[test]
    fn given_periods_are_sorted_and_useless_ones_dropped() {
        let s = Series {
            periods: &[12, 0, 7, 12, 1],
            ..hourly(&[1.0])
        };
        assert_eq!(s.seasons(), vec![7, 12]);
    }

    #[test]
    fn missing_values_do_not_count_as_data() {
        let s = [1.0, f64::NAN, 2.0];
        assert_eq!(
            hourly(&s).validate(3),
            Err(ModelError::InsufficientData { have: 2, need: 3 })
        );
    }

    #[test]
    fn an_infinite_value_is_refused_with_its_position() {
        let e = hourly(&[1.0, f64::INFINITY]).validate(1).unwrap_err();
        assert!(e.to_string().contains("values[1]"), "{e}");
    }

    #[test]
    fn the_scale_is_a_power_of_two_that_ignores_zeros_and_gaps() {
        let s = [0.0, 5.0, f64::NAN, 6.0, -7.0];
        assert_eq!(hourly(&s).scale().to_bits(), 4.0f64.to_bits());
        assert_eq!(hourly(&[0.0, f64::NAN]).scale().to_bits(), 1.0f64.to_bits());
    }

    #[test]
    fn a_value_far_beyond_the_others_is_cut_and_a_gap_stays_a_gap() {
        assert_eq!(scaled(1e300, 1e-300).to_bits(), 1e12f64.to_bits());
        assert!(scaled(f64::NAN, 2.0).is_nan());
    }

    #[test]
    fn midnight_utc_is_phase_zero_and_time_before_1970_works() {
        assert_eq!(clock_of(0, 300) % 288, 0);
        assert_eq!(clock_of(-300_000, 300) % 288, 287);
        assert_eq!(clock_of(300_000, 300) - clock_of(0, 300), 1);
        assert_eq!(clock_of(i64::MIN, 1), 0);
    }
}
