//! One model, native and as a component: the same bits, and at what price.

use crate::{Outcome, median, row};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use tidegate_core::policy::{Covariates, Forecaster, Frames, Horizon};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::{Level, Signal};
use tidegate_engine::{Engine, Limits, Options, Policy};

/// What is compared; `lstm` trains for seconds and is left out.
pub(crate) const NAMES: [&str; 6] = [
    "ets",
    "theta",
    "arima",
    "prophet",
    "ensemble",
    "seasonal-naive",
];

const START: Timestamp = Timestamp(1_700_006_400_000);
const RUNS: usize = 15;
const GOAL: &str = "<= 1.25x";

/// Fit and predict, hourly and by five minutes.
pub(crate) fn compare(name: &str, bytes: &[u8]) -> Outcome {
    let engine = Engine::new(Options::default())?;
    let loaded = engine.admit(bytes, &Limits::default())?;
    let Policy::Forecaster(component) = loaded.policy().clone() else {
        return Err(format!("{name} is no forecaster").into());
    };
    let native = tidegate_native::forecaster(name)
        .ok_or("not linked")?
        .forecaster;
    for (label, seconds, rows, steps) in [
        ("hourly, 700", 3600, 700, 48),
        ("5 min, 4032", 300, 4032, 288),
    ] {
        let step = Step::from_secs(seconds).ok_or("a step")?;
        let frames = frames(step, rows);
        let horizon = Horizon {
            step,
            steps,
            levels: Level::STANDARD.to_vec(),
            starts: vec![START.plus_steps(step, i64::try_from(rows)?)],
            future: Covariates::default(),
            seeds: vec![7],
        };
        let subjects: [&Arc<dyn Forecaster>; 2] = [&native, &component];
        let mut fits = [Vec::new(), Vec::new()];
        let mut predictions = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            let mut answers = Vec::new();
            for (at, subject) in subjects.into_iter().enumerate() {
                let begun = cpu();
                let fitted = subject.fit("{}", &frames)?;
                fits[at].push(cpu() - begun);
                let begun = cpu();
                let said = subject.predict(&fitted.model, &fitted.states, &horizon)?;
                predictions[at].push(cpu() - begun);
                let bits: Vec<u64> = said.quantiles.iter().map(|q| q.to_bits()).collect();
                answers.push((fitted.states.bytes, bits));
            }
            if answers.first() != answers.last() {
                return Err(format!("{name}: the component answers other bits").into());
            }
        }
        for (what, times) in [("fit", fits), ("predict", predictions)] {
            let [native, component] = times.map(median);
            let ratio = format!("{:.2}x", component / native);
            let [native, component] = [native, component].map(|s| format!("{:.3} ms", s * 1e3));
            let what = format!("{name} {what} ({label})");
            row(&what, &native, &component, &ratio, GOAL);
        }
    }
    Ok(())
}

/// A daily wave, lower at weekends, with noise.
fn frames(step: Step, rows: usize) -> Frames {
    let day = f64::from(86_400 / step.secs());
    let mut noise = 5_u64;
    let values: Vec<f64> = (0..rows)
        .map(|t| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let chance = (noise >> 40) as f64 / f64::from(1 << 24) - 0.5;
            let days = t as f64 / day;
            let height = if days % 7.0 >= 5.0 { 240.0 } else { 400.0 };
            1000.0 + height * (days * std::f64::consts::TAU).sin() + 60.0 * chance
        })
        .collect();
    let mut frames = Frames::new(step);
    frames.push(Signal::Requests, START, &values, 7);
    frames
}

/// CPU seconds of this thread.
fn cpu() -> f64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 * 1e-9
}
