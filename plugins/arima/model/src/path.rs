//! The running model: season, ARMA, and what the direct regressions look at.
//!
//! One type is both the state between calls and the way a fit walks the history, so that what a
//! back-test measured is what a later prediction does.

use serde::{Deserialize, Serialize};

use crate::arma::{Arma, Memory};
use crate::season::Season;
use crate::tracker::Tracker;

/// Regressors without a week.
pub(crate) const PLAIN: usize = 8;
/// Regressors with a week.
pub(crate) const WITH_WEEK: usize = PLAIN + 2;

/// The model on the transformed scale, up to now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Path {
    /// The number of the next step on the absolute grid.
    pub(crate) clock: u64,
    pub(crate) season: Option<Season>,
    /// Whether the ARMA is of what the profile leaves; else of the series itself.
    pub(crate) seasonal: bool,
    pub(crate) arma: Arma,
    pub(crate) memory: Memory,
    /// Regressors that change with each value: what the profile left of the last value, and its
    /// means over about three steps, an hour, four hours and a day.
    remainder: [f64; 5],
    /// The mean of the values over about a day.
    level: f64,
    /// What the profile leaves of the value one day, and one week, before the last one.
    then: [f64; 2],
    /// Shifts of the level that were followed so far; season and ARMA see values less these.
    pub(crate) shifted: f64,
    tracker: Tracker,
}

impl Path {
    /// Begins after a first day (or before the first value, without a season), at `clock`.
    pub(crate) fn new(
        season: Option<Season>,
        seasonal: bool,
        arma: Arma,
        clock: u64,
        level: f64,
    ) -> Self {
        let first = if seasonal { 0.0 } else { level };
        Self {
            clock,
            season,
            seasonal,
            memory: Memory::new(&arma, first),
            arma,
            remainder: [0.0; 5],
            level,
            then: [0.0; 2],
            shifted: 0.0,
            tracker: Tracker::default(),
        }
    }

    /// The profile's share in a forecast of the step at `clock`.
    pub(crate) fn profile(&self, clock: u64) -> f64 {
        match &self.season {
            Some(s) if self.seasonal => s.profile.at(clock),
            _ => 0.0,
        }
    }

    /// The forecast of the next value by the recursion.
    pub(crate) fn next(&self) -> f64 {
        self.profile(self.clock) + self.memory.next(&self.arma) + self.shifted
    }

    /// Shows the next value (NaN: missing).
    pub(crate) fn observe(&mut self, z: f64) {
        let clock = self.clock;
        let mut z = z - self.shifted;
        if !z.is_nan() && !self.arma.integrated {
            let error = z - self.profile(clock) - self.memory.next(&self.arma);
            let moved = self.tracker.moves(error);
            self.shifted += moved;
            z -= moved;
        }
        self.memory.observe(&self.arma, z - self.profile(clock));
        if let Some(season) = &mut self.season {
            let expected = season.profile.at(clock);
            self.then[0] = season.day.around(clock) - expected;
            if let Some(week) = &season.week {
                self.then[1] = week.at(clock) - expected;
            }
            if !z.is_nan() {
                let period = season.profile.period() as f64;
                let hour = (period / 24.0).floor().max(2.0);
                let left = z - expected;
                let spans = [0.0, 3.0, hour, 4.0 * hour, period];
                for (mean, span) in self.remainder.iter_mut().zip(spans) {
                    *mean += 2.0 / (span + 1.0).max(2.0) * (left - *mean);
                }
                self.level += 2.0 / (period + 1.0) * (z - self.level);
            }
            season.observe(clock, z);
        }
        self.clock += 1;
    }

    /// Forecasts of the next steps by the recursion.
    pub(crate) fn forecast(&self, horizon: usize) -> Vec<f64> {
        let mut out = Vec::new();
        self.memory.forecast(&self.arma, horizon, &mut out);
        for (h, v) in out.iter_mut().enumerate() {
            *v += self.profile(self.clock + h as u64) + self.shifted;
        }
        out
    }

    /// How many regressors there are.
    pub(crate) fn width(&self) -> usize {
        match &self.season {
            None => 0,
            Some(s) if s.week.is_none() => PLAIN,
            Some(_) => WITH_WEEK,
        }
    }

    /// The regressors of the value `h` steps ahead, relative to the profile there, so that a
    /// coefficient of 1 on a lag means "as then".
    pub(crate) fn regressors(&self, h: usize, out: &mut Vec<f64>) {
        out.clear();
        let Some(season) = &self.season else { return };
        let clock = self.clock + h as u64 - 1;
        let expected = season.profile.at(clock);
        out.extend(self.remainder);
        out.push(season.day.around(clock) - expected);
        out.push(self.then[0]);
        out.push(self.level - expected);
        if let Some(week) = &season.week {
            out.push(week.at(clock) - expected);
            out.push(self.then[1]);
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.clock < u64::MAX / 4
            && self.season.as_ref().is_none_or(Season::is_sound)
            && self.arma.is_sound()
            && self.memory.is_sound(&self.arma)
            && self
                .remainder
                .iter()
                .chain(&self.then)
                .all(|v| v.is_finite())
            && self.level.is_finite()
            && self.shifted.is_finite()
            && self.tracker.is_sound()
    }
}
