//! A forecaster under test, asked as the daemon asks: fit a window, predict from the state, move on.
//!
//! Every answer is held to FC1 here as well; one that breaks it is a failure of that origin with its
//! reason, never a figure. Covariates and seeds are as in the cycle, so that a module that draws
//! chance or reads the calendar is measured as it will run.

use super::calendar::Calendar;
use super::trace::Trace;
use std::sync::Arc;
use tidegate_core::canonical;
use tidegate_core::invariant::check_forecasts;
use tidegate_core::policy::{Blobs, CallError, Fitted, Forecaster, Frames, Horizon, PolicyError};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::{Level, Signal};

/// Says how much CPU time the calling thread has used, in seconds. The caller owns the clock.
pub trait Meter: Sync {
    /// Seconds since any fixed point.
    fn cpu_seconds(&self) -> f64;
}

/// A forecaster and how to run it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// As it stands in tables.
    pub name: String,
    /// What answers.
    pub forecaster: Arc<dyn Forecaster>,
    /// Its JSON config.
    pub config: String,
    /// Root seed.
    pub seed: u64,
    /// What it is told of the calendar.
    pub calendar: Calendar,
}

/// What a forecaster may see of one series.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// The series, for its seed.
    pub name: &'a str,
    /// Start of the first value.
    pub start: Timestamp,
    /// Length of a step.
    pub step: Step,
    /// The values; NaN is missing.
    pub values: &'a [f64],
}

impl<'a> Window<'a> {
    /// Steps `from..to` of a trace.
    #[must_use]
    pub fn of(trace: &'a Trace, from: usize, to: usize) -> Self {
        let to = to.min(trace.values.len());
        Self {
            name: &trace.name,
            start: trace.at(from),
            step: trace.step,
            values: &trace.values[from.min(to)..to],
        }
    }

    /// Start of the step after the last.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        let count = i64::try_from(self.values.len()).unwrap_or(i64::MAX);
        self.start.plus_steps(self.step, count)
    }
}

/// One series' forecast.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grid {
    /// One per step.
    pub mean: Vec<f64>,
    /// `[step][level]` over [`Level::STANDARD`].
    pub quantiles: Vec<f64>,
}

impl Grid {
    /// The quantiles of one step; empty where there is no such step.
    #[must_use]
    pub fn row(&self, step: usize) -> &[f64] {
        let width = Level::STANDARD.len();
        self.quantiles
            .get(step * width..(step + 1) * width)
            .unwrap_or_default()
    }
}

/// A fitted series and how far it has seen.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// What the series of one fit share.
    pub model: Arc<[u8]>,
    /// The module's number for the layout.
    pub format: u32,
    /// What this series keeps.
    pub bytes: Vec<u8>,
    /// Start of the first step that it has not seen.
    pub next: Timestamp,
}

fn shape(what: &str, have: usize, want: usize) -> CallError {
    let text = format!("it answered {have} {what} for {want} series");
    CallError::Policy(PolicyError::Internal(text))
}

impl Subject {
    /// Fits a cohort in one call, from nothing: one state per window, or why that series has none.
    ///
    /// # Errors
    /// Where the whole call failed.
    pub fn fit(
        &self,
        windows: &[Window<'_>],
    ) -> Result<Vec<Result<State, PolicyError>>, CallError> {
        self.fit_from(&[], windows)
    }

    /// Fits as [`Self::fit`], and learns on from the model of a fit before, as the daemon does.
    ///
    /// # Errors
    /// Where the whole call failed.
    pub fn fit_from(
        &self,
        base: &[u8],
        windows: &[Window<'_>],
    ) -> Result<Vec<Result<State, PolicyError>>, CallError> {
        let Some(first) = windows.first() else {
            return Ok(vec![]);
        };
        let frames = self.frames("fit", first.step, windows);
        let fitted = self.forecaster.fit_from(&self.config, base, &frames)?;
        states(&fitted, windows)
    }

    /// Moves a state on by what directly followed it.
    ///
    /// # Errors
    /// Where it failed; the state is then as it was.
    pub fn update(&self, state: &mut State, rows: &Window<'_>) -> Result<(), CallError> {
        let rows = std::slice::from_ref(rows);
        let frames = self.frames("update", rows[0].step, rows);
        let blobs = Blobs::join(state.format, [state.bytes.as_slice()]);
        let fitted = self.forecaster.update(&state.model, &blobs, &frames)?;
        // The model goes with the call: a module may only move the state.
        let moved = states(&fitted, rows)?.pop();
        let moved = moved.ok_or_else(|| shape("states", 0, 1))?;
        let moved = moved.map_err(CallError::Policy)?;
        *state = State {
            model: state.model.clone(),
            ..moved
        };
        Ok(())
    }

    /// Predicts `steps` from a state on.
    ///
    /// # Errors
    /// Where it failed, or broke FC1.
    pub fn predict(
        &self,
        name: &str,
        step: Step,
        state: &State,
        steps: usize,
    ) -> Result<Grid, CallError> {
        let horizon = Horizon {
            step,
            steps: u32::try_from(steps).unwrap_or(u32::MAX),
            levels: Level::STANDARD.to_vec(),
            starts: vec![state.next],
            future: self.calendar.over(step, &[(state.next, steps)]),
            seeds: vec![canonical::seed(self.seed, "predict", name, state.next.0)],
        };
        let blobs = Blobs::join(state.format, [state.bytes.as_slice()]);
        let answer = self.forecaster.predict(&state.model, &blobs, &horizon)?;
        check_forecasts(&horizon, &answer).map_err(CallError::Refused)?;
        if let Some(Err(error)) = answer.status.into_iter().next() {
            return Err(CallError::Policy(error));
        }
        Ok(Grid {
            mean: answer.mean,
            quantiles: answer.quantiles,
        })
    }

    fn frames(&self, scope: &str, step: Step, windows: &[Window<'_>]) -> Frames {
        let mut frames = Frames::new(step);
        for window in windows {
            let seed = canonical::seed(self.seed, scope, window.name, window.end().0);
            frames.push(Signal::Requests, window.start, window.values, seed);
        }
        let spans: Vec<_> = windows.iter().map(|w| (w.start, w.values.len())).collect();
        frames.covariates = self.calendar.over(step, &spans);
        frames
    }
}

fn states(
    fitted: &Fitted,
    windows: &[Window<'_>],
) -> Result<Vec<Result<State, PolicyError>>, CallError> {
    for (what, have) in [
        ("statuses", fitted.status.len()),
        ("states", fitted.states.len()),
    ] {
        if have != windows.len() {
            return Err(shape(what, have, windows.len()));
        }
    }
    let model: Arc<[u8]> = fitted.model.as_slice().into();
    let one = |(i, window): (usize, &Window<'_>)| {
        fitted.status[i].clone().map(|()| State {
            model: model.clone(),
            format: fitted.states.format,
            bytes: fitted.states.get(i).to_vec(),
            next: window.end(),
        })
    };
    Ok(windows.iter().enumerate().map(one).collect())
}
