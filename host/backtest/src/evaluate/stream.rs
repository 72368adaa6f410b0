//! Is a 95 % interval a 95 % interval? A forecast at every step, as the daemon makes them.
//!
//! Fit on the first stretch, then at each step: forecast, score against what comes, move the state
//! on, and fit anew once a day. Coverage is counted per horizon band and promise, and per day, since
//! an interval that holds on average may fail for a whole day after a shift. Forecasts are scored as
//! the module made them and, beside that, as the host's calibration corrected them: the correction
//! learns from each outcome only after it came.

use super::metrics::pinball_loss;
use super::scores::{LOSSES, quantile};
use super::subject::{Grid, State, Subject, Window};
use super::trace::Trace;
use std::collections::BTreeMap;
use tidegate_core::forecast::Band;
use tidegate_core::policy::CallError;
use tidegate_core::time::Timestamp;

/// What an interval or a quantile promises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// For tables: `80` for an interval, `p90` for a quantile.
    pub name: &'static str,
    /// Lower level per 10,000; 0 for a quantile, which is open below.
    pub low: u16,
    /// Upper level.
    pub high: u16,
}

/// What is counted.
pub const PROMISES: [Promise; 5] = [
    Promise {
        name: "50",
        low: 2500,
        high: 7500,
    },
    Promise {
        name: "80",
        low: 1000,
        high: 9000,
    },
    Promise {
        name: "95",
        low: 250,
        high: 9750,
    },
    Promise {
        name: "p90",
        low: 0,
        high: 9000,
    },
    Promise {
        name: "p99",
        low: 0,
        high: 9900,
    },
];

impl Promise {
    /// Percent of values that should lie in it.
    #[must_use]
    pub fn percent(&self) -> f64 {
        f64::from(self.high - self.low) / 100.0
    }

    /// Whether a value lies in it.
    #[must_use]
    pub fn holds(&self, actual: f64, row: &[f64]) -> bool {
        let low = match self.low {
            0 => f64::NEG_INFINITY,
            level => quantile(row, level),
        };
        low <= actual && actual <= quantile(row, self.high)
    }
}

/// Outcomes, and how many kept each promise.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    /// Outcomes.
    pub count: u64,
    /// One per promise.
    pub held: [u64; PROMISES.len()],
    /// Sum of the mean pinball loss over the five levels of MSPL.
    pub loss: f64,
    /// Sum of the widths of the 80 % interval.
    pub width: f64,
}

impl Tally {
    fn add(&mut self, actual: f64, row: &[f64]) {
        self.count += 1;
        for (held, promise) in self.held.iter_mut().zip(PROMISES) {
            *held += u64::from(promise.holds(actual, row));
        }
        let loss = |l: &u16| pinball_loss(actual, quantile(row, *l), f64::from(*l) / 10_000.0);
        self.loss += LOSSES.iter().map(loss).sum::<f64>() / LOSSES.len() as f64;
        self.width += quantile(row, 9000) - quantile(row, 1000);
    }

    /// Percent of outcomes that kept a promise; NaN without outcomes.
    #[must_use]
    pub fn coverage(&self, promise: usize) -> f64 {
        100.0 * self.held[promise] as f64 / self.count as f64
    }
}

/// Forecasts of one kind over one series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lane {
    /// By how far ahead.
    pub bands: BTreeMap<Band, Tally>,
    /// By day of the outcome (its start), up to an hour ahead.
    pub days: BTreeMap<Timestamp, Tally>,
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Streamed {
    /// Its name.
    pub name: String,
    /// As the module said.
    pub raw: Lane,
    /// As the host corrected it; `None` where nothing corrects.
    pub calibrated: Option<Lane>,
    /// Fits that were made.
    pub fits: usize,
    /// Steps at which something failed, with the first reason.
    pub failed: (usize, Option<String>),
}

/// How to stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPlan {
    /// Steps before the first forecast.
    pub warm_up: usize,
    /// Steps to forecast each time.
    pub horizon: usize,
    /// Steps between fits.
    pub refit: usize,
    /// Most history that a fit sees.
    pub window: usize,
}

/// What stands between a module's answer and its user.
pub trait Correct {
    /// The forecast as it goes out at `now`, the start of its first step. It is a promise.
    fn correct(&mut self, now: Timestamp, forecast: &Grid) -> Grid;

    /// What came at the step that starts at `at`; NaN where nothing was measured.
    fn observe(&mut self, at: Timestamp, value: f64);
}

/// Streams a forecaster over a series.
pub fn stream(
    subject: &Subject,
    trace: &Trace,
    plan: &StreamPlan,
    mut corrector: Option<Box<dyn Correct>>,
) -> Streamed {
    let mut out = Streamed {
        name: trace.name.clone(),
        raw: Lane::default(),
        calibrated: corrector.is_some().then(Lane::default),
        fits: 0,
        failed: (0, None),
    };
    let mut state: Option<State> = None;
    for t in plan.warm_up.max(1)..trace.values.len() {
        let is_due = (t - plan.warm_up).is_multiple_of(plan.refit.max(1));
        if is_due || state.is_none() {
            let from = t.saturating_sub(plan.window);
            match fit(subject, state.as_ref(), &Window::of(trace, from, t)) {
                Ok(fresh) => {
                    state = Some(fresh);
                    out.fits += 1;
                }
                // The state that there is goes on.
                Err(error) => out.fail(&error),
            }
        }
        if let Some(state) = &state {
            match subject.predict(&trace.name, trace.step, state, plan.horizon) {
                Ok(grid) => {
                    score(&mut out.raw, trace, t, &grid);
                    if let (Some(corrector), Some(lane)) = (&mut corrector, &mut out.calibrated) {
                        let issued = corrector.correct(trace.at(t), &grid);
                        score(lane, trace, t, &issued);
                    }
                }
                Err(error) => out.fail(&error),
            }
        }
        if let Some(corrector) = &mut corrector {
            corrector.observe(trace.at(t), trace.values[t]);
        }
        let moved = match &mut state {
            Some(state) => subject.update(state, &Window::of(trace, t, t + 1)),
            None => Ok(()),
        };
        if let Err(error) = moved {
            out.fail(&error);
            state = None;
        }
    }
    out
}

impl Streamed {
    fn fail(&mut self, error: &CallError) {
        self.failed.0 += 1;
        self.failed.1.get_or_insert_with(|| error.to_string());
    }
}

fn fit(subject: &Subject, before: Option<&State>, window: &Window<'_>) -> Result<State, CallError> {
    let base = before.map_or(&[][..], |state| &state.model);
    let mut states = subject.fit_from(base, std::slice::from_ref(window))?;
    match states.pop() {
        Some(state) => state.map_err(CallError::Policy),
        None => Err(CallError::Unavailable("it answered no state".into())),
    }
}

fn score(lane: &mut Lane, trace: &Trace, t: usize, grid: &Grid) {
    for (k, actual) in trace.values[t..].iter().take(grid.mean.len()).enumerate() {
        if !actual.is_finite() {
            continue;
        }
        let lead = u32::try_from(k + 1).unwrap_or(u32::MAX);
        let band = Band::of(lead, trace.step);
        lane.bands
            .entry(band)
            .or_default()
            .add(*actual, grid.row(k));
        if band <= Band::Hour {
            let ms = trace.at(t + k).0;
            let day = Timestamp(ms - ms.rem_euclid(86_400_000));
            lane.days.entry(day).or_default().add(*actual, grid.row(k));
        }
    }
}

/// How well one promise was kept in one band, over series.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// How far ahead.
    pub band: Band,
    /// Which promise, by its place in [`PROMISES`].
    pub promise: usize,
    /// Mean coverage over series, percent.
    pub coverage: f64,
    /// Mean absolute distance from the promise over series, points.
    pub deviation: f64,
    /// The series with the lowest coverage.
    pub worst: (String, f64),
}

/// One table from the lanes of all series, each with its name.
#[must_use]
pub fn kept<'a>(lanes: impl IntoIterator<Item = (&'a str, &'a Lane)>) -> Vec<Kept> {
    let lanes: Vec<(&str, &Lane)> = lanes.into_iter().collect();
    let mut table = vec![];
    for band in Band::ALL {
        let of_band = || {
            let lanes = lanes.iter();
            lanes.filter_map(|(name, lane)| Some((*name, lane.bands.get(&band)?)))
        };
        let count = of_band().count() as f64;
        if of_band().next().is_none() {
            continue;
        }
        for (place, promise) in PROMISES.iter().enumerate() {
            let all = || of_band().map(|(name, tally)| (name, tally.coverage(place)));
            let worst = all().min_by(|a, b| a.1.total_cmp(&b.1));
            let (name, least) = worst.unwrap_or(("", f64::NAN));
            let distance = |(_, c): (&str, f64)| (c - promise.percent()).abs();
            table.push(Kept {
                band,
                promise: place,
                coverage: all().map(|(_, c)| c).sum::<f64>() / count,
                deviation: all().map(distance).sum::<f64>() / count,
                worst: (name.to_owned(), least),
            });
        }
    }
    table
}

/// The whole day on which a promise was kept least, and the coverage of the day after it.
#[must_use]
pub fn worst_day(lane: &Lane, promise: usize) -> Option<(Timestamp, f64, Option<f64>)> {
    let fullest = lane.days.values().map(|d| d.count).max()?;
    // The first and last day may be a few minutes, of which all can miss by chance.
    let whole = |d: &Tally| d.count * 2 >= fullest;
    let days = lane.days.iter().filter(|(_, d)| whole(d));
    let (at, tally) =
        days.min_by(|a, b| a.1.coverage(promise).total_cmp(&b.1.coverage(promise)))?;
    let next = lane.days.get(&at.plus_ms(86_400_000)).filter(|d| whole(d));
    Some((
        *at,
        tally.coverage(promise),
        next.map(|d| d.coverage(promise)),
    ))
}
