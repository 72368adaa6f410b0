//! The last cycle and the error quantiles: what the host keeps per series.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{ModelError, Prediction, Shape, decode, encode, scaled};

use crate::spread::{Knot, error_at};

/// The format of [`State::encode`]d bytes.
pub const FORMAT: u32 = 1;

/// The last observed value of every phase, with the errors that repeating it made.
///
/// An update writes one number; the errors stay as measured until the next fit, because one
/// step says nothing about their quantiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    scale: f64,
    /// The step that comes next, on the absolute grid.
    clock: u64,
    /// By phase; a single value where there is no season.
    table: Vec<f32>,
    knots: Vec<Knot>,
}

impl State {
    pub(crate) fn assemble(scale: f64, clock: u64, table: Vec<f32>, knots: Vec<Knot>) -> Self {
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
            let phase = self.phase(self.clock);
            let value = scaled(*v, self.scale) as f32;
            if value.is_finite()
                && let Some(slot) = self.table.get_mut(phase)
            {
                *slot = value;
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
            let value = self
                .table
                .get(self.phase(self.clock + step as u64))
                .copied();
            let point = f64::from(value.unwrap_or(0.0));
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

    /// The state as bytes that begin with [`FORMAT`].
    ///
    /// # Errors
    /// [`ModelError::Internal`] if serialisation fails.
    pub fn encode(&self) -> Result<Vec<u8>, ModelError> {
        encode(FORMAT, self)
    }

    /// Reads bytes that [`State::encode`] wrote, and checks what the model relies on.
    ///
    /// # Errors
    /// [`ModelError::NotFitted`] for empty bytes, [`ModelError::Unsupported`] for another format,
    /// [`ModelError::InvalidInput`] for damaged bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        let state: Self = decode(FORMAT, bytes)?;
        let sound = state.scale.is_finite()
            && state.scale > 0.0
            && state.clock < u64::MAX / 4
            && !state.table.is_empty()
            && state.table.iter().all(|v| v.is_finite())
            && state.knots.windows(2).all(|w| w[0].ahead < w[1].ahead)
            && state.knots.iter().all(Knot::is_sound);
        if sound {
            Ok(state)
        } else {
            Err(ModelError::invalid("damaged state: impossible values"))
        }
    }
}
