//! Origins, what may be seen at each, and what a forecaster made of it.
//!
//! A [`Cut`] holds the window before an origin and the values after it in separate slices; only the
//! window is ever handed to a forecaster. The scale belongs to the cut and not to the window, so
//! that a forecaster with less history is not measured by another yardstick.

use super::metrics::seasonal_scale;
use super::parallel::{Progress, each};
use super::read::Pair;
use super::subject::{Grid, Meter, State, Subject, Window};
use super::trace::Trace;
use std::collections::BTreeMap;
use tidegate_core::policy::CallError;

/// Where origins lie, in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Of the seasonal-naive scale.
    pub season: usize,
    /// Steps to forecast.
    pub horizon: usize,
    /// At most so many origins a series.
    pub origins: usize,
    /// Between two of them.
    pub gap: usize,
    /// Most history that is seen; `None` for all.
    pub train: Option<usize>,
    /// No origin has less history in its file.
    pub min_history: usize,
}

/// One origin of one series.
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    /// The series, by its place.
    pub series: usize,
    /// Steps of the series before the first forecast step: its index on the grid.
    pub origin: usize,
    /// Counted from the last origin of the series, which is 0.
    pub rank: usize,
    /// What may be seen.
    pub window: Window<'a>,
    /// What came.
    pub actual: &'a [f64],
    /// Mean seasonal difference before the origin; `None` where it is nothing.
    pub scale: Option<f64>,
}

impl Plan {
    /// The origins of a series of so many steps, ascending.
    #[must_use]
    pub fn origins(&self, length: usize) -> Vec<usize> {
        let last = length.checked_sub(self.horizon);
        let back = |k: usize| last?.checked_sub(k.checked_mul(self.gap)?);
        let mut origins: Vec<usize> = (0..self.origins)
            .map_while(back)
            .filter(|o| *o >= self.min_history.max(1))
            .collect();
        origins.dedup();
        origins.reverse();
        origins
    }

    /// Steps that a series needs for one origin.
    #[must_use]
    pub fn shortest(&self) -> usize {
        self.min_history.max(1) + self.horizon
    }

    /// The cuts of a trace.
    #[must_use]
    pub fn cuts<'a>(&self, series: usize, trace: &'a Trace) -> Vec<Cut<'a>> {
        let origins = self.origins(trace.values.len());
        let count = origins.len();
        let cut = |(i, origin): (usize, usize)| {
            let from = origin.saturating_sub(self.train.unwrap_or(origin));
            let window = Window::of(trace, from, origin);
            Cut {
                series,
                origin,
                rank: count - 1 - i,
                window,
                actual: &trace.values[origin..origin + self.horizon],
                scale: seasonal_scale(window.values, self.season),
            }
        };
        origins.into_iter().enumerate().map(cut).collect()
    }

    /// The one cut of an M4 pair; `None` where the answer is shorter than the horizon.
    #[must_use]
    pub fn cut<'a>(&self, series: usize, pair: &'a Pair) -> Option<Cut<'a>> {
        let origin = pair.train.values.len();
        let from = origin.saturating_sub(self.train.unwrap_or(origin));
        let window = Window::of(&pair.train, from, origin);
        Some(Cut {
            series,
            origin,
            rank: 0,
            window,
            actual: pair.actual.get(..self.horizon)?,
            scale: seasonal_scale(window.values, self.season),
        })
    }
}

impl Cut<'_> {
    /// The same origin and scale with no more than the newest `steps` of history.
    #[must_use]
    pub fn with_history(mut self, steps: usize) -> Self {
        let from = self.window.values.len().saturating_sub(steps);
        let back = i64::try_from(from).unwrap_or(i64::MAX);
        self.window.start = self.window.start.plus_steps(self.window.step, back);
        self.window.values = &self.window.values[from..];
        self
    }
}

/// Who is fitted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cohort {
    /// Each series by itself.
    #[default]
    Single,
    /// All series of one rank in one call, for modules that learn a cohort together.
    Joint,
}

/// What a forecaster made of a cut, and its price.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The forecast.
    pub grid: Grid,
    /// CPU seconds of the fit; of a joint fit, this series' part.
    pub fit_s: f64,
    /// CPU seconds of the prediction.
    pub predict_s: f64,
    /// CPU seconds to move the state on by one step; NaN where it could not.
    pub update_s: f64,
    /// Bytes of the state.
    pub state_bytes: usize,
    /// Bytes of the shared model.
    pub model_bytes: usize,
}

/// Runs a forecaster over all cuts; one answer per cut, in their order.
pub fn roll(
    subject: &Subject,
    cuts: &[Cut<'_>],
    cohort: Cohort,
    jobs: usize,
    meter: &dyn Meter,
    progress: Progress<'_>,
) -> Vec<Result<Made, CallError>> {
    let mut groups: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (i, cut) in cuts.iter().enumerate() {
        let key = match cohort {
            Cohort::Single => (cut.rank, i),
            Cohort::Joint => (cut.rank, 0),
        };
        groups.entry(key).or_default().push(i);
    }
    let groups: Vec<Vec<usize>> = groups.into_values().collect();
    let made = each(&groups, jobs, progress, |group| {
        let members: Vec<&Cut<'_>> = group.iter().map(|i| &cuts[*i]).collect();
        together(subject, &members, meter)
    });
    let mut answers: Vec<(usize, _)> = groups
        .into_iter()
        .flatten()
        .zip(made.into_iter().flatten())
        .collect();
    answers.sort_by_key(|(i, _)| *i);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Fits the cuts in one call and predicts each.
fn together(
    subject: &Subject,
    cuts: &[&Cut<'_>],
    meter: &dyn Meter,
) -> Vec<Result<Made, CallError>> {
    let windows: Vec<Window<'_>> = cuts.iter().map(|c| c.window).collect();
    let (fitted, fit_s) = timed(meter, || subject.fit(&windows));
    let part = fit_s / cuts.len().max(1) as f64;
    match fitted {
        Err(error) => cuts.iter().map(|_| Err(error.clone())).collect(),
        Ok(states) => cuts
            .iter()
            .zip(states)
            .map(|(cut, state)| one(subject, cut, state.map_err(CallError::Policy)?, part, meter))
            .collect(),
    }
}

fn one(
    subject: &Subject,
    cut: &Cut<'_>,
    mut state: State,
    fit_s: f64,
    meter: &dyn Meter,
) -> Result<Made, CallError> {
    let window = &cut.window;
    let (grid, predict_s) = timed(meter, || {
        subject.predict(window.name, window.step, &state, cut.actual.len())
    });
    let (state_bytes, model_bytes) = (state.bytes.len(), state.model.len());
    // After the forecast, so that nothing of what came can reach it.
    let next = Window {
        name: window.name,
        start: window.end(),
        step: window.step,
        values: &cut.actual[..1.min(cut.actual.len())],
    };
    let (moved, update_s) = timed(meter, || subject.update(&mut state, &next));
    Ok(Made {
        grid: grid?,
        fit_s,
        predict_s,
        update_s: moved.map_or(f64::NAN, |()| update_s),
        state_bytes,
        model_bytes,
    })
}

fn timed<R>(meter: &dyn Meter, work: impl FnOnce() -> R) -> (R, f64) {
    let begun = meter.cpu_seconds();
    let answer = work();
    (answer, meter.cpu_seconds() - begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        season: 288,
        horizon: 288,
        origins: 8,
        gap: 137,
        train: Some(4032),
        min_history: 1440,
    };

    #[test]
    fn the_last_origin_lies_a_horizon_before_the_end_and_none_too_early() {
        assert_eq!(PLAN.origins(1440 + 288), [1440]);
        assert_eq!(PLAN.origins(1440 + 288 + 137), [1440, 1577]);
        assert_eq!(PLAN.origins(1440 + 287), [0_usize; 0]);
        assert_eq!(PLAN.origins(20_000).len(), 8);
        assert_eq!(PLAN.origins(0), [0_usize; 0]);
        assert_eq!(Plan { gap: 0, ..PLAN }.origins(9000).len(), 1);
        assert_eq!(PLAN.shortest(), 1728);
    }
}
