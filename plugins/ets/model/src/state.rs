//! A fitted model and its place in time: what the host keeps per series.
//!
//! `update` costs the same for each new value whatever the history; it moves the states by the
//! recursion and lets sigma follow slowly, so that an interval stays honest between fits.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{
    Base, Knot, ModelError, PROFILE, Prediction, Shape, knots_are_sound, normal_quantile,
    quantile_of_sorted, scaled, sort_floats, stretch,
};

use crate::recursion::{Class, ErrorKind, Path, SeasonKind, TrendKind};
use crate::simulate::simulate;
use crate::spread::Spread;

/// The format number of the bytes of [`crate::State`].
pub const FORMAT: u32 = 3;
/// The largest table a decoded state may have: a week of minutes.
const MAX_BINS: usize = 20_160;

/// A fitted model with its states after the last seen step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Smoothing {
    path: Path,
    scale: f64,
    spread: Spread,
    knots: Vec<Knot>,
    paths: u16,
}

impl Smoothing {
    pub(crate) fn assemble(
        mut path: Path,
        scale: f64,
        spread: Spread,
        knots: Vec<Knot>,
        paths: u16,
    ) -> Self {
        for table in &mut path.tables {
            table.bins.settle(PROFILE);
        }
        Self {
            path,
            scale,
            spread,
            knots,
            paths,
        }
    }

    /// The class that the fit chose.
    #[must_use]
    pub fn class(&self) -> Class {
        self.path.class
    }

    /// The smoothing parameters (alpha, beta, phi), then a gain per season.
    #[must_use]
    pub fn gains(&self) -> Vec<f64> {
        let p = &self.path;
        let mut all = vec![p.alpha, p.beta, p.phi];
        all.extend(p.tables.iter().map(|t| t.gain));
        all
    }

    /// Sigma, if it is a relative one.
    pub(crate) fn relative_spread(&self) -> Option<f64> {
        (self.path.class.error == ErrorKind::Multiplicative).then_some(self.spread.sigma())
    }

    /// Takes the values of the steps that follow the last seen one; NaN is a missing step.
    pub fn update(&mut self, values: &[f64]) {
        for v in values {
            self.spread.observe(&mut self.path, scaled(*v, self.scale));
        }
    }

    /// Forecasts the `horizon` steps after the last seen one, at quantile levels in parts per
    /// 10,000 (ascending). The seed matters to classes whose interval is simulated.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] for a bad horizon or levels; [`ModelError::Numeric`] if the
    /// states have left the finite numbers.
    pub fn predict(
        &self,
        horizon: usize,
        levels: &[u16],
        seed: u64,
    ) -> Result<Prediction, ModelError> {
        let shape = Shape::new(horizon, levels)?;
        let points: Vec<f64> = (1..=horizon).map(|h| self.path.point(h)).collect();
        let deviates: Vec<f64> = shape
            .probabilities
            .iter()
            .map(|p| normal_quantile(*p))
            .collect();
        let linear = self.path.class.error == ErrorKind::Additive
            && self.path.class.season != SeasonKind::Multiplicative;
        let mut quantiles = Vec::with_capacity(horizon * levels.len());
        if linear {
            let growth = self.path.growth(horizon);
            for (at, (point, growth)) in points.iter().zip(&growth).enumerate() {
                quantiles.extend(deviates.iter().map(|z| {
                    (point + self.spread.sigma() * growth * stretch(&self.knots, at + 1, *z))
                        * self.scale
                }));
            }
        } else {
            let (mut values, width) =
                simulate(&self.path, self.spread.sigma(), horizon, self.paths, seed);
            for (at, sample) in values.chunks_exact_mut(width).enumerate() {
                sort_floats(sample);
                let centre = points[at];
                for (p, z) in shape.probabilities.iter().zip(&deviates) {
                    // The sample's quantile, moved from the centre by the measured ratio.
                    let ratio = if z.abs() > 1e-9 {
                        stretch(&self.knots, at + 1, *z) / z
                    } else {
                        1.0
                    };
                    let q = quantile_of_sorted(sample, *p);
                    quantiles.push((centre + (q - centre) * ratio) * self.scale);
                }
            }
        }
        let mean = points.iter().map(|p| p * self.scale).collect();
        Prediction::lawful(&shape, mean, quantiles)
    }
}

impl Base for Smoothing {
    const FORMAT: u32 = FORMAT;

    fn update(&mut self, values: &[f64]) {
        Self::update(self, values);
    }

    fn predict(&self, horizon: usize, levels: &[u16], seed: u64) -> Result<Prediction, ModelError> {
        Self::predict(self, horizon, levels, seed)
    }

    fn is_sound(&self) -> bool {
        let p = &self.path;
        let numbers = [p.alpha, p.beta, p.phi, p.level, p.trend, self.scale];
        numbers.iter().all(|v| v.is_finite())
            && self.scale > 0.0
            && self.spread.is_sound()
            && (p.class.trend != TrendKind::Damped || p.phi < 1.0)
            && p.clock < u64::MAX / 4
            && p.tables
                .iter()
                .all(|t| t.is_sound() && t.bins.len() <= MAX_BINS)
            && knots_are_sound(&self.knots)
    }
}
