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
    fn a_grid_knows_its_steps() {
        let grid = Grid::ending_at(Timestamp(185_000), Step::MINUTE, 3);
        assert_eq!((grid.start, grid.end()), (Timestamp(0), Timestamp(180_000)));
        assert_eq!(grid.index_of(Timestamp(179_999)), Some(2));
        assert_eq!(grid.index_of(grid.end()), None);
        assert_eq!(grid.index_of(Timestamp(-1)), None);
    }
}
