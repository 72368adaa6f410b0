//! The forecaster: fit, update and predict over batches of series.

use super::{CallError, PolicyError};
use crate::time::{Step, Timestamp};
use crate::units::{Level, Signal};

/// One blob per series, concatenated: series `i` owns `bytes[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blobs {
    /// The module's number for the layout of the bytes.
    pub format: u32,
    /// Number of series + 1 entries, the first 0, never falling.
    pub offsets: Vec<u32>,
    /// All blobs.
    pub bytes: Vec<u8>,
}

impl Blobs {
    /// Concatenates blobs of one format.
    #[must_use]
    pub fn join<'a>(format: u32, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut blobs = Self {
            format,
            offsets: vec![0],
            bytes: vec![],
        };
        for part in parts {
            blobs.bytes.extend_from_slice(part);
            blobs
                .offsets
                .push(u32::try_from(blobs.bytes.len()).unwrap_or(u32::MAX));
        }
        blobs
    }

    /// The blob of series `i`; empty when absent or malformed.
    #[must_use]
    pub fn get(&self, i: usize) -> &[u8] {
        let bound = |i: usize| self.offsets.get(i).map(|&o| o as usize);
        match (bound(i), bound(i + 1)) {
            (Some(from), Some(to)) => self.bytes.get(from..to).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of some series, in the given order.
    #[must_use]
    pub fn pick(&self, series: &[usize]) -> Self {
        Self::join(self.format, series.iter().map(|&s| self.get(s)))
    }
}

/// Known values beside the target, on the same rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Covariates {
    /// Names: `minute-of-day` (0 to below 1440) and `day-of-week` (0 Monday to 6 Sunday) at the
    /// start of the step in the api's local time; `event:KIND`, the part of the step during which an
    /// event of the kind runs, 0 to 1.
    pub names: Vec<String>,
    /// `[name][row]`.
    pub values: Vec<f64>,
}

impl Covariates {
    /// Some rows of every covariate, each of which has `all` rows.
    fn pick(&self, all: usize, rows: &[usize]) -> Self {
        let values = (0..self.names.len())
            .flat_map(|name| rows.iter().map(move |row| name * all + row))
            .map(|at| self.values.get(at).copied().unwrap_or(0.0))
            .collect();
        Self {
            names: self.names.clone(),
            values,
        }
    }
}

/// Step-aligned windows of many series, concatenated.
#[derive(Debug, Clone, PartialEq)]
pub struct Frames {
    /// The step of every series.
    pub step: Step,
    /// One per series.
    pub signals: Vec<Signal>,
    /// Start of each series' first row.
    pub starts: Vec<Timestamp>,
    /// Number of series + 1 entries: rows of series `i` are `offsets[i]..offsets[i + 1]`.
    pub offsets: Vec<u32>,
    /// In the signal's unit; a missing row holds 0.
    pub values: Vec<f64>,
    /// A bit per row, least significant first: 1 means missing. Empty: none is missing.
    pub missing: Vec<u8>,
    /// On the same rows.
    pub covariates: Covariates,
    /// One per series.
    pub seeds: Vec<u64>,
}

impl Frames {
    /// No series yet.
    #[must_use]
    pub fn new(step: Step) -> Self {
        Self {
            step,
            signals: vec![],
            starts: vec![],
            offsets: vec![0],
            values: vec![],
            missing: vec![],
            covariates: Covariates::default(),
            seeds: vec![],
        }
    }

    /// Adds a series; NaN becomes a missing row. Covariates are set afterwards, over all rows.
    pub fn push(&mut self, signal: Signal, start: Timestamp, values: &[f64], seed: u64) {
        for &value in values {
            let row = self.values.len();
            let gap = !value.is_finite();
            if gap {
                self.missing.resize(row / 8 + 1, 0);
                self.missing[row / 8] |= 1 << (row % 8);
            }
            self.values.push(if gap { 0.0 } else { value });
        }
        if !self.missing.is_empty() {
            self.missing.resize(self.values.len().div_ceil(8), 0);
        }
        self.signals.push(signal);
        self.starts.push(start);
        self.offsets
            .push(u32::try_from(self.values.len()).unwrap_or(u32::MAX));
        self.seeds.push(seed);
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.signals.len()
    }

    /// Whether there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.signals.is_empty()
    }

    /// Values of series `i`, NaN where missing.
    #[must_use]
    pub fn series(&self, i: usize) -> Vec<f64> {
        let bound = |i: usize| self.offsets.get(i).map_or(0, |&o| o as usize);
        (bound(i)..bound(i + 1).min(self.values.len()))
            .map(|row| {
                if self.is_missing(row) {
                    f64::NAN
                } else {
                    self.values[row]
                }
            })
            .collect()
    }

    /// Number of rows of series `i`.
    #[must_use]
    pub fn rows(&self, i: usize) -> usize {
        let bound = |i: usize| self.offsets.get(i).map_or(0, |&o| o as usize);
        bound(i + 1).saturating_sub(bound(i))
    }

    /// Some series, in the given order.
    #[must_use]
    pub fn pick(&self, series: &[usize]) -> Self {
        let mut picked = Self::new(self.step);
        let mut rows = vec![];
        for &s in series {
            let bound = |i: usize| self.offsets.get(i).map_or(0, |&o| o as usize);
            rows.extend(bound(s)..bound(s + 1).min(self.values.len()));
            if let (Some(&signal), Some(&start), Some(&seed)) =
                (self.signals.get(s), self.starts.get(s), self.seeds.get(s))
            {
                picked.push(signal, start, &self.series(s), seed);
            }
        }
        picked.covariates = self.covariates.pick(self.values.len(), &rows);
        picked
    }

    fn is_missing(&self, row: usize) -> bool {
        self.missing
            .get(row / 8)
            .is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }
}

/// How one series fared in a batch.
pub type SeriesStatus = Result<(), PolicyError>;

/// What `fit`, `update` and `migrate` give.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// Immutable, shared by all series of the call; may be empty.
    pub model: Vec<u8>,
    /// One state per series, empty where it failed.
    pub states: Blobs,
    /// One per series.
    pub status: Vec<SeriesStatus>,
}

/// What to predict from each state onwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Horizon {
    /// As fitted.
    pub step: Step,
    /// Number of steps, at least 1.
    pub steps: u32,
    /// Rising, no duplicates.
    pub levels: Vec<Level>,
    /// Start of step 0, one per series.
    pub starts: Vec<Timestamp>,
    /// Rows are `[series][step]`.
    pub future: Covariates,
    /// One per series.
    pub seeds: Vec<u64>,
}

impl Horizon {
    /// What is asked of some series, in the given order.
    #[must_use]
    pub fn pick(&self, series: &[usize]) -> Self {
        let steps = self.steps as usize;
        let rows: Vec<usize> = series
            .iter()
            .flat_map(|&s| s * steps..(s + 1) * steps)
            .collect();
        let of = series.iter();
        Self {
            step: self.step,
            steps: self.steps,
            levels: self.levels.clone(),
            starts: of
                .clone()
                .filter_map(|&s| self.starts.get(s).copied())
                .collect(),
            future: self.future.pick(self.starts.len() * steps, &rows),
            seeds: of.filter_map(|&s| self.seeds.get(s).copied()).collect(),
        }
    }
}

/// What will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecasts {
    /// `[series][step]`.
    pub mean: Vec<f64>,
    /// `[series][step][level]`.
    pub quantiles: Vec<f64>,
    /// One per series.
    pub status: Vec<SeriesStatus>,
}

/// States that have moved on, and what they say will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Advanced {
    /// One per series; of one that failed, nothing that counts.
    pub states: Blobs,
    /// Asked of those states. A series that could not be moved on has failed here.
    pub forecasts: Forecasts,
}

/// Learns signals and says what they will be, in quantiles.
pub trait Forecaster: Send + Sync + std::fmt::Debug {
    /// Learns from history; from `base` on, where that is not empty: the model that the same module
    /// and config gave for these series before. Modules may pass it over.
    ///
    /// # Errors
    /// When the whole batch cannot be served; single series fail in their status.
    fn fit_from(&self, config: &str, base: &[u8], frames: &Frames) -> Result<Fitted, CallError>;

    /// Learns from history alone.
    ///
    /// # Errors
    /// As [`Forecaster::fit_from`].
    fn fit(&self, config: &str, frames: &Frames) -> Result<Fitted, CallError> {
        self.fit_from(config, &[], frames)
    }

    /// Moves states on by new rows.
    ///
    /// # Errors
    /// As [`Forecaster::fit`].
    fn update(&self, model: &[u8], states: &Blobs, frames: &Frames) -> Result<Fitted, CallError>;

    /// Predicts from states.
    ///
    /// # Errors
    /// As [`Forecaster::fit`].
    fn predict(
        &self,
        model: &[u8],
        states: &Blobs,
        horizon: &Horizon,
    ) -> Result<Forecasts, CallError>;

    /// Moves states on by new rows and predicts from what they have become: `update` and `predict` in
    /// one call, with the same results to the last bit. A series without new rows is asked as it is.
    ///
    /// # Errors
    /// As [`Forecaster::fit`].
    fn advance(
        &self,
        model: &[u8],
        states: &Blobs,
        news: &Frames,
        horizon: &Horizon,
    ) -> Result<Advanced, CallError> {
        in_two_calls(self, model, states, news, horizon)
    }

    /// Translates what an earlier version wrote.
    ///
    /// # Errors
    /// `unsupported` when it cannot: fit anew.
    fn migrate(&self, model: &[u8], states: &Blobs) -> Result<Fitted, CallError>;
}

/// [`Forecaster::advance`] by whom has no such call.
fn in_two_calls<P: Forecaster + ?Sized>(
    policy: &P,
    model: &[u8],
    states: &Blobs,
    news: &Frames,
    horizon: &Horizon,
) -> Result<Advanced, CallError> {
    let all = 0..horizon.starts.len();
    let behind: Vec<usize> = all.clone().filter(|&i| news.rows(i) > 0).collect();
    let mut status: Vec<SeriesStatus> = all.clone().map(|_| Ok(())).collect();
    let mut parts: Vec<Vec<u8>> = all.clone().map(|i| states.get(i).to_vec()).collect();
    let mut format = states.format;
    if !behind.is_empty() {
        let updated = policy.update(model, &states.pick(&behind), &news.pick(&behind))?;
        if updated.status.len() != behind.len() || updated.states.len() != behind.len() {
            let text = format!(
                "{} states for {} series",
                updated.states.len(),
                behind.len()
            );
            let breach = crate::invariant::Breach::new(crate::invariant::Invariant::FC1, text);
            return Err(CallError::Refused(breach));
        }
        format = updated.states.format;
        for ((n, &i), outcome) in behind.iter().enumerate().zip(updated.status) {
            parts[i] = updated.states.get(n).to_vec();
            status[i] = outcome;
        }
    }
    let alive: Vec<usize> = all.filter(|&i| status[i].is_ok()).collect();
    let states = Blobs::join(format, parts.iter().map(Vec::as_slice));
    let (steps, cells) = (
        horizon.steps as usize,
        horizon.steps as usize * horizon.levels.len(),
    );
    let mut forecasts = Forecasts {
        mean: vec![0.0; status.len() * steps],
        quantiles: vec![0.0; status.len() * cells],
        status,
    };
    if !alive.is_empty() {
        let asked = horizon.pick(&alive);
        let said = policy.predict(model, &states.pick(&alive), &asked)?;
        crate::invariant::check_forecasts_shape(&asked, &said).map_err(CallError::Refused)?;
        for ((n, &i), outcome) in alive.iter().enumerate().zip(said.status) {
            let (mean, grid) = (n * steps..(n + 1) * steps, n * cells..(n + 1) * cells);
            forecasts.mean[i * steps..(i + 1) * steps].copy_from_slice(&said.mean[mean]);
            forecasts.quantiles[i * cells..(i + 1) * cells].copy_from_slice(&said.quantiles[grid]);
            forecasts.status[i] = outcome;
        }
    }
    Ok(Advanced { states, forecasts })
}

#[cfg(test)]
mod tests;
