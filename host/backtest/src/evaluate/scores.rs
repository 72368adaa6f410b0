//! All figures of one forecast, and their means.
//!
//! A figure that cannot be measured (no scale, no value) is NaN and left out of means, so that one
//! constant series neither divides by zero nor passes as perfect.

use super::metrics::{interval_score, mean, pinball_loss, symmetric_percentage_error};
use super::subject::Grid;
use tidegate_core::units::Level;

/// What is measured of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Percent, 0 to 200.
    Smape,
    /// Mean absolute error over the seasonal-naive scale.
    Mase,
    /// Mean pinball loss at 2.5, 10, 50, 90 and 97.5 % over the scale.
    Mspl,
    /// Interval score at 95 % over the scale.
    Msis,
    /// Twice the sum of the pinball losses at those five levels over the sum of the values, mean
    /// over the levels.
    Wql,
    /// Percent of values in the central 50 % interval.
    Cover50,
    /// The same of 80 %.
    Cover80,
    /// The same of 95 %.
    Cover95,
    /// Mean width of the 50 % interval over the scale.
    Width50,
    /// The same of 80 %.
    Width80,
    /// The same of 95 %.
    Width95,
    /// Percent of values at or below the 90 % quantile.
    Below90,
    /// The same of 99 %.
    Below99,
}

impl Metric {
    /// All, in the order of [`Scores`].
    pub const ALL: [Metric; 13] = [
        Metric::Smape,
        Metric::Mase,
        Metric::Mspl,
        Metric::Msis,
        Metric::Wql,
        Metric::Cover50,
        Metric::Cover80,
        Metric::Cover95,
        Metric::Width50,
        Metric::Width80,
        Metric::Width95,
        Metric::Below90,
        Metric::Below99,
    ];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Metric::Smape => "smape",
            Metric::Mase => "mase",
            Metric::Mspl => "mspl",
            Metric::Msis => "msis",
            Metric::Wql => "wql",
            Metric::Cover50 => "coverage_50",
            Metric::Cover80 => "coverage_80",
            Metric::Cover95 => "coverage_95",
            Metric::Width50 => "width_50",
            Metric::Width80 => "width_80",
            Metric::Width95 => "width_95",
            Metric::Below90 => "below_90",
            Metric::Below99 => "below_99",
        }
    }
}

/// One figure per metric; NaN where it cannot be measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores([f64; 13]);

/// Levels of the losses, per 10,000.
pub const LOSSES: [u16; 5] = [250, 1000, 5000, 9000, 9750];

/// Central intervals: percent, lower and upper level.
pub const INTERVALS: [(u16, u16, u16); 3] = [(50, 2500, 7500), (80, 1000, 9000), (95, 250, 9750)];

/// Where a level stands in [`Level::STANDARD`].
#[must_use]
pub fn place(level: u16) -> Option<usize> {
    Level::STANDARD.iter().position(|l| l.get() == level)
}

/// The quantile of that level in a row; NaN where it is not asked for.
#[must_use]
pub fn quantile(row: &[f64], level: u16) -> f64 {
    place(level)
        .and_then(|at| row.get(at))
        .copied()
        .unwrap_or(f64::NAN)
}

impl Scores {
    /// Nothing is known.
    pub const NONE: Scores = Scores([f64::NAN; 13]);

    /// Scores the first `actual.len()` steps of a forecast.
    #[must_use]
    pub fn of(actual: &[f64], forecast: &Grid, scale: Option<f64>) -> Self {
        let scale = scale.unwrap_or(f64::NAN);
        let steps = || {
            let measured = actual.iter().enumerate().filter(|(_, y)| y.is_finite());
            measured.map(|(t, y)| (*y, forecast.row(t), forecast.mean[t]))
        };
        let over = |f: &dyn Fn(f64, &[f64], f64) -> f64| {
            mean(steps().map(|(y, row, m)| f(y, row, m))).unwrap_or(f64::NAN)
        };
        let loss = |y: f64, row: &[f64]| {
            let of = |l: &u16| pinball_loss(y, quantile(row, *l), f64::from(*l) / 10_000.0);
            LOSSES.iter().map(of).sum::<f64>() / LOSSES.len() as f64
        };
        let between = |n: usize| {
            let (_, low, high) = INTERVALS[n];
            move |row: &[f64]| (quantile(row, low), quantile(row, high))
        };
        let covered = |n| {
            over(&|y, row, _| {
                let (low, high) = between(n)(row);
                percent(low <= y && y <= high)
            })
        };
        let width = |n| {
            over(&|_, row, _| {
                let (low, high) = between(n)(row);
                (high - low) / scale
            })
        };
        let below = |level| over(&|y, row, _| percent(y <= quantile(row, level)));
        let load: f64 = steps().map(|(y, _, _)| y.abs()).sum();
        let losses: f64 = steps().map(|(y, row, _)| 2.0 * loss(y, row)).sum();
        Self([
            over(&|y, _, m| symmetric_percentage_error(y, m)),
            over(&|y, _, m| (y - m).abs() / scale),
            over(&|y, row, _| loss(y, row) / scale),
            over(&|y, row, _| {
                let (low, high) = between(2)(row);
                interval_score(y, low, high, 0.05) / scale
            }),
            if load > 0.0 { losses / load } else { f64::NAN },
            covered(0),
            covered(1),
            covered(2),
            width(0),
            width(1),
            width(2),
            below(9000),
            below(9900),
        ])
    }

    /// One figure.
    #[must_use]
    pub fn get(&self, metric: Metric) -> f64 {
        self.0[metric as usize]
    }

    /// The mean of each figure over those that have it.
    #[must_use]
    pub fn mean<'a>(all: impl IntoIterator<Item = &'a Scores>) -> Self {
        let all: Vec<&Scores> = all.into_iter().collect();
        Self(std::array::from_fn(|i| {
            mean(all.iter().map(|s| s.0[i])).unwrap_or(f64::NAN)
        }))
    }
}

fn percent(hit: bool) -> f64 {
    if hit { 100.0 } else { 0.0 }
}
