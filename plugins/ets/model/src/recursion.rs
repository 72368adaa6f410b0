//! The state equations: one observation in, one innovation out.
//!
//! With `base = level + phi * trend` and the seasons joined to `s` (sum or product), the
//! one-step forecast is `mu = base + s` or `mu = base * s`, and all classes share one update in
//! terms of the innovation `e = y - mu` (Hyndman et al. 2008, tables 2.2 and 2.3; for a
//! multiplicative error `e = mu * relative error`, which gives the same equations):
//!
//! | season         | level              | trend                   | season               |
//! | -------------- | ------------------ | ----------------------- | -------------------- |
//! | none, additive | `base + alpha e`   | `phi trend + beta e`    | `s_i + gamma_i e`    |
//! | multiplicative | `base + alpha e/s` | `phi trend + beta e/s`  | `s_i (1+gamma_i e/mu)` |
//!
//! So the error class does not appear here: it matters to the likelihood and to the interval.
//! A missing value moves the states by their expectation, that is, with `e = 0`.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::Table;

/// The error class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// Errors of the same size at every level.
    Additive,
    /// Errors in proportion to the one-step forecast.
    Multiplicative,
}

/// The trend class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrendKind {
    /// No trend.
    None,
    /// A straight line.
    Additive,
    /// A line whose slope shrinks by phi a step.
    Damped,
}

/// The season class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeasonKind {
    /// No season.
    None,
    /// Added to the level.
    Additive,
    /// Multiplied with the level.
    Multiplicative,
}

/// An ETS class, as in ETS(error, trend, season).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// The error.
    pub error: ErrorKind,
    /// The trend.
    pub trend: TrendKind,
    /// The season; all seasons of a model are of one kind.
    pub season: SeasonKind,
}

/// A model's states and gains at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Path {
    pub(crate) class: Class,
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
    pub(crate) phi: f64,
    pub(crate) level: f64,
    pub(crate) trend: f64,
    pub(crate) tables: Vec<Table>,
    /// The step that comes next, on the absolute grid.
    pub(crate) clock: u64,
}

/// A one-step forecast and what came instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Innovation {
    pub(crate) forecast: f64,
    pub(crate) error: f64,
}

impl Path {
    /// All seasons of a step, joined.
    pub(crate) fn season(&self, clock: u64) -> f64 {
        match self.class.season {
            SeasonKind::None => 0.0,
            SeasonKind::Additive => self.tables.iter().map(|t| t.at(clock)).sum(),
            SeasonKind::Multiplicative => self.tables.iter().map(|t| t.at(clock)).product(),
        }
    }

    fn join(&self, base: f64, season: f64) -> f64 {
        match self.class.season {
            SeasonKind::None | SeasonKind::Additive => base + season,
            SeasonKind::Multiplicative => base * season,
        }
    }

    /// Takes the next value (NaN: missing) and moves on by one step.
    pub(crate) fn observe(&mut self, value: f64) -> Option<Innovation> {
        let base = self.level + self.phi * self.trend;
        let season = self.season(self.clock);
        let forecast = self.join(base, season);
        let error = value - forecast;
        if value.is_nan() || !error.is_finite() {
            self.level = base;
            self.trend *= self.phi;
            self.clock += 1;
            return None;
        }
        self.absorb(base, season, forecast, error);
        Some(Innovation { forecast, error })
    }

    /// Takes the next value as a shift: the level moves by at least `gain` of the error, trend and
    /// season do not learn from it.
    pub(crate) fn relevel(&mut self, value: f64, gain: f64) -> Option<Innovation> {
        let base = self.level + self.phi * self.trend;
        let season = self.season(self.clock);
        let forecast = self.join(base, season);
        let error = value - forecast;
        self.trend *= self.phi;
        self.clock += 1;
        self.level = base;
        if !error.is_finite() {
            return None;
        }
        let effect = match self.class.season {
            SeasonKind::None | SeasonKind::Additive => error,
            SeasonKind::Multiplicative => error / season.max(1e-6),
        };
        self.level += self.alpha.max(gain) * effect;
        Some(Innovation { forecast, error })
    }

    /// Moves on by one step with a given innovation.
    pub(crate) fn absorb(&mut self, base: f64, season: f64, forecast: f64, error: f64) {
        let clock = self.clock;
        let effect = match self.class.season {
            SeasonKind::None => error,
            SeasonKind::Additive => {
                for table in &mut self.tables {
                    let step = table.gain * error;
                    table.adjust(clock, |s| s + step);
                }
                error
            }
            SeasonKind::Multiplicative => {
                // An outage must not drive a factor to zero, nor a burst to the sky.
                let relative = if forecast > 0.0 {
                    (error / forecast).clamp(-0.9, 9.0)
                } else {
                    0.0
                };
                for table in &mut self.tables {
                    let factor = 1.0 + table.gain * relative;
                    table.adjust(clock, |s| (s * factor).clamp(1e-6, 1e6));
                }
                error / season.max(1e-6)
            }
        };
        self.level = base + self.alpha * effect;
        self.trend = self.phi * self.trend + self.beta * effect;
        self.clock += 1;
    }

    /// The sum `phi + phi^2 + ... + phi^h`, which carries the trend `h` steps ahead.
    pub(crate) fn damp(&self, h: usize) -> f64 {
        match self.class.trend {
            TrendKind::None => 0.0,
            TrendKind::Additive => h as f64,
            TrendKind::Damped => {
                self.phi * (1.0 - libm::pow(self.phi, h as f64)) / (1.0 - self.phi)
            }
        }
    }

    /// The point forecast `h >= 1` steps ahead; exact for additive errors, and the usual one
    /// (no innovation on the way) for the others.
    pub(crate) fn point(&self, h: usize) -> f64 {
        self.point_with(h, self.damp(h))
    }

    /// [`Path::point`] where `damp(h)` is known already.
    pub(crate) fn point_with(&self, h: usize, damp: f64) -> f64 {
        let ahead = h.saturating_sub(1) as u64;
        self.join(
            self.level + damp * self.trend,
            self.season(self.clock + ahead),
        )
    }

    /// The weights `c_1 .. c_{h-1}` with which an innovation still acts `j` steps later, for a
    /// linear model (Hyndman et al. 2008, section 6.1): the variance `h` steps ahead is
    /// `sigma^2 (1 + c_1^2 + ... + c_{h-1}^2)`.
    pub(crate) fn weight(&self, j: usize) -> f64 {
        let seasons: f64 = self
            .tables
            .iter()
            .filter(|t| (j as u64).is_multiple_of(u64::from(t.period.max(1))))
            .map(|t| t.gain / t.stride() as f64)
            .sum();
        self.alpha + self.beta * self.damp(j) + seasons
    }

    /// Standard deviations, in units of sigma, of 1..=horizon steps ahead.
    pub(crate) fn growth(&self, horizon: usize) -> Vec<f64> {
        let mut variance = 1.0;
        (1..=horizon)
            .map(|h| {
                if h > 1 {
                    let c = self.weight(h - 1);
                    variance += c * c;
                }
                variance.sqrt()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model_kit::Bins;

    fn path(trend: TrendKind, season: SeasonKind) -> Path {
        let factor = if season == SeasonKind::Multiplicative {
            1.0
        } else {
            0.0
        };
        Path {
            class: Class {
                error: ErrorKind::Additive,
                trend,
                season,
            },
            alpha: 0.5,
            beta: 0.1,
            phi: if trend == TrendKind::Damped { 0.9 } else { 1.0 },
            level: 10.0,
            trend: if trend == TrendKind::None { 0.0 } else { 1.0 },
            tables: vec![Table {
                period: 2,
                gain: 0.2,
                bins: Bins::free(vec![factor, 2.0 * factor]),
            }],
            clock: 0,
        }
    }

    #[test]
    fn simple_smoothing_moves_half_way_to_the_value() {
        let mut p = path(TrendKind::None, SeasonKind::None);
        p.beta = 0.0;
        let e = p.observe(14.0).unwrap();
        assert!((e.error - 4.0).abs() < 1e-12 && (p.level - 12.0).abs() < 1e-12);
    }

    #[test]
    fn an_undamped_trend_goes_straight_and_a_damped_one_flattens() {
        let line = path(TrendKind::Additive, SeasonKind::None);
        assert!((line.point(5) - 15.0).abs() < 1e-12);
        let bend = path(TrendKind::Damped, SeasonKind::None);
        let sum = 0.9 + 0.81 + 0.729;
        assert!((bend.point(3) - (10.0 + sum)).abs() < 1e-12);
    }

    #[test]
    fn the_point_forecast_is_what_iterated_missing_steps_reach() {
        for trend in [TrendKind::None, TrendKind::Additive, TrendKind::Damped] {
            for season in [SeasonKind::Additive, SeasonKind::Multiplicative] {
                let start = path(trend, season);
                let mut walked = start.clone();
                for h in 1..=5 {
                    assert!(
                        (walked.point(1) - start.point(h)).abs() < 1e-9,
                        "{trend:?} {season:?}"
                    );
                    assert!(walked.observe(f64::NAN).is_none());
                }
            }
        }
    }

    #[test]
    fn a_unit_gain_learns_a_multiplicative_factor_at_once() {
        let mut p = path(TrendKind::None, SeasonKind::Multiplicative);
        (p.alpha, p.beta, p.tables[0].gain) = (0.0, 0.0, 1.0);
        p.observe(30.0);
        assert!((p.tables[0].at(0) - 3.0).abs() < 1e-6);
    }

    #[test]
    fn variances_grow_with_the_horizon_and_with_the_gain() {
        let p = path(TrendKind::None, SeasonKind::Additive);
        let growth = p.growth(3);
        // c_1 = alpha + beta * 0 = .5, c_2 = alpha + gamma = .7
        assert!((growth[1] - 1.25f64.sqrt()).abs() < 1e-12);
        assert!((growth[2] - (1.25f64 + 0.49).sqrt()).abs() < 1e-12);
    }
}
