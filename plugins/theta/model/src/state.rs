//! A fitted method and its place in time: what the host keeps per series.
//!
//! `update` costs the same for each new value whatever the history: the lines move, and the
//! tracker follows the size of errors, so that an interval stays honest between fits, and tells
//! a shift, so that the levels follow it within steps.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{
    Base, Knot, ModelError, Prediction, Shape, Tracker, knots_are_sound, normal_quantile, scaled,
    stretch,
};

use crate::interval::Noise;
use crate::lines::{ALPHAS, Lines, SeasonKind};
use crate::theta::{Theta, distance, growth};

/// The format number of the bytes of [`crate::State`].
pub const FORMAT: u32 = 2;
/// The largest table a decoded state may have: a week of minutes.
const MAX_BINS: usize = 20_160;
/// The most horizons that a history of the longest accepted length is tested at.
const MAX_KNOTS: usize = 32;

/// A drift goes on for so many times the longest horizon that the back-test could judge it by.
const HOLDS: usize = 2;

/// What remains of a calm or a burst after a step: the tracker forgets a hundredth.
pub(crate) const FADE: f64 = 0.99;
/// The share of each new variance in the usual one.
const USUAL_GAIN: f64 = 0.001;

/// Everything that the point forecast needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Method {
    pub(crate) lines: Lines,
    /// By rising horizon.
    pub(crate) thetas: Vec<Theta>,
    /// What the base moves by per step.
    pub(crate) drift: f64,
}

impl Method {
    /// The point forecast `h >= 1` steps ahead, on the scaled values.
    pub(crate) fn point(&self, h: usize) -> f64 {
        let lines = &self.lines;
        let season = lines.season.at(lines.clock + h.max(1) as u64 - 1);
        let tested = self.thetas.last().map_or(1, |t| t.horizon as usize);
        let drifting = h.min(HOLDS * tested) as f64;
        let base = lines.mean + distance(&self.thetas, lines, h) + self.drift * drifting;
        lines.season.join(base, season)
    }

    /// Standard deviations of 1..=horizon steps ahead, in those of one step.
    pub(crate) fn growth(&self, horizon: usize) -> Vec<f64> {
        growth(&self.thetas, horizon)
    }
}

/// A fitted method with its lines after the last seen step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adjusted {
    method: Method,
    scale: f64,
    noise: Noise,
    tracker: Tracker,
    /// The sigma that the tracker's returns to.
    usual: f64,
    knots: Vec<Knot>,
}

impl Adjusted {
    /// A state without any measured stretch.
    pub(crate) fn assemble(method: Method, scale: f64, noise: Noise, sigma: f64) -> Self {
        Self {
            method,
            scale,
            noise,
            tracker: Tracker::new(sigma),
            usual: sigma,
            knots: Vec::new(),
        }
    }

    /// Takes what a back-test measured.
    pub(crate) fn calibrate(&mut self, knots: Vec<Knot>) {
        self.knots = knots;
    }

    /// Rounds to what bytes can hold.
    pub(crate) fn settled(mut self) -> Self {
        self.method.lines.season.settle();
        self
    }

    /// Moves the lines alone: sigma stays as it was measured where the season was not yet known.
    pub(crate) fn resume(&mut self, lines: Lines, scaled: &[f64]) {
        let tracker = self.tracker;
        let usual = self.usual;
        self.method.lines = lines;
        self.advance(scaled.iter().copied());
        self.tracker = tracker;
        self.usual = usual;
    }

    pub(crate) fn lines(&self) -> &Lines {
        &self.method.lines
    }

    pub(crate) fn horizons(&self) -> Vec<usize> {
        let thetas = self.method.thetas.iter();
        thetas.map(|t| t.horizon as usize).collect()
    }

    pub(crate) fn growth(&self, horizon: usize) -> Vec<f64> {
        self.method.growth(horizon)
    }

    /// The scaled point forecast `h` steps ahead and the standard deviation of an error of one
    /// step there: a calm or a burst fades on the way as it would in the tracker's own memory (a
    /// GARCH forecast of variance: Bollerslev, Journal of Econometrics 31, 1986).
    pub(crate) fn point(&self, h: usize, fade: f64) -> (f64, f64) {
        let point = self.method.point(h);
        let usual = self.usual * self.usual;
        let variance = usual + fade * (self.tracker.sigma * self.tracker.sigma - usual);
        (point, variance.max(0.0).sqrt() * self.noise.unit(point))
    }

    /// How the season that the fit found joins the level.
    #[must_use]
    pub fn season(&self) -> SeasonKind {
        self.method.lines.season.kind
    }

    /// How errors grow with the load.
    #[must_use]
    pub fn noise(&self) -> Noise {
        self.noise
    }

    /// Per horizon that the back-test saw: steps ahead, alpha of the level, and `1 / theta`.
    #[must_use]
    pub fn thetas(&self) -> Vec<(u32, f64, f64)> {
        let of = |t: &Theta| {
            let alpha = ALPHAS.get(usize::from(t.speed)).copied().unwrap_or(0.0);
            (t.horizon, alpha, t.weight.get())
        };
        self.method.thetas.iter().map(of).collect()
    }

    /// What the level is expected to move by per step, in the signal's unit.
    #[must_use]
    pub fn drift(&self) -> f64 {
        self.method.drift * self.scale
    }

    /// Takes the values of the steps that follow the last seen one; NaN is a missing step.
    pub fn update(&mut self, values: &[f64]) {
        let scale = self.scale;
        self.advance(values.iter().map(|v| scaled(*v, scale)));
    }

    /// Takes scaled values.
    pub(crate) fn advance(&mut self, scaled: impl Iterator<Item = f64>) {
        for v in scaled {
            let point = self.method.point(1);
            if self.tracker.is_shifting() {
                self.method.lines.shift(v);
            } else {
                self.method.lines.observe(v);
            }
            let error = (v - point) / self.noise.unit(point);
            if error.is_finite() {
                self.tracker.follow(error);
                let sigma = self.tracker.sigma;
                let variance = self.usual * self.usual;
                self.usual = (variance + USUAL_GAIN * (sigma * sigma - variance))
                    .max(0.0)
                    .sqrt();
            }
        }
    }

    /// Forecasts the `horizon` steps after the last seen one, at quantile levels in parts per
    /// 10,000 (ascending). The seed is not used: nothing here is random.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] for a bad horizon or levels; [`ModelError::Numeric`] if the
    /// state has left the finite numbers.
    pub fn predict(
        &self,
        horizon: usize,
        levels: &[u16],
        _seed: u64,
    ) -> Result<Prediction, ModelError> {
        let shape = Shape::new(horizon, levels)?;
        let deviates: Vec<f64> = shape
            .probabilities
            .iter()
            .map(|p| normal_quantile(*p))
            .collect();
        let growth = self.method.growth(horizon);
        let mut fade = 1.0;
        let mut mean = Vec::with_capacity(horizon);
        let mut quantiles = Vec::with_capacity(horizon * levels.len());
        for (at, growth) in growth.iter().enumerate() {
            let (point, unit) = self.point(at + 1, fade);
            fade *= FADE;
            let unit = unit * growth;
            mean.push(point * self.scale);
            quantiles.extend(
                deviates
                    .iter()
                    .map(|z| (point + unit * stretch(&self.knots, at + 1, *z)) * self.scale),
            );
        }
        Prediction::lawful(&shape, mean, quantiles)
    }
}

impl Base for Adjusted {
    const FORMAT: u32 = FORMAT;

    fn update(&mut self, values: &[f64]) {
        Self::update(self, values);
    }

    fn predict(&self, horizon: usize, levels: &[u16], seed: u64) -> Result<Prediction, ModelError> {
        Self::predict(self, horizon, levels, seed)
    }

    fn is_sound(&self) -> bool {
        let thetas = &self.method.thetas;
        self.method.lines.is_sound(MAX_BINS)
            && self.method.drift.is_finite()
            && self.scale.is_finite()
            && self.scale > 0.0
            && self.tracker.is_sound()
            && self.usual.is_finite()
            && self.usual >= 0.0
            && thetas.len() <= MAX_KNOTS
            && thetas.windows(2).all(|w| w[0].horizon < w[1].horizon)
            && thetas.iter().all(|t| {
                t.horizon > 0
                    && usize::from(t.speed) < ALPHAS.len()
                    && (0.0..=1.0).contains(&t.weight.get())
            })
            && knots_are_sound(&self.knots)
    }
}
