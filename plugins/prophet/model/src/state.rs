//! A fitted model and its place in time: what the host keeps per series.
//!
//! `update` keeps all that was fitted and moves the memory of residuals and the size of noise; it
//! costs the same whatever the history. Trend and seasons are refreshed by the next fit.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{
    Covariates, Half, Knot, ModelError, Prediction, Series, Shape, Tracker, decode, encode,
    knots_are_sound, normal_quantile, scaled, stretch,
};

use crate::backtest::noise;
use crate::calendar::Calendar;
use crate::config::{Ar, Config};
use crate::curve::swing;
use crate::events::{Event, effects, is_news};
use crate::memory::Memory;
use crate::residuals::{Reach, are_sound, deviation, forecast};
use crate::seasons::{self, Season};
use crate::simulate::{Chances, Deviates};
use crate::trend::Trend;

/// The format of [`State::encode`]d bytes.
pub const FORMAT: u32 = 2;

/// The part of an error that the offset takes up while the load shifts.
const SHIFT_GAIN: f64 = 0.5;
/// Deviates are cut here, so that their squares are numbers.
const FARTHEST: f64 = 1e6;

/// What is known of a state before anything is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parts {
    /// What values are divided by.
    scale: f64,
    /// The next row on the absolute grid.
    clock: u64,
    step_s: u32,
    /// Calendar less grid, as a fraction of the week.
    shift: f64,
    paths: u16,
    pub(crate) ar: Ar,
}

impl Parts {
    pub(crate) fn new(
        config: &Config,
        series: &Series<'_>,
        scale: f64,
        calendar: &Calendar<'_>,
    ) -> Self {
        let n = series.values.len();
        Self {
            scale,
            clock: series.clock() + n as u64,
            step_s: series.step_s,
            shift: calendar.shift_at(n.saturating_sub(1)),
            paths: config.paths,
            ar: config.ar,
        }
    }
}

/// A fitted model with its residuals after the last seen step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(crate) parts: Parts,
    pub(crate) seasons: Vec<Season>,
    pub(crate) coefficients: Vec<Half>,
    pub(crate) trend: Trend,
    pub(crate) swing: Option<f64>,
    pub(crate) power: f64,
    pub(crate) typical: f64,
    /// Ascending by kind.
    pub(crate) events: Vec<Event>,
    pub(crate) memory: Memory,
    pub(crate) reaches: Vec<Reach>,
    pub(crate) knots: Vec<Knot>,
    /// One-step errors in their fitted deviations.
    pub(crate) tracker: Tracker,
    /// What is added to every load since it shifted.
    pub(crate) offset: f64,
}

impl State {
    /// A state of nothing but its parts.
    pub(crate) fn plain(parts: Parts) -> Self {
        Self {
            parts,
            seasons: Vec::new(),
            coefficients: Vec::new(),
            trend: Trend::default(),
            swing: None,
            power: 0.0,
            typical: 0.0,
            events: Vec::new(),
            memory: Memory::new(1, 0, 0.0),
            reaches: Vec::new(),
            knots: Vec::new(),
            tracker: Tracker::new(1.0),
            offset: 0.0,
        }
    }

    /// Whether the season is in proportion to the trend.
    #[must_use]
    pub fn is_multiplicative(&self) -> bool {
        self.swing.is_some()
    }

    /// What an event of this kind adds where the load has its typical size, and the standard
    /// deviation of the next one's effect, in the signal's unit; `None` if none was seen.
    #[must_use]
    pub fn uplift(&self, kind: &str) -> Option<(f64, f64)> {
        let event = self.events.iter().find(|e| e.kind == kind)?;
        Some((event.effect * self.parts.scale, event.sd * self.parts.scale))
    }

    /// [`State::update_with`] nothing known beside the values.
    pub fn update(&mut self, values: &[f64]) {
        self.update_with(values, &Covariates::default());
    }

    /// Takes the values of the steps that follow the last seen one; NaN is a missing step.
    pub fn update_with(&mut self, values: &[f64], known: &Covariates<'_>) {
        let calendar = self.calendar(known);
        let (mut columns, mut x) = (Vec::new(), Vec::new());
        for (row, value) in values.iter().enumerate() {
            let v = scaled(*value, self.parts.scale);
            let phase = self.phase(&calendar, row);
            if v.is_nan() {
                self.memory.observe(f64::NAN, phase);
            } else {
                let load = self.load(&calendar, row, 1, &mut columns) + self.offset;
                let (effect, _) = effects(&self.events, known, row, load, self.typical);
                let residual = v - load - effect;
                self.memory.regressors(phase, &mut x);
                let h = 1 + self.memory.gap();
                let error = residual - forecast(&self.reaches, h, &x);
                let sd = deviation(&self.reaches, h) * noise(load, self.typical, self.power);
                let moved = self.shift(error, sd);
                // An event that was never seen teaches no habit.
                let news = is_news(&self.events, known, row);
                let place = if news { f64::NAN } else { phase };
                self.memory.observe(residual - moved, place);
            }
            self.trend.age = self.trend.age.saturating_add(1);
        }
        if let Some(last) = values.len().checked_sub(1) {
            self.parts.shift = calendar.shift_at(last);
        }
        self.parts.clock += values.len() as u64;
    }

    /// [`State::predict_with`] nothing known beside the steps.
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

    /// Forecasts the `horizon` steps after the last seen one, at quantile levels in parts per
    /// 10,000 (ascending), with what is known on these steps. The seed draws future changes of
    /// the trend.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] for a bad horizon or levels; [`ModelError::Numeric`] if the
    /// states have left the finite numbers.
    pub fn predict_with(
        &self,
        horizon: usize,
        levels: &[u16],
        seed: u64,
        known: &Covariates<'_>,
    ) -> Result<Prediction, ModelError> {
        let shape = Shape::new(horizon, levels)?;
        let calendar = self.calendar(known);
        let gap = self.memory.gap();
        let normal: Vec<f64> = shape
            .probabilities
            .iter()
            .map(|p| normal_quantile(*p))
            .collect();
        let chances = Chances {
            rate: self.trend.rate,
            bend: self.trend.bend,
            probabilities: &shape.probabilities,
            paths: usize::from(self.parts.paths),
            seed,
        };
        let wider = self.tracker.sigma;
        let sd = |h: usize| wider * deviation(&self.reaches, h + gap);
        let deviates = Deviates::draw(&chances, horizon, sd);
        let (mut columns, mut x) = (Vec::new(), Vec::new());
        let mut mean = Vec::with_capacity(horizon);
        let mut quantiles = Vec::with_capacity(horizon * levels.len());
        for row in 0..horizon {
            let h = row + 1;
            let load = self.load(&calendar, row, h, &mut columns) + self.offset;
            let (effect, doubt) = effects(&self.events, known, row, load, self.typical);
            self.memory.regressors(self.phase(&calendar, row), &mut x);
            let centre = load + effect + forecast(&self.reaches, h + gap, &x);
            let size = noise(load, self.typical, self.power);
            mean.push(centre * self.parts.scale);
            for (level, z) in normal.iter().enumerate() {
                let ratio = if z.abs() > 1e-9 {
                    stretch(&self.knots, h, *z) / z
                } else {
                    1.0
                };
                let own = size * ratio * deviates.at(h, level);
                // The doubt about events is independent of the rest.
                let off = own.hypot(doubt * z).copysign(*z);
                quantiles.push((centre + off) * self.parts.scale);
            }
        }
        Prediction::lawful(&shape, mean, quantiles)
    }

    /// Learns from an error one step ahead whose fitted deviation is `sd`. While errors say that
    /// the load has shifted, an offset takes them up, and gives what it moved by: the weights of
    /// residuals are those of a calm history and may forget in minutes what has come to stay.
    fn shift(&mut self, error: f64, sd: f64) -> f64 {
        // Without any error so far, the smallest one is beyond all measure.
        let deviate = if error == 0.0 { 0.0 } else { error / sd };
        self.tracker.follow(deviate.clamp(-FARTHEST, FARTHEST));
        let moved = if self.tracker.is_shifting() {
            SHIFT_GAIN * error
        } else {
            0.0
        };
        self.offset += moved;
        moved
    }

    fn calendar<'a>(&self, known: &Covariates<'a>) -> Calendar<'a> {
        let p = &self.parts;
        Calendar::new(p.clock, p.step_s, known, p.shift)
    }

    fn phase(&self, calendar: &Calendar<'_>, row: usize) -> f64 {
        self.seasons
            .first()
            .map_or(0.0, |s| s.phase(calendar, row, calendar.week(row), 0.0))
    }

    /// Trend and seasons at a row of `calendar`, which is `h` steps after the newest.
    fn load(&self, calendar: &Calendar<'_>, row: usize, h: usize, columns: &mut Vec<f64>) -> f64 {
        seasons::columns(&self.seasons, calendar, row, 0.0, columns);
        let terms = columns.iter().zip(&self.coefficients);
        let season: f64 = terms.map(|(x, b)| x * b.get()).sum();
        let trend = self.trend.at(h);
        trend + swing(trend, self.swing) * season
    }

    /// The state as bytes that begin with [`FORMAT`].
    ///
    /// # Errors
    /// [`ModelError::Internal`] if serialisation fails.
    pub fn encode(&self) -> Result<Vec<u8>, ModelError> {
        encode(FORMAT, self)
    }

    /// Reads bytes that [`State::encode`] wrote, and checks what the arithmetic relies on.
    ///
    /// # Errors
    /// [`ModelError::NotFitted`] for empty bytes, [`ModelError::Unsupported`] for another format,
    /// [`ModelError::InvalidInput`] for damaged bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        let state: Self = decode(FORMAT, bytes)?;
        let p = &state.parts;
        let width: usize = state.seasons.iter().map(Season::width).sum();
        let sound = p.scale > 0.0
            && p.scale.is_finite()
            && p.step_s > 0
            && p.clock < u64::MAX / 4
            && (0.0..1.0).contains(&p.shift)
            && state.seasons.iter().all(Season::is_sound)
            && state.coefficients.len() == width
            && state.coefficients.iter().all(|b| b.get().is_finite())
            && state.trend.is_sound()
            && state.swing.is_none_or(|t| t.is_finite() && t > 0.0)
            && (0.0..=1.0).contains(&state.power)
            && state.typical.abs() < 1e15
            && state.events.windows(2).all(|w| w[0].kind < w[1].kind)
            && state.events.iter().all(Event::is_sound)
            && state.memory.is_sound()
            && are_sound(&state.reaches, state.memory.width())
            && knots_are_sound(&state.knots)
            && state.tracker.is_sound()
            && state.tracker.sigma < 1e6
            && state.offset.abs() < 1e15;
        if sound {
            Ok(state)
        } else {
            Err(ModelError::invalid("damaged state: impossible values"))
        }
    }
}
