//! What the sandbox costs: `cargo bench -p tidegate-engine`, a table beside the goals.
//!
//! Medians of interleaved runs, because a shared machine drifts: native and component take turns, so
//! that both see the same neighbours. Whole calls are measured through the engine's public face, for
//! only they are paid; there is no row for a warm instance, which the engine does not offer. Fits and
//! predictions count the thread's CPU time, the rest counts the wall's. No bench framework: the
//! numbers wanted are ratios of two subjects, which these do not form.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench reads the clock and answers a person"
)]

use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tidegate_build::Builder;
use tidegate_core::policy::{CallError, Covariates, Forecaster, Frames, Horizon};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::{Level, Signal};
use tidegate_engine::{Engine, Limits, Options, Policy, Source};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const MODELS: [&str; 3] = ["ets", "theta", "ensemble"];
const START: Timestamp = Timestamp(1_700_006_400_000);

fn main() -> Outcome {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let builder = Builder::new(plugins);
    let mut packages = builder.packages()?;
    packages.retain(|p| MODELS.contains(&p.name()) || p.name() == "seasonal-naive");
    let mut components = Vec::new();
    for built in builder.build(&packages)? {
        components.push((
            built.package.name().to_owned(),
            std::fs::read(built.component)?,
        ));
    }
    println!(
        "{:44} {:>10} {:>10} {:>7}  goal",
        "what", "native", "component", "ratio"
    );
    for (name, bytes) in components.iter().filter(|(n, _)| n != "seasonal-naive") {
        compare(name, bytes)?;
    }
    for (_, bytes) in components.iter().filter(|(n, _)| n == "seasonal-naive") {
        fresh_calls(bytes)?;
        start(bytes)?;
    }
    Ok(())
}

/// One model, native and as a component: fit and predict, hourly and by five minutes.
fn compare(name: &str, bytes: &[u8]) -> Outcome {
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
        for _ in 0..11 {
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
            let row = format!("{name} {what} ({label})");
            let ratio = component / native;
            let [native, component] = [native, component].map(|s| format!("{:.3} ms", s * 1e3));
            println!("{row:44} {native:>10} {component:>10} {ratio:>6.2}x  <= 1.25x");
        }
    }
    Ok(())
}

/// A call that goes in with a column and comes back with a typed refusal: all of it is the
/// sandbox's.
fn fresh_calls(bytes: &[u8]) -> Outcome {
    let engine = Engine::new(Options::default())?;
    let loaded = engine.admit(bytes, &Limits::default())?;
    let Policy::Forecaster(component) = loaded.policy() else {
        return Err("no forecaster".into());
    };
    for (kilobytes, goal) in [(0, ""), (1, "<= 15 us"), (10, ""), (100, "")] {
        let mut frames = frames(Step::from_secs(60).ok_or("a step")?, kilobytes * 128);
        frames.starts.clear();
        let mut times = Vec::new();
        for _ in 0..5000 {
            let begun = Instant::now();
            let refused = component.fit("{}", &frames);
            times.push(begun.elapsed().as_secs_f64());
            if !matches!(refused, Err(CallError::Policy(_))) {
                return Err("the frames without starts were taken".into());
            }
        }
        let row = format!("fresh instance and call, {kilobytes} KB in");
        let time = format!("{:.1} us", median(times) * 1e6);
        println!("{row:44} {:>10} {time:>10} {:>7}  {goal}", "", "");
    }
    Ok(())
}

/// An engine with 50 modules whose code is kept.
fn start(bytes: &[u8]) -> Outcome {
    let directory = tempfile::tempdir()?;
    let modules: Vec<Vec<u8>> = (0..50_u8)
        .map(|n| [bytes, &[0, 3, 1, b'n', n]].concat())
        .collect();
    let mut times = Vec::new();
    for run in 0..6 {
        let options = Options {
            cache: Some(directory.path().to_owned()),
            ..Options::default()
        };
        let begun = Instant::now();
        let engine = Engine::new(options)?;
        for module in &modules {
            let loaded = engine.admit(module, &Limits::default())?;
            if run > 0 && loaded.source() != Source::Cached {
                return Err("a module was compiled again".into());
            }
        }
        if run > 0 {
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    let time = format!("{:.0} ms", median(times) * 1e3);
    println!(
        "{:44} {:>10} {time:>10} {:>7}  < 1 s",
        "start with 50 cached modules", "", ""
    );
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

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
