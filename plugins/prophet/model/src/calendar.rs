//! Where a row stands in its day and week.
//!
//! Seasons of load follow the clocks on people's walls. Where the host knows them it sends
//! `minute-of-day` and `day-of-week` per row, and a day of 23 hours is then no matter. Where it
//! does not, the absolute grid stands in, moved by what the last known rows told: a state that was
//! fitted with a calendar may be asked without one. Rejected: a time zone in the model, which
//! would carry a database that ages.

use tidegate_model_kit::{Covariates, DAY_S, WEEK_S};

const MINUTES: f64 = 1440.0;
const DAYS: f64 = 7.0;

/// The position of rows in the week, as a fraction of it from Monday (calendar) or from Thursday
/// midnight UTC (grid, as the epoch began on one).
#[derive(Debug, Clone)]
pub(crate) struct Calendar<'a> {
    /// The first row on the absolute grid.
    clock: u64,
    step_s: u32,
    minute: Option<&'a [f64]>,
    day: Option<&'a [f64]>,
    /// What is added to the grid's fraction of the week.
    shift: f64,
}

impl<'a> Calendar<'a> {
    /// Of rows that begin at `clock`, with the shift that earlier rows told.
    pub(crate) fn new(clock: u64, step_s: u32, known: &Covariates<'a>, shift: f64) -> Self {
        let minute = known.get("minute-of-day");
        let mut calendar = Self {
            clock,
            step_s: step_s.max(1),
            minute,
            day: known.get("day-of-week"),
            shift,
        };
        // Rows before the first known one take its shift, not an older one's.
        if let Some(first) = minute.and_then(|m| m.iter().position(|v| v.is_finite())) {
            calendar.shift = calendar.shift_at(first);
        }
        calendar
    }

    /// The fraction of the week at a row, within [0, 1).
    pub(crate) fn week(&self, row: usize) -> f64 {
        self.told(row)
            .unwrap_or_else(|| fraction(self.grid(row) + self.shift))
    }

    /// The shift that a row tells: calendar less grid, within [0, 1).
    pub(crate) fn shift_at(&self, row: usize) -> f64 {
        self.told(row)
            .map_or(self.shift, |w| fraction(w - self.grid(row)))
    }

    /// The fraction of a season of `period` steps on the absolute grid, within [0, 1).
    pub(crate) fn plain(&self, row: usize, period: f64) -> f64 {
        fraction(((self.clock + row as u64) as f64 % period) / period)
    }

    fn grid(&self, row: usize) -> f64 {
        let week = u64::from(WEEK_S);
        // Seconds within the week first, so that no digit is lost to the size of the clock.
        let seconds = (self.clock + row as u64) % week * (u64::from(self.step_s) % week) % week;
        seconds as f64 / f64::from(WEEK_S)
    }

    fn told(&self, row: usize) -> Option<f64> {
        let read = |c: Option<&[f64]>, below: f64| {
            let v = *c?.get(row)?;
            (0.0..below).contains(&v).then_some(v)
        };
        let minute = read(self.minute, MINUTES)?;
        // Without a weekday, the day's own shift: less than a day from the grid's weekday.
        let day = read(self.day, DAYS).unwrap_or_else(|| {
            let days = self.grid(row) * DAYS;
            let off = fraction(minute / MINUTES - fraction(days) + 0.5) - 0.5;
            (days + off).floor().rem_euclid(DAYS)
        });
        Some(fraction((day.floor() + minute / MINUTES) / DAYS))
    }
}

/// The fraction of the day, of a fraction of the week.
pub(crate) fn day_of(week: f64) -> f64 {
    fraction(week * DAYS)
}

/// Whether a season of `period` steps is a day or a week of the calendar.
pub(crate) fn is_day(period: usize, step_s: u32) -> bool {
    period as u64 * u64::from(step_s) == u64::from(DAY_S)
}

/// See [`is_day`].
pub(crate) fn is_week(period: usize, step_s: u32) -> bool {
    period as u64 * u64::from(step_s) == u64::from(WEEK_S)
}

fn fraction(v: f64) -> f64 {
    let f = v - v.floor();
    // A hair below a whole number rounds up to it.
    if f < 1.0 { f } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_counts_from_midnight_utc() {
        let c = Calendar::new(0, 3600, &Covariates::default(), 0.0);
        assert!(day_of(c.week(0)) < 1e-12);
        assert!((day_of(c.week(18)) - 0.75).abs() < 1e-12);
        assert!((c.plain(30, 24.0) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_known_calendar_is_followed_through_a_change_of_clocks_and_remembered() {
        // Sunday: 00:00, 01:00, then 03:00.
        let minute = [0.0, 60.0, 180.0];
        let day = [6.0; 3];
        let known = Covariates::new(vec![("minute-of-day", &minute), ("day-of-week", &day)]);
        let c = Calendar::new(50, 3600, &known, 0.0);
        assert!((c.week(2) - (6.0 + 0.125) / 7.0).abs() < 1e-12);
        let shift = c.shift_at(2);
        let later = Calendar::new(53, 3600, &Covariates::default(), shift);
        assert!((later.week(0) - (6.0 + 4.0 / 24.0) / 7.0).abs() < 1e-12);
    }

    #[test]
    fn minutes_alone_shift_the_day_and_keep_the_weekday() {
        let grid = Calendar::new(0, 3600, &Covariates::default(), 0.0);
        // Two hours ahead of UTC.
        let minute: Vec<f64> = (0..48).map(|h| f64::from((h + 2) % 24) * 60.0).collect();
        let known = Covariates::new(vec![("minute-of-day", &minute)]);
        let c = Calendar::new(0, 3600, &known, 0.0);
        for row in 0..48 {
            let moved = fraction(c.week(row) - grid.week(row));
            assert!((moved - 2.0 / 168.0).abs() < 1e-9, "{row}: {moved}");
        }
    }
}
