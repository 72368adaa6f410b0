//! Forecasts that are kept from step to step, and when one is made anew.
//!
//! Plans are made every few seconds, and most forecasts would come out as they did before: to ask for
//! all of them each time is four fifths of what a cycle over many apis costs. So a forecast is made with
//! a few steps more than the horizon, and its later part is used until it is made anew:
//! - by the calendar, every [`Refresh::cadence`] steps, spread over series by a hash, so that no step
//!   pays for all of them. In a world of few series that is every step, and whenever a step was measured;
//! - at once when what comes leaves it: Page's sums over its scaled residuals, of the kind by which
//!   [`super::drift`] watches the fit, with less patience. A burst shows in the step that measures it,
//!   a slow departure within its interval in a handful;
//! - at once when somebody else would be asked, the module was fitted anew, or an event was declared
//!   that touches the series within what is foreseen.
//!
//! All of these are functions of the cycle's inputs, so that the same past gives the same plans. What is
//! used later is what was made, as of when it was made, and no correction of it: the record names the
//! state and the answer that it comes from. It is kept in two bytes a value, to 1/65,535 of its range,
//! which is far below what any interval is worth, and these in about half ([`rows`]).
//!
//! Rejected: moving the old answer by the newest residual. It would be another model, unjudged, that
//! answers in the bound one's name.

mod rows;

use super::covariates::zone_of;
use super::{Digest, Error, Forecast, SeriesKey, Timestamp, calibrate};
use crate::compact::Compact;
use rows::Rows;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::canonical::Encoder;
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::Calibration;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::{History, SeriesState};
use tidegate_core::roster::Served;
use tidegate_core::time::{Grid, Step};
use tidegate_core::units::Level;

/// How often forecasts are made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// Series that may be predicted in one step before cadences grow.
    pub series_per_step: usize,
    /// Most steps from one forecast of a series to the next.
    pub longest: u32,
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            series_per_step: 1000,
            longest: 30,
        }
    }
}

impl Refresh {
    /// Steps from one forecast of a series to the next, where there are so many series: 1 as long as
    /// they fit into a step, else a multiple of the steps between two looks of [`calibrate`], so that
    /// promises are taken of fresh forecasts.
    #[must_use]
    pub fn cadence(&self, series: usize, step: Step) -> u32 {
        let wanted = series.div_ceil(self.series_per_step.max(1));
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.longest);
        let stride = calibrate::stride(step);
        match wanted {
            0 | 1 => 1,
            n => n
                .next_multiple_of(stride)
                .min(self.longest / stride * stride)
                .max(1),
        }
    }
}

/// Where a shift of what comes against a kept forecast is one. Two-sided, on white noise of the size
/// that it claims, a sum comes here once in some 460 steps.
const SURPRISE: f64 = 5.0;

/// Residuals below this never add up, in standard deviations.
const ALLOWANCE: f64 = 0.5;

/// Milliseconds after which what a forecast comes from is written down anew.
const ANCHOR_MS: i64 = 86_400_000;

/// Standard deviations from the median of a normal variable to its 90 % quantile.
const P90: f64 = 1.281_552;

/// Values of a row: the mean, then the quantiles at [`Level::STANDARD`].
const WIDTH: usize = 1 + Level::STANDARD.len();

/// Place of the 10 % quantile in a row.
const LOW: usize = 2;
/// Place of the median in a row.
const MEDIAN: usize = 4;
/// Place of the 90 % quantile in a row.
const HIGH: usize = 6;

/// Who a forecast is from: what is the same for very many series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Who made it.
    pub served: Served,
    /// With which config ([`super::fitted_with`]).
    pub config: Digest,
}

/// A forecast as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    key: SeriesKey,
    /// What tells it apart where turns are dealt out ([`calibrate::salt`]).
    salt: u64,
    source: Arc<Source>,
    /// When the state was fitted that it comes from; of the baseline, which has none, when it was made.
    fitted_at: Timestamp,
    /// End of what the state had seen.
    seen: Timestamp,
    /// Digest of the events that were known of its steps.
    events: u64,
    state: Digest,
    calibration: Option<Calibration>,
    grid: Grid,
    /// What a code of 0 stands for, and by how much each adds.
    least: f64,
    unit: f64,
    rows: Rows,
    /// When what it comes from was last written down, for as long as records tell all that moved it since;
    /// `None`: they do not, or it never was.
    anchored: Option<Timestamp>,
}

/// The forecasts of a pool, by series.
#[derive(Debug, Clone, Default)]
pub struct Held {
    all: BTreeMap<SeriesKey, Earlier>,
    compact: Compact,
}

impl Held {
    /// What is kept of a series.
    #[must_use]
    pub fn get(&self, key: &SeriesKey) -> Option<&Earlier> {
        self.all.get(key)
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes over what a cycle made, and forgets apis that `keep` does not know.
    pub fn commit(&mut self, made: Vec<Earlier>, told: usize, keep: impl Fn(&ApiId) -> bool) {
        self.all
            .extend(made.into_iter().map(|k| (k.key.clone(), k)));
        if self.all.len() > told {
            self.all.retain(|key, _| keep(&key.api));
        }
        self.compact.after(&mut self.all);
    }

    /// What no record tells of was made: so it is not kept, and a replay cannot follow what went on.
    pub fn unfollow(&mut self, made: &[Earlier]) {
        for of in made {
            self.all.remove(&of.key);
        }
        self.all.values_mut().for_each(|kept| kept.anchored = None);
    }

    /// Forgets the forecast of a series.
    pub fn remove(&mut self, key: &SeriesKey) {
        self.all.remove(key);
    }

    /// Forgets the forecasts of an api.
    pub fn forget(&mut self, api: &ApiId) {
        self.all.retain(|key, _| key.api != *api);
    }
}

/// What decides whether a kept forecast still holds.
pub(super) struct Standing<'a> {
    /// The step of the cycle, and how many steps are wanted.
    pub(super) grid: Grid,
    /// End of the measured steps that may be looked at.
    pub(super) end: Timestamp,
    /// Steps from one forecast of a series to the next.
    pub(super) cadence: u32,
    /// Who would be asked, with which config, and its state; none of the baseline.
    pub(super) asked: (Digest, Digest, Option<&'a SeriesState>),
    /// Digest of the events that are known of what a forecast tells.
    pub(super) events: &'a dyn Fn(Grid) -> u64,
    pub(super) history: &'a dyn History,
}

impl Earlier {
    /// Keeps a forecast at the standard levels.
    pub(super) fn of(
        forecast: &Forecast,
        source: Arc<Source>,
        state: &SeriesState,
        events: u64,
    ) -> Option<Self> {
        let rows = forecast.mean.iter();
        let rows = rows.zip(forecast.quantiles.chunks_exact(Level::STANDARD.len()));
        let values = || {
            rows.clone()
                .flat_map(|(mean, row)| std::iter::once(mean).chain(row))
        };
        let least = values().copied().reduce(f64::min)?;
        let most = values().copied().reduce(f64::max)?;
        let unit = (most - least) / f64::from(u16::MAX);
        let code = |v: &f64| match unit > 0.0 {
            true => ((v - least) / unit).round() as u16,
            false => 0,
        };
        let codes: Vec<u16> = values().map(code).collect();
        let is_whole = codes.len() == forecast.grid.count * WIDTH;
        is_whole.then(|| Self {
            key: forecast.key.clone(),
            salt: calibrate::salt(&forecast.key),
            source,
            fitted_at: state.fitted_at,
            seen: state.seen,
            events,
            state: forecast.state,
            calibration: forecast.calibration,
            grid: forecast.grid,
            least,
            unit,
            rows: Rows::of(&codes),
            anchored: None,
        })
    }

    /// Whose it is.
    pub(crate) fn key(&self) -> &SeriesKey {
        &self.key
    }

    /// Which module made it, with which config.
    pub(crate) fn maker(&self) -> (Digest, Digest) {
        (self.source.served.module.digest, self.source.config)
    }

    /// Notes whether a replay can get from the forecast before it, as it was kept, to this one: when the
    /// anchor was written that it sets out from, if it still does. `state` is the one that this was made of.
    /// Anchors are written anew after a day less up to a quarter, by a hash, so that no cycle writes all.
    pub(crate) fn follow(
        &mut self,
        last: Option<&Earlier>,
        state: Option<&SeriesState>,
        now: Timestamp,
    ) -> bool {
        let is_moved = |last: &&Earlier| {
            last.maker() == self.maker()
                && state.is_none_or(|s| s.fitted_at == last.fitted_at && s.seen == last.seen)
        };
        let anchored = last.filter(is_moved).and_then(|last| last.anchored);
        let life = ANCHOR_MS - (self.salt % (ANCHOR_MS as u64 / 4)) as i64;
        let stands = anchored.is_some_and(|at| (0..life).contains(&now.since_ms(at)));
        self.anchored = if stands { anchored } else { Some(now) };
        stands
    }

    /// Whether a replay can get to it.
    pub(crate) fn is_anchored(&self) -> bool {
        self.anchored.is_some()
    }

    /// Notes that no anchor was written: a replay cannot follow it until there is one.
    pub(crate) fn lose(&mut self) {
        self.anchored = None;
    }

    /// When the state was fitted that it comes from.
    pub(super) fn fitted_at(&self) -> Timestamp {
        self.fitted_at
    }

    fn value(&self, code: u16) -> f64 {
        self.least + f64::from(code) * self.unit
    }

    /// The steps of a grid; `None` where it does not reach so far.
    pub(super) fn on(&self, grid: Grid) -> Option<Forecast> {
        let from = self.grid.index_of(grid.start)?;
        if from + grid.count > self.grid.count {
            return None;
        }
        let mut mean = Vec::with_capacity(grid.count);
        let mut quantiles = Vec::with_capacity(grid.count * (WIDTH - 1));
        for row in self.rows.iter().skip(from).take(grid.count) {
            mean.push(self.value(row[0]));
            quantiles.extend(row[1..].iter().map(|c| self.value(*c)));
        }
        Some(Forecast {
            key: self.key.clone(),
            grid,
            levels: Level::STANDARD.to_vec(),
            mean,
            quantiles,
            served: self.source.served.clone(),
            state: self.state,
            calibration: self.calibration,
        })
    }

    /// What it says of the steps of a cycle, if it need not be made anew.
    ///
    /// # Errors
    /// When stored data cannot be read.
    pub(super) fn standing(&self, at: &Standing<'_>) -> Result<Option<Forecast>, Error> {
        let (module, config, state) = at.asked;
        let is_theirs = self.source.served.module.digest == module
            && self.source.config == config
            && state.is_none_or(|s| s.fitted_at == self.fitted_at);
        if !is_theirs || self.grid.step != at.grid.step || self.is_due(at) {
            return Ok(None);
        }
        if (at.events)(self.grid) != self.events || self.is_surprised(at)? {
            return Ok(None);
        }
        Ok(self.on(at.grid))
    }

    fn is_due(&self, at: &Standing<'_>) -> bool {
        if at.cadence <= 1 {
            return self.grid.start != at.grid.start || self.seen < at.end;
        }
        let since = calibrate::since(self.salt, at.grid.start, at.grid.step, at.cadence);
        let turn = at.grid.start.plus_steps(at.grid.step, -i64::from(since));
        self.grid.start < turn || self.grid.start > at.grid.start
    }

    /// Whether what came since it was made is not what it foretold.
    fn is_surprised(&self, at: &Standing<'_>) -> Result<bool, Error> {
        let past = at.end.since_ms(self.grid.start).max(0) / self.grid.step.ms();
        let count = usize::try_from(past).unwrap_or(0).min(self.grid.count);
        if at.cadence <= 1 || count == 0 {
            return Ok(false);
        }
        let came = at.history.column(&self.key, Grid { count, ..self.grid })?;
        let (mut up, mut down) = (0.0_f64, 0.0_f64);
        for (row, came) in self.rows.iter().zip(&came.values) {
            if !came.is_finite() {
                continue;
            }
            let [low, median, high] = [LOW, MEDIAN, HIGH].map(|i| self.value(row[i]));
            let side = if *came < median {
                median - low
            } else {
                high - median
            };
            // A code is what is known of a spread at best.
            let spread = (side / P90).max(self.unit).max(f64::MIN_POSITIVE);
            let off = (came - median) / spread;
            up = (up + off - ALLOWANCE).max(0.0);
            down = (down - off - ALLOWANCE).max(0.0);
            if up > SURPRISE || down > SURPRISE {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What is declared of steps to come.
pub(super) struct Events<'a>(pub(super) &'a Catalog);

impl Events<'_> {
    /// Digest of what is declared of an api's steps: its events, and the clock on its wall.
    pub(super) fn digest(&self, api: &ApiId, grid: Grid) -> u64 {
        let local = zone_of(self.0, api).local(grid.start);
        let mut encoder = Encoder::default();
        encoder
            .float(local.minute_of_day())
            .uint(u64::from(local.day_of_week()));
        let mut count = 0;
        for event in self.0.events_of(api) {
            for (from, to) in self.0.occurrences(event, grid.start, grid.end()) {
                encoder.text(&event.kind).int(from.0).int(to.0);
                count += 1;
            }
        }
        if count == 0 {
            // The usual case: worth no hash.
            return local.minute_of_day().to_bits() ^ u64::from(local.day_of_week());
        }
        let digest = encoder.digest();
        digest
            .0
            .iter()
            .take(8)
            .fold(0, |n, b| n << 8 | u64::from(*b))
    }
}

#[cfg(test)]
mod tests;
