//! Declared events for models that take no regressors: campaigns, batch jobs, holidays.
//!
//! The base model never sees a row on which an event runs; to it the value is missing, so that
//! its season and level are those of ordinary days. What the event was worth is learned beside
//! it: the logarithm of observed over expected, per occurrence, jointly for all kinds
//! (`effects.rs`). A forecast is the base's, and on rows on which events will run it is multiplied
//! by what they are expected to be worth and widened by how unsure that is. A kind that was never
//! seen widens and shifts nothing. Where a kind runs when ordinary load is near zero a factor
//! means nothing, and it is worth an amount instead. The effect is flat within an event: with two
//! or three occurrences a profile would be noise.
//!
//! While an event runs, its own rows say how this occurrence differs; the rest of it is foreseen
//! from them.
//!
//! What is expected on the event rows of a history comes from the kit's decomposition, which
//! knows both sides of the event; later, from the base's own forecast of one step.
//!
//! Rejected: event columns as regressors inside each model. Three models would learn the same
//! thing in three ways, and only a regression can.

mod declared;
mod effects;
mod worth;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::season::expectation;
use crate::{Covariates, ModelError, Prediction, Series, Shape, decode, encode, median};
use declared::{MAX_NAME, running_rows};
use effects::{Belief, Effects, Rows, rows_are_sound};
use worth::Worth;

/// The most kinds that a state learns; further ones are not told from ordinary load.
const MAX_KINDS: usize = 12;
/// The standard deviation, in logarithms, of what a kind that was never seen is worth. Less than a
/// seen kind is given room to be (`effects.rs`): there it lets the first occurrence teach, here it
/// is bought by tiers that buy a high quantile, out of what others need; who knows better declares a
/// minimum. At 0.4 the 99 % quantile is two and a half times the ordinary load.
const STRANGER: f64 = 0.4;
/// Expected values below this part of the typical one have no factor.
const LOW: f64 = 0.05;
/// The largest factor of a row, and the largest amount, in typical values.
const MAX_LOG: f64 = 4.0;
const MAX_AMOUNT: f64 = 1e6;

/// What a fitted model must offer to be given events.
pub trait Base: Serialize + DeserializeOwned {
    /// The format number of the whole state's bytes.
    const FORMAT: u32;

    /// Takes the values of the steps that follow the last seen one; NaN is a missing step.
    fn update(&mut self, values: &[f64]);

    /// Forecasts as the model does without events.
    ///
    /// # Errors
    /// The model's own.
    fn predict(&self, horizon: usize, levels: &[u16], seed: u64) -> Result<Prediction, ModelError>;

    /// Whether decoded numbers can be used.
    fn is_sound(&self) -> bool;
}

/// A kind of event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kind {
    name: String,
    /// Rows on which it ran, and those of them on which the expected load was near zero.
    rows: u32,
    low: u32,
}

impl Kind {
    /// Whether it is worth an amount and not a factor.
    fn is_amount(&self) -> bool {
        2 * u64::from(self.low) > u64::from(self.rows)
    }
}

/// An occurrence that has not ended yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Running {
    set: Vec<u16>,
    logs: Rows,
    amounts: Rows,
}

/// A fitted model with what events are worth to its series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Uplifted<S> {
    base: S,
    scale: f64,
    kinds: Vec<Kind>,
    /// Kinds that ran on most of the history: they are what is ordinary.
    settled: Vec<String>,
    logs: Effects,
    amounts: Effects,
    running: Option<Running>,
}

impl<S: Base> Uplifted<S> {
    /// Fits `fit` to a history whose events are in `known`, on its rows.
    ///
    /// A kind that runs on more than half of the history is no event but the ordinary state, and
    /// is not told from it.
    ///
    /// # Errors
    /// Those of `fit`; it may lack points because events cover them.
    pub fn fit(
        series: &Series<'_>,
        known: &Covariates<'_>,
        fit: impl FnOnce(&Series<'_>) -> Result<S, ModelError>,
    ) -> Result<Self, ModelError> {
        let rows = series.values.len();
        let all = running_rows(known, rows, &[]);
        let (events, settled): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|(_, on)| 2 * on.iter().filter(|v| **v).count() <= rows);
        let mut settled: Vec<String> = settled.into_iter().map(|(n, _)| n.to_owned()).collect();
        settled.truncate(MAX_KINDS);
        if events.is_empty() {
            let mut state = Self::plain(fit(series)?, series.scale());
            state.settled = settled;
            return Ok(state);
        }
        let masked: Vec<f64> = series
            .values
            .iter()
            .enumerate()
            .map(|(row, v)| {
                if events.iter().any(|(_, on)| on[row]) {
                    f64::NAN
                } else {
                    *v
                }
            })
            .collect();
        let ordinary = Series {
            values: &masked,
            ..*series
        };
        let scale = ordinary.scale();
        let mut state = Self::plain(fit(&ordinary)?, scale);
        state.settled = settled;
        let z = ordinary.scaled(scale);
        let expected = expectation(&z, series.clock(), &series.seasons());
        (state.logs, state.amounts) = ordinary_noise(&z, &expected);
        for (row, v) in series.values.iter().enumerate() {
            state.row(&events, row, v / scale, |_| Some(expected[row]));
        }
        Ok(state)
    }

    /// A model that was fitted to a history without events; `scale` is [`Series::scale`].
    pub fn plain(base: S, scale: f64) -> Self {
        Self {
            base,
            scale,
            kinds: Vec::new(),
            settled: Vec::new(),
            logs: Effects::new(0.01),
            amounts: Effects::new(0.01),
            running: None,
        }
    }

    /// The model without events.
    pub fn base(&self) -> &S {
        &self.base
    }

    /// What a kind is expected to multiply the load by: the factor and the standard deviation of
    /// its logarithm; `None` for a kind that was never seen, or that is worth an amount.
    pub fn factor(&self, kind: &str) -> Option<(f64, f64)> {
        let at = self.kinds.iter().position(|k| k.name == kind)?;
        if self.kinds[at].is_amount() {
            return None;
        }
        let belief = self.logs.expect(&[at as u16], None);
        Some((libm::exp(belief.mean), belief.variance.sqrt()))
    }

    /// [`Uplifted::update_with`] where no event runs.
    pub fn update(&mut self, values: &[f64]) {
        self.update_with(values, &Covariates::default());
    }

    /// Takes the values of the steps that follow the last seen one; rows on which events run
    /// teach what those are worth, and are missing to the model itself.
    pub fn update_with(&mut self, values: &[f64], known: &Covariates<'_>) {
        let events = running_rows(known, values.len(), &self.settled);
        let mut from = 0;
        for row in 0..values.len() {
            if events.iter().any(|(_, on)| on[row]) {
                self.ordinary(&values[from..row]);
                from = row + 1;
                let value = values[row] / self.scale;
                let masked = self.row(&events, row, value, |state| {
                    let next = state.base.predict(1, &[], 0).ok()?;
                    Some(next.mean.first()? / state.scale)
                });
                let seen = if masked { f64::NAN } else { values[row] };
                self.base.update(&[seen]);
            }
        }
        self.ordinary(&values[from..]);
    }

    fn ordinary(&mut self, values: &[f64]) {
        if !values.is_empty() {
            self.finish();
            self.base.update(values);
        }
    }

    /// [`Uplifted::predict_with`] where no event will run.
    ///
    /// # Errors
    /// The model's own.
    pub fn predict(
        &self,
        horizon: usize,
        levels: &[u16],
        seed: u64,
    ) -> Result<Prediction, ModelError> {
        self.predict_with(horizon, levels, seed, &Covariates::default())
    }

    /// Forecasts the `horizon` steps after the last seen one, at quantile levels in parts per
    /// 10,000 (ascending), with the events that will run on them. Without any, the answer is the
    /// model's own, bit for bit. Means are multiplied by the median factor: that of a wide
    /// distribution would promise load that nobody has seen.
    ///
    /// # Errors
    /// The model's own; [`ModelError::Numeric`] if the state has left the finite numbers.
    pub fn predict_with(
        &self,
        horizon: usize,
        levels: &[u16],
        seed: u64,
        known: &Covariates<'_>,
    ) -> Result<Prediction, ModelError> {
        let plain = self.base.predict(horizon, levels, seed)?;
        let events = running_rows(known, horizon, &self.settled);
        if events.is_empty() {
            return Ok(plain);
        }
        let shape = Shape::new(horizon, levels)?;
        let deviates: Vec<f64> = shape
            .probabilities
            .iter()
            .map(|p| crate::normal_quantile(*p))
            .collect();
        let Prediction {
            mut mean,
            mut quantiles,
        } = plain;
        let mut going = self.running.as_ref();
        let mut rest = quantiles.as_mut_slice();
        for (row, mean) in mean.iter_mut().enumerate() {
            let (step, after) = std::mem::take(&mut rest).split_at_mut(deviates.len());
            rest = after;
            let (set, strangers) = self.set_of(&events, row);
            if set.is_empty() && strangers == 0 {
                going = None;
                continue;
            }
            going = going.filter(|r| r.set == set && strangers == 0);
            let worth = self.worth(&set, strangers, going);
            worth.apply(mean, step, &deviates);
        }
        Prediction::lawful(&shape, mean, quantiles)
    }

    /// The known kinds that run on a row, ascending, and how many unknown ones do.
    fn set_of(&self, events: &[(&str, Vec<bool>)], row: usize) -> (Vec<u16>, usize) {
        let mut strangers = 0;
        let mut set = Vec::new();
        for (name, _) in events.iter().filter(|(_, on)| on[row]) {
            match self.kinds.iter().position(|k| k.name == *name) {
                Some(at) => set.push(at as u16),
                None => strangers += 1,
            }
        }
        set.sort_unstable();
        (set, strangers)
    }

    fn worth(&self, set: &[u16], strangers: usize, going: Option<&Running>) -> Worth {
        let (amounts, factors): (Vec<u16>, Vec<u16>) = set
            .iter()
            .copied()
            .partition(|k| self.kinds[usize::from(*k)].is_amount());
        // Rows of this occurrence are those of the whole set: they serve if it is of one sort.
        let logs = going.filter(|_| amounts.is_empty()).map(|r| &r.logs);
        let sums = going.filter(|_| factors.is_empty()).map(|r| &r.amounts);
        let none = Belief {
            mean: 0.0,
            variance: 0.0,
        };
        let of = |effects: &Effects, set: &[u16], rows: Option<&Rows>| {
            if set.is_empty() {
                none
            } else {
                effects.expect(set, rows)
            }
        };
        let mut log = of(&self.logs, &factors, logs);
        log.variance += strangers as f64 * STRANGER * STRANGER;
        let amount = of(&self.amounts, &amounts, sums);
        Worth {
            log,
            amount: Belief {
                mean: amount.mean * self.scale,
                variance: amount.variance * self.scale * self.scale,
            },
        }
    }

    /// Takes a row on its way, where `expected` gives the scaled ordinary value. Returns whether
    /// an event ran.
    fn row(
        &mut self,
        events: &[(&str, Vec<bool>)],
        row: usize,
        value: f64,
        expected: impl FnOnce(&Self) -> Option<f64>,
    ) -> bool {
        for (name, _) in events.iter().filter(|(_, on)| on[row]) {
            let known = self.kinds.iter().any(|k| k.name == *name);
            if !known && self.kinds.len() < MAX_KINDS {
                self.finish();
                self.kinds.push(Kind {
                    name: (*name).to_owned(),
                    rows: 0,
                    low: 0,
                });
                self.logs.grow();
                self.amounts.grow();
            }
        }
        let (set, _) = self.set_of(events, row);
        if self.running.as_ref().is_some_and(|r| r.set != set) {
            self.finish();
        }
        if set.is_empty() {
            return false;
        }
        if value.is_finite()
            && let Some(expected) = expected(self).filter(|e| e.is_finite())
        {
            self.teach(set, value, expected);
        }
        true
    }

    fn teach(&mut self, set: Vec<u16>, value: f64, expected: f64) {
        let low = expected < LOW;
        for k in &set {
            let kind = &mut self.kinds[usize::from(*k)];
            kind.rows = kind.rows.saturating_add(1);
            kind.low = kind.low.saturating_add(u32::from(low));
        }
        let running = self.running.get_or_insert(Running {
            set,
            logs: Rows::default(),
            amounts: Rows::default(),
        });
        let gap = value - expected;
        running.amounts.take(gap.clamp(-MAX_AMOUNT, MAX_AMOUNT));
        if !low {
            let ratio = libm::log((value / expected).max(1e-9));
            running.logs.take(ratio.clamp(-MAX_LOG, MAX_LOG));
        }
    }

    /// Ends the occurrence that was running.
    fn finish(&mut self) {
        if let Some(Running { set, logs, amounts }) = self.running.take() {
            self.logs.learn(&set, &logs);
            self.amounts.learn(&set, &amounts);
        }
    }

    /// The state as bytes that begin with the model's format number.
    ///
    /// # Errors
    /// [`ModelError::Internal`] if serialisation fails.
    pub fn encode(&self) -> Result<Vec<u8>, ModelError> {
        encode(S::FORMAT, self)
    }

    /// Reads bytes that [`Uplifted::encode`] wrote, and checks what the model relies on.
    ///
    /// # Errors
    /// [`ModelError::NotFitted`] for empty bytes, [`ModelError::Unsupported`] for another format,
    /// [`ModelError::InvalidInput`] for damaged bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        let state: Self = decode(S::FORMAT, bytes)?;
        let kinds = state.kinds.len();
        let running = state.running.as_ref().is_none_or(|r| {
            r.set.iter().all(|k| usize::from(*k) < kinds)
                && r.set.windows(2).all(|w| w[0] < w[1])
                && rows_are_sound(&r.logs)
                && rows_are_sound(&r.amounts)
        });
        let sound = state.base.is_sound()
            && state.scale.is_finite()
            && state.scale > 0.0
            && kinds <= MAX_KINDS
            && state.kinds.iter().all(|k| k.name.len() <= MAX_NAME)
            && state.settled.len() <= MAX_KINDS
            && state.logs.is_sound(kinds)
            && state.amounts.is_sound(kinds)
            && running;
        if sound {
            Ok(state)
        } else {
            Err(ModelError::invalid("damaged state: impossible values"))
        }
    }
}

/// Effects that know how noisy ordinary rows are, by the median, in logarithms and in amounts.
fn ordinary_noise(z: &[f64], expected: &[f64]) -> (Effects, Effects) {
    let spread = |mut sizes: Vec<f64>| {
        let sd = 1.4826 * median(&mut sizes);
        Effects::new((sd * sd).min(1.0))
    };
    let pairs = || {
        z.iter()
            .zip(expected)
            .filter(|(v, e)| v.is_finite() && e.is_finite())
    };
    let logs = pairs()
        .filter(|(v, e)| **v > 0.0 && **e >= LOW)
        .map(|(v, e)| libm::log(v / e).abs())
        .collect();
    let amounts = pairs().map(|(v, e)| (v - e).abs()).collect();
    (spread(logs), spread(amounts))
}

#[cfg(test)]
mod tests;
