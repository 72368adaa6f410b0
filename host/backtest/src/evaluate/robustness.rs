//! What a forecaster makes of misfortune: gaps, outages, spikes, shifts, and series that are hardly one.
//!
//! Each [`cases::Case`] is lived through as the daemon would: fitted once, then at every step
//! forecast an hour ahead, corrected by the host's calibration, and moved on. It is done twice, with
//! updates alone and with the host's watch for drift, which may ask for a fit; so an author sees what
//! the model does by itself and what its users get. Verdicts are few and in this order: it failed, it
//! was silent, its interval collapsed on a noisy series, or it left the series' range by far. A
//! forecast that breaks FC1 is a failure.
//!
//! Rejected: random fuzzing of inputs. The laws of the plugin kit do that for each model; here the
//! question is what an operator sees on the day of an outage.

pub mod cases;

use super::calibrated::Online;
use super::stream::Correct as _;
use super::subject::{Grid, State, Subject, Window};
use super::trace::Trace;
use cases::{Case, DAY};
use tidegate_core::policy::{CallError, PolicyError};
use tidegate_core::time::{Step, Timestamp};
use tidegate_flow::forecast::Drift;

/// Steps that are forecast: an hour.
const AHEAD: usize = 4;

/// Steps between two fits that drift may ask for, at least: a tenth of the daemon's six hours.
const REST: usize = 3;

/// Medians are back when their mean distance from the truth over the hour is at most this part.
pub const BACK: f64 = 0.2;

/// They must be so for so many forecasts in a row: an hour.
const IN_A_ROW: usize = 4;

/// An 80 % interval on a noisy series that is on average narrower than this part of the noise's own
/// has collapsed.
pub const LEAST_WIDTH: f64 = 0.25;

/// A 95 % interval that is ever wider than so many times the largest value so far has lost the range.
pub const MOST_WIDTH: f64 = 10.0;

/// The 80 % interval of a normal in its standard deviations.
const P10_TO_P90: f64 = 2.563_103_131_089_201;

/// What became of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It answered at every step, within bounds.
    Held,
    /// The module said that so little data do not suffice.
    Declined,
    /// It failed, or broke FC1, at that step.
    Failed(usize, String),
    /// Its interval was too narrow on a noisy series.
    Collapsed,
    /// Its interval was out of all proportion.
    Exploded,
}

impl Outcome {
    /// One word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Held => "held",
            Outcome::Declined => "declined",
            Outcome::Failed(..) => "failed",
            Outcome::Collapsed => "collapsed",
            Outcome::Exploded => "exploded",
        }
    }

    /// Whether nothing is to be mended.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Outcome::Held | Outcome::Declined)
    }
}

/// One case, lived through.
#[derive(Debug, Clone, PartialEq)]
pub struct Endured {
    /// The case.
    pub case: &'static str,
    /// What became of it.
    pub outcome: Outcome,
    /// Mean width of the 80 % interval over the noise's own; NaN where there is no noise.
    pub narrowest: f64,
    /// Width of the widest 95 % interval over the largest value that had been measured; NaN while
    /// that was nothing.
    pub widest: f64,
    /// Whether there was something to recover from.
    pub recovers: bool,
    /// Steps until the medians were back for good, with updates alone; `None`: not to the end.
    pub by_updates: Option<usize>,
    /// The same with fits where the host's watch found drift.
    pub by_refits: Option<usize>,
    /// How many fits that watch asked for.
    pub refits: usize,
}

/// One way through a case.
struct Life {
    outcome: Outcome,
    width: (f64, usize),
    widest: f64,
    back: Option<usize>,
    refits: usize,
}

/// Lives through every case.
#[must_use]
pub fn endure(subject: &Subject) -> Vec<Endured> {
    let Some(step) = cases::step() else {
        return vec![];
    };
    let one = |case: &Case| {
        let alone = live(subject, case, step, false);
        let helped = live(subject, case, step, true);
        let worse = if alone.outcome.is_good() {
            &helped
        } else {
            &alone
        };
        let noise = P10_TO_P90 * case.noise;
        let mean = |life: &Life| life.width.0 / life.width.1 as f64 / noise;
        Endured {
            case: case.name,
            outcome: worse.outcome.clone(),
            narrowest: mean(&alone).min(mean(&helped)),
            widest: alone.widest.max(helped.widest),
            recovers: case.recover.is_some(),
            by_updates: alone.back,
            by_refits: helped.back,
            refits: helped.refits,
        }
    };
    cases::cases().iter().map(one).collect()
}

/// The steps from the first of [`IN_A_ROW`] good forecasts since `from`; tells when it is complete.
#[derive(Default)]
struct Return {
    row: usize,
    back: Option<usize>,
}

impl Return {
    fn note(&mut self, since: usize, near: bool) {
        if self.back.is_some() {
            return;
        }
        self.row = if near { self.row + 1 } else { 0 };
        if self.row == IN_A_ROW {
            self.back = Some(since + 1 - IN_A_ROW);
        }
    }
}

fn live(subject: &Subject, case: &Case, step: Step, watched: bool) -> Life {
    let trace = Trace {
        name: case.name.to_owned(),
        // A Monday, so that weekdays fall where they are expected.
        start: Timestamp::from_secs(4 * 86_400),
        step,
        values: case.values.clone(),
        missing: 0,
    };
    let mut life = Life {
        outcome: Outcome::Held,
        width: (0.0, 0),
        widest: f64::NAN,
        back: None,
        refits: 0,
    };
    if let Err((at, error)) = walk(subject, case, &trace, watched, &mut life) {
        let short = matches!(
            error,
            CallError::Policy(PolicyError::InsufficientData { .. })
        );
        life.outcome = if short && case.may_decline {
            Outcome::Declined
        } else {
            Outcome::Failed(at, error.to_string())
        };
        return life;
    }
    let noise = P10_TO_P90 * case.noise;
    if case.noise > 0.0 && life.width.0 / life.width.1 as f64 / noise < LEAST_WIDTH {
        life.outcome = Outcome::Collapsed;
    }
    if life.widest > MOST_WIDTH {
        life.outcome = Outcome::Exploded;
    }
    life
}

fn walk(
    subject: &Subject,
    case: &Case,
    trace: &Trace,
    watched: bool,
    life: &mut Life,
) -> Result<(), (usize, CallError)> {
    let first = case.warm_up;
    let mut state = fit(subject, &[], trace, first).map_err(|e| (first, e))?;
    let mut online = Online::new(trace, first);
    let (mut drift, mut due, mut rested) = (Drift::default(), false, 0);
    let mut back = Return::default();
    let mut largest = trace.values[..first]
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max);
    // At the last steps there is no whole hour to compare with.
    for t in first..trace.values.len().saturating_sub(AHEAD) {
        rested += 1;
        if watched && due && rested >= REST {
            // As in the daemon, a fit that fails leaves the state that there is.
            if let Ok(fresh) = fit(subject, &state.model, trace, t) {
                state = fresh;
            }
            (drift, due, rested) = (Drift::default(), false, 0);
            life.refits += 1;
        }
        let raw = subject
            .predict(&trace.name, trace.step, &state, AHEAD)
            .map_err(|e| (t, e))?;
        let issued = online
            .as_mut()
            .map_or_else(|| raw.clone(), |o| o.correct(trace.at(t), &raw));
        measure(case, t, &issued, largest, life);
        if let Some(from) = case.recover.filter(|from| t >= *from) {
            back.note(t - from, is_near(case, t, &issued));
        }
        let came = trace.values[t];
        if let Some(residual) = residual(&raw, came) {
            due |= drift.observe(residual).is_some();
        }
        if let Some(online) = &mut online {
            online.observe(trace.at(t), came);
        }
        largest = if came.is_finite() {
            largest.max(came)
        } else {
            largest
        };
        subject
            .update(&mut state, &Window::of(trace, t, t + 1))
            .map_err(|e| (t, e))?;
    }
    life.back = back.back;
    Ok(())
}

fn fit(subject: &Subject, base: &[u8], trace: &Trace, until: usize) -> Result<State, CallError> {
    let from = until.saturating_sub(14 * DAY);
    let fitted = subject
        .fit_from(base, &[Window::of(trace, from, until)])?
        .pop();
    match fitted {
        Some(state) => state.map_err(CallError::Policy),
        None => Err(CallError::Unavailable("it answered no state".into())),
    }
}

/// How far the next step was from what was foreseen, in spreads.
fn residual(raw: &Grid, came: f64) -> Option<f64> {
    let row = raw.row(0);
    let spread = (level(row, 9000) - level(row, 1000)) / P10_TO_P90;
    let off = came - level(row, 5000);
    let least = f64::max(level(row, 5000) * 1e-4, f64::MIN_POSITIVE);
    off.is_finite().then(|| off / spread.max(least))
}

fn level(row: &[f64], level: u16) -> f64 {
    super::scores::quantile(row, level)
}

fn measure(case: &Case, t: usize, issued: &Grid, largest: f64, life: &mut Life) {
    for k in 0..AHEAD {
        let row = issued.row(k);
        let truth = case.truth[t + k];
        if truth > 0.0 {
            life.width.0 += (level(row, 9000) - level(row, 1000)) / truth;
            life.width.1 += 1;
        }
        if largest > 0.0 {
            let wide = (level(row, 9750) - level(row, 250)) / largest;
            life.widest = life.widest.max(wide);
        }
    }
}

fn is_near(case: &Case, t: usize, issued: &Grid) -> bool {
    let off = |k: usize| {
        let truth = case.truth[t + k];
        (level(issued.row(k), 5000) - truth).abs() / truth
    };
    (0..AHEAD).map(off).sum::<f64>() / AHEAD as f64 <= BACK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_near_for_an_hour_is_back_since_its_first_step() {
        let mut back = Return::default();
        let near = [false, true, true, false, true, true, true, true, false];
        for (since, near) in near.into_iter().enumerate() {
            back.note(since, near);
        }
        assert_eq!(back.back, Some(4));
    }
}
