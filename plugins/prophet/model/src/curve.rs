//! The ordinary load of a fit, row by row: trend and seasons, without events or residuals.

use crate::design::Design;
use tidegate_model_kit::{dot, smaller};

/// Bounds of the trend's ratio to its typical value where it multiplies seasons.
const RATIO: (f64, f64) = (0.1, 10.0);

/// How large a season is at a value of the trend; `typical` is `None` for an additive one.
pub(crate) fn swing(trend: f64, typical: Option<f64>) -> f64 {
    typical.map_or(1.0, |t| (trend / t).clamp(RATIO.0, RATIO.1))
}

/// Coefficients, read as a curve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Curve<'a> {
    pub(crate) beta: &'a [f64],
    pub(crate) design: &'a Design,
    /// The first row that the coefficients did not see.
    pub(crate) origin: usize,
    /// The share of the last slope that goes on beyond it.
    pub(crate) keep: f64,
    /// See [`swing`].
    pub(crate) typical: Option<f64>,
}

impl Curve<'_> {
    /// The trend at a row.
    pub(crate) fn trend(&self, row: f64) -> f64 {
        let t = self.design.time(row);
        let end = self.design.time(self.origin as f64 - 1.0);
        let past = smaller(t, end);
        let bends = self.design.changepoints.iter().zip(&self.beta[2..]);
        let bent: f64 = bends.map(|(s, d)| d * smaller(past - s, 0.0)).sum();
        self.beta[0] + self.beta[1] * (past + self.keep * (t - past)) + bent
    }

    /// Trend and seasons at a row with these season columns.
    pub(crate) fn at(&self, row: usize, columns: &[f64]) -> f64 {
        let trend = self.trend(row as f64);
        let season = dot(&self.beta[self.design.season_columns()], columns);
        trend + swing(trend, self.typical) * season
    }
}
