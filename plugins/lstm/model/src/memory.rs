//! What one series keeps: where it stands, and what the recurrent layer remembers of it. And what
//! it answers with a model.
//!
//! Neither `update` nor `predict` needs history: the layer's memory is the warm start of every
//! forecast.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{
    Covariates, ModelError, Prediction, Shape as Ask, decode, encode, normal_quantile, scaled,
};

use crate::cell::Cells;
use crate::head::{Head, LEVELS, context};
use crate::model::{FORMAT, Model};
use crate::tracker::{Tracker, UNKNOWN};
use crate::view::{Target, View};
use crate::weights::MIXED;

/// A series after its last seen step; goes with the model that was fitted with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub(crate) scale: f64,
    pub(crate) tracker: Tracker,
    /// One per network.
    pub(crate) voices: Vec<Voice>,
}

/// What one network keeps of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Voice {
    pub(crate) cells: Cells,
    /// What the series adds to the head's layer.
    pub(crate) accent: Vec<f32>,
}

impl Voice {
    fn is_sound(&self, hidden: usize) -> bool {
        self.cells.is_sound(hidden)
            && self.accent.len() == MIXED
            && self.accent.iter().all(|v| v.abs() <= 1e4)
    }
}

impl Memory {
    /// Takes the values of the steps that follow the last seen one, with what is known on their
    /// rows; NaN is a missing step.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] where the model is not the one of this series' fit.
    pub fn update(
        &mut self,
        model: &Model,
        values: &[f64],
        known: &Covariates<'_>,
    ) -> Result<(), ModelError> {
        self.belongs(model)?;
        for (row, v) in values.iter().enumerate() {
            let y = scaled(*v, self.scale) as f32;
            if let Some(tick) = self.tracker.observe(y, known, row) {
                for (voice, network) in self.voices.iter_mut().zip(&model.networks) {
                    voice.cells.step(network, &tick.input);
                }
            }
        }
        Ok(())
    }

    /// Forecasts the `horizon` steps after the last seen one, at quantile levels in parts per
    /// 10,000 (ascending), knowing `known` on them. The mean is the median, which has the smallest
    /// absolute error.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] for a bad horizon, bad levels, or the model of another fit;
    /// [`ModelError::Numeric`] if the state has left the finite numbers.
    pub fn predict(
        &self,
        model: &Model,
        horizon: usize,
        levels: &[u16],
        known: &Covariates<'_>,
    ) -> Result<Prediction, ModelError> {
        let ask = Ask::new(horizon, levels)?;
        self.belongs(model)?;
        let pairs = model.networks.iter().zip(&self.voices);
        let networks: Vec<_> = pairs
            .map(|(w, voice)| (w, context(w, &voice.cells.h, &voice.accent)))
            .collect();
        let origin = self.tracker.origin();
        let places = places(&ask.probabilities);
        let seen = f64::from(self.tracker.seen.max(1));
        let (mut mean, mut quantiles) = (Vec::with_capacity(horizon), Vec::new());
        for step in 0..horizon {
            let running = self.tracker.uplifts.running(known, step);
            let event = known
                .events()
                .any(|(_, c)| c.get(step).is_some_and(|v| *v > 0.0));
            let target = self.target(step, event);
            let view = View::new(&origin, &target);
            // The network has learned intervals of series that it has seen for a while. Where no
            // season is known, what lies further ahead than all that was seen may be anywhere.
            let unseen = if target.lag == UNKNOWN {
                (1.0 + (step + 1) as f64 / seen).sqrt()
            } else {
                1.0
            };
            let wide = (1.0 + 4.0 / seen) * unseen;
            let mut knots = [0.0; LEVELS.len()];
            for (w, shared) in &networks {
                let head = Head::forward(w, shared, &view);
                for (knot, q) in knots.iter_mut().zip(head.quantiles) {
                    *knot += f64::from(q) / networks.len() as f64;
                }
            }
            let factor = f64::from(self.tracker.uplifts.factor(&running)) * self.scale;
            let value = |x: f64| (f64::from(view.centre) + x * f64::from(view.unit)) * factor;
            let median = knots[LEVELS.len() / 2];
            mean.push(value(median));
            for (k, part) in &places {
                let [a, b] = [knots[*k], knots[k + 1]];
                quantiles.push(value(median + wide * (a + part * (b - a) - median)));
            }
        }
        Prediction::lawful(&ask, mean, quantiles)
    }

    fn target(&self, step: usize, event: bool) -> Target {
        let t = &self.tracker;
        let clock = t.clock + step as u64;
        let bin = t.grid.bin(clock);
        let turn = std::f32::consts::TAU * bin as f32 / t.grid.bins() as f32;
        Target {
            lag: t.lagged(bin),
            profile: t.smooth(bin),
            week: t.weekly(clock),
            cycle: t.cycled(clock),
            event: f32::from(u8::from(event)),
            sin_cos: (libm::sinf(turn), libm::cosf(turn)),
            ticks: (step + 1) as f32 / t.grid.stride as f32,
            seasons: (step + 1) as f32 / t.grid.season as f32,
        }
    }

    pub(crate) fn belongs(&self, model: &Model) -> Result<(), ModelError> {
        let pairs = self.voices.iter().zip(&model.networks);
        if self.voices.len() == model.networks.len()
            && pairs.into_iter().all(|(v, w)| v.is_sound(w.shape.hidden))
        {
            return Ok(());
        }
        Err(ModelError::invalid(
            "the state belongs to networks of another number or size: fit anew",
        ))
    }

    /// The state as bytes that begin with [`FORMAT`].
    ///
    /// # Errors
    /// [`ModelError::Internal`] if serialisation fails.
    pub fn encode(&self) -> Result<Vec<u8>, ModelError> {
        encode(FORMAT, self)
    }

    /// Reads bytes that [`Memory::encode`] wrote.
    ///
    /// # Errors
    /// [`ModelError::NotFitted`] for empty bytes, [`ModelError::Unsupported`] for another format,
    /// [`ModelError::InvalidInput`] for damaged bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        let memory: Self = decode(FORMAT, bytes)?;
        if memory.is_sound() {
            Ok(memory)
        } else {
            Err(ModelError::invalid("damaged state: impossible values"))
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.scale.is_finite()
            && self.scale > 0.0
            && self.tracker.is_sound()
            && !self.voices.is_empty()
            && self.voices.iter().all(|v| v.is_sound(v.cells.h.len()))
    }
}

/// Where asked levels lie among the trained ones: the one below and the way to the next, along the
/// normal deviate; beyond the ends the last two go on.
fn places(probabilities: &[f64]) -> Vec<(usize, f64)> {
    let knots = LEVELS.map(|l| normal_quantile(f64::from(l)));
    let place = |p: &f64| {
        let z = normal_quantile(*p);
        let k = knots.partition_point(|knot| *knot <= z);
        let k = k.clamp(1, LEVELS.len() - 1) - 1;
        (k, (z - knots[k]) / (knots[k + 1] - knots[k]))
    };
    probabilities.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trained_level_is_met_and_one_beyond_lies_beyond() {
        let found = places(&[0.0001, 0.01, 0.5, 0.8, 0.9999]);
        assert!(found[0].0 == 0 && found[0].1 < -0.5);
        assert!(found[1].0 == 0 && found[1].1.abs() < 1e-6);
        assert!(found[2].0 == 4 && found[2].1.abs() < 1e-6);
        assert!(found[3].0 == 5 && (0.1..0.9).contains(&found[3].1));
        assert!(found[4].0 == 7 && found[4].1 > 1.5);
    }
}
