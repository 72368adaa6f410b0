//! Instants, steps and grids. All time is an argument; nothing here reads a clock.
//!
//! A step is half open: the step that starts at `t` covers `t <= x < t + step`. Milliseconds in
//! `i64` reach far beyond any data, and integers keep plans byte-equal.

use std::fmt;

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds.
    #[must_use]
    pub fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds, rounded towards the past.
    #[must_use]
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Later by so many milliseconds; saturates.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Later by so many steps; saturates.
    #[must_use]
    pub fn plus_steps(self, step: Step, count: i64) -> Self {
        self.plus_ms(step.ms().saturating_mul(count))
    }

    /// Start of the step that contains this instant.
    #[must_use]
    pub fn floor(self, step: Step) -> Self {
        Self(self.0 - self.0.rem_euclid(step.ms()))
    }

    /// Milliseconds since `earlier`, negative if this is before it; saturates.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// RFC 3339 in UTC with whole seconds, `2026-11-24T09:05:00Z`.
///
/// The civil date is Hinnant's `civil_from_days` ("chrono-Compatible Low-Level Date Algorithms",
/// 2013): years of the proleptic Gregorian calendar counted from March, in eras of 400 years.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (
            self.secs().div_euclid(86_400),
            self.secs().rem_euclid(86_400),
        );
        let from_march = days + 719_468;
        let (era, day) = (
            from_march.div_euclid(146_097),
            from_march.rem_euclid(146_097),
        );
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        let year = year + era * 400 + carry;
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
    }
}

/// Length of a step in whole seconds: 1 s to 1 day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step(u32);

impl Step {
    /// One minute, the default resolution.
    pub const MINUTE: Step = Step(60);

    /// A step of so many seconds, if it lies between 1 and 86,400.
    #[must_use]
    pub fn from_secs(seconds: u32) -> Option<Self> {
        (1..=86_400).contains(&seconds).then_some(Self(seconds))
    }

    /// Seconds.
    #[must_use]
    pub fn secs(self) -> u32 {
        self.0
    }

    /// Milliseconds.
    #[must_use]
    pub fn ms(self) -> i64 {
        i64::from(self.0) * 1000
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

/// `count` steps from `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Start of the first step.
    pub start: Timestamp,
    /// Length of each.
    pub step: Step,
    /// How many.
    pub count: usize,
}

impl Grid {
    /// The grid of the last `count` whole steps before `end`.
    #[must_use]
    pub fn ending_at(end: Timestamp, step: Step, count: usize) -> Self {
        let end = end.floor(step);
        Self {
            start: end.plus_steps(step, -(count as i64)),
            step,
            count,
        }
    }

    /// Start of step `i`.
    #[must_use]
    pub fn at(&self, i: usize) -> Timestamp {
        self.start.plus_steps(self.step, i as i64)
    }

    /// End of the last step.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.at(self.count)
    }

    /// Index of the step that contains `t`, if it lies on the grid.
    #[must_use]
    pub fn index_of(&self, t: Timestamp) -> Option<usize> {
        let offset = t.since_ms(self.start);
        if offset < 0 {
            return None;
        }
        let i = usize::try_from(offset / self.step.ms()).ok()?;
        (i < self.count).then_some(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_half_open() {
        let step = Step::MINUTE;
        assert_eq!(Timestamp(59_999).floor(step), Timestamp(0));
        assert_eq!(Timestamp(60_000).floor(step), Timestamp(60_000));
        assert_eq!(Timestamp(-1).floor(step), Timestamp(-60_000));
    }

    #[test]
    fn an_instant_reads_as_its_date() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_763_975_100, "2025-11-24T09:05:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_secs(seconds).to_string(), text);
        }
    }

    #[test]
    fn a_grid_knows_its_steps() {
        let grid = Grid::ending_at(Timestamp(185_000), Step::MINUTE, 3);
        assert_eq!((grid.start, grid.end()), (Timestamp(0), Timestamp(180_000)));
        assert_eq!(grid.index_of(Timestamp(179_999)), Some(2));
        assert_eq!(grid.index_of(grid.end()), None);
        assert_eq!(grid.index_of(Timestamp(-1)), None);
    }
}
