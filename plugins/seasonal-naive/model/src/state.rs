//! The last cycle and the error quantiles: what the host keeps per series.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Base, Bins, ModelError, Prediction, Shape, scaled};

use crate::spread::{Knot, error_at};

/// The format number of the bytes of [`crate::State`].
pub const FORMAT: u32 = 3;

/// The last observed value of every phase, with the errors that repeating it made.
///
/// An update writes one number; the errors stay as measured until the next fit, because one
/// step says nothing about their quantiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    scale: f64,
    /// The step that comes next, on the absolute grid.
    clock: u64,
    /// By phase; a single value where there is no season.
    table: Bins,
    knots: Vec<Knot>,
}

impl Repeat {
    pub(crate) fn assemble(scale: f64, clock: u64, table: Bins, knots: Vec<Knot>) -> Self {
        Self {
            scale,
            clock,
            table,
            knots,
        }
    }

    /// The season that is repeated, in steps; 1: none.
    #[must_use]
    pub fn period(&self) -> usize {
        self.table.len()
    }

    fn phase(&self, clock: u64) -> usize {
        (clock % self.table.len().max(1) as u64) as usize
    }

    /// Takes the values of the steps that follow the last seen one; NaN is a missing step, for
    /// which the value of the season before stays.
    pub fn update(&mut self, values: &[f64]) {
        for v in values {
            let value = scaled(*v, self.scale);
            if value.is_finite() {
                self.table.put(self.phase(self.clock), value);
            }
            self.clock += 1;
        }
    }

    /// Forecasts the `horizon` steps after the last seen one, at quantile levels in parts per
    /// 10,000 (ascending). The seed is not used: nothing here is random.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] for a bad horizon or levels.
    pub fn predict(
        &self,
        horizon: usize,
        levels: &[u16],
        _seed: u64,
    ) -> Result<Prediction, ModelError> {
        let shape = Shape::new(horizon, levels)?;
        let mut mean = Vec::with_capacity(horizon);
        let mut quantiles = Vec::with_capacity(horizon * levels.len());
        let mut errors = (0, Vec::new());
        for step in 0..horizon {
            let value = self.table.get(self.phase(self.clock + step as u64));
            let point = f64::from(value.copied().unwrap_or(0.0));
            let ahead = step / self.period().max(1) + 1;
            if errors.0 != ahead {
                let at = |p: &f64| error_at(&self.knots, ahead, *p);
                errors = (ahead, shape.probabilities.iter().map(at).collect());
            }
            mean.push(point * self.scale);
            quantiles.extend(errors.1.iter().map(|e| (point + e) * self.scale));
        }
        Prediction::lawful(&shape, mean, quantiles)
    }
}

impl Base for Repeat {
    const FORMAT: u32 = FORMAT;

    fn update(&mut self, values: &[f64]) {
        Self::update(self, values);
    }

    fn predict(&self, horizon: usize, levels: &[u16], seed: u64) -> Result<Prediction, ModelError> {
        Self::predict(self, horizon, levels, seed)
    }

    fn is_sound(&self) -> bool {
        self.scale.is_finite()
            && self.scale > 0.0
            && self.clock < u64::MAX / 4
            && !self.table.is_empty()
            && self.table.is_finite()
            && self.knots.windows(2).all(|w| w[0].ahead < w[1].ahead)
            && self.knots.iter().all(Knot::is_sound)
    }
}
