//! The lines of the method, and how a new value moves them.
//!
//! A value over its season (or less it) is one point of the adjusted series. Seven levels smooth
//! it at seven speeds, a slow mean smooths it over a day or some days: the first are the lines
//! that bend with the data, the last is the one that does not. Which level serves which horizon
//! is the back-test's choice (`theta.rs`), so all are kept: seven numbers cost nothing.
//!
//! The season learns from what the slow mean leaves, not from the one-step error. A fast level
//! has swallowed nearly all of a slow deviation by the time the next value comes, and a profile
//! taught by its errors would hardly ever move.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Decomposition, PROFILE, Table};

/// The smoothing parameters of the levels.
pub(crate) const ALPHAS: [f64; 7] = [0.03, 0.07, 0.15, 0.3, 0.5, 0.7, 0.9];
/// The gain of levels while the series shifts, and how many times faster the mean moves then.
const SHIFT_GAIN: f64 = 0.5;
const SHIFT_HASTE: f64 = 12.0;
/// The smallest factor that a value is divided by.
const TINY: f64 = 1e-6;
/// Below this factor, a value tells less of its base: what is not in proportion to the season (counting,
/// rounding, the profile's own error) is divided by the factor as well. So gains fall with its square,
/// as a Kalman filter's do with the variance of the observation; a load that all but sleeps at night
/// else comes out of it with a level of thousands.
const TELLING: f64 = 0.02;

/// How the season joins the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeasonKind {
    /// There is none.
    None,
    /// It is added.
    Additive,
    /// It multiplies.
    Multiplicative,
}

/// The profiles of all seasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Season {
    pub(crate) kind: SeasonKind,
    pub(crate) tables: Vec<Table>,
}

impl Season {
    /// The profiles of a decomposition, each moving by `gain` of what is left to explain.
    pub(crate) fn of(parts: &Decomposition, kind: SeasonKind, gain: f64) -> Self {
        let tables: Vec<Table> = parts
            .tables
            .iter()
            .map(|t| Table { gain, ..t.clone() })
            .collect();
        let kind = if tables.is_empty() {
            SeasonKind::None
        } else {
            kind
        };
        Self { kind, tables }
    }

    /// Rounds the profiles to what bytes can hold.
    pub(crate) fn settle(&mut self) {
        for table in &mut self.tables {
            table.bins.settle(PROFILE);
        }
    }

    /// All profiles at a step, joined.
    pub(crate) fn at(&self, clock: u64) -> f64 {
        match self.kind {
            SeasonKind::None => 0.0,
            SeasonKind::Additive => self.tables.iter().map(|t| t.at(clock)).sum(),
            SeasonKind::Multiplicative => self.tables.iter().map(|t| t.at(clock)).product(),
        }
    }

    /// The value of a base at a step with this season.
    pub(crate) fn join(&self, base: f64, season: f64) -> f64 {
        base * self.factor(season) + self.offset(season)
    }

    /// What a unit of the base is worth at a step with this season.
    pub(crate) fn factor(&self, season: f64) -> f64 {
        match self.kind {
            SeasonKind::None | SeasonKind::Additive => 1.0,
            SeasonKind::Multiplicative => season,
        }
    }

    fn offset(&self, season: f64) -> f64 {
        match self.kind {
            SeasonKind::None | SeasonKind::Additive => season,
            SeasonKind::Multiplicative => 0.0,
        }
    }

    /// How much a value at a step with this season tells of its base, 0 to 1.
    fn telling(&self, season: f64) -> f64 {
        let part = (self.factor(season).max(0.0) / TELLING).min(1.0);
        part * part
    }

    /// The base of a value at a step with this season.
    pub(crate) fn adjust(&self, value: f64, season: f64) -> f64 {
        (value - self.offset(season)) / self.factor(season).max(TINY)
    }

    /// Learns from a value where `base` was the slow mean; what is beyond `bound` (of the base's
    /// unit) is no habit.
    fn learn(&mut self, clock: u64, value: f64, base: f64, season: f64, bound: f64) {
        let forecast = self.join(base, season);
        let unit = self.factor(season).max(TINY);
        let mut left = (value - forecast).clamp(-bound * unit, bound * unit);
        for table in &mut self.tables {
            if table.gain == 0.0 {
                continue;
            }
            // Each season explains its share of what the shorter ones leave.
            let step = table.gain * left;
            left -= step;
            if self.kind == SeasonKind::Multiplicative {
                // An outage must not drive a factor to zero, nor a burst to the sky.
                let relative = if forecast > 0.0 {
                    (step / forecast).clamp(-0.9, 9.0)
                } else {
                    0.0
                };
                table.adjust(clock, |s| (s * (1.0 + relative)).clamp(TINY, 1.0 / TINY));
            } else {
                table.adjust(clock, |s| s + step);
            }
        }
    }
}

/// Where the method stands after the last seen step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lines {
    pub(crate) season: Season,
    /// Simple exponential smoothing at [`ALPHAS`].
    pub(crate) levels: [f64; ALPHAS.len()],
    /// The recent mean.
    pub(crate) mean: f64,
    /// Its gain.
    pub(crate) slow: f64,
    /// Deviations beyond this do not teach the season.
    pub(crate) bound: f64,
    /// The step that comes next, on the absolute grid.
    pub(crate) clock: u64,
}

impl Lines {
    /// Takes the next value (NaN: missing) and moves on by one step.
    pub(crate) fn observe(&mut self, value: f64) {
        let season = self.season.at(self.clock);
        let x = self.season.adjust(value, season);
        if x.is_finite() {
            let part = self.season.telling(season);
            for (level, alpha) in self.levels.iter_mut().zip(ALPHAS) {
                *level += part * alpha * (x - *level);
            }
            let (mean, bound) = (self.mean, self.bound);
            self.season.learn(self.clock, value, mean, season, bound);
            self.mean += part * self.slow * (x - self.mean);
        }
        self.clock += 1;
    }

    /// Takes the next value as part of a shift: the levels move fast and the season learns
    /// nothing.
    pub(crate) fn shift(&mut self, value: f64) {
        let season = self.season.at(self.clock);
        let x = self.season.adjust(value, season);
        if x.is_finite() {
            let part = self.season.telling(season);
            for (level, alpha) in self.levels.iter_mut().zip(ALPHAS) {
                *level += part * alpha.max(SHIFT_GAIN) * (x - *level);
            }
            self.mean += part * (self.slow * SHIFT_HASTE).min(SHIFT_GAIN) * (x - self.mean);
        }
        self.clock += 1;
    }

    /// Begins anew at a level and a step.
    pub(crate) fn restart(&mut self, level: f64, clock: u64) {
        self.levels = [level; ALPHAS.len()];
        self.mean = level;
        self.clock = clock;
    }

    /// Whether decoded lines can be read and moved.
    pub(crate) fn is_sound(&self, most_bins: usize) -> bool {
        let finite = |v: &f64| v.is_finite();
        self.levels.iter().all(finite)
            && [self.mean, self.bound].iter().all(finite)
            && self.bound >= 0.0
            && (0.0..=1.0).contains(&self.slow)
            && self.clock < u64::MAX / 4
            && self.season.tables.len() <= 3
            && self
                .season
                .tables
                .iter()
                .all(|t| t.is_sound() && t.bins.len() <= most_bins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model_kit::Bins;

    fn lines(kind: SeasonKind, gain: f64) -> Lines {
        let bins = if kind == SeasonKind::Multiplicative {
            vec![1.0, 2.0]
        } else {
            vec![0.0, 10.0]
        };
        let table = Table {
            period: 2,
            gain,
            bins: Bins::free(bins),
        };
        Lines {
            season: Season {
                kind,
                tables: vec![table],
            },
            levels: [10.0; ALPHAS.len()],
            mean: 10.0,
            slow: 0.1,
            bound: 100.0,
            clock: 0,
        }
    }

    #[test]
    fn a_value_as_foreseen_moves_nothing() {
        for kind in [SeasonKind::Additive, SeasonKind::Multiplicative] {
            let start = lines(kind, 0.5);
            let mut seen = start.clone();
            seen.observe(10.0);
            seen.observe(20.0);
            assert_eq!(Lines { clock: 2, ..start }, seen);
        }
    }

    #[test]
    fn a_gain_of_one_half_learns_half_of_what_the_mean_leaves() {
        let mut additive = lines(SeasonKind::Additive, 0.5);
        additive.observe(14.0);
        assert!((additive.season.at(2) - 2.0).abs() < 1e-6);
        let mut factor = lines(SeasonKind::Multiplicative, 0.5);
        factor.observe(14.0);
        assert!((factor.season.at(2) - 1.2).abs() < 1e-6);
    }

    #[test]
    fn an_outage_teaches_the_season_no_more_than_its_bound() {
        let mut l = lines(SeasonKind::Additive, 0.5);
        l.bound = 2.0;
        l.observe(-500.0);
        assert!((l.season.at(2) + 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_load_that_all_but_sleeps_at_night_keeps_its_level() {
        let mut l = lines(SeasonKind::Multiplicative, 0.0);
        l.season.tables[0].bins = Bins::free(vec![1.0, 0.0]);
        for _ in 0..50 {
            l.observe(10.0);
            l.observe(0.02);
        }
        let kept = |level: &f64| (level - 10.0).abs() < 1e-6;
        assert!(l.levels.iter().all(kept) && kept(&l.mean), "{l:?}");
    }
}
