//! The fitted model of one series: follows new values, predicts, and goes to bytes and back.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{
    Covariates, ModelError, Prediction, Shape, decode, encode, normal_quantile, scaled,
};

use crate::direct::{Knot, between};
use crate::events::{Effect, MOST, NAME, STRANGER, lift, lift_quantile, ratio};
use crate::path::Path;
use crate::transform::Transform;

/// The number of the state's encoding.
pub const FORMAT: u32 = 3;
/// An integrated forecast's interval grows with the root of the horizon beyond the last measured
/// one, up to this factor.
const GROWTH: f64 = 3.0;

/// A fitted model with everything that a forecast needs: less than 4 KB, whatever the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(crate) scale: f64,
    pub(crate) transform: Transform,
    pub(crate) path: Path,
    pub(crate) knots: Vec<Knot>,
    pub(crate) effects: Vec<Effect>,
    /// Kinds of event that ran on most of the history: they are what is ordinary.
    pub(crate) settled: Vec<String>,
}

impl State {
    /// The orders p, d, q and the seasonal order D that were chosen.
    #[must_use]
    pub fn orders(&self) -> [usize; 4] {
        let arma = &self.path.arma;
        [
            arma.ar.len(),
            usize::from(arma.integrated),
            arma.ma.len(),
            usize::from(self.path.seasonal),
        ]
    }

    /// The scale that the model is additive on.
    #[must_use]
    pub fn transform(&self) -> Transform {
        self.transform
    }

    /// At how many of the measured horizons a direct regression corrects the recursion.
    #[must_use]
    pub fn corrections(&self) -> usize {
        let corrected = |k: &&Knot| !k.coefficients.is_empty();
        self.knots.iter().filter(corrected).count()
    }

    /// The learned uplift of an event kind as a factor, with the standard deviation of its
    /// logarithm; `None` for a kind that was never seen.
    #[must_use]
    pub fn uplift(&self, kind: &str) -> Option<(f64, f64)> {
        let effect = self.effects.iter().find(|e| e.kind == kind)?;
        let (mean, variance) = effect.uplift();
        Some((libm::exp(mean), variance.sqrt()))
    }

    /// Shows the model its next values (NaN: missing) in the order of time.
    pub fn update(&mut self, values: &[f64]) {
        self.update_with(values, &Covariates::default());
    }

    /// The same with what is known beside the values; rows that a column lacks count as 0.
    pub fn update_with(&mut self, values: &[f64], known: &Covariates<'_>) {
        for (row, value) in values.iter().enumerate() {
            let value = if value.is_infinite() {
                f64::NAN
            } else {
                *value
            };
            let running = running(known, row, &self.settled);
            self.step(scaled(value, self.scale), &running);
        }
    }

    /// One value over the scale.
    pub(crate) fn step(&mut self, value: f64, running: &[&str]) {
        for effect in &mut self.effects {
            if !running.contains(&effect.kind.as_str()) {
                effect.end();
            }
        }
        if running.is_empty() {
            self.path.observe(self.transform.forward(value));
            return;
        }
        if !value.is_nan() {
            let foreseen = self.transform.back(self.path.next());
            self.attribute(ratio(value, foreseen), running);
        }
        self.path.observe(f64::NAN);
    }

    /// What several events do together is shared out by what each is known to do.
    fn attribute(&mut self, uplift: f64, running: &[&str]) {
        for kind in running {
            let known = self.effects.iter().any(|e| e.kind == **kind);
            if !known && self.effects.len() < MOST && kind.len() <= NAME {
                self.effects.push(Effect::new(kind));
            }
        }
        let together = self.effect(running).0;
        let surprise = (uplift - together) / running.len() as f64;
        for effect in &mut self.effects {
            if running.contains(&effect.kind.as_str()) {
                let own = effect.uplift().0 + surprise;
                effect.observe(own);
            }
        }
    }

    /// The uplift of events that run together: mean and variance of its logarithm. A kind that was
    /// never seen widens and shifts nothing.
    fn effect(&self, running: &[&str]) -> (f64, f64) {
        let of = |kind: &&str| {
            let known = self.effects.iter().find(|e| e.kind == **kind);
            known.map_or((0.0, STRANGER * STRANGER), Effect::uplift)
        };
        let all = running.iter().map(of);
        all.fold((0.0, 0.0), |sum, u| (sum.0 + u.0, sum.1 + u.1))
    }

    /// The mean of the forecast at chosen steps ahead (1: the next one; ascending or not), in
    /// the series' unit, without events: cheap enough to be asked at many origins.
    #[must_use]
    pub fn points_at(&self, horizons: &[usize]) -> Vec<f64> {
        let longest = horizons.iter().copied().max().unwrap_or(0);
        let base = self.path.forecast(longest);
        let mut x = Vec::new();
        horizons
            .iter()
            .map(|h| match h.checked_sub(1).and_then(|at| base.get(at)) {
                Some(z) => {
                    let z = z + self.correction(*h, &mut x);
                    (self.expected(z, *h) * self.scale).max(0.0)
                }
                None => 0.0,
            })
            .collect()
    }

    /// Predicts with nothing known of the future.
    ///
    /// # Errors
    /// As [`State::predict_with`].
    pub fn predict(
        &self,
        horizon: usize,
        levels: &[u16],
        seed: u64,
    ) -> Result<Prediction, ModelError> {
        self.predict_with(horizon, levels, seed, &Covariates::default())
    }

    /// Predicts `horizon` steps at levels in parts per 10,000; `known` holds the coming rows. No
    /// chance is involved: the seed is not used.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] for a horizon or levels out of range;
    /// [`ModelError::Numeric`] if the state's numbers leave the finite ones.
    pub fn predict_with(
        &self,
        horizon: usize,
        levels: &[u16],
        _seed: u64,
        known: &Covariates<'_>,
    ) -> Result<Prediction, ModelError> {
        let shape = Shape::new(horizon, levels)?;
        let deviates: Vec<f64> = shape
            .probabilities
            .iter()
            .map(|p| normal_quantile(*p))
            .collect();
        let base = self.path.forecast(horizon);
        let (mut mean, mut quantiles) = (Vec::with_capacity(horizon), Vec::new());
        quantiles.reserve(horizon * deviates.len());
        let mut x = Vec::new();
        for (at, z) in base.iter().enumerate() {
            let h = at + 1;
            let growth = self.growth(h);
            let centre = z + self.correction(h, &mut x);
            let middle = self.expected(centre, h);
            let running = running(known, at, &self.settled);
            let (uplift, doubt) = self.effect(&running);
            for d in &deviates {
                let error = self.transform.widened(self.error(h, *d), growth);
                let q = self.transform.back(centre + error);
                quantiles.push(if running.is_empty() {
                    q * self.scale
                } else {
                    lift_quantile(q, middle, *d, uplift, doubt) * self.scale
                });
            }
            mean.push(if running.is_empty() {
                middle * self.scale
            } else {
                lift(middle, uplift) * self.scale
            });
        }
        Prediction::lawful(&shape, mean, quantiles)
    }

    /// How much wider than at the last measured horizon the errors of a step ahead are.
    fn growth(&self, h: usize) -> f64 {
        let last = self.knots.last().map_or(1.0, |k| f64::from(k.horizon));
        if self.path.arma.integrated {
            (h as f64 / last).sqrt().clamp(1.0, GROWTH)
        } else {
            1.0
        }
    }

    /// The mean whose transform's median is `centre`, `h` steps ahead.
    fn expected(&self, centre: f64, h: usize) -> f64 {
        let sigma = 0.5 * (self.error(h, 1.0) - self.error(h, -1.0)) * self.growth(h);
        self.transform.back(centre) * self.transform.bias(sigma)
    }

    fn correction(&self, h: usize, x: &mut Vec<f64>) -> f64 {
        let Some((a, b, weight)) = between(&self.knots, h) else {
            return 0.0;
        };
        if a.coefficients.is_empty() && b.coefficients.is_empty() {
            return 0.0;
        }
        self.path.regressors(h, x);
        a.correction(x) * (1.0 - weight) + b.correction(x) * weight
    }

    fn error(&self, h: usize, deviate: f64) -> f64 {
        between(&self.knots, h).map_or(0.0, |(a, b, weight)| {
            a.error(deviate) * (1.0 - weight) + b.error(deviate) * weight
        })
    }

    /// The state as bytes that begin with [`FORMAT`].
    ///
    /// # Errors
    /// [`ModelError::Internal`] if serialisation fails.
    pub fn encode(&self) -> Result<Vec<u8>, ModelError> {
        encode(FORMAT, self)
    }

    /// Reads bytes that [`State::encode`] wrote, and checks what the recursion relies on.
    ///
    /// # Errors
    /// [`ModelError::NotFitted`] for empty bytes, [`ModelError::Unsupported`] for another format,
    /// [`ModelError::InvalidInput`] for damaged bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        let state: Self = decode(FORMAT, bytes)?;
        let width = state.path.width();
        let sound = state.scale.is_finite()
            && state.scale > 0.0
            && state.path.is_sound()
            && state.knots.iter().all(|k| k.is_sound(width))
            && state.knots.windows(2).all(|k| k[0].horizon < k[1].horizon)
            && state.effects.len() <= MOST
            && state.effects.iter().all(Effect::is_sound)
            && state.settled.len() <= MOST
            && state.settled.iter().all(|kind| kind.len() <= NAME);
        if sound {
            Ok(state)
        } else {
            Err(ModelError::invalid("damaged state: impossible values"))
        }
    }
}

/// The kinds of event that touch a row and are no `settled` state of affairs.
pub(crate) fn running<'a>(known: &Covariates<'a>, row: usize, settled: &[String]) -> Vec<&'a str> {
    known
        .events()
        .filter(|(_, column)| column.get(row).is_some_and(|v| *v > 0.0))
        .map(|(kind, _)| kind)
        .filter(|kind| !settled.iter().any(|s| s == kind))
        .collect()
}
